"""Convert pictures or a video to training data: python -m datasets.from_pictures --pictures FOLDER --out mine.npz

It finds people and their keypoints, fits bodies, and writes annotations (mine.npz), fits (mine_fits.npz), a contact
sheet (mine_sheet.jpg) and, for a video, its frames (mine_frames/). An interrupted run continues when it is started
again. The last line is a command that trains on the result. For mine.npz, on the free body:

python train.py --cfg_file configs/free/own_pictures.yaml

This script only parses flags; core/own_data/ does the work.
"""
import argparse
from pathlib import Path

import torch

from core.config import load_config
from core.own_data.run import label_own_data
from core.own_data.training_command import training_command
from utils.errors import run_main
from utils.threads import usable_cores


def parse(argv=None):
    parser = argparse.ArgumentParser(prog='python -m datasets.from_pictures', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pictures', type=Path, required=True, help='folder of pictures, a picture, or a video')
    parser.add_argument('--out', type=Path, required=True, help='annotation file to write, .npz')
    parser.add_argument('--fps', type=float, default=10.0, help='frames per second of a video to label; 0: all')
    parser.add_argument('--keypoints', help='keypoint estimator: blazepose, keypointrcnn, rtmpose')
    parser.add_argument('--focal_length', type=float, help='in pixels; default: from EXIF, else sqrt(w^2 + h^2)')
    parser.add_argument('--threads', type=int, default=usable_cores())
    parser.add_argument('--overwrite', action='store_true', help='replace an annotation file that exists')
    parser.add_argument('--misc', nargs='*', default=[], metavar='KEY VALUE', help='any config keys with their values')
    return parser.parse_args(argv)


def main(argv=None):
    options = parse(argv)
    torch.set_num_threads(options.threads)
    given = [('DEMO.KEYPOINTS', options.keypoints), ('DEMO.FOCAL_LENGTH', options.focal_length)]
    overrides = [word for key, value in given if value is not None for word in (key, value)]
    cfg = load_config(None, ['DEMO.RENDER', False, *overrides, *options.misc])
    labels = label_own_data(cfg, options.pictures, options.out, options.fps, options.overwrite)
    print(f'to train: {training_command(cfg, options.out, len(labels))}')
    return 0


if __name__ == '__main__':
    run_main(main)

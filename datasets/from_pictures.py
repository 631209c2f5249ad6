"""A user's own pictures or video as training data: python -m datasets.from_pictures --pictures FOLDER --out mine.npz

A script: it only parses flags, and nothing imports it (the work is in core/own_data/). It finds people and their
keypoints, fits bodies, and writes annotations (mine.npz), the fits (mine_fits.npz), a contact sheet to look at
(mine_sheet.jpg) and, of a video, its frames (mine_frames/). An interrupted run goes on where it was. Then:

python train.py --misc DATA.MIXTURE "['mine.npz:1']" SMPLIFY.USE_FITS True
"""
import argparse
import os
from pathlib import Path

import torch

from core.config import load_config
from core.own_data.run import label_own_data
from utils.errors import run_main


def parse(argv=None):
    parser = argparse.ArgumentParser(prog='python -m datasets.from_pictures', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pictures', type=Path, required=True, help='folder of pictures, a picture, or a video')
    parser.add_argument('--out', type=Path, required=True, help='annotation file to write, .npz')
    parser.add_argument('--fps', type=float, default=10.0, help='frames a second of a video that are kept; 0: all')
    parser.add_argument('--keypoints', help='who finds keypoints: blazepose, keypointrcnn, rtmpose')
    parser.add_argument('--focal_length', type=float, help='of the pictures, in pixels; else EXIF\'s, else a guess')
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--overwrite', action='store_true', help='replace an annotation file that is there already')
    parser.add_argument('--misc', nargs='*', default=[], metavar='KEY VALUE', help='any config keys with their values')
    return parser.parse_args(argv)


def main(argv=None):
    options = parse(argv)
    torch.set_num_threads(options.threads)
    given = [('DEMO.KEYPOINTS', options.keypoints), ('DEMO.FOCAL_LENGTH', options.focal_length)]
    overrides = [word for key, value in given if value is not None for word in (key, value)]
    cfg = load_config(None, ['DEMO.RENDER', False, *overrides, *options.misc])
    label_own_data(cfg, options.pictures, options.out, options.fps, options.overwrite)
    print(f'to train: python train.py --misc DATA.MIXTURE "[\'{options.out}:1\']" SMPLIFY.USE_FITS True')
    return 0


if __name__ == '__main__':
    run_main(main)

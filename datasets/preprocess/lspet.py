"""HR-LSPET (LSP extended, high resolution) -> annotation file.

python -m datasets.preprocess.lspet --root hr-lspet --out data/dataset_extras/hr-lspet_train.npz [--openpose FOLDER]
Layout: ROOT/joints.mat ('joints' [14,3,N]), ROOT/*.png, whose sorted names are the people in order.
"""
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.preprocess import Collector, box_of_points, check_output, command, existing
from datasets.preprocess.joints import LSP14_TO_COMMON, common_keypoints, openpose_joints
from datasets.preprocess.lsp import read_joints
from utils.errors import BadFile, run_main
from utils.pixels import COUNTED_FROM_1


def convert_lspet(root, out, openpose='', progress=True):
    """Write all people. All joints count, as published: the file's own flag says only which were hard to see.

    Raises MissingFile, and BadFile where pictures and joints differ in number.
    """
    check_output(out)
    root = existing(root, 'folder (HR-LSPET)')
    joints = read_joints(root / 'joints.mat', 'jcn')
    names = sorted(path.name for path in Path(root).glob('*.png'))
    if len(names) != len(joints):
        raise BadFile(f'{root}: {len(names)} PNG pictures, but joints.mat has {len(joints)} people')
    rows = Collector()
    for name, person in zip(tqdm(names, desc='lspet', unit=' people', disable=not progress), joints):
        points = person[:, :2]
        if not np.isfinite(points).all():
            rows.leave_out('with joints that are no numbers')
            continue
        common = common_keypoints(points, LSP14_TO_COMMON, COUNTED_FROM_1)
        rows.add(name, *box_of_points(points), common, openpose_joints(openpose, name, common))
    rows.save(out, root)


def main():
    return command(convert_lspet, 'HR-LSPET to an annotation file.',
                   {'root': 'folder with joints.mat and the PNG pictures', 'out': '.npz to write'},
                   {'openpose': ('', "folder of OpenPose's *_keypoints.json, merged in")})


if __name__ == '__main__':
    run_main(main)

"""Converts HR-LSPET (LSP extended, high resolution) to an annotation file.

python -m datasets.preprocess.lspet --root hr-lspet --out data/dataset_extras/hr-lspet_train.npz [--openpose FOLDER]
Layout: ROOT/joints.mat ('joints' [14,3,N]), ROOT/*.png. The people have the order of the sorted names.
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
    """Write all people. As published, all joints count, because the flag of the file only marks occluded joints.

    Raises MissingFile. Raises BadFile if the numbers of pictures and people differ.
    """
    check_output(out)
    root = existing(root, 'folder (HR-LSPET)')
    joints = read_joints(root / 'joints.mat', 'jcn')
    names = sorted(path.name for path in Path(root).glob('*.png'))
    if len(names) != len(joints):
        raise BadFile(f'{root}: {len(names)} PNG pictures, but joints.mat has {len(joints)} people; use one release')
    rows = Collector()
    for name, person in zip(tqdm(names, desc='lspet', unit=' people', disable=not progress), joints):
        points = person[:, :2]
        if not np.isfinite(points).all():
            rows.leave_out('with joints that are not finite')
            continue
        common = common_keypoints(points, LSP14_TO_COMMON, COUNTED_FROM_1)
        rows.add(name, *box_of_points(points), common, openpose_joints(openpose, name, common))
    rows.save(out, root)


def main():
    return command(convert_lspet, 'HR-LSPET to an annotation file.',
                   {'root': 'folder with joints.mat and the PNG pictures', 'out': '.npz to write'},
                   {'openpose': ('', "folder of OpenPose's *_keypoints.json to add")})


if __name__ == '__main__':
    run_main(main)

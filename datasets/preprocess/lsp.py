"""Converts the LSP test set (small pictures) to an annotation file with the names of UP-3D's label pictures.

python -m datasets.preprocess.lsp --root lsp_dataset --out data/dataset_extras/lsp_dataset_test.npz
Layout: ROOT/joints.mat ('joints' [3,14,2000]), ROOT/images/im1001.jpg to im2000.jpg. The label pictures
data/lsp/im1001_segmentation.png and im1001_part_segmentation.png are in the folder of upi-s1h.
"""
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.preprocess import Collector, box_of_points, check_output, command
from datasets.preprocess.joints import LSP14_TO_COMMON, common_keypoints
from utils.errors import BadFile, run_main
from utils.pixels import COUNTED_FROM_1
from utils.safe_io import load_mat


def read_joints(path, axes):
    """Read joints [N,14,3] (x, y, flag) of an LSP joints.mat. Raises MissingFile, BadFile.

    axes: order of the axes in the file, a permutation of 'cjn' (coordinate, joint, number).
    """
    content = load_mat(path)
    joints = content.get('joints')
    sizes = dict(zip(axes, np.shape(joints)))
    if joints is None or np.ndim(joints) != 3 or sizes['c'] != 3 or sizes['j'] != 14:
        raise BadFile(f"{path}: not LSP's joints.mat: 'joints' has shape {list(np.shape(joints))}, but must be "
                      f"[{', '.join({'c': '3', 'j': '14', 'n': 'N'}[axis] for axis in axes)}]")
    return np.transpose(joints, [axes.index(axis) for axis in 'njc'])


def convert_lsp(root, out, progress=True):
    """Write the 1000 people of the test set, pictures 1001 to 2000. Raises MissingFile, BadFile."""
    check_output(out)
    joints = read_joints(Path(root) / 'joints.mat', 'cjn')
    rows = Collector()
    for number in tqdm(range(1000, len(joints)), desc='lsp', unit=' people', disable=not progress):
        base, points = f'im{number + 1:04d}', joints[number, :, :2]
        common = common_keypoints(points, LSP14_TO_COMMON, COUNTED_FROM_1)
        rows.add(f'images/{base}.jpg', *box_of_points(points), common,
                 maskname=f'data/lsp/{base}_segmentation.png', partname=f'data/lsp/{base}_part_segmentation.png')
    rows.save(out, root)


def main():
    return command(convert_lsp, 'LSP test set to an annotation file.',
                   {'root': 'folder with joints.mat and images/', 'out': '.npz to write'})


if __name__ == '__main__':
    run_main(main)

"""Converts the training half of LSP at full resolution (lsp_dataset_original) to an annotation file.

python -m datasets.preprocess.lsp_original --root lsp_dataset_original
    --out data/dataset_extras/lsp_dataset_original_train.npz [--openpose FOLDER]
Layout: ROOT/joints.mat ('joints' [3,14,2000]), ROOT/images/im0001.jpg to im1000.jpg.
"""
from pathlib import Path

from tqdm import tqdm

from datasets.preprocess import Collector, box_of_points, check_output, command
from datasets.preprocess.joints import LSP14_TO_COMMON, common_keypoints, openpose_joints
from datasets.preprocess.lsp import read_joints
from utils.errors import run_main
from utils.pixels import COUNTED_FROM_1


def convert_lsp_original(root, out, openpose='', progress=True):
    """Write the first 1000 people. openpose: folder of OpenPose's JSON files. Raises MissingFile, BadFile."""
    check_output(out)
    joints, rows = read_joints(Path(root) / 'joints.mat', 'cjn'), Collector()
    for number in tqdm(range(min(1000, len(joints))), desc='lsp-orig', unit=' people', disable=not progress):
        name, points = f'images/im{number + 1:04d}.jpg', joints[number, :, :2]
        common = common_keypoints(points, LSP14_TO_COMMON, COUNTED_FROM_1)
        rows.add(name, *box_of_points(points), common, openpose_joints(openpose, name, common))
    rows.save(out, root)


def main():
    return command(convert_lsp_original, 'LSP original, training half, to an annotation file.',
                   {'root': 'folder with joints.mat and images/', 'out': '.npz to write'},
                   {'openpose': ('', "folder of OpenPose's *_keypoints.json to add")})


if __name__ == '__main__':
    run_main(main)

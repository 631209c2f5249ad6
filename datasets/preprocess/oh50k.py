"""Converts 3DOH50K to an annotation file.

python -m datasets.preprocess.oh50k --root 3DOH50K --out data/dataset_extras/threeDOH50K_testset.npz [--split testset]
Layout: ROOT/{trainset,testset}/annots.json, a dictionary of people: img_path, bbox [2,2] (two corners), pose [72],
betas [10], extri [4,4] (world to camera), scale, lsp_joints_2d [14,2], lsp_joints_3d [14,3] in the camera's frame and
in units of 1 / scale metres.
"""
import numpy as np
from tqdm import tqdm

from datasets.preprocess import Collector, check_output, command, existing, square_box
from datasets.preprocess.joints import LSP14_TO_COMMON, common_keypoints, rotated_root
from datasets.preprocess.pictures import ABSENT, Pictures
from utils.errors import BadFile, run_main
from utils.keypoints import NUM_COMMON
from utils.logging import get_logger
from utils.pixels import COUNTED_FROM_0
from utils.safe_io import load_json

_HEAD_H36M = 18  # the evaluation uses LSP's head top as H36M's head
_TORSO = (0.3, 0.8)  # metres from the midpoint of the hips to the neck
_HIPS, _NECK = slice(2, 4), 12


def convert_oh50k(root, out, split='testset', progress=True):
    """Write a split, with bodies in the camera's frame.

    The 3D joints are kept if their unit can be determined: the median torso must have a human length. People whose
    picture is absent are left out and counted. Raises MissingFile, BadFile.
    """
    check_output(out)
    folder = existing(root, 'folder (3DOH50K)') / split
    path = folder / 'annots.json'
    people = load_json(existing(path, 'annotation file'))
    if not isinstance(people, dict):
        raise BadFile(f'{path}: not 3DOH50K\'s annotations; the file must be a dictionary of people')
    read = []
    for key, person in tqdm(people.items(), desc='3doh50k', unit=' people', disable=not progress):
        try:
            read.append(_person(person, split))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BadFile(f'{path}: person {key!r} is not in 3DOH50K\'s format ({type(error).__name__}: '
                          f'{" ".join(str(error).split())[:80]})') from None
    unit = _unit(read)
    if unit is None and read:
        get_logger().warning(f'{path}: the unit of lsp_joints_3d is unknown; 3D joints are left out')
    rows, pictures = Collector(), Pictures(root, f'{split}/images')
    for name, box, common, labels, solid, scale in read:
        if name not in pictures:
            rows.leave_out(ABSENT)
            continue
        if unit is not None:
            labels['joints_3d'] = _solid_joints(solid / (scale if unit == 'scale' else unit))
        rows.add(name, *box, common, **labels)
    rows.save(out, path)


def _person(person, split):
    low, high = np.asarray(person['bbox'], np.float64).reshape(2, 2)
    name = f'{split}/' + str(person['img_path']).replace('\\', '/')
    rotation = np.asarray(person['extri'], np.float64).reshape(4, 4)[:3, :3]
    labels = {'pose': rotated_root(person['pose'], rotation), 'betas': np.asarray(person['betas'], float).reshape(10)}
    flat = np.asarray(person['lsp_joints_2d'], np.float64)[:, :2].reshape(14, 2)
    solid = np.asarray(person['lsp_joints_3d'], np.float64)[:, :3].reshape(14, 3)
    scale = float(np.asarray(person['scale']).ravel()[0])
    common = common_keypoints(flat, LSP14_TO_COMMON, COUNTED_FROM_0)
    return name, square_box(*low, *(high - low)), common, labels, solid, scale


def _unit(read):
    """Divisor of the 3D joints that gives a human median torso: 'scale', 1 or 7 (published files). Or None."""
    for unit in ('scale', 1.0, 7.0):
        lengths = [np.linalg.norm(solid[_NECK] - solid[_HIPS].mean(0)) / (scale if unit == 'scale' else unit)
                   for *_, solid, scale in read]
        if lengths and _TORSO[0] < np.median(lengths) < _TORSO[1]:
            return unit
    return None


def _solid_joints(joints):
    """Common joints [24,4] relative to the midpoint of the hips."""
    joints = joints - joints[_HIPS].mean(0)
    common = np.zeros((NUM_COMMON, 4), np.float32)
    common[LSP14_TO_COMMON, :3], common[LSP14_TO_COMMON, 3] = joints, 1
    common[_HEAD_H36M] = common[13]
    return common


def main():
    return command(convert_oh50k, '3DOH50K to an annotation file.',
                   {'root': 'folder with trainset and testset', 'out': '.npz to write'},
                   {'split': (['testset', 'trainset'], 'part to convert')})


if __name__ == '__main__':
    run_main(main)

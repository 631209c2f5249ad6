"""Converts UP-3D to an annotation file.

python -m datasets.preprocess.up3d --root up-3d --out data/dataset_extras/upi-s1h_train.npz [--split trainval]
Layout: ROOT/{trainval,train,val,test}.txt, with a line such as '/00001_image.png' per person, ROOT/00001_image.png,
00001_joints.npy [3,14 or more], 00001_render_light.png (the body on white), 00001_body.pkl (pose, betas).
"""
import cv2
import numpy as np
from tqdm import tqdm

from datasets.preprocess import Collector, check_output, command, existing, square_box
from datasets.preprocess.joints import LSP14_TO_COMMON
from utils.errors import BadFile, MissingFile, run_main
from utils.keypoints import NUM_COMMON
from utils.logging import get_logger
from utils.pixels import to_continuous
from utils.safe_io import load_npy, load_pickle

_BOX = 0.9  # as published (GraphCMR, mmhuman3d)


def convert_up3d(root, out, split='trainval', progress=True):
    """Write the people of a split. The box is that of the rendered body. People with an absent or broken file are
    logged, left out and counted. Raises MissingFile, BadFile."""
    check_output(out)
    root = existing(root, 'folder (UP-3D)')
    lines = existing(root / f'{split}.txt', 'list of pictures').read_text().split('\n')
    bases = [line.split()[0].lstrip('/').removesuffix('_image.png') for line in lines if line.strip()]
    rows = Collector()
    for base in tqdm(bases, desc='up3d', unit=' people', disable=not progress):
        try:
            _add(rows, root, base)
        except (MissingFile, BadFile) as error:
            get_logger().warning(f'{base} is left out: {error}')
            rows.leave_out('with an absent or broken file')
    rows.save(out, root)


def _add(rows, root, base):
    existing(root / f'{base}_image.png', 'picture')
    box = _drawn_box(root / f'{base}_render_light.png')
    if box is None:
        rows.leave_out('whose rendered body is empty')
    else:
        rows.add(f'{base}_image.png', *box, _joints(root / f'{base}_joints.npy'), **_body(root / f'{base}_body.pkl'))


def _drawn_box(path):
    drawn = cv2.imread(str(existing(path, 'picture')))
    if drawn is None:
        raise BadFile(f'{path}: not a readable picture')
    rows, columns = np.nonzero(drawn.min(2) < 255)
    if not len(rows):
        return None
    left, top = columns.min(), rows.min()
    return square_box(left, top, columns.max() + 1 - left, rows.max() + 1 - top, _BOX)


def _joints(path):
    """The common joints [24,3] from the 14 LSP joints of a file, with their confidence."""
    joints = load_npy(path)
    if joints.ndim != 2 or joints.shape[0] != 3 or joints.shape[1] < 14:
        raise BadFile(f'{path}: shape {list(joints.shape)}, but must be [3, 14 or more]')
    common = np.zeros((NUM_COMMON, 3), np.float32)
    common[LSP14_TO_COMMON] = joints[:, :14].T
    return to_continuous(common)


def _body(path):
    content = load_pickle(path, ('pose', 'betas'))
    try:
        return {'pose': np.asarray(content['pose'], np.float64).reshape(72),
                'betas': np.asarray(content['betas'], np.float64).ravel()[:10]}
    except (KeyError, TypeError, ValueError):
        raise BadFile(f"{path}: not a body file; it needs 'pose' [72] and 'betas' [10]") from None


def main():
    return command(convert_up3d, 'UP-3D to an annotation file.', {'root': 'folder as unpacked', 'out': '.npz to write'},
                   {'split': (['trainval', 'train', 'val', 'test'], 'list of pictures to convert')})


if __name__ == '__main__':
    run_main(main)

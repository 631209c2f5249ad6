"""Converts EMDB to an annotation file of the sequences of EMDB 1 or EMDB 2 (Kaufmann et al., ICCV 2023).

python -m datasets.preprocess.emdb --root EMDB --out data/dataset_extras/emdb1_test.npz [--split emdb1]
Layout, from `dataset.md` of EMDB's repository: ROOT/P0/09_outdoor_walk/P0_09_outdoor_walk_data.pkl and
ROOT/P0/09_outdoor_walk/images/00000.jpg.
"""
import numpy as np

from datasets.annotations import GENDER_CODES
from datasets.preprocess import check_output, command, existing, square_box
from datasets.preprocess.joints import rotated_root
from datasets.preprocess.parts import Parts
from datasets.preprocess.pictures import ABSENT, Pictures
from utils.errors import BadFile, run_main
from utils.safe_io import as_numbers, load_pickle

_SUFFIX = '_data.pkl'
_KEYS = ('gender', 'emdb1', 'emdb2', 'good_frames_mask', 'camera', 'smpl', 'bboxes')


def convert_emdb(root, out, split='emdb1', progress=True):
    """Write the good frames of the sequences of a split: pose in the camera's frame, shape, gender and camera.

    The box is 1.2 times that of the file. Frames that EMDB marks as invalid, without a box or without a picture are
    left out and counted. Raises MissingFile, BadFile.
    """
    check_output(out)
    root = existing(root, 'EMDB folder')
    names = sorted(path.relative_to(root).parent.as_posix() for path in root.glob(f'*/*/*{_SUFFIX}'))
    pictures = Pictures(root, '*/*/images')

    def convert(name, rows):
        _convert_sequence(root / name, name, split, rows, pictures)
    Parts(out, root=root, split=split).run(names, convert, root, progress)


def _convert_sequence(folder, name, split, rows, pictures):
    path = folder / f'{name.replace("/", "_")}{_SUFFIX}'
    content = load_pickle(path, _KEYS)
    try:
        if not content[split]:
            return
        sequence = _Sequence(content, path)
    except (KeyError, TypeError) as error:
        raise BadFile(f"{path}: not a sequence file of EMDB ({type(error).__name__}: {error})") from None
    for frame in range(len(sequence.good)):
        picture = f'{name}/images/{frame:05d}.jpg'
        if not sequence.good[frame]:
            rows.leave_out('of frames that are not good')
        elif not sequence.has_box(frame):
            rows.leave_out('without a box')
        elif picture not in pictures:
            rows.leave_out(ABSENT)
        else:
            rows.add(picture, *square_box(*sequence.box(frame)), sequence=name, **sequence.labels(frame))


class _Sequence:
    """The checked arrays of a file. Raises BadFile, KeyError, TypeError."""

    def __init__(self, content, path):
        def numbers(value, where, *shape):
            return as_numbers(value, f'{path}: {where}', shape)
        smpl, camera = content['smpl'], content['camera']
        self.gender = GENDER_CODES[str(content['gender']).lower()]
        self.good = numbers(content['good_frames_mask'], 'good_frames_mask', None) > 0
        count = len(self.good)
        self._pose = np.concatenate([numbers(smpl['poses_root'], 'smpl.poses_root', count, 3),
                                     numbers(smpl['poses_body'], 'smpl.poses_body', count, 69)], 1)
        self._betas = numbers(np.ravel(smpl['betas']), 'smpl.betas', 10)
        self._intrinsics = numbers(camera['intrinsics'], 'camera.intrinsics', 3, 3)
        self._to_camera = numbers(camera['extrinsics'], 'camera.extrinsics', count, 4, 4)
        self._corners = as_numbers(content['bboxes']['bboxes'], f'{path}: bboxes.bboxes', (count, 4), finite=False)

    def has_box(self, frame):
        left, top, right, bottom = self._corners[frame]
        return bool(np.isfinite(self._corners[frame]).all() and right > left and bottom > top)

    def box(self, frame):
        """(left, top, width, height) in pixels."""
        left, top, right, bottom = self._corners[frame]
        return left, top, right - left, bottom - top

    def labels(self, frame):
        return {'pose': rotated_root(self._pose[frame], self._to_camera[frame, :3, :3]), 'betas': self._betas,
                'gender': self.gender, 'cam_K': self._intrinsics}


def main():
    return command(convert_emdb, 'EMDB to an annotation file.',
                   {'root': 'folder with P0/ to P9/', 'out': '.npz to write'},
                   {'split': (['emdb1', 'emdb2'], 'sequences to convert')})


if __name__ == '__main__':
    run_main(main)

"""3DPW -> annotation file with gendered bodies in the camera's frame.

python -m datasets.preprocess.pw3d --root 3DPW --out data/dataset_extras/3dpw_test.npz [--split test]
Layout: ROOT/sequenceFiles/{train,validation,test}/SEQUENCE.pkl with poses, betas, poses2d, cam_poses, genders,
campose_valid and sequence; ROOT/imageFiles/SEQUENCE/image_00000.jpg.
"""
from pathlib import Path

import numpy as np

from datasets.annotations import GENDER_CODES
from datasets.preprocess import box_of_points, check_output, command, existing
from datasets.preprocess.joints import rotated_root
from datasets.preprocess.parts import Parts
from utils.errors import BadFile, run_main
from utils.keypoints import NUM_OPENPOSE
from utils.safe_io import load_pickle

_KEYS = ('sequence', 'cam_poses', 'poses', 'betas', 'poses2d', 'genders', 'campose_valid')
# OpenPose's 18 joints (COCO model), which poses2d holds, among its 25.
_OPENPOSE18 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]


def convert_pw3d(root, out, split='test', progress=True):
    """Write every person of every frame whose camera is known. Finished sequences are kept where it is interrupted.

    The box is that of the detected 2D joints, as published; those joints are kept as OpenPose's. People without any
    are left out. Raises MissingFile, BadFile.
    """
    check_output(out)
    folder = existing(Path(root) / 'sequenceFiles' / split, '3DPW folder')
    names = sorted(path.stem for path in folder.glob('*.pkl'))

    def convert(name, rows):
        _convert_sequence(folder / f'{name}.pkl', rows)
    Parts(out, root=root, split=split).run(names, convert, folder, progress)


def _convert_sequence(path, rows):
    content = load_pickle(path, _KEYS)
    try:
        sequence, cameras = str(content['sequence']), np.asarray(content['cam_poses'], np.float64)
        people = list(zip(content['poses'], content['betas'], content['poses2d'], content['genders'],
                          content['campose_valid'], strict=True))
        for poses, betas, points, gender, valid in people:
            code = GENDER_CODES[str(gender).lower()]
            betas = np.asarray(betas, np.float64).ravel()[:10]
            for frame in np.flatnonzero(np.asarray(valid, bool)):
                name = f'imageFiles/{sequence}/image_{frame:05d}.jpg'
                _add(rows, name, np.asarray(points[frame], np.float64).T, poses[frame], betas, cameras[frame], code)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BadFile(f"{path}: not 3DPW's sequence file ({type(error).__name__}: "
                      f'{" ".join(str(error).split())[:100]})') from None


def _add(rows, name, points, pose, betas, camera, gender):
    """One person of one frame. points [18,3]; camera [4,4]: world to camera."""
    if not (points[:, 2] > 0).any():
        rows.leave_out('without 2D joints')
        return
    openpose = np.zeros((NUM_OPENPOSE, 3))
    openpose[_OPENPOSE18] = points
    rows.add(name, *box_of_points(points), openpose=openpose, pose=rotated_root(pose, camera[:3, :3]), betas=betas,
             gender=gender)


def main():
    return command(convert_pw3d, '3DPW to an annotation file.',
                   {'root': 'folder with sequenceFiles/ and imageFiles/', 'out': '.npz to write'},
                   {'split': (['test', 'train', 'validation'], 'which sequences')})


if __name__ == '__main__':
    run_main(main)

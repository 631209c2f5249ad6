"""Converts 3DPW to an annotation file with gendered bodies and their joints in the camera's frame.

python -m datasets.preprocess.pw3d --root 3DPW --out data/dataset_extras/3dpw_test.npz [--split test] [--body data]
Layout: ROOT/sequenceFiles/{train,validation,test}/SEQUENCE.pkl with poses, betas, trans, poses2d, cam_poses,
cam_intrinsics, genders, campose_valid and sequence. ROOT/imageFiles/SEQUENCE/image_00000.jpg.
"""
from pathlib import Path

import numpy as np

from datasets.annotations import GENDER_CODES
from datasets.preprocess import box_of_points, check_output, command, existing
from datasets.preprocess.body_joints import BodyJoints
from datasets.preprocess.joints import rotated_root
from datasets.preprocess.parts import Parts
from datasets.preprocess.pictures import ABSENT, Pictures
from utils.assets import find_assets
from utils.errors import BadFile, MissingFile, run_main
from utils.keypoints import NUM_OPENPOSE
from utils.logging import get_logger
from utils.pixels import COUNTED_FROM_0, to_continuous
from utils.safe_io import load_pickle

_KEYS = ('sequence', 'cam_poses', 'cam_intrinsics', 'poses', 'trans', 'betas', 'poses2d', 'genders', 'campose_valid')
# Indices of OpenPose's 18 joints (COCO model), those of poses2d, among its 25.
_OPENPOSE18 = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
_GENDERS = {0: 'male', 1: 'female', -1: 'neutral'}


def convert_pw3d(root, out, split='test', body='', progress=True):
    """Write all people of the frames with a known camera. After an interruption finished sequences are kept.

    As published, the box is that of the detected 2D joints, which are written as OpenPose's. People without them and
    people whose picture is absent are left out and counted. body: asset folder with SMPL's gendered bodies. They give
    the common joints in 3D and projected by the camera. Without them only poses and OpenPose's joints are written, and
    a log line says so. Raises MissingFile, BadFile.
    """
    check_output(out)
    folder = existing(Path(root) / 'sequenceFiles' / split, '3DPW folder')
    names = sorted(path.stem for path in folder.glob('*.pkl'))
    bodies, pictures = _bodies(body), Pictures(root, 'imageFiles')

    def convert(name, rows):
        _convert_sequence(folder / f'{name}.pkl', rows, bodies, pictures)
    Parts(out, root=root, split=split, bodies=sorted(bodies)).run(names, convert, folder, progress)


def _bodies(folder):
    """{gender code: BodyJoints} of SMPL's male and female bodies. Empty if the folder has none."""
    try:
        assets = find_assets(folder)
        if not folder or assets.is_free:
            raise MissingFile('no SMPL')
        return {code: BodyJoints(assets, _GENDERS[code]) for code in (0, 1)}
    except MissingFile:
        get_logger().warning(f'{folder or "--body"}: no SMPL_MALE and SMPL_FEMALE here; 3DPW is written without joints '
                             'of its bodies and has no dense targets')
        return {}


def _convert_sequence(path, rows, bodies, pictures):
    content = load_pickle(path, _KEYS)
    try:
        sequence, cameras = str(content['sequence']), np.asarray(content['cam_poses'], np.float64)
        people = list(zip(content['poses'], content['betas'], content['poses2d'], content['genders'],
                          content['campose_valid'], strict=True))
        for number, (poses, betas, points, gender, valid) in enumerate(people):
            code = GENDER_CODES[str(gender).lower()]
            betas = np.asarray(betas, np.float64).ravel()[:10]
            for frame in np.flatnonzero(np.asarray(valid, bool)):
                name = f'imageFiles/{sequence}/image_{frame:05d}.jpg'
                if name not in pictures:
                    rows.leave_out(ABSENT)
                    continue
                labels = {'pose': rotated_root(poses[frame], cameras[frame, :3, :3]), 'betas': betas, 'gender': code,
                          'sequence': f'{sequence}/{number}', 'frame': frame}
                if bodies:
                    labels.update(_joints(bodies[code], betas, poses[frame], content['trans'][number][frame],
                                          cameras[frame], np.asarray(content['cam_intrinsics'], np.float64)))
                _add(rows, name, np.asarray(points[frame], np.float64).T, labels)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BadFile(f"{path}: not a sequence file of 3DPW ({type(error).__name__}: "
                      f'{" ".join(str(error).split())[:100]})') from None


def _joints(body, betas, pose, translation, camera, intrinsics):
    """{'common': [24,3] projected common joints, 'joints_3d': [24,4] in the camera's frame, relative to the pelvis}.

    pose [72] and translation [3]: in the world. camera [4,4]: world to camera. 3DPW's principal point is the centre of
    the picture, so projections are continuous pixels. Confidence is 1 inside the picture.
    """
    smpl_joints, joints = body(betas, np.asarray(pose, np.float64))
    in_world = np.concatenate([smpl_joints[:1], joints[NUM_OPENPOSE:]]) + np.asarray(translation, np.float64)
    pelvis, *common = in_world @ camera[:3, :3].T + camera[:3, 3]
    common = np.array(common)
    seen = common @ intrinsics.T
    points = seen[:, :2] / np.where(seen[:, 2:] > 0, seen[:, 2:], 1)
    inside = (seen[:, 2] > 0) & (points >= 0).all(1) & (points < 2 * intrinsics[:2, 2]).all(1)
    return {'common': np.where(inside[:, None], np.column_stack([points, inside]), 0),
            'joints_3d': np.column_stack([common - pelvis, np.ones(len(common))])}


def _add(rows, name, points, labels):
    """Add a person of a frame. points [18,3]: the detected joints."""
    if not (points[:, 2] > 0).any():
        rows.leave_out('without 2D joints')
        return
    openpose = np.zeros((NUM_OPENPOSE, 3))
    openpose[_OPENPOSE18] = to_continuous(points, COUNTED_FROM_0)
    rows.add(name, *box_of_points(points), openpose=openpose, **labels)


def main():
    return command(convert_pw3d, '3DPW to an annotation file.',
                   {'root': 'folder with sequenceFiles/ and imageFiles/', 'out': '.npz to write'},
                   {'split': (['test', 'train', 'validation'], 'sequences to convert'),
                    'body': ('data', "asset folder with SMPL's male and female bodies, to add their joints")})


if __name__ == '__main__':
    run_main(main)

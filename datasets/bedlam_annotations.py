"""BEDLAM's label files (Black et al., CVPR 2023), turned into a SPIN `.npz`'s arrays.

Source of the layout: the list of fields and the scripts of BEDLAM's repository (`data_processing/ReadMe.md`,
`df_full_body.py`, `df_full_body_smpl.py`), and its data loader (`train/dataset/dataset.py`, `dataset_smpl.py`).

`pose_cam` is the pose in the picture's camera: of SMPL [N,72], or of SMPL-X [N,66] and more. `gtkps` [N,J,3] are the
body's joints, projected by `cam_int` [N,3,3], whose principal point is the middle of the picture: they are continuous.
`shape` belongs to the neutral body, whatever `gender` says of the person. Files of its evaluation (`eval_data_parsed`)
have no `gtkps`; their bodies are of the person's gender. Of SMPL-X, they keep `smplx_pose` [N,66] and `smplx_shape`
[N,10].
"""
import numpy as np

from utils.errors import BadFile
from utils.keypoints import BODY54_TO_J49, NUM_OPENPOSE, SMPL_JOINTS, VERTEX_JOINTS
from utils.logging import log_once
from utils.pixels import PIXEL_CENTER

SMPLX_POSE, SMPLX_SHAPE = 'smplx_pose', 'smplx_shape'
_SMPL_POSE = 3 * len(SMPL_JOINTS)
# SMPL-X's joints begin with SMPL's up to the wrists; smplx puts the vertex joints behind its 55.
_BODY_JOINTS, _SMPLX_JOINTS = 22, 55
# BEDLAM2's script adds the boxes of hands, and puts OpenPose's 25 joints first.
_BEDLAM2 = 'hand_det_conf'


def is_bedlam_file(raw):
    """Whether a dict of raw arrays is one of BEDLAM's files."""
    return {'imgname', 'pose_cam'} <= raw.keys() and ('gtkps' in raw or 'shape' in raw)


def as_spin(raw, path):
    """The same labels under SPIN's keys; `path` is for messages. Empties `raw`. Raises BadFile.

    In training, pose and shape of SMPL-X are left out, and the log says so: they are of another body than SMPL.
    """
    spin = _training(raw, path) if 'gtkps' in raw else _evaluation(raw, path)
    raw.clear()
    return spin


def _evaluation(raw, path):
    count = len(raw['imgname'])
    pose, shape = _numbers(raw, 'pose_cam', path, count, 2), _numbers(raw, 'shape', path, count, 2)[:, :10]
    spin = {key: raw[key] for key in ('imgname', 'center', 'scale', 'gender') if key in raw}
    if pose.shape[1] == _SMPL_POSE:
        return {**spin, 'pose': pose, 'shape': shape}
    if pose.shape[1] < 3 * _BODY_JOINTS or shape.shape[1] < 10:
        raise BadFile(f"{path}: keys 'pose_cam' and 'shape' have shapes {list(pose.shape)} and {list(shape.shape)}; "
                      f"SMPL's are {[count, _SMPL_POSE]}, SMPL-X's {[count, 3 * _BODY_JOINTS]} or wider, and 10 betas")
    return {**spin, SMPLX_POSE: pose[:, :3 * _BODY_JOINTS], SMPLX_SHAPE: shape}


def _training(raw, path):
    count = len(raw['imgname'])
    pose, points = _numbers(raw, 'pose_cam', path, count, 2), _numbers(raw, 'gtkps', path, count, 3)
    spin = {key: raw[key] for key in ('imgname', 'center', 'scale', 'sub') if key in raw}
    spin['first_pixel'] = PIXEL_CENTER
    if 'cam_int' in raw:
        spin['cam_K'] = _numbers(raw, 'cam_int', path, count, 3)
    if pose.shape[1] == _SMPL_POSE and 'shape' in raw:
        spin.update(pose=pose, shape=_numbers(raw, 'shape', path, count, 2)[:, :10])
    else:
        log_once(f'{path}: its pose and shape are of SMPL-X and are left out; its 2D joints count')
    spin.update(_openpose(points, path) if _BEDLAM2 in raw else
                _joints(points, pose.shape[1] == _SMPL_POSE, path))
    return spin


def _numbers(raw, key, path, count, dimensions):
    values = np.asarray(raw[key])
    if values.ndim != dimensions or len(values) != count or values.dtype.kind not in 'biuf':
        raise BadFile(f'{path}: key {key!r} holds {values.dtype} {list(values.shape)}, numbers for each of {count} '
                      'rows are wanted')
    return values


def _openpose(points, path):
    if points.shape[1] < NUM_OPENPOSE:
        raise BadFile(f"{path}: key 'gtkps' has {points.shape[1]} joints, the first {NUM_OPENPOSE} are OpenPose's")
    return {'openpose': _seen(points[:, :NUM_OPENPOSE])}


def _joints(points, of_smpl, path):
    """{openpose, part, smpl_2dkps} of the projected joints [N,J,>=2] of SMPL or SMPL-X."""
    joints = len(SMPL_JOINTS) if of_smpl else _BODY_JOINTS
    first_vertex = len(SMPL_JOINTS) if of_smpl else _SMPLX_JOINTS
    if points.shape[1] < joints:
        raise BadFile(f"{path}: key 'gtkps' has {points.shape[1]} joints, at least {joints} are wanted")
    body = np.zeros((len(points), 54, 3), np.float32)
    body[:, :joints] = _seen(points[:, :joints])
    vertices = _seen(points[:, first_vertex:first_vertex + len(VERTEX_JOINTS)])
    body[:, len(SMPL_JOINTS):len(SMPL_JOINTS) + vertices.shape[1]] = vertices
    keypoints = body[:, BODY54_TO_J49]
    return {'openpose': keypoints[:, :NUM_OPENPOSE], 'part': keypoints[:, NUM_OPENPOSE:],
            'smpl_2dkps': body[:, :len(SMPL_JOINTS)]}


def _seen(points):
    """Points [N,J,>=2] with confidence 1 -> [N,J,3]."""
    return np.concatenate([points[..., :2], np.ones_like(points[..., :1])], -1)

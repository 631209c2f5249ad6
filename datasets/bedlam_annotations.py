"""Converts BEDLAM's label files (Black et al., CVPR 2023) to the arrays of a SPIN `.npz`.

Source of the layout: the list of fields and the scripts of BEDLAM's repository (`data_processing/ReadMe.md`,
`df_full_body.py`, `df_full_body_smpl.py`), and its data loader (`train/dataset/dataset.py`, `dataset_smpl.py`).

`pose_cam` is the pose in the picture's camera: [N,72] for SMPL, [N,66] or wider for SMPL-X. `gtkps` [N,J,3] are the
joints of the body, projected by `cam_int` [N,3,3]. They are continuous pixels, since the principal point is the
picture's centre. In training files `shape` belongs to the neutral body for every `gender`. Evaluation files
(`eval_data_parsed`) have no `gtkps`, and their bodies have the person's gender. For SMPL-X the result has
`smplx_pose` [N,66] and `smplx_shape` [N,10].
"""
import numpy as np

from utils.errors import BadFile
from utils.keypoints import BODY54_TO_J49, NUM_OPENPOSE, SMPL_JOINTS, VERTEX_JOINTS
from utils.logging import log_once
from utils.pixels import PIXEL_CENTER

SMPLX_POSE, SMPLX_SHAPE = 'smplx_pose', 'smplx_shape'
_SMPL_POSE = 3 * len(SMPL_JOINTS)
# SMPL-X's first joints are those of SMPL up to the wrists. The vertex joints of smplx follow after its 55 joints.
_BODY_JOINTS, _SMPLX_JOINTS = 22, 55
# BEDLAM2's script adds the boxes of hands, and its first 25 joints are OpenPose's.
_BEDLAM2 = 'hand_det_conf'


def is_bedlam_file(raw):
    """Whether a dict of raw arrays is a file of BEDLAM."""
    return {'imgname', 'pose_cam'} <= raw.keys() and ('gtkps' in raw or 'shape' in raw)


def as_spin(raw, path):
    """Convert the labels to SPIN's keys. path: for messages. Empties `raw`. Raises BadFile.

    Pose and shape of SMPL-X in training files are omitted, because they belong to another body than SMPL. A log line
    says so.
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
                      f"pose_cam must be {[count, _SMPL_POSE]} (SMPL) or {[count, 3 * _BODY_JOINTS]} or wider "
                      "(SMPL-X), with 10 betas")
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
        log_once(f'{path}: pose and shape are of SMPL-X and are left out; the 2D joints are used')
    spin.update(_openpose(points, path) if _BEDLAM2 in raw else
                _joints(points, pose.shape[1] == _SMPL_POSE, path))
    return spin


def _numbers(raw, key, path, count, dimensions):
    values = np.asarray(raw[key])
    if values.ndim != dimensions or len(values) != count or values.dtype.kind not in 'biuf':
        raise BadFile(f'{path}: key {key!r} has type {values.dtype} and shape {list(values.shape)}, but must be '
                      f'numbers for {count} rows')
    return values


def _openpose(points, path):
    if points.shape[1] < NUM_OPENPOSE:
        raise BadFile(f"{path}: key 'gtkps' has {points.shape[1]} joints, but must have OpenPose's {NUM_OPENPOSE}")
    return {'openpose': _seen(points[:, :NUM_OPENPOSE])}


def _joints(points, of_smpl, path):
    """{openpose, part, smpl_2dkps} of the projected joints [N,J,>=2] of SMPL or SMPL-X."""
    joints = len(SMPL_JOINTS) if of_smpl else _BODY_JOINTS
    first_vertex = len(SMPL_JOINTS) if of_smpl else _SMPLX_JOINTS
    if points.shape[1] < joints:
        raise BadFile(f"{path}: key 'gtkps' has {points.shape[1]} joints, but must have at least {joints}")
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

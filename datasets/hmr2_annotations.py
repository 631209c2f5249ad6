"""Converts the evaluation files of 4D-Humans (HMR2.0, Goel et al., ICCV 2023) to the arrays of a SPIN `.npz`.

`imgname` and `center` are as in SPIN. `scale` is the width and height of the box [N,2], or its longer side [N], in
pixels. Keypoints are 25 OpenPose joints and the first 19 common joints. Bodies are `body_pose` [N,72] and `betas`.
"""
import numpy as np

from utils.errors import BadFile
from utils.keypoints import NUM_COMMON
from utils.logging import log_once

_MARKS = {'body_keypoints_2d', 'extra_keypoints_2d', 'body_keypoints_3d', 'extra_keypoints_3d', 'has_body_pose'}
_EXTRA = 19  # common joints in the files: all except the face


def is_hmr2_file(raw):
    """Whether a dict of raw arrays is a file of 4D-Humans."""
    return 'imgname' in raw and bool(_MARKS & raw.keys())


def as_spin(raw, path):
    """Convert the dict to SPIN's keys, in place. path: for messages. Raises BadFile.

    4D-Humans compares 3D joints, not bodies. In a file with 3D joints and without genders, the bodies of men and women
    cannot be told apart, so they are left out.
    """
    file = _File(raw, path)
    if 'scale' in raw:
        raw['scale'] = file.columns('scale') / 200
    if 'body_keypoints_2d' in raw:
        raw['openpose'] = raw.pop('body_keypoints_2d')
    for key, name, channels in (('extra_keypoints_2d', 'part', 3), ('extra_keypoints_3d', 'S', 4)):
        if key in raw:
            raw[name] = file.common(key, channels)
    if 'extra_keypoints_2d' not in raw and np.shape(raw.get('part'))[1:] != (NUM_COMMON, 3):
        raw.pop('part', None)  # PoseTrack's 17 joints, which are in body_keypoints_2d too
    if 'S' in raw:
        if np.shape(raw['S']) != (file.n, NUM_COMMON, 4):
            raise BadFile(f"{path}: key 'S' has shape {list(np.shape(raw['S']))}, but must be "
                          f'{[file.n, NUM_COMMON, 4]}')
        raw['has_joints_3d'] = (raw['S'][..., 3] > 0).any(1)
    if 'body_pose' in raw and 'betas' in raw:
        raw.update(has_smpl=file.has_smpl(), pose=raw.pop('body_pose'), shape=raw.pop('betas'))
    return raw


class _File:
    def __init__(self, raw, path):
        self.raw, self.path, self.n = raw, path, len(raw['imgname'])

    def numbers(self, key):
        values = np.asarray(self.raw[key])
        if values.dtype.kind not in 'biuf' or not len(values.shape) or len(values) != self.n:
            raise BadFile(f'{self.path}: key {key!r} has type {values.dtype} and shape {list(values.shape)}, but must '
                          f'be numbers for {self.n} rows')
        return values

    def columns(self, key):
        """Convert an array [N], [N,1] or [N,2] to [N] or [N,2]."""
        values = self.numbers(key).astype(np.float64)
        return values[:, 0] if values.shape == (self.n, 1) else values

    def common(self, key, channels):
        """Common joints [N,24,channels] from the 19 of a key."""
        values = self.numbers(key)
        if values.shape != (self.n, _EXTRA, channels):
            raise BadFile(f'{self.path}: key {key!r} has shape {list(values.shape)}, but must be '
                          f'{[self.n, _EXTRA, channels]}')
        self.raw.pop(key)
        return np.concatenate([values, np.zeros((self.n, NUM_COMMON - _EXTRA, channels), values.dtype)], 1)

    def has_smpl(self):
        """[N] bool: rows whose body is used. As in 4D-Humans, pose and betas count only with their masks."""
        known = np.ones(self.n, bool)
        for key in ('has_body_pose', 'has_betas'):
            known &= self.columns(key) > 0 if key in self.raw else False
            self.raw.pop(key, None)
        if 'gender' not in self.raw and 'S' in self.raw:
            without = known & self.raw['has_joints_3d']
            if without.any():
                log_once(f'{self.path}: this file of 4D-Humans has no genders; bodies of the {without.sum()} rows with '
                         '3D joints are left out, and the joints are used')
            known &= ~without
        return known

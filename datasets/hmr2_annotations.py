"""The evaluation files of 4D-Humans (HMR2.0, Goel et al., ICCV 2023), turned into a SPIN `.npz`'s arrays.

They have `imgname` and `center` as SPIN's, but `scale` is the box's width and height [N,2], or its longer side [N], in
pixels. Keypoints come as 25 of OpenPose and the first 19 common joints, bodies as `body_pose` [N,72] and `betas`.
"""
import numpy as np

from utils.errors import BadFile
from utils.keypoints import NUM_COMMON
from utils.logging import log_once

_MARKS = {'body_keypoints_2d', 'extra_keypoints_2d', 'body_keypoints_3d', 'extra_keypoints_3d', 'has_body_pose'}
_EXTRA = 19  # common joints that they have: all but the face's


def is_hmr2_file(raw):
    """Whether a dict of raw arrays is one of 4D-Humans' files."""
    return 'imgname' in raw and bool(_MARKS & raw.keys())


def as_spin(raw, path):
    """The same dict with SPIN's keys; `path` is for messages. Raises BadFile.

    4D-Humans compares 3D joints, never bodies: a file that has them and names no gender loses its bodies, which are
    those of men and women.
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
        raw.pop('part', None)  # PoseTrack's own 17, which body_keypoints_2d has too
    if 'S' in raw:
        if np.shape(raw['S']) != (file.n, NUM_COMMON, 4):
            raise BadFile(f"{path}: key 'S' has shape {list(np.shape(raw['S']))}, wanted is {[file.n, NUM_COMMON, 4]}")
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
            raise BadFile(f'{self.path}: key {key!r} holds {values.dtype} {list(values.shape)}, numbers for each of '
                          f'{self.n} rows are wanted')
        return values

    def columns(self, key):
        """[N] or [N,2] of an array [N], [N,1] or [N,2]."""
        values = self.numbers(key).astype(np.float64)
        return values[:, 0] if values.shape == (self.n, 1) else values

    def common(self, key, channels):
        """Common joints [N,24,channels] of the 19 under a key."""
        values = self.numbers(key)
        if values.shape != (self.n, _EXTRA, channels):
            raise BadFile(f'{self.path}: key {key!r} has shape {list(values.shape)}, wanted is '
                          f'{[self.n, _EXTRA, channels]}')
        self.raw.pop(key)
        return np.concatenate([values, np.zeros((self.n, NUM_COMMON - _EXTRA, channels), values.dtype)], 1)

    def has_smpl(self):
        """[N] bool: which rows have a body that can be compared with: 4D-Humans takes pose and betas with their masks
        alone."""
        known = np.ones(self.n, bool)
        for key in ('has_body_pose', 'has_betas'):
            known &= self.columns(key) > 0 if key in self.raw else False
            self.raw.pop(key, None)
        if 'gender' not in self.raw and 'S' in self.raw:
            without = known & self.raw['has_joints_3d']
            if without.any():
                log_once(f'{self.path}: a file of 4D-Humans that names no gender: {without.sum()} rows have 3D joints, '
                         'which count, and their bodies are left out')
            known &= ~without
        return known

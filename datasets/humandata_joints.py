"""The joints of a HumanData file: which of its arrays are read, and where our joints stand in them.

An array holds 190 joints, or those of them that its mask allows. The earliest files hold SMPL-X's 144, which are the
first 144 of the 190, under one mask for all arrays; a data set's own pelvis, hips, neck and head then stand at SMPL's.
"""
from dataclasses import dataclass

import numpy as np

from utils.errors import BadFile
from utils.keypoints import COMMON_JOINTS, NUM_OPENPOSE
from utils.logging import log_once

NUM_HUMANDATA, NUM_EARLY = 190, 144
# Where our joints stand among the 190. OpenPose's 25 follow each other, in OpenPose's order.
_COMMON = {
    'right_ankle': 8, 'right_knee': 5, 'right_hip': 144, 'left_hip': 145, 'left_knee': 4, 'left_ankle': 7,
    'right_wrist': 21, 'right_elbow': 19, 'right_shoulder': 17, 'left_shoulder': 16, 'left_elbow': 18,
    'left_wrist': 20, 'neck': 146, 'head_top': 147, 'pelvis_mpii': 148, 'thorax_mpii': 149, 'spine_h36m': 150,
    'jaw_h36m': 151, 'head_h36m': 152, 'nose': 55, 'left_eye': 57, 'right_eye': 56, 'left_ear': 59, 'right_ear': 58}
JOINT24 = np.array([_COMMON[name] for name in COMMON_JOINTS])
JOINT49 = np.concatenate([np.arange(153, 153 + NUM_OPENPOSE), JOINT24])
SMPL24 = np.array([*range(22), 188, 189])

# What stands in for a joint that a file has not. mmhuman3d takes SMPL's hips for the data sets' hips as well.
_HIPS = {'right_hip': 2, 'left_hip': 1}
_EARLY = {'pelvis_mpii': 0, 'neck': 12}
_EARLY_OF_DATASET = {'h36m': {'spine_h36m': 6, 'jaw_h36m': 15}, 'mpi_inf_3dhp': {'jaw_h36m': 15}}
# mmhuman3d files the jaw of these data sets under "head" and the head under "head top"; SPIN and we do not.
_JAW_FILED_AS_HEAD = ('h36m', 'mpi_inf_3dhp')
_RENAMED = {'jaw_h36m': _COMMON['head_h36m'], 'head_h36m': _COMMON['head_top'], 'head_top': -1}

# Endings of the names that joints are read from, best first: the plain name, the data set's own joints, a body's.
_ENDINGS, _OF_A_BODY = ('', '_original', '_smpl', '_smplx'), ('_smpl', '_smplx')


@dataclass(frozen=True)
class FileJoints:
    """One array of a file: values [N,P,C] of the joints `present` [P] among the 190. early: of the 144-joint layout."""
    key: str
    values: np.ndarray
    present: np.ndarray
    early: bool

    def pick(self, places):
        """Joints at `places` [J] among the 190, -1 for none -> ([N,J,C], which of `present` they are [P])."""
        column = np.full(NUM_HUMANDATA + 1, -1)
        column[self.present] = np.arange(len(self.present))
        found = column[places] >= 0
        joints = np.zeros((len(self.values), len(places), self.values.shape[2]), np.float32)
        joints[:, found] = self.values[:, column[places[found]]]
        return joints, np.isin(self.present, places[found])

    def places(self, dataset):
        """Where this array has our 24 common joints, [24] among the 190. dataset: the file's `config`."""
        where = dict(_COMMON)
        of_body = self.key.endswith(_OF_A_BODY)
        if dataset in _JAW_FILED_AS_HEAD and not of_body and _COMMON['jaw_h36m'] not in self.present:
            where.update(_RENAMED)
        stand_ins = _HIPS | (_EARLY | _EARLY_OF_DATASET.get(dataset, {}) if self.early else {})
        where.update({name: place for name, place in stand_ins.items() if where[name] not in self.present})
        return np.array([where[name] for name in COMMON_JOINTS])


def read_array(reader, key, channels):
    """Take a keypoint array and its mask out of a file -> FileJoints. Raises BadFile."""
    convention = reader.raw.get(f'{key}_convention', 'human_data')
    if convention != 'human_data':
        raise BadFile(f"{reader.path}: key {key!r} is in convention {convention}, 'human_data' is wanted; convert it "
                      f"by mmhuman3d's convert_kps(keypoints, src='{convention}', dst='human_data')")
    present, early = _present_joints(reader, key)
    values = reader.points(key, (reader.raw[key].shape[1], channels))
    return FileJoints(key, values if values.shape[1] == len(present) else values[:, present], present, early)


def _present_joints(reader, key):
    """(which of the 190 joints a key's array holds, compressed or not; whether it is of the early layout)."""
    value = reader.raw[key]
    count = value.shape[1] if value.ndim == 3 else None
    own = reader.take(f'{key}_mask')
    mask = own if own is not None else reader.raw.get('mask') if count == NUM_EARLY else None
    mask = None if mask is None else np.asarray(mask)
    early = count == NUM_EARLY and (mask is None or mask.shape == (NUM_EARLY,))
    size = NUM_EARLY if early else NUM_HUMANDATA
    if mask is not None and (mask.shape != (size,) or mask.dtype.kind not in 'biuf'):
        raise BadFile(f"{reader.path}: key '{key}_mask' has shape {list(mask.shape)}, wanted is [{size}]")
    if count == size:
        return np.arange(size) if mask is None else np.flatnonzero(mask), early
    if mask is None or count != np.count_nonzero(mask):
        wanted = NUM_HUMANDATA if mask is None else f'{NUM_HUMANDATA} or, compressed, {np.count_nonzero(mask)}'
        raise BadFile(f'{reader.path}: key {key!r} has shape {list(value.shape)}, wanted is [{reader.n}, {wanted}, '
                      'channels]')
    return np.flatnonzero(mask), False


def choose_key(reader, kind):
    """The name of the array that joints are read from, or None. kind: 'keypoints2d' or 'keypoints3d'.

    Says which array is read where it is not the plain one.
    """
    for ending in _ENDINGS:
        key = kind + ending
        if key in reader.raw:
            if ending:
                log_once(f'{reader.path}: joints are read from key {key!r}; there is no {kind!r}')
            return key
    return None


def other_keypoints(raw):
    """Names of a file's keypoint arrays, of whatever kind."""
    return sorted(key for key in raw if key.startswith('keypoints') and not key.endswith(('_mask', '_convention')))

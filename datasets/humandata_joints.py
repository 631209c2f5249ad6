"""The joints of a HumanData file: which arrays are read, and the indices of our joints in them.

An array has all 190 joints or, if compressed, those of its mask. The earliest files have SMPL-X's 144, which are the
first 144 of the 190, and one mask for all arrays. In them pelvis, hips, neck and head of datasets have SMPL's indices.
"""
from dataclasses import dataclass

import numpy as np

from utils.errors import BadFile
from utils.keypoints import COMMON_JOINTS, NUM_OPENPOSE
from utils.logging import log_once

NUM_HUMANDATA, NUM_EARLY = 190, 144
# Indices of our joints among the 190. OpenPose's 25 are consecutive, in OpenPose's order.
_COMMON = {
    'right_ankle': 8, 'right_knee': 5, 'right_hip': 144, 'left_hip': 145, 'left_knee': 4, 'left_ankle': 7,
    'right_wrist': 21, 'right_elbow': 19, 'right_shoulder': 17, 'left_shoulder': 16, 'left_elbow': 18,
    'left_wrist': 20, 'neck': 146, 'head_top': 147, 'pelvis_mpii': 148, 'thorax_mpii': 149, 'spine_h36m': 150,
    'jaw_h36m': 151, 'head_h36m': 152, 'nose': 55, 'left_eye': 57, 'right_eye': 56, 'left_ear': 59, 'right_ear': 58}
JOINT24 = np.array([_COMMON[name] for name in COMMON_JOINTS])
JOINT49 = np.concatenate([np.arange(153, 153 + NUM_OPENPOSE), JOINT24])
SMPL24 = np.array([*range(22), 188, 189])

# Substitutes for joints that a file lacks. mmhuman3d also uses SMPL's hips as the hips of datasets.
_HIPS = {'right_hip': 2, 'left_hip': 1}
_EARLY = {'pelvis_mpii': 0, 'neck': 12}
_EARLY_OF_DATASET = {'h36m': {'spine_h36m': 6, 'jaw_h36m': 15}, 'mpi_inf_3dhp': {'jaw_h36m': 15}}
# In these datasets mmhuman3d names the jaw "head" and the head "head top", unlike SPIN and this project.
_JAW_FILED_AS_HEAD = ('h36m', 'mpi_inf_3dhp')
_RENAMED = {'jaw_h36m': _COMMON['head_h36m'], 'head_h36m': _COMMON['head_top'], 'head_top': -1}

# Suffixes of the keys with joints, in order of preference: none, the dataset's own joints, joints of a body.
_ENDINGS, _OF_A_BODY = ('', '_original', '_smpl', '_smplx'), ('_smpl', '_smplx')


@dataclass(frozen=True)
class FileJoints:
    """An array of a file: values [N,P,C] of the joints `present` [P] among the 190. early: the 144-joint layout."""
    key: str
    values: np.ndarray
    present: np.ndarray
    early: bool

    def pick(self, places):
        """Select joints by indices `places` [J] among the 190, -1 for none -> ([N,J,C], which of `present` [P])."""
        column = np.full(NUM_HUMANDATA + 1, -1)
        column[self.present] = np.arange(len(self.present))
        found = column[places] >= 0
        joints = np.zeros((len(self.values), len(places), self.values.shape[2]), np.float32)
        joints[:, found] = self.values[:, column[places[found]]]
        return joints, np.isin(self.present, places[found])

    def places(self, dataset):
        """Indices [24] of our common joints in this array, among the 190. dataset: `config` of the file."""
        where = dict(_COMMON)
        of_body = self.key.endswith(_OF_A_BODY)
        if dataset in _JAW_FILED_AS_HEAD and not of_body and _COMMON['jaw_h36m'] not in self.present:
            where.update(_RENAMED)
        stand_ins = _HIPS | (_EARLY | _EARLY_OF_DATASET.get(dataset, {}) if self.early else {})
        where.update({name: place for name, place in stand_ins.items() if where[name] not in self.present})
        return np.array([where[name] for name in COMMON_JOINTS])


def read_array(reader, key, channels):
    """Read a keypoint array and its mask -> FileJoints. Raises BadFile."""
    convention = reader.raw.get(f'{key}_convention', 'human_data')
    if convention != 'human_data':
        raise BadFile(f"{reader.path}: key {key!r} has convention {convention}, but must have 'human_data'; convert "
                      f"it with mmhuman3d's convert_kps(keypoints, src='{convention}', dst='human_data')")
    present, early = _present_joints(reader, key)
    values = reader.points(key, (reader.raw[key].shape[1], channels))
    return FileJoints(key, values if values.shape[1] == len(present) else values[:, present], present, early)


def _present_joints(reader, key):
    """(indices of an array's joints among the 190, whether it has the early layout)."""
    value = reader.raw[key]
    count = value.shape[1] if value.ndim == 3 else None
    own = reader.take(f'{key}_mask')
    mask = own if own is not None else reader.raw.get('mask') if count == NUM_EARLY else None
    mask = None if mask is None else np.asarray(mask)
    early = count == NUM_EARLY and (mask is None or mask.shape == (NUM_EARLY,))
    size = NUM_EARLY if early else NUM_HUMANDATA
    if mask is not None and (mask.shape != (size,) or mask.dtype.kind not in 'biuf'):
        raise BadFile(f"{reader.path}: key '{key}_mask' has shape {list(mask.shape)}, but must be [{size}]")
    if count == size:
        return np.arange(size) if mask is None else np.flatnonzero(mask), early
    if mask is None or count != np.count_nonzero(mask):
        wanted = NUM_HUMANDATA if mask is None else f'{NUM_HUMANDATA} or, compressed, {np.count_nonzero(mask)}'
        raise BadFile(f'{reader.path}: key {key!r} has shape {list(value.shape)}, but must be [{reader.n}, {wanted}, '
                      'channels]')
    return np.flatnonzero(mask), False


def choose_key(reader, kind):
    """The key of the array with joints, or None. kind: 'keypoints2d' or 'keypoints3d'. Logs a key with a suffix."""
    for ending in _ENDINGS:
        key = kind + ending
        if key in reader.raw:
            if ending:
                log_once(f'{reader.path}: joints are read from key {key!r}, since there is no {kind!r}')
            return key
    return None


def other_keypoints(raw):
    """Keys of all keypoint arrays of a file."""
    return sorted(key for key in raw if key.startswith('keypoints') and not key.endswith(('_mask', '_convention')))

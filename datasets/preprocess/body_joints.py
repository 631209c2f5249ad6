"""The 49 joints of SMPL bodies, for converters whose datasets publish bodies instead of joints.

`models.body` does the same for whatever trains; a converter lies below it. Both sit on utils/skinning.py.
"""
import numpy as np
import scipy.sparse
import torch

from utils.errors import BadFile
from utils.geometry import axis_angle_to_rotmat
from utils.keypoints import BODY54_TO_J49, SMPL_PARENTS
from utils.landmarks import landmark_matrix
from utils.safe_io import load_npz, load_pickle
from utils.skinning import KinematicTree, VertexSet, posed_skeleton

_NEEDED = ('v_template', 'shapedirs', 'posedirs', 'J_regressor', 'weights')


class BodyJoints:
    """The joints of one gender's body. assets: utils.assets.Assets; gender: 'neutral', 'male' or 'female'.

    Raises MissingFile, BadFile.
    """

    def __init__(self, assets, gender):
        file = assets.body_file(gender)
        arrays = load_npz(file) if file.suffix == '.npz' else load_pickle(file)
        missing = [key for key in _NEEDED if key not in arrays]
        if missing:
            raise BadFile(f'{file}: no key {missing[0]!r}; not an SMPL body model')
        body = {key: _dense(arrays[key]) for key in _NEEDED}
        matrix = landmark_matrix(assets, assets.is_free, len(body['v_template']))
        self._tree, self._landmarks = KinematicTree(SMPL_PARENTS).double(), VertexSet(body, 10, matrix, torch.float64)
        self._joint_template = body['J_regressor'] @ body['v_template']
        self._joint_shapedirs = np.tensordot(body['J_regressor'], body['shapedirs'][..., :10], 1)

    def __call__(self, betas, pose):
        """betas [10], pose [72] axis-angle -> SMPL's joints [24,3] and the 49 joints [49,3], metres."""
        betas = np.asarray(betas, np.float64)
        rest = self._joint_template + self._joint_shapedirs @ betas
        with torch.inference_mode():
            betas, pose, rest = (torch.from_numpy(np.asarray(a, np.float64))[None] for a in (betas, pose, rest))
            skeleton = posed_skeleton(self._tree, betas, axis_angle_to_rotmat(pose), rest)
            joints, landmarks = skeleton.joints[0].numpy(), self._landmarks(skeleton)[0].numpy()
        return joints, np.concatenate([joints, landmarks])[BODY54_TO_J49]


def _dense(value):
    return np.asarray(value.toarray() if scipy.sparse.issparse(value) else value, np.float64)

"""The 49 joints of SMPL bodies in numpy, for converters of datasets that publish bodies instead of joints.

`models.body` is the same in torch, but converters may not import `models`. Only the vertices that a joint depends on
are shaped and posed (Loper et al., SIGGRAPH Asia 2015).
"""
import numpy as np
import scipy.sparse
from scipy.spatial.transform import Rotation

from datasets.synthetic.collision import forward_kinematics
from utils.errors import BadFile
from utils.keypoints import BODY54_TO_J49
from utils.landmarks import landmark_vertices
from utils.safe_io import load_npy, load_npz, load_pickle

_NEEDED = ('v_template', 'shapedirs', 'posedirs', 'J_regressor', 'weights')


class BodyJoints:
    """Computes the joints of a body. assets: utils.assets.Assets. gender: 'neutral', 'male' or 'female'.

    Raises MissingFile, BadFile.
    """

    def __init__(self, assets, gender):
        file = assets.body_file(gender)
        arrays = load_npz(file) if file.suffix == '.npz' else load_pickle(file)
        missing = [key for key in _NEEDED if key not in arrays]
        if missing:
            raise BadFile(f'{file}: no key {missing[0]!r}; not an SMPL body model')
        template, shapedirs, posedirs, regressor, weights = (_dense(arrays[key]) for key in _NEEDED)
        shapedirs = shapedirs[..., :10]
        matrix = _landmarks(assets, len(template))
        used = np.unique(matrix.indices)
        self._matrix, self._template = matrix[:, used], template[used]
        self._shapedirs, self._weights = shapedirs[used], weights[used]
        self._posedirs = posedirs[used].reshape(len(used), 3, 207)
        self._joint_template = regressor @ template
        self._joint_shapedirs = np.einsum('jv,vck->jck', regressor, shapedirs)

    def __call__(self, betas, pose):
        """Pose a body, betas [10] and pose [72] axis-angle -> (SMPL's joints [24,3], our joints [49,3]) in metres."""
        rotations = Rotation.from_rotvec(np.reshape(pose, (24, 3))).as_matrix()
        rest_joints = self._joint_template + self._joint_shapedirs @ betas
        rest = self._template + self._shapedirs @ betas + self._posedirs @ (rotations[1:] - np.eye(3)).ravel()
        turned, joints = (values[0] for values in forward_kinematics(rotations[None], rest_joints))
        shift = joints - np.einsum('jab,jb->ja', turned, rest_joints)
        points = np.einsum('vj,jab,vb->va', self._weights, turned, rest) + self._weights @ shift
        return joints, np.concatenate([joints, self._matrix @ points])[BODY54_TO_J49]


def _dense(value):
    return np.asarray(value.toarray() if scipy.sparse.issparse(value) else value, np.float64)


def _landmarks(assets, count):
    """Matrix [30,V]: smplx's 21 vertex joints, then the nine rows of J_regressor_extra.npy."""
    columns = landmark_vertices(assets, assets.is_free)
    path = assets.file('J_regressor_extra.npy')
    extra = load_npy(path)
    if extra.shape != (9, count):
        raise BadFile(f'{path}: shape {list(extra.shape)}, but the body needs [9, {count}]')
    vertices = scipy.sparse.csr_matrix((np.ones(len(columns)), (np.arange(len(columns)), columns)),
                                       shape=(len(columns), count))
    return scipy.sparse.csr_matrix(scipy.sparse.vstack([vertices, extra]))

"""Ground truth that is SMPL-X (Pavlakos et al., CVPR 2019), brought to SMPL's mesh, as RICH is evaluated.

Rows of an annotation file have `smplx_pose` [N,66] (root and body, axis-angle) and `smplx_shape` [N,10]. Jaw and eyes
are at rest, hands in the model file's mean pose: what smplx's SMPLX gives with its default options.
"""
import numpy as np
import scipy.sparse
import torch

from datasets.bedlam_annotations import SMPLX_POSE, SMPLX_SHAPE
from utils.assets import find_assets
from utils.errors import BadFile, WrongBody
from utils.geometry import axis_angle_to_rotmat
from utils.safe_io import load_npz, load_pickle
from utils.skinning import KinematicTree, VertexSet, posed_skeleton

_NAMES = {-1: 'NEUTRAL', 0: 'MALE', 1: 'FEMALE'}
_TRANSFER = 'smplx2smpl.pkl'
_JOINTS, _BODY_JOINTS, _BETAS = 55, 22, 10
_KEYS = ('v_template', 'shapedirs', 'posedirs', 'J_regressor', 'weights', 'kintree_table', 'hands_meanl', 'hands_meanr')


class SmplxTruth:
    """The true meshes of a file's rows, each of the body of the person's gender, on SMPL's vertices.

    Asset folder: `body_models/smplx/SMPLX_{MALE,FEMALE,NEUTRAL}.npz` (those that the rows need) and BEDLAM's
    `smplx2smpl.pkl`, whose `matrix` [V, V of SMPL-X] makes SMPL's vertices. Raises MissingFile, BadFile, and WrongBody
    where the body in use has another number of vertices.
    """

    def __init__(self, cfg, annotations, source, num_vertices):
        if annotations is None or not {SMPLX_POSE, SMPLX_SHAPE} <= annotations.extra.keys():
            raise BadFile(f'{source}: has no SMPL-X ground truth (keys pose_cam [N,66 or more] and shape)')
        assets = find_assets(cfg.PATHS.DATA_DIR)
        self._pose = torch.as_tensor(annotations.extra[SMPLX_POSE], dtype=torch.float32)
        self._betas = torch.as_tensor(annotations.extra[SMPLX_SHAPE], dtype=torch.float32)
        self._gender = torch.from_numpy(annotations.gender)
        self._bodies = {code: SmplxBody(assets.file(f'body_models/smplx/SMPLX_{_NAMES[code]}.npz'))
                        for code in sorted(set(annotations.gender.tolist()))}
        self._transfer = _transfer_matrix(assets.file(_TRANSFER), num_vertices, next(iter(self._bodies.values())))
        self._num_vertices, self.annotations = num_vertices, annotations

    def __call__(self, rows, device):
        """Meshes [B,V,3] in metres of rows [B] of the file."""
        vertices = torch.zeros(len(rows), self._num_vertices, 3)
        for code, body in self._bodies.items():
            chosen = torch.nonzero(self._gender[rows] == code).flatten()
            if len(chosen):
                mesh = body(self._betas[rows[chosen]], self._pose[rows[chosen]])
                flat = self._transfer @ mesh.transpose(0, 1).flatten(1)
                vertices[chosen] = flat.unflatten(1, (-1, 3)).transpose(0, 1)
        return vertices.to(device)


def _transfer_matrix(path, num_vertices, body):
    """[V, V of SMPL-X] as a sparse tensor. Raises BadFile, WrongBody."""
    matrix = load_pickle(path, ('matrix',))
    matrix = matrix.get('matrix') if isinstance(matrix, dict) else None
    if matrix is None or len(getattr(matrix, 'shape', ())) != 2 or matrix.shape[1] != body.num_vertices:
        raise BadFile(f"{path}: no key 'matrix' of shape [vertices, {body.num_vertices}]")
    if matrix.shape[0] != num_vertices:
        raise WrongBody(f'{path}: gives {matrix.shape[0]} vertices of SMPL, but the body in use has {num_vertices}; '
                        "set PATHS.DATA_DIR to a folder with SMPL's body")
    matrix = scipy.sparse.coo_matrix(matrix)
    return torch.sparse_coo_tensor(np.stack([matrix.row, matrix.col]), matrix.data.astype(np.float32), matrix.shape,
                                   check_invariants=True)


class SmplxBody:
    """SMPL-X of one model file. Raises BadFile."""

    def __init__(self, path):
        arrays = load_npz(path, _KEYS)
        missing = [key for key in _KEYS if key not in arrays]
        if missing or arrays['weights'].shape[1:] != (_JOINTS,):
            why = f'no key {missing[0]!r}' if missing else f'its weights are not of {_JOINTS} joints'
            raise BadFile(f'{path}: {why}; not an SMPL-X model')

        arrays['shapedirs'] = arrays['shapedirs'][..., :_BETAS]
        self._mesh, self.num_vertices = VertexSet(arrays, _BETAS), len(arrays['v_template'])
        self._tree = KinematicTree(arrays['kintree_table'][0].astype(np.int64))
        regressor = np.asarray(arrays['J_regressor'], np.float64)
        self._joint_template = torch.from_numpy(regressor @ arrays['v_template']).float()
        self._joint_shapedirs = torch.from_numpy(np.tensordot(regressor, arrays['shapedirs'], 1)).float()
        hands = np.concatenate([np.ravel(arrays['hands_meanl']), np.ravel(arrays['hands_meanr'])])
        self._rest_of_pose = torch.cat([torch.zeros(9), torch.from_numpy(hands).float()])  # jaw, eyes, hands

    def __call__(self, betas, pose):
        """betas [B,10], pose [B,66] -> vertices [B,V,3] in metres."""
        pose = torch.cat([pose, self._rest_of_pose.expand(len(pose), -1)], 1)
        joints = self._joint_template + torch.einsum('jck,bk->bjc', self._joint_shapedirs, betas)
        return self._mesh(posed_skeleton(self._tree, betas, axis_angle_to_rotmat(pose), joints))

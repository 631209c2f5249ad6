"""Writes the free body in the files and formats of SMPL and SPIN."""
import pickle
from pathlib import Path

import numpy as np
import roma
import torch

from utils.keypoints import SMPL_PARENTS
from utils.safe_io import atomic_write, save_json, save_npy, save_npz

BODY_ORIGIN = 'free'


def write_body(folder, body, digest):
    """Write smpl/SMPL_*.npz, the regressors and vertex_ids.json. body: FreeBodyArrays."""
    folder = Path(folder)
    for gender, space in body.spaces.items():
        arrays = _body_arrays(body, space)
        save_npz(folder / 'smpl' / f'SMPL_{gender.upper()}.npz', **arrays, body_origin=np.array(BODY_ORIGIN),
                 body_digest=np.array(digest))
    save_npy(folder / 'J_regressor_extra.npy', body.extra_regressor.astype(np.float32))
    save_npy(folder / 'J_regressor_h36m.npy', body.h36m_regressor.astype(np.float32))
    save_json(folder / 'vertex_ids.json', body.vertex_ids)


def _body_arrays(body, space):
    """SMPL's keys in SMPL's shapes and types."""
    parents = np.array(SMPL_PARENTS, np.int64) % 2**32  # the root's parent is written as 2**32 - 1
    template = space.template.astype(np.float32)
    return {
        'v_template': template, 'f': body.surface.faces.astype(np.uint32),
        'shapedirs': space.shapedirs.astype(np.float32),
        'posedirs': np.zeros((len(template), 3, 207), np.float32),
        'J_regressor': body.joint_regressor.astype(np.float32),
        'J': (body.joint_regressor @ space.template).astype(np.float32), 'weights': body.weights.astype(np.float32),
        'kintree_table': np.stack([parents, np.arange(24)]).astype(np.uint32)}


def write_mean_params(path, pose):
    """Write smpl_mean_params.npz in SPIN's format: pose [144] (6D rotations), shape [10], cam [3]. pose: axis-angle
    [72]."""
    rotmat = roma.rotvec_to_rotmat(torch.from_numpy(np.asarray(pose, np.float64).reshape(24, 3))).numpy()
    save_npz(path, pose=rotmat[:, :, :2].reshape(144).astype(np.float32), shape=np.zeros(10, np.float32),
             cam=np.array([0.9, 0, 0], np.float32))


def write_pose_prior(path, prior):
    """Write gmm_08.pkl in SMPLify's format: means [8,69], covars [8,69,69], weights [8]."""
    with atomic_write(path) as stream:
        pickle.dump({key: np.ascontiguousarray(value) for key, value in prior.items()}, stream, protocol=2)

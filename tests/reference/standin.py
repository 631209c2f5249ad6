"""Stand-in assets and weights for number-for-number comparison with the published code.

The arrays are random, with the file formats and shapes of the licensed files. They come from numpy's legacy generator,
whose streams never change. The published implementations computed the `.npz` files beside this one on exactly these
assets and weights, so the order of draws must stay.
"""
import pickle
import zlib
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse
import torch
import torch.nn.functional as F
from numpy.random import RandomState

VERTICES, FACES, UV_VERTICES, UV_FACES = 6890, 13776, 7829, 13774
PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
_HALF = [(0, -.24, .03), (.06, -.33, .01), None, (0, -.11, 0), (.1, -.71, 0), None, (0, .02, 0), (.09, -1.13, -.04),
         None, (0, .08, .02), (.12, -1.19, .08), None, (0, .28, -.02), (.07, .18, -.01), None, (0, .36, .03),
         (.17, .22, -.02), None, (.43, .21, -.04), None, (.69, .22, -.04), None, (.77, .21, -.05), None]


def rest_joints():
    """[24, 3]; each None above mirrors the joint before it."""
    joints = []
    for joint in _HALF:
        joints.append(joint if joint else (-joints[-1][0], *joints[-1][1:]))
    return np.array(joints)


def body_model(seed):
    """One SMPL dictionary: vertices scattered along the bones."""
    draw, joints = RandomState(seed), rest_joints()
    bone = draw.randint(1, 24, VERTICES)
    along = draw.rand(VERTICES, 1)
    start = joints[np.array(PARENTS)[bone]]
    template = start * (1 - along) + joints[bone] * along + draw.randn(VERTICES, 3) * .04
    distance = np.square(template[:, None] - joints[None]).sum(-1)

    weights = np.exp(-distance / .01)
    weights = np.where(weights < weights.max(1, keepdims=True) * 1e-3, 0, weights)
    weights = weights / weights.sum(1, keepdims=True)

    regressor = np.zeros((24, VERTICES))
    for joint, column in enumerate(distance.T):
        nearest = np.argsort(column, kind='stable')[:30]
        share = draw.rand(30)
        regressor[joint, nearest] = share / share.sum()

    corners = [draw.permutation(VERTICES), draw.permutation(VERTICES), np.arange(VERTICES)]
    faces = np.stack(corners, axis=1)
    faces = np.vstack([faces, np.roll(faces[:FACES - VERTICES], -1, axis=1)])
    shapedirs = draw.randn(VERTICES, 3, 10) * .01
    posedirs = draw.randn(VERTICES, 3, 207) * .001
    tree = np.array([[2 ** 32 - 1, *PARENTS[1:]], range(24)], dtype=np.uint32)
    return {'v_template': template, 'f': faces.astype(np.uint32), 'shapedirs': shapedirs, 'posedirs': posedirs,
            'J_regressor': scipy.sparse.csc_matrix(regressor), 'weights': weights, 'kintree_table': tree,
            'J': regressor @ template, 'bs_style': 'lbs', 'bs_type': 'lrotmin'}


def sparse_rows(seed, rows, columns, per_row=8):
    """[rows, columns] with a few positive weights in each row, which sum to one."""
    draw, matrix = RandomState(seed), np.zeros((rows, columns))
    for row in matrix:
        share = draw.rand(per_row)
        row[draw.choice(columns, per_row, replace=False)] = share / share.sum()
    return matrix


def mean_parameters():
    draw = RandomState(7)
    pose = np.tile([1., 0, 0, 1, 0, 0], 24) + draw.randn(144) * .05
    return {'pose': pose.astype(np.float32), 'shape': (draw.randn(10) * .1).astype(np.float32),
            'cam': np.array([.9, .02, -.03], np.float32)}


def pose_prior():
    draw = RandomState(5)
    root = draw.randn(8, 69, 69) * .1
    means = draw.randn(8, 69) * .2
    return {'means': means, 'covars': root @ root.transpose(0, 2, 1) + .1 * np.eye(69), 'weights': np.full(8, .125)}


def densepose_charts():
    draw = RandomState(21)
    seams = draw.randint(0, VERTICES, UV_VERTICES - VERTICES)
    corners = [draw.randint(0, UV_VERTICES, UV_FACES) for _ in range(3)]
    parts = np.sort(np.concatenate([np.arange(1, 25), draw.randint(1, 25, UV_FACES - 24)]))
    return {'All_vertices': np.concatenate([np.arange(VERTICES), seams])[None] + 1,
            'All_Faces': np.stack(corners, 1) + 1, 'All_FaceIndices': parts[:, None],
            'All_U_norm': draw.rand(UV_VERTICES, 1), 'All_V_norm': draw.rand(UV_VERTICES, 1)}


def write_assets(folder):
    """Write the stand-ins as a `data/` folder."""
    root = Path(folder)
    (root / 'smpl').mkdir(parents=True, exist_ok=True)
    (root / 'UV_data').mkdir(exist_ok=True)
    for gender, seed in (('NEUTRAL', 11), ('MALE', 12), ('FEMALE', 13)):
        (root / 'smpl' / f'SMPL_{gender}.pkl').write_bytes(pickle.dumps(body_model(seed), protocol=2))
    (root / 'gmm_08.pkl').write_bytes(pickle.dumps(pose_prior(), protocol=2))
    np.savez(root / 'smpl_mean_params.npz', **mean_parameters())
    np.save(root / 'J_regressor_extra.npy', sparse_rows(31, 9, VERTICES))
    np.save(root / 'J_regressor_h36m.npy', sparse_rows(32, 17, VERTICES))
    levels, nothing = np.empty(2, object), np.empty(2, object)
    levels[0] = scipy.sparse.csc_matrix(sparse_rows(33, 1723, VERTICES, per_row=3))
    levels[1] = scipy.sparse.csc_matrix(sparse_rows(34, 431, 1723, per_row=3))
    np.savez(root / 'mesh_downsampling.npz', A=nothing, U=nothing, D=levels)
    scipy.io.savemat(root / 'UV_data' / 'UV_Processed.mat', densepose_charts())


def seeded_weights(shapes, salt=''):
    """{name: array} for {name: shape}. The name seeds each array, so any subset can be drawn alone."""
    return {name: _seeded(name, tuple(shape), salt) for name, shape in shapes.items()}


def _seeded(name, shape, salt):
    draw = RandomState(zlib.crc32((salt + name).encode()) & 0x7fffffff)
    last = name.rsplit('.', 1)[-1]
    if last == 'num_batches_tracked':
        return np.zeros(shape, np.int64)
    if last == 'running_var':
        value = draw.rand(*shape) + .5
    elif last == 'running_mean':
        value = draw.randn(*shape) * .1
    elif len(shape) > 1:
        value = draw.randn(*shape) * np.sqrt(1. / np.prod(shape[1:]))
    elif name.endswith('weight'):
        value = 1 + .1 * draw.randn(*shape)
    else:
        value = draw.randn(*shape) * .05
    return np.asarray(value, np.float32)


def smooth_image(seed, batch=2, res=224):
    """[batch, 3, res, res]: normal noise on a coarse grid, enlarged."""
    coarse = RandomState(seed).randn(batch, 3, res // 16, res // 16)
    return F.interpolate(torch.from_numpy(coarse).float(), size=(res, res), mode='bicubic', align_corners=True)

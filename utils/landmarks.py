"""Joints that follow the vertices: 21 of face, feet and fingertips (`utils.keypoints.VERTEX_JOINTS`), and regressors.
"""
import numpy as np
import scipy.sparse

from utils.errors import BadFile
from utils.keypoints import VERTEX_JOINTS
from utils.optional_packages import import_package
from utils.safe_io import load_json, load_npy


def landmark_vertices(assets, is_free):
    """[21] vertex indices in the order of VERTEX_JOINTS: the free body's from its folder, SMPL's from smplx.

    assets: utils.assets.Assets. Raises MissingPackage where smplx is needed and not installed.
    """
    if is_free:
        ids = load_json(assets.file('vertex_ids.json'))
    else:
        # On use: smplx's licence is non-commercial, and the free body needs none of it.
        smplx = import_package('smplx.vertex_ids', "SMPL's landmark vertices (the free body, data/free, has its own)",
                               'smpl')
        ids = smplx.vertex_ids['smplh']
    return [ids[name] for name in VERTEX_JOINTS]


def landmark_matrix(assets, is_free, count):
    """[30, V], sparse: the 21 vertices, then the nine rows of J_regressor_extra.npy. They follow SMPL's 24 joints in
    the order that `BODY54_TO_J49` reads. count: V of the body. Raises MissingPackage, MissingFile, BadFile.
    """
    columns = landmark_vertices(assets, is_free)
    vertices = scipy.sparse.csr_matrix((np.ones(len(columns)), (np.arange(len(columns)), columns)),
                                       shape=(len(columns), count))
    return scipy.sparse.csr_matrix(scipy.sparse.vstack([vertices,
                                                        read_regressor(assets, 'J_regressor_extra.npy', 9, count)]))


def read_regressor(assets, name, rows, count):
    """A joint regressor [rows, V] of the asset folder, for a body of V = count vertices. Raises MissingFile, BadFile.
    """
    path = assets.file(name)
    matrix = load_npy(path)
    if matrix.shape != (rows, count):
        raise BadFile(f'{path}: shape {list(matrix.shape)}, but the body needs [{rows}, {count}]')
    return matrix

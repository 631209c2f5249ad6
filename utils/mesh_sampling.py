"""Reads mesh_downsampling.npz (GraphCMR's format): the points of the mesh at coarser levels."""
import numpy as np
import scipy.sparse

from utils.errors import BadFile
from utils.safe_io import load_npz


def downsampling_matrix(path, num_vertices):
    """Sparse [P, V] from the mesh to its coarsest points (431 for SMPL): the product of all levels D.

    Raises MissingFile, BadFile.
    """
    arrays = load_npz(path, ('D',))
    if 'D' not in arrays:
        raise BadFile(f'{path}: no key D; not a mesh_downsampling.npz')
    product = scipy.sparse.identity(num_vertices, format='csr')
    for level in np.atleast_1d(arrays['D']):
        if not scipy.sparse.issparse(level) or level.dtype.kind not in 'biuf':
            raise BadFile(f'{path}: D must hold sparse matrices of numbers')
        level = scipy.sparse.csr_matrix(level)
        if level.shape[1] != product.shape[0]:
            raise BadFile(f'{path}: D is for a body of {level.shape[1]} vertices, the body has {num_vertices}')
        product = level @ product
    return product

"""Coarser levels of the mesh, in the format of GraphCMR's mesh_downsampling.npz (Kolotouros et al., CVPR 2019)."""
import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

COARSEST = 431
_NEIGHBOURS = 3


def mesh_levels(vertices, faces):
    """Two coarser levels of evenly spread vertices: a quarter of vertices [V,3], then 431.

    Returns a dict of object arrays of sparse matrices: A, adjacency of the three levels; D[i] [n_{i+1}, n_i] selects
    the kept vertices; U[i] [n_i, n_{i+1}] interpolates from the three nearest. Rows of D and U sum to one.
    """
    quarter = _farthest_points(vertices, -(-len(vertices) // 4))
    points, adjacency = vertices, _adjacency(faces, len(vertices))
    levels = {'A': [adjacency], 'U': [], 'D': []}
    # The first points of a farthest-point order are one themselves, so they are the coarsest level.
    for kept in (quarter, np.arange(COARSEST)):
        levels['D'].append(_pick(kept, len(points)))
        levels['U'].append(_interpolate(points, points[kept]))
        adjacency = _coarse_adjacency(points, adjacency, kept)
        points = points[kept]
        levels['A'].append(adjacency)
    return {key: _object_array(matrices) for key, matrices in levels.items()}


def _farthest_points(vertices, count):
    """Indices of `count` vertices, each the farthest from the previous ones (Gonzalez, 1985)."""
    order = np.empty(count, np.int64)
    distance = np.full(len(vertices), np.inf)
    order[0] = vertices[:, 1].argmax()
    for i in range(1, count):
        distance = np.minimum(distance, ((vertices - vertices[order[i - 1]]) ** 2).sum(1))
        order[i] = distance.argmax()
    return order


def _adjacency(faces, count):
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return _symmetric(edges, count)


def _coarse_adjacency(points, adjacency, kept):
    """Adjacency of the kept points: two are neighbours if their geodesic Voronoi cells touch."""
    graph = adjacency.tocoo()
    length = np.linalg.norm(points[graph.row] - points[graph.col], axis=1)
    weighted = scipy.sparse.csr_matrix((length, (graph.row, graph.col)), graph.shape)
    _, _, source = dijkstra(weighted, indices=kept, min_only=True, return_predecessors=True)
    cell = np.full(len(points), -1)
    cell[kept] = np.arange(len(kept))
    pairs = cell[source]
    edges = np.stack([pairs[graph.row], pairs[graph.col]], 1)
    return _symmetric(edges[edges[:, 0] != edges[:, 1]], len(kept))


def _symmetric(edges, count):
    both = np.concatenate([edges, edges[:, ::-1]])
    matrix = scipy.sparse.csr_matrix((np.ones(len(both), np.float32), both.T), (count, count))
    matrix.data[:] = 1
    return matrix


def _pick(kept, count):
    return scipy.sparse.csr_matrix((np.ones(len(kept), np.float32), (np.arange(len(kept)), kept)), (len(kept), count))


def _interpolate(fine, coarse):
    distance, index = cKDTree(coarse).query(fine, _NEIGHBOURS)
    weight = 1 / np.maximum(distance, 1e-6)
    weight = np.where(distance[:, :1] < 1e-9, np.arange(_NEIGHBOURS) == 0, weight / weight.sum(1, keepdims=True))
    rows = np.repeat(np.arange(len(fine)), _NEIGHBOURS)
    matrix = scipy.sparse.csr_matrix((weight.ravel().astype(np.float32), (rows, index.ravel())),
                                     (len(fine), len(coarse)))
    matrix.eliminate_zeros()
    return matrix


def _object_array(matrices):
    array = np.empty(len(matrices), object)
    array[:] = matrices
    return array

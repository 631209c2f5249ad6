"""Finds faces that overlap another face of their chart."""
import numpy as np

_TOLERANCE = 1e-6  # of the unit square: float32 coordinates of adjacent faces may overlap by a rounding error


def overlapping_faces(corner_uv, part):
    """[F] bool: which faces share area with another face of the same part. corner_uv [F,3,2], part [F].

    Two triangles share area when no line along one of their six edges separates them (separating axes).
    """
    overlaps, corner_uv = np.zeros(len(part), bool), np.asarray(corner_uv, np.float64)
    for number in np.unique(part):
        faces = np.flatnonzero(part == number)
        a, b = _pairs_of_boxes(corner_uv[faces])
        hit = ~_separated(corner_uv[faces[a]], corner_uv[faces[b]])
        overlaps[faces[a[hit]]] = overlaps[faces[b[hit]]] = True
    return overlaps


def folded_faces(corner_uv, part):
    """[F] bool: which faces have the opposite orientation to most faces of their part, or no area."""
    a, b, c = corner_uv.swapaxes(0, 1)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    majority = np.array([np.sign(np.median(area[part == number])) if (part == number).any() else 1
                         for number in range(part.max() + 1)])
    return area * majority[part] <= 1e-12


def _pairs_of_boxes(triangles):
    low, high = triangles.min(1) + _TOLERANCE, triangles.max(1) - _TOLERANCE
    meet = ((low[:, None] < high[None]) & (low[None] < high[:, None])).all(-1)
    return np.nonzero(np.triu(meet, 1))


def _separated(first, second):
    separated = np.zeros(len(first), bool)
    for triangles in (first, second):
        edges = np.roll(triangles, -1, 1) - triangles
        axes = np.stack([-edges[..., 1], edges[..., 0]], -1)
        axes /= np.maximum(np.linalg.norm(axes, axis=-1, keepdims=True), 1e-15)
        p, q = (np.einsum('nka,nca->nkc', axes, t) for t in (first, second))
        apart = (p.max(-1) <= q.min(-1) + _TOLERANCE) | (q.max(-1) <= p.min(-1) + _TOLERANCE)
        separated |= apart.any(-1)
    return separated

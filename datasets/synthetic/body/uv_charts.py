"""Maps each part of the body to the unit square without folds.

Every part is a disk. Its rim is mapped to a slightly bulging square, and the inside follows with mean-value weights
(Floater, 2003): positive weights and a strictly convex rim exclude folds (Tutte, 1963). The weights are then divided by
each vertex's stretch (Yoshizawa et al., 2004), which keeps them positive and enlarges fingers, ears and noses.
"""
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import spsolve

from datasets.synthetic.body import chart_layout as layout

_BULGE = 0.02
_STRETCH_ROUNDS = 12
_STRETCH_POWER = 0.5


@dataclass(frozen=True)
class Charts:
    """part [F], 1 to 24; body_vertex [V']: the body's vertex of each chart vertex; faces [F,3] into chart vertices, in
    the body's order of faces and corners; uv [V',2] in [0, 1]. A part and its mirror image have U' = 1 - U, V' = V."""
    part: np.ndarray
    body_vertex: np.ndarray
    faces: np.ndarray
    uv: np.ndarray


def make_charts(template, surface, joints):
    """Cut and unfold the body. template [V,3]: T pose; surface: Surface; joints [24,3].

    Raises ValueError where a part is not a disk."""
    part = layout.cut_into_parts(template, surface, joints)
    body_vertex, uv, chart_faces, offset = [], [], np.empty_like(surface.faces), 0
    unfolded = {}
    for number in range(1, layout.NUM_PARTS + 1):
        faces = surface.faces[part == number]
        twin = layout.MIRRORED_PART[number]
        vertices = np.unique(faces)
        if twin == number or number in _LEFT:
            coordinates = _unfold(number, faces, vertices, template, surface, part)
            if twin == number:
                coordinates = _symmetric(coordinates, np.searchsorted(vertices, surface.mirror[vertices]))
            unfolded[number] = dict(zip(vertices.tolist(), coordinates))
        chart_faces[part == number] = offset + np.searchsorted(vertices, faces)
        body_vertex.append(vertices)
        uv.append((number, twin, vertices))
        offset += len(vertices)
    coordinates = [_look_up(unfolded, *entry, surface.mirror) for entry in uv]
    return Charts(part, np.concatenate(body_vertex), chart_faces, np.concatenate(coordinates))


_LEFT = (layout.LEFT_HAND, layout.LEFT_FOOT, layout.LEFT_HEAD, *layout.LEFT_THIGH, *layout.LEFT_SHANK,
         *layout.LEFT_UPPER_ARM, *layout.LEFT_FOREARM)


def _look_up(unfolded, number, twin, vertices, mirror):
    if number in unfolded:
        return np.array([unfolded[number][v] for v in vertices.tolist()])
    return np.array([unfolded[twin][v] for v in mirror[vertices].tolist()]) * [-1, 1] + [1, 0]


def _symmetric(uv, mirror):
    return (uv + uv[mirror] * [-1, 1] + [1, 0]) / 2


def _unfold(number, faces, vertices, template, surface, part):
    """UV [n,2] of a part's vertices."""
    local = np.searchsorted(vertices, faces)
    points = template[vertices]
    rim = _rim(local, number)
    touching = _parts_at(surface.faces, part, len(template))[vertices]
    corners = _corners(number, rim, points, touching)
    start = rim.index(corners[0])
    rim = rim[start:] + rim[:start]
    fixed = _bulging_square(rim, corners, points)
    return _stretched_map(points, local, np.array(rim), fixed)


def _parts_at(faces, part, count):
    """[V, 25] bool: which parts meet at each vertex."""
    meeting = np.zeros((count, layout.NUM_PARTS + 1), bool)
    for corner in faces.T:
        meeting[corner, part] = True
    return meeting


def _rim(faces, number):
    """The part's border as one loop of vertices, counter-clockwise from outside."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    forward = set(map(tuple, edges))
    following = {a: b for a, b in forward if (b, a) not in forward}
    border = sum((b, a) not in forward for a, b in forward)
    start = min(following)
    rim, vertex = [start], following[start]
    while vertex != start and len(rim) <= border:
        rim.append(vertex)
        vertex = following[vertex]
    euler = len(np.unique(faces)) - (len(edges) + border) // 2 + len(faces)
    if len(rim) != border or euler != 1:
        raise ValueError(f'part {number} is not a disk: {border} border edges, loop of {len(rim)}, Euler {euler}')
    return rim


def _corners(number, rim, points, touching):
    """Four rim vertices in rim order: lower left, lower right, upper right, upper left of the chart."""
    p = points[rim]
    if number in (layout.LEFT_HAND, layout.LEFT_FOOT, layout.LEFT_HEAD):
        picks = _corners_by_direction(number, p)
    elif number in (layout.TORSO_BACK, layout.TORSO_FRONT):
        picks = _torso_corners(touching[rim], p)
    else:
        picks = _strip_corners(number, touching[rim])
    corners = [rim[i] for i in picks]
    order = np.argsort([(i - picks[0]) % len(rim) for i in picks])
    if len(set(corners)) != 4 or list(order) != [0, 1, 2, 3]:
        raise ValueError(f'part {number}: its corners {picks} are not in order round a rim of {len(rim)}')
    return corners


def _corners_by_direction(number, p):
    """Corners of a part whose rim is a ring (hand, foot) or a profile (half head): the extreme rim points along the
    four diagonals of the rim's plane, counter-clockwise from outside."""
    axes = {layout.LEFT_HAND: ([0, 0, 1], [0, 1, 0]), layout.LEFT_FOOT: ([1, 0, 0], [0, 0, -1]),
            layout.LEFT_HEAD: ([0, 0, -1], [0, 1, 0])}[number]
    q = (p - (p.max(0) + p.min(0)) / 2) @ np.array(axes, float).T
    q /= np.abs(q).max(0)
    diagonals = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    picks = [int((q @ d).argmax()) for d in diagonals]
    return picks if _turns_left(picks, len(p)) else [picks[i] for i in (0, 3, 2, 1)]


def _turns_left(picks, count):
    offsets = [(i - picks[0]) % count for i in picks]
    return offsets == sorted(offsets)


def _torso_corners(touching, p):
    """The points where the shoulder line meets the arms and where the flank meets the legs."""
    both = touching[:, layout.TORSO_BACK] & touching[:, layout.TORSO_FRONT]

    def pick(mask, score):
        return int(np.where(mask, score, -np.inf).argmax())
    arm = both & touching[:, 15:19].any(1)
    leg = both & touching[:, 7:11].any(1)
    x, y = p[:, 0], p[:, 1]
    picks = [pick(leg & (x > 0), x), pick(leg & (x < 0), -x), pick(arm & (x < 0), y), pick(arm & (x > 0), y)]
    if not _turns_left(picks, len(p)):
        picks = [picks[i] for i in (1, 0, 3, 2)]
    return picks


def _strip_corners(number, touching):
    """Ends of the two stretches of rim that a limb's part shares with the other part of the same limb segment."""
    twin = next(b if a == number else a for a, b in
                (layout.LEFT_THIGH, layout.LEFT_SHANK, layout.LEFT_UPPER_ARM, layout.LEFT_FOREARM) if number in (a, b))
    shared = touching[:, twin]
    starts = np.flatnonzero(shared & ~np.roll(shared, 1))
    ends = np.flatnonzero(shared & ~np.roll(shared, -1))
    if len(starts) != 2:
        raise ValueError(f'part {number} meets part {twin} along {len(starts)} lines instead of 2')
    # Rim order: run, gap, run, gap. The gap closer to the trunk is the chart's lower side.
    nearer = {8: 1, 10: 2, 12: 8, 14: 10, 15: 1, 17: 2, 19: 15, 21: 17}[number]
    runs = [(s, ends[(ends - s) % len(shared) == ((ends - s) % len(shared)).min()][0]) for s in starts]
    count = len(shared)

    def gap_meets(run, other):
        inside = [(run[1] + k) % count for k in range(1, (other[0] - run[1]) % count)]
        return touching[inside][:, _trunkward(nearer)].any()
    first, second = runs if gap_meets(runs[0], runs[1]) else runs[::-1]
    return [int(first[1]), int(second[0]), int(second[1]), int(first[0])]


def _trunkward(part):
    """The part next in the direction of the trunk, with the other part of its segment."""
    return [part] + [b if a == part else a for a, b in (
        (layout.TORSO_BACK, layout.TORSO_FRONT), layout.LEFT_THIGH, layout.LEFT_UPPER_ARM) if part in (a, b)]


def _bulging_square(rim, corners, points):
    """UV [n,2] of the rim: arc length along four sides, each bent outward so that the rim is strictly convex."""
    places = [rim.index(c) for c in corners] + [len(rim)]
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], float)
    outward = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]], float)
    closed = np.append(rim, rim[0])
    uv = []
    for side in range(4):
        run = points[closed[places[side]:places[side + 1] + 1]]
        length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(run, axis=0), axis=1))])
        t = (length / length[-1])[:-1, None]
        straight = _BULGE + (1 - 2 * _BULGE) * (square[side] + t * (square[side + 1] - square[side]))
        uv.append(straight + 4 * _BULGE * t * (1 - t) * outward[side])
    return np.concatenate(uv)


def _stretched_map(points, faces, rim, fixed):
    """Mean-value map of the part, with weights balanced by stretch. Returns the round with the least stretch."""
    weights = _mean_value_weights(points, faces)
    best, least = None, np.inf
    for _ in range(_STRETCH_ROUNDS):
        uv = _solve(weights, rim, fixed)
        stretch, total = _stretch(points, faces, uv)
        if total < least:
            best, least = uv, total
        weights = weights @ scipy.sparse.diags(stretch ** -_STRETCH_POWER)
    return best


def _mean_value_weights(points, faces):
    """Sparse [n,n]: w_ij = (tan(a/2) + tan(b/2)) / |ij|, with the angles a and b at i next to the edge."""
    rows, columns, values = [], [], []
    for k in range(3):
        i, j, m = faces[:, k], faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        to_j, to_m = points[j] - points[i], points[m] - points[i]
        length_j, length_m = np.linalg.norm(to_j, axis=1), np.linalg.norm(to_m, axis=1)
        cosine = np.einsum('fa,fa->f', to_j, to_m) / (length_j * length_m)
        half_tangent = np.sqrt((1 - cosine) / np.maximum(1 + cosine, 1e-6)).clip(1e-3, 1e3)
        rows += [i, i]
        columns += [j, m]
        values += [half_tangent / length_j, half_tangent / length_m]
    return scipy.sparse.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
                                   (len(points), len(points)))


def _solve(weights, rim, fixed):
    """Place each inner vertex at the weighted mean of its neighbours."""
    count = weights.shape[0]
    inner = np.setdiff1d(np.arange(count), rim)
    share = scipy.sparse.diags(1 / np.asarray(weights.sum(1)).ravel()) @ weights
    uv = np.zeros((count, 2))
    uv[rim] = fixed
    if len(inner):
        system = scipy.sparse.eye(len(inner)) - share[inner][:, inner]
        uv[inner] = spsolve(system.tocsc(), share[inner][:, rim] @ fixed).reshape(-1, 2)
    return uv


def _stretch(points, faces, uv):
    """L2 stretch (Sander et al., 2001) of each vertex, relative to its mean, and of the whole part."""
    p, q = points[faces], uv[faces]
    area = ((q[:, 1, 0] - q[:, 0, 0]) * (q[:, 2, 1] - q[:, 0, 1])
            - (q[:, 2, 0] - q[:, 0, 0]) * (q[:, 1, 1] - q[:, 0, 1])) / 2
    area = np.maximum(area, 1e-12)[:, None]
    s, t = q[..., 0], q[..., 1]
    ds = sum(p[:, k] * (t[:, (k + 1) % 3] - t[:, (k + 2) % 3])[:, None] for k in range(3)) / (2 * area)
    dt = sum(p[:, k] * (s[:, (k + 2) % 3] - s[:, (k + 1) % 3])[:, None] for k in range(3)) / (2 * area)
    square = ((ds ** 2).sum(1) + (dt ** 2).sum(1)) / 2
    surface = np.linalg.norm(np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]), axis=1) / 2
    sums = np.zeros((len(points), 2))
    for corner in faces.T:
        np.add.at(sums, corner, np.stack([surface * square, surface], 1))
    vertex = np.sqrt(sums[:, 0] / sums[:, 1])
    return (vertex / vertex.mean()).clip(1e-2, 1e2), float((surface * square).sum())

"""Sparse, non-negative joint regressors, whose rows sum to one and are accurate over the whole shape space.

A joint is given as a point of Anny's skeleton and surface in many shapes. Non-negative least squares selects vertices
whose weighted mean follows the point.
"""
import numpy as np
from scipy.optimize import nnls

from datasets.synthetic.body.landmarks import CROWN
from utils.keypoints import EXTRA_JOINTS, H36M_JOINTS, SMPL_JOINTS

_NEAREST, _FARTHER_STEP = 500, 3  # candidates: the vertices nearest to the point, and every third of the others
# Regressors for posed meshes use only vertices around the joint: those of the next bones would move away.
_AROUND, _LIMB_JOINTS = 100, ('knee', 'ankle', 'shoulder', 'elbow', 'wrist')
_FIT_SHAPES = 300
_SMALLEST = 1e-3
_SUM_WEIGHT = 30.0  # weight of the condition that the row sums to one, against errors in metres
_ROUNDS = 3
_EXACT = 1e-6  # metres: below this error the point is a vertex


def regress_points(points, half_shapes, surface, centre, around=False):
    """One regressor row [V] for points [B,3] in shapes [B,H,3] (left halves).

    centre: the point lies on the seam plane, and the row is mirror-symmetric. around: use only the nearest vertices.
    Shapes with large errors get more weight from round to round, to lower the largest error and not only the mean."""
    step = max(1, len(points) // _FIT_SHAPES)
    points, shapes = points[::step].astype(np.float64), half_shapes[::step].astype(np.float64)
    order = np.argsort(np.linalg.norm(shapes.mean(0) - points.mean(0), axis=1), kind='stable')
    near = order[:_AROUND] if around else np.concatenate([order[:_NEAREST], order[_NEAREST::_FARTHER_STEP]])
    # With weights that sum to one, the error is the weighted mean of the vertices' offsets from the point.
    offsets = (shapes[:, near] - points[:, None])[..., 1 if centre else 0:].transpose(0, 2, 1)
    importance, best, least = np.ones(len(points)), None, np.inf
    for _ in range(_ROUNDS):
        weights = _simplex_weights(offsets * importance[:, None, None])
        errors = np.linalg.norm(offsets @ weights, axis=1)
        if errors.max() < least:
            best, least = weights, errors.max()
        if least < _EXACT:
            break
        importance = importance * np.sqrt(0.3 + errors / errors.mean())
        importance /= importance.mean()
    row = np.zeros(len(surface.rows))
    row[near] = best
    return (row + row[surface.mirror]) / 2 if centre else row


def _simplex_weights(offsets):
    """Non-negative weights [n] with sum one that minimize offsets [B,k,n] @ weights. The smallest are set to zero."""
    count = offsets.shape[-1]
    matrix = np.concatenate([offsets.reshape(-1, count), np.full((1, count), _SUM_WEIGHT)])
    target = np.zeros(len(matrix))
    target[-1] = _SUM_WEIGHT
    weights = nnls(matrix, target)[0]
    weights[weights < _SMALLEST * weights.sum()] = 0
    return weights / weights.sum()


def smpl_regressor(joint_matrix, shapes, surface):
    """J_regressor [24,V]. joint_matrix [24,J] maps bone heads to joints; shapes: PosedShapes."""
    joints = np.einsum('kj,bjc->bkc', joint_matrix, shapes.heads)
    return _regressor(SMPL_JOINTS, lambda name: joints[:, SMPL_JOINTS.index(name)], shapes, surface)


def extra_regressor(joint_matrix, shapes, surface, landmarks):
    """J_regressor_extra [9,V]: SPIN's nine joints, in the order of utils.keypoints.EXTRA_JOINTS."""
    return _regressor(EXTRA_JOINTS, _annotated_points(joint_matrix, shapes, surface, landmarks), shapes, surface)


def h36m_regressor(joint_matrix, shapes, surface, landmarks):
    """J_regressor_h36m [17,V], in the order of utils.keypoints.H36M_JOINTS, for posed meshes."""
    points = _annotated_points(joint_matrix, shapes, surface, landmarks)
    same = {'pelvis': 'pelvis_mpii', 'spine': 'spine_h36m', 'jaw': 'jaw_h36m', 'head_top': 'head_h36m'}
    return _regressor(H36M_JOINTS, lambda name: points(same.get(name, name)), shapes, surface, _LIMB_JOINTS)


def _regressor(names, point_of, shapes, surface, around=()):
    """around: suffixes of the names of joints that use only the nearest vertices."""
    rows = {}
    for name in names:
        if not name.startswith('right_'):
            rows[name] = regress_points(point_of(name), shapes.half, surface, not name.startswith('left_'),
                                        name.endswith(tuple(around)))
    for name in names:
        if name.startswith('right_'):
            rows[name] = rows[name.replace('right_', 'left_')][surface.mirror]
    return np.stack([rows[name] for name in names])


def _annotated_points(joint_matrix, shapes, surface, landmarks):
    """Positions at which datasets annotate joints, from the skeleton and the surface: a function name -> [B,3].

    LSP and MPII annotate the hips, the middle of the hips, the upper end of the breastbone and the middle of the
    shoulders. Human3.6M's spine is halfway up the back, its jaw ("Neck/Nose") behind the mouth, its head below the
    crown.
    """
    joints = np.einsum('kj,bjc->bkc', joint_matrix, shapes.heads)

    def joint(name):
        return joints[:, SMPL_JOINTS.index(name)]

    def vertex(name):
        return shapes.half[:, surface.index_of(landmarks[name])]

    def middle(name):
        return joint(f'left_{name}') * [0, 1, 1]

    points = {'pelvis_mpii': middle('hip'), 'thorax_mpii': middle('shoulder'), 'spine_h36m': joint('spine2'),
              'neck': (joint('neck') + middle('shoulder')) / 2, 'head_top': vertex(CROWN),
              'jaw_h36m': (joint('head') + vertex('nose')) / 2, 'head_h36m': 0.2 * joint('head') + 0.8 * vertex(CROWN)}
    return lambda name: points[name] if name in points else joint(name)

"""PCA of shapes in the T pose: the template and shapedirs of a body file."""
from dataclasses import dataclass

import numpy as np
from sklearn.utils.extmath import randomized_svd

from datasets.synthetic.body.rest_pose import t_pose_transforms

NUM_BETAS = 10
_CHUNK = 250


@dataclass(frozen=True)
class PosedShapes:
    """Shapes in the T pose with the pelvis at the origin: left half of the vertices [B,H,3], bone heads [B,J,3]."""
    half: np.ndarray
    heads: np.ndarray

    def __getitem__(self, index):
        return PosedShapes(self.half[index], self.heads[index])


def pose_shapes(anny, phenotypes, rows, joint_matrix):
    """Pose sampled adults in the T pose with the pelvis at the origin. rows: Anny's vertices; joint_matrix: [24,J]."""
    coefficients = anny.coefficients(phenotypes)
    heads = anny.rest_heads(coefficients)
    turns, shifts = t_pose_transforms(heads, anny.bones, anny.parents)
    heads = np.einsum('bjxy,bjy->bjx', turns, heads) + shifts
    origin = np.einsum('j,bjc->bc', joint_matrix[0], heads)[:, None]
    transforms = np.concatenate([turns.reshape(*turns.shape[:2], 9), shifts - origin], -1)
    weights = anny.weights[rows]
    template, shapes = anny.vertices[rows], anny.vertex_shapes[:, rows]
    posed = np.empty((len(heads), len(rows), 3))
    for start in range(0, len(heads), _CHUNK):
        part = slice(start, start + _CHUNK)
        rest = template + np.tensordot(coefficients[part], shapes, 1)
        posed[part] = _skin(rest, weights, transforms[part])
    return PosedShapes(posed, heads - origin)


def _skin(rest, weights, transforms):
    """Linear blend skinning of rest [B,V,3] with sparse weights [V,J] and transforms [B,J,12]."""
    count, bones = transforms.shape[:2]
    blended = (weights @ transforms.transpose(1, 0, 2).reshape(bones, -1)).reshape(-1, count, 12)
    turned = np.einsum('vbxy,bvy->bvx', blended[..., :9].reshape(*blended.shape[:2], 3, 3), rest, optimize=True)
    return turned + blended[..., 9:].swapaxes(0, 1)


@dataclass(frozen=True)
class ShapeSpace:
    """template [V,3] and shapedirs [V,3,10] in metres, float64; explained: each component's share of the variance."""
    template: np.ndarray
    shapedirs: np.ndarray
    explained: np.ndarray


def fit_shape_space(half_shapes, surface, seed):
    """PCA of T-posed shapes [B,H,3] (left halves) with unit variance per beta.

    The signs do not depend on the solver: a component that changes the height makes the body taller, and another one
    has its largest coordinate positive."""
    mean = half_shapes.mean(0)
    # A vertex off the seam counts twice, for itself and its mirror image.
    scale = np.where(surface.on_seam[:surface.half], 1.0, np.sqrt(2.0))[:, None]
    centred = ((half_shapes - mean) * scale).reshape(len(half_shapes), -1)
    _, singular, components = randomized_svd(centred, NUM_BETAS, n_iter=4, random_state=seed)
    deviations = singular / np.sqrt(len(half_shapes) - 1)
    half_dirs = (components * deviations[:, None]).reshape(NUM_BETAS, -1, 3) / scale
    for direction in half_dirs:
        tallest, lowest = mean[:, 1].argmax(), mean[:, 1].argmin()
        growth = direction[tallest, 1] - direction[lowest, 1]
        direction *= np.sign(growth if abs(growth) > 0.005 else direction.flat[np.abs(direction).argmax()])
    explained = deviations ** 2 / (centred.var(0, ddof=1).sum())
    # Rounded to micrometres, so that rounding errors of another machine rarely change the body.
    template, shapedirs = surface.complete(mean).round(6), surface.complete(half_dirs).transpose(1, 2, 0).round(6)
    return ShapeSpace(template, np.ascontiguousarray(shapedirs), explained)

"""Clothes and hair with their own geometry: loose tops and trousers, skirts, long hair.

The meshes are MakeHuman's helpers, fitted to the neutral body (`body/garments.py`, `garments.npz`): tights, which are
inflated by one to six centimetres, a skirt and hair. Each is cut at the lines of the Look that paints the skin below.
"""
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from datasets.synthetic.shading import BOTTOM, HAIR, TOP
from datasets.synthetic.stage import Piece
from utils.safe_io import load_npz
from utils.skinning import skin

_LOOSE_TOP, _LOOSE_BOTTOM, _SKIRT, _BUSHY = .7, .65, .16, .8
# Distance in metres of the skin's own cloth below a loose garment.
_UNDERNEATH = .001
_LONG_HAIR = 5.0  # metres: a Look with a larger hair_length has short hair


@dataclass(frozen=True)
class Helper:
    """One of the meshes, in the template's T pose: points, normals [N,3], faces [F,3], shapedirs [3N,10], weights
    [N,24] of the joints."""
    points: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    shapedirs: np.ndarray
    weights: np.ndarray

    @cached_property
    def corners(self):
        """The faces as three arrays [F]."""
        return tuple(np.ascontiguousarray(self.faces[:, corner]) for corner in range(3))


@dataclass(frozen=True)
class Garment:
    """One garment, cut and sized in the rest pose. vertices: indices [N] into the helper; faces [F,3] into them;
    points [N,3]: positions on the template for its pattern; offsets [N,3] metres; region: of `shading.REGIONS`."""
    helper: Helper
    vertices: np.ndarray
    faces: np.ndarray
    points: np.ndarray
    offsets: np.ndarray
    region: int

    def posed(self, betas, transforms):
        """The garment on a body with betas [10] and joint transforms [24,12] -> Piece at the body's place."""
        helper = self.helper
        rest = helper.points + (helper.shapedirs @ np.asarray(betas, np.float32)).reshape(-1, 3)
        rest, weights, transforms = (torch.from_numpy(a) for a in (rest[self.vertices] + self.offsets,
                                                                   helper.weights[self.vertices], transforms))
        with torch.inference_mode():
            places = skin(rest[None], weights, transforms[None])[0].numpy()
        return Piece(places, self.faces, self.points, region=self.region, two_sided=True)


class Wardrobe:
    """The meshes of `garments.npz`, `helpers` by name. assets: utils.assets.Assets. Raises MissingFile, BadFile."""

    def __init__(self, assets):
        arrays = load_npz(assets.file('garments.npz'), ('template', 'shapedirs', 'joints', 'weights', 'tights_faces',
                                                        'skirt_faces', 'hair_faces'))
        self.helpers = {name: _helper(arrays, arrays[f'{name}_faces']) for name in ('tights', 'skirt', 'hair')}

    def cut(self, name, region, offsets, low=None, high=None, out=None, drop=None):
        """Cut a mesh in the template's T pose -> Garment, or None if nothing is left.

        offsets [N]: metres along the normals; low, high: kept range of heights (y), out: largest kept |x|; drop [N]
        bool: vertices whose faces are removed. Border vertices are moved onto the cuts, so the borders are straight.
        """
        helper = self.helpers[name]
        points, y, side = helper.points.copy(), helper.points[:, 1], np.abs(helper.points[:, 0])
        inside = [test for test in (None if low is None else y >= low, None if high is None else y <= high,
                                    None if out is None else side <= out) if test is not None]
        # One bit a condition: a face needs a corner on the kept side of each cut, and none that is dropped.
        met = np.zeros(len(points), np.uint8) if drop is None else np.left_shift(drop, len(inside), dtype=np.uint8)
        for bit, test in enumerate(inside):
            met |= np.left_shift(test, bit, dtype=np.uint8)
        a, b, c = (met[corner] for corner in helper.corners)
        kept = (a | b | c) == 2 ** len(inside) - 1
        if low is not None or high is not None:
            points[:, 1] = np.clip(points[:, 1], low, high)
        if out is not None:
            points[:, 0] = np.clip(points[:, 0], -out, out)
        faces = helper.faces[kept]
        if not len(faces):
            return None
        used = np.zeros(len(points), bool)
        used[faces] = True
        vertices, number = np.flatnonzero(used), np.cumsum(used, dtype=np.int32) - 1
        moved = points[vertices] - helper.points[vertices] + offsets[vertices, None] * helper.normals[vertices]
        return Garment(helper, vertices, number[faces], points[vertices], moved.astype(np.float32), region)


def _helper(arrays, faces):
    """The Helper with these faces [F,3] into the arrays of `garments.npz`."""
    vertices, local = np.unique(faces, return_inverse=True)
    points, faces = arrays['template'][vertices], local.reshape(-1, 3).astype(np.int32)
    weights = np.zeros((len(vertices), 24), np.float32)
    np.put_along_axis(weights, arrays['joints'][vertices].astype(np.int64), arrays['weights'][vertices], 1)
    shapedirs = arrays['shapedirs'][vertices].astype(np.float32).reshape(-1, 10)
    return Helper(points, _normals(points, faces), faces, shapedirs, weights)


def sample_outfit(rng, wardrobe, marks, look):
    """Sample the clothes of a Look that get their own geometry -> the Look with `outfit` and thinner cloth below."""
    garments, thickness, cut = [], look.thickness.copy(), look.cut
    kinds = rng.random(4) < (_LOOSE_TOP, _LOOSE_BOTTOM, _SKIRT, _BUSHY)
    if kinds[0] and cut.sleeve > 0:
        garments.append(_top(rng, wardrobe, marks, cut))
        thickness[TOP] = _UNDERNEATH
    skirt = kinds[2] or cut.hem < marks.hip_y - .18
    if skirt:
        garments.append(_skirt(rng, wardrobe, marks, cut))
    elif kinds[1] and cut.leg < marks.hip_y - .12:
        garments.append(_trousers(rng, wardrobe, marks, cut))
        thickness[BOTTOM] = _UNDERNEATH
    if kinds[3] and cut.hair_length < _LONG_HAIR:
        garments.append(_hair(rng, wardrobe, marks, cut))
    return replace(look, outfit=tuple(g for g in garments if g), thickness=thickness)


def _ripples(rng, points):
    """Smooth noise [N] in about [-1, 1] on points [N,3]: folds that run mostly along the limbs."""
    noise = np.zeros(len(points), np.float32)
    for scale, share in ((9.0, .5), (21.0, .3), (40.0, .2)):
        wave = (rng.normal(0, scale, 3) * (1, .5, 1)).astype(np.float32)
        noise += np.float32(share) * np.sin(points @ wave + np.float32(rng.uniform(0, 6.28)))
    return noise


def _ramp(values, first, last):
    """Smooth step: 0 where values are at `first`, 1 at `last`."""
    t = np.clip((values - first) / (last - first), 0, 1)
    return t * t * (3 - 2 * t)


def _top(rng, wardrobe, marks, cut):
    points = wardrobe.helpers['tights'].points
    side = np.abs(points[:, 0])
    tight, wide, sleeve = rng.uniform(.002, .012), rng.uniform(.005, .055), rng.uniform(.002, .03)
    loose = tight + wide * _ramp(points[:, 1], marks.shoulder_y - .02, max(cut.hem, marks.waist_y - .1)) \
        * (side < marks.shoulder_x + .02) + sleeve * _ramp(side, marks.shoulder_x, cut.sleeve + .05)
    loose *= 1 + .35 * _ripples(rng, points)
    collar = ((points - np.array(cut.neck)) / np.array(cut.collar))
    drop = ((collar ** 2).sum(1) < 1) | ((points[:, 1] > cut.neck[1] + .02) & (side < .1))
    low = cut.hem if cut.hem > marks.hip_y - .18 else marks.hip_y - .1  # the skirt continues a dress
    return wardrobe.cut('tights', TOP, loose, low=low, out=cut.sleeve, drop=drop)


def _trousers(rng, wardrobe, marks, cut):
    points = wardrobe.helpers['tights'].points
    tight, wide = rng.uniform(.002, .012), rng.uniform(-.004, .05)
    knee = marks.knee_y if rng.random() < .4 else marks.hip_y
    loose = tight + wide * _ramp(points[:, 1], knee + .1, max(cut.leg, marks.ankle_y))
    # The legs of the trousers must not intersect where they are close.
    loose = np.where(np.abs(points[:, 0]) < .05, np.minimum(loose, .006), loose)
    loose *= 1 + .4 * _ripples(rng, points)
    return wardrobe.cut('tights', BOTTOM, loose, low=cut.leg, high=cut.waist, drop=np.abs(points[:, 0]) > .4)


def _skirt(rng, wardrobe, marks, cut):
    points = wardrobe.helpers['skirt'].points
    dress = cut.hem < marks.hip_y - .18
    length = cut.hem if dress else marks.knee_y + (marks.hip_y - marks.knee_y) * rng.uniform(-.8, .65)
    flare = rng.uniform(-.01, .12) * _ramp(points[:, 1], marks.hip_y, marks.knee_y - .2) + rng.uniform(.002, .012)
    flare *= 1 + rng.uniform(.1, .7) * _ripples(rng, points * (1.5, .3, 1.5))
    return wardrobe.cut('skirt', TOP if dress else BOTTOM, flare, low=max(length, points[:, 1].min()))


def _hair(rng, wardrobe, marks, cut):
    points = wardrobe.helpers['hair'].points
    loose = rng.uniform(.0, .02) * (1 + .5 * _ripples(rng, points))
    # The helper surrounds the whole head. The face is cut out.
    side = np.abs(points[:, 0])
    face = (points[:, 2] > marks.head[2] - .005) & (points[:, 1] < marks.left_eye[1] + rng.uniform(.035, .065)) \
        & (side < rng.uniform(.085, .13))
    return wardrobe.cut('hair', HAIR, loose, low=max(cut.hair_length, marks.shoulder_y - .22), drop=face)


def _normals(vertices, faces):
    """Unit normals [V,3], weighted by the areas of the adjacent faces."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    normals = np.stack([np.bincount(faces.ravel(), np.repeat(across[:, axis], 3), len(vertices))
                        for axis in range(3)], 1)
    return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)).astype(np.float32)

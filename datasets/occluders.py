"""Synthetic occlusion: cut-outs of objects pasted over training pictures.

Sarandi et al., "How Robust is 3D Human Pose Estimation to Occlusion?", IROS Workshops 2018. PARE and mmhuman3d train
with its cut-outs of Pascal VOC's objects (`pascal_occluders.npy`). The constants are mmhuman3d's.
"""
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from utils.errors import BadFile, MissingFile
from utils.safe_io import load_npy

SHAPES = 'shapes'  # value of DATA.OCCLUDERS for generated cut-outs
_MOST = 7  # cut-outs per picture
_SIZES = (0.2, 1.0)  # factors of a cut-out, if the shorter side of the picture is _SHORTER
_SHORTER = 256
_SHAPES_DRAWN, _SHAPE_SIZE = 64, 192


@dataclass(frozen=True)
class Occluder:
    """One cut-out on a picture. cutout: its number. x, y: its centre, relative to the picture. size: factor."""
    cutout: int
    x: float
    y: float
    size: float


class Occluders:
    """Cut-outs [h,w,4] uint8, RGB and opacity."""

    def __init__(self, cutouts):
        self.cutouts = cutouts

    def draw(self, rng):
        """Draw one to seven cut-outs for a picture -> tuple of Occluder."""
        count = rng.integers(1, _MOST + 1)
        drawn = zip(rng.integers(len(self.cutouts), size=count), rng.random((count, 2)), rng.uniform(*_SIZES, count))
        return tuple(Occluder(int(cutout), *place.tolist(), float(size)) for cutout, place, size in drawn)

    def paste(self, crop, occluders, matrix, width, height, is_rgb):
        """Blend occluders into a crop [R,R,3] uint8, in place.

        matrix [2,3]: from the picture, which is `width` x `height` pixels, to the crop (`crop_transform`).
        """
        for occluder in occluders:
            cutout = self.cutouts[occluder.cutout]
            zoom = occluder.size * min(width, height) / _SHORTER
            onto = matrix @ np.array([[zoom, 0, occluder.x * width - zoom * cutout.shape[1] / 2],
                                      [0, zoom, occluder.y * height - zoom * cutout.shape[0] / 2], [0, 0, 1.0]])
            _blend(crop, cutout if is_rgb else cutout[..., [2, 1, 0, 3]], onto)


def _blend(crop, cutout, onto):
    """Blend a cut-out into the crop. onto: matrix [2,3] from the cut-out to the crop."""
    height, width = cutout.shape[:2]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ onto[:, :2].T + onto[:, 2]
    first = np.clip(np.floor(corners.min(0)).astype(int), 0, crop.shape[1])
    last = np.clip(np.ceil(corners.max(0)).astype(int), 0, crop.shape[1])
    if (last <= first).any():
        return
    scale = np.hypot(*onto[:, 0])
    if scale < 1:  # average first, as for a picture that shrinks
        size = np.maximum(np.round([width * scale, height * scale]).astype(int), 1)
        cutout = cv2.resize(cutout, size.tolist(), interpolation=cv2.INTER_AREA)
        onto = onto * np.array([width / size[0], height / size[1], 1.0])
    at_centres = onto.copy()
    at_centres[:, 2] += 0.5 * onto[:, :2].sum(1) - 0.5 - first  # cv2 counts from pixel centres
    # Multiply by opacity before resampling, so that transparent pixels do not colour the edge.
    shown = cutout[..., 3:].astype(np.float32) / 255
    layers = np.concatenate([cutout[..., :3] * shown, shown], -1)
    warped = cv2.warpAffine(layers, at_centres, (last - first).tolist(), flags=cv2.INTER_LINEAR)
    region = crop[first[1]:last[1], first[0]:last[0]]
    region[:] = warped[..., :3] + (1 - warped[..., 3:]) * region + 0.5


@lru_cache(maxsize=1)
def load_occluders(name):
    """Load the cut-outs of DATA.OCCLUDERS -> Occluders, or None for ''.

    name: 'shapes', a `.npy` of cut-outs (an object array, as `pascal_occluders.npy`), or a folder of PNG files with
    opacity. Raises MissingFile, BadFile.
    """
    if not name:
        return None
    if name == SHAPES:
        return Occluders(_drawn_shapes())
    path = Path(name)
    if not path.exists():
        raise MissingFile(f'{name}: no such file or folder of cut-outs (DATA.OCCLUDERS); get mmhuman3d\'s '
                          f'pascal_occluders.npy with ./fetch_data.sh --only pascal_occluders, or use {SHAPES!r}')
    cutouts = _read_folder(path) if path.is_dir() else list(load_npy(path))
    for place, cutout in enumerate(cutouts):
        shape, kind = np.shape(cutout), getattr(cutout, 'dtype', None)
        if len(shape) != 3 or shape[2] != 4 or kind != np.uint8 or not min(shape):
            raise BadFile(f'{name}: cut-out {place} has shape {list(shape)} of {kind}, but must be [h,w,4] of uint8')
    if not cutouts:
        raise BadFile(f'{name}: no cut-outs')
    return Occluders(cutouts)


def _read_folder(folder):
    cutouts = []
    for path in sorted(folder.glob('*.png')):
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is None or picture.ndim != 3 or picture.shape[2] != 4:
            raise BadFile(f'{path}: not a picture with opacity (RGBA)')
        cutouts.append(np.ascontiguousarray(picture[..., [2, 1, 0, 3]]))
    return cutouts


def _drawn_shapes():
    """Polygons with random colours. They are the same in every run."""
    rng, shapes = np.random.default_rng(0), []
    for _ in range(_SHAPES_DRAWN):
        size = rng.integers(_SHAPE_SIZE // 3, _SHAPE_SIZE, 2)
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 12)))
        reach = size / 2 * rng.uniform(0.5, 1.0, (len(angles), 1))
        corners = size / 2 + reach * np.stack([np.cos(angles), np.sin(angles)], 1)
        shape = np.zeros((size[1], size[0], 4), np.uint8)
        cv2.fillPoly(shape, [corners.round().astype(np.int32)], (0, 0, 0, 255))
        spots = rng.integers(0, 256, (rng.integers(1, 9), rng.integers(1, 9), 3)).astype(np.uint8)
        shape[..., :3] = cv2.resize(spots, size.tolist(), interpolation=cv2.INTER_LINEAR)
        shapes.append(shape)
    return shapes

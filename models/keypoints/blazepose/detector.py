"""BlazePose's person detector on overlapping tiles.

The network is an SSD (Liu et al., arXiv 1512.02325) for 224 x 224 pixels. It was trained for one person who fills most
of the picture. On tiles it also finds groups and distant people.
"""
from dataclasses import dataclass

import numpy as np

from models.keypoints.blazepose.region import Region
from models.keypoints.matching import overlap
from models.keypoints.tflite import TFLiteNetwork

SIZE = 224
STRIDES, ANCHORS_A_CELL = (8, 16, 32, 32, 32), 2
# Indices among the four points of a detection: the middle of the hips, and a point on a circle around the body.
_HIPS, _FAR_END = 0, 1
_MOST_OF_TILE = 1.5
# Pixels. Smaller tiles show the network no more detail.
_SMALLEST_TILE = 112


@dataclass(frozen=True)
class Detection:
    """Face and shoulders of a person as a rectangle [4], pixels; the region of the whole person; score 0 to 1."""
    box: np.ndarray
    region: Region
    score: float


def anchor_centers():
    """Centres of the anchors -> [2254,2], shares of the input's side."""
    grids = []
    for stride in STRIDES:
        cells = (np.arange(SIZE // stride) + 0.5) * stride / SIZE
        grid = np.stack(np.meshgrid(cells, cells), -1).reshape(-1, 2)
        grids.append(np.repeat(grid, ANCHORS_A_CELL, 0))
    return np.concatenate(grids)


class PersonDetector:
    """The network in a file. Called with a picture [H,W,3] uint8 RGB and a tile (a Region), it returns Detections."""

    def __init__(self, path, threads=1, min_score=0.4):
        self._network, self._anchors, self._min_score = TFLiteNetwork(path, threads), anchor_centers(), min_score

    def __call__(self, image, tile):
        values, logits = self._network(tile.crop(image, SIZE)[None].astype(np.float32) / 127.5 - 1,
                                       ('Identity', 'Identity_1'))
        scores = 1 / (1 + np.exp(-np.clip(logits.reshape(-1).astype(np.float64), -100, 100)))
        sure = np.flatnonzero(scores >= self._min_score)
        numbers = values[0, sure].astype(np.float64).reshape(len(sure), 6, 2) / SIZE
        numbers[:, [0, 2, 3, 4, 5]] += self._anchors[sure, None]
        found = []
        for (center, sides, *points), score in zip(numbers, scores[sure]):
            corners = tile.to_picture([center - sides / 2, center + sides / 2])
            region = Region.about_person(*tile.to_picture([points[_HIPS], points[_FAR_END]]))
            # A person who reaches far out of a tile is complete in a larger one, unless the tile is the whole picture.
            if region.is_usable() and (region.side <= _MOST_OF_TILE * tile.side or _covers(tile, image)):
                found.append(Detection(corners.reshape(4), region, float(score)))
        return suppress(found)


def suppress(found, most=0.3):
    """Detections without those that overlap one of higher score by more than `most`."""
    kept = []
    for one in sorted(found, key=lambda one: -one.score):
        if all(overlap(one.box, other.box) <= most for other in kept):
            kept.append(one)
    return kept


def tiles_of(width, height, levels=3):
    """Square Regions in which a picture is searched, the largest first: the whole picture, then tiles whose side is
    1/2, 1/4, ... of the longer side. Neighbours overlap by half."""
    longer = max(width, height)
    tiles = [Region(np.array([width / 2, height / 2]), longer)]
    for level in range(1, levels):
        side = longer / 2 ** level
        if side < _SMALLEST_TILE:
            break
        tiles += [Region(np.array([x, y]), side) for y in _centers(height, side) for x in _centers(width, side)]
    return tiles


def _covers(tile, image):
    return tile.side >= max(image.shape[:2])


def _centers(length, side):
    """Centres of intervals of length `side` that cover [0, length] and overlap by at least half."""
    if length <= side:
        return [length / 2]
    count = int(np.ceil((length - side) / (side / 2))) + 1
    return np.linspace(side / 2, length - side / 2, count)

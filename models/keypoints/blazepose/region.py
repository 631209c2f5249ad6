"""Rotated squares of a picture, the inputs of BlazePose's networks.

Pixels are continuous: the first one covers [0, 1].
"""
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Region:
    """A square with centre `center` [2] and side `side` in pixels. angle: rotation of its upright in the picture,
    radians, clockwise."""
    center: np.ndarray
    side: float
    angle: float = 0.0

    @classmethod
    def of_box(cls, box, margin):
        """The upright square around a box [4]; its side is `margin` times the box's longer side."""
        box = np.asarray(box, np.float64)
        return cls((box[:2] + box[2:]) / 2, float(max(box[2:] - box[:2])) * margin)

    @classmethod
    def about_person(cls, hips, far_end, margin=1.25):
        """BlazePose's region: the circle around the middle of the hips [2] through `far_end` [2], enlarged by `margin`
        and rotated so that `far_end` is straight up (Bazarevsky et al., arXiv 2006.10204)."""
        way = np.asarray(far_end, np.float64) - hips
        return cls(np.asarray(hips, np.float64), 2 * margin * float(np.hypot(*way)), float(np.arctan2(way[0], -way[1])))

    @property
    def rotation(self):
        """[2,2]: from axes of the square to axes of the picture."""
        sine, cosine = np.sin(self.angle), np.cos(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]])

    def to_picture(self, points):
        """Points [...,2] of the square, [0, 1] over its side, in pixels of the picture."""
        return self.center + (np.asarray(points, np.float64) - 0.5) * self.side @ self.rotation.T

    def is_usable(self):
        return bool(np.isfinite([*self.center, self.side, self.angle]).all()) and 1 <= self.side < 1e5

    def crop(self, image, size):
        """Sample a picture [H,W,3] uint8 in the square -> [size,size,3] uint8, zero outside of the picture.

        A picture of higher resolution than the crop is averaged down first.
        """
        step = self.side / size
        matrix = np.concatenate([step * self.rotation, self.to_picture([0.0, 0.0])[:, None]], 1)
        shrink = max(int(step), 1)
        source, first = (image, np.zeros(2)) if shrink == 1 else self._reduced(image, shrink)
        # From continuous pixels to those of the reduced part, both with the origin at the first pixel's centre.
        matrix[:, 2] = (matrix @ [0.5, 0.5, 1] - first) / shrink - 0.5
        matrix[:, :2] /= shrink
        return cv2.warpAffine(source, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)

    def _reduced(self, image, shrink):
        """The part of the picture below the square, reduced `shrink` times -> (part, its first corner [2])."""
        corners = self.to_picture([[0, 0], [1, 0], [0, 1], [1, 1]])
        limit = np.array(image.shape[1::-1])
        low = np.clip(np.floor(corners.min(0)) - shrink, 0, limit).astype(int)
        high = np.clip(np.ceil(corners.max(0)) + shrink, 0, limit).astype(int)
        if (high <= low).any():
            return np.zeros((1, 1, 3), np.uint8), low
        right, bottom = -(high - low) % shrink
        part = image[low[1]:high[1], low[0]:high[0]]
        if right or bottom:
            part = cv2.copyMakeBorder(part, 0, int(bottom), 0, int(right), cv2.BORDER_CONSTANT)
        return cv2.resize(part, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA), low

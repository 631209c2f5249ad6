"""Pixel indices and continuous coordinates.

Inside of the project a picture's first pixel covers [0, 1], so its centre is at 0.5. Formats have their own rules:
`first_pixel` is the coordinate of the first pixel's centre in a format: 0 or 1 if it counts pixels, 0.5 if it is
continuous. Readers call `to_continuous`, writers `from_continuous`. docs/data.md lists the formats.
"""
import numpy as np

PIXEL_CENTER = 0.5
COUNTED_FROM_0, COUNTED_FROM_1 = 0.0, 1.0
# OpenPose counts pixels from 0 and adds 0.5 itself (its nmsBase.cpp).
OPENPOSE_FIRST_PIXEL = PIXEL_CENTER


def to_continuous(points, first_pixel=COUNTED_FROM_0):
    """Convert a format's points [..., 2], or [..., 3 or more] with confidence third, to continuous coordinates.

    Points without confidence are not changed. Returns a new floating-point array; float32 stays float32.
    """
    return _moved(points, PIXEL_CENTER - first_pixel)


def from_continuous(points, first_pixel=COUNTED_FROM_0):
    """The inverse of `to_continuous`."""
    return _moved(points, first_pixel - PIXEL_CENTER)


def _moved(points, shift):
    points = np.asarray(points)
    points = points.astype(np.result_type(points, np.float32))
    known = points[..., 2:3] > 0 if points.shape[-1] > 2 else True
    np.add(points[..., :2], shift, out=points[..., :2], where=known)
    return points

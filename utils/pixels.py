"""Pixel indices and continuous coordinates.

Inside the project a picture's first pixel covers [0, 1], so its centre is at 0.5. Formats have rules of their own:
`first_pixel` is where the centre of the first pixel lies on a format's scale, 0 or 1 where it counts pixels, 0.5 where
it is continuous. A reader calls `to_continuous`, a writer `from_continuous`; docs/data.md lists the formats.
"""
import numpy as np

PIXEL_CENTER = 0.5
COUNTED_FROM_0, COUNTED_FROM_1 = 0.0, 1.0
# OpenPose counts pixels from 0 and adds the half itself (its nmsBase.cpp).
OPENPOSE_FIRST_PIXEL = PIXEL_CENTER


def to_continuous(points, first_pixel=COUNTED_FROM_0):
    """Points [..., 2] of a format, or [..., 3 or more] with a confidence third, in continuous pixel coordinates.

    Points without confidence stay as they are. Returns new floating-point numbers, float32 where they were.
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

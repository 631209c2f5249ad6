"""The crops of 4D-Humans' published code (HMR2.0, Goel et al., ICCV 2023): OpenCV's bilinear warp.

Its coordinates count pixels from 0 in the picture and in the crop, so the centre of the crop's first pixel is at the
corner of the box. The evaluation does not filter before reduction. The demo blurs the picture first if the box has more
than 2.2 pixels of the picture per pixel of the crop.
"""
import cv2
import numpy as np
from skimage.filters import gaussian

_BLUR_FROM = 1.1  # the demo blurs if half the reduction exceeds it
_DEVIATIONS = 4.0  # where skimage truncates its kernel


def warped_crop(image, center, scale, res, blurs=False):
    """Crop uint8 [H,W,3] to [res,res,3]: a box with centre `center` and side 200 * `scale`. Black outside the image.

    blurs: blur as the published demo does. The demo keeps fractions of grey levels; here they are rounded.
    """
    matrix = _matrix(center, 200 * scale, res)
    reduction = 200 * scale / res / 2
    if blurs and reduction > _BLUR_FROM:
        image, first = _blurred(image, np.asarray(center), 100 * scale, (reduction - 1) / 2)
        matrix[:, 2] += matrix[:, :2] @ first
    crop = cv2.warpAffine(image, matrix, (res, res), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return crop if crop.dtype == np.uint8 else np.rint(crop).astype(np.uint8)


def warped_points(points, center, scale, res):
    """Convert points [J,2] of the picture to the crop. Both count pixels from 0."""
    return (points - np.asarray(center)) * (res / (200 * scale)) + res / 2


def _matrix(center, side, res):
    """The published matrix [2,3], computed from three points in float32."""
    corners = np.array([[0, 0], [0, 0.5], [0.5, 0]])
    return cv2.getAffineTransform(np.float32(np.asarray(center) + side * corners), np.float32(res * (corners + 0.5)))


def _blurred(image, center, half, sigma):
    """The region of the image that a box needs, blurred like the whole image, float64, and its first pixel (x, y)."""
    margin = half + int(_DEVIATIONS * sigma + 0.5) + 2
    size = np.array(image.shape[1::-1])
    first, last = (np.clip(edge, 0, size).astype(int) for edge in (np.floor(center - margin), np.ceil(center + margin)))
    if (last <= first).any():
        return image.astype(np.float64), np.zeros(2)
    part = image[first[1]:last[1], first[0]:last[0]]
    return gaussian(part, sigma=sigma, channel_axis=2, preserve_range=True, truncate=_DEVIATIONS), first

"""Random flips, rotations, scales and colours, applied to image, 2D joints, 3D joints and pose together.

The image is resampled once. `crop_transform` returns one matrix for image and keypoints. Rotations are in degrees.
Positive ones turn the picture counter-clockwise, as in skimage and SPIN.
"""
from dataclasses import dataclass

import cv2
import numpy as np

from utils.keypoints import IMAGE_MEAN, IMAGE_STD, SMPL_FLIP

_LEVELS = np.arange(256, dtype=np.float32)
_MEAN = np.array(IMAGE_MEAN, np.float32)[:, None]
_STD = np.array(IMAGE_STD, np.float32)[:, None]


@dataclass(frozen=True)
class Augmentation:
    """Changes of one sample.

    flip: mirror it. rotation: degrees. scale: factor of the box. gains: of red, green and blue. shift: of the box (x,
    y), relative to its side. part: None, or the number that selects the part of the body to crop
    (`framing.part_box`). occluders: `occluders.Occluder`s to paste over the picture. photometric: None, or the seed for
    changes of colours and detail (`photometric.change`).
    """
    flip: bool = False
    rotation: float = 0.0
    scale: float = 1.0
    gains: tuple = (1.0, 1.0, 1.0)
    shift: tuple = (0.0, 0.0)
    part: float | None = None
    occluders: tuple = ()
    photometric: int | None = None

    @property
    def box_factor(self):
        """Lower bound of the crop's box relative to the person's box."""
        return self.scale if self.part is None else 0.0


def draw_augmentation(rng, cfg):
    """Draw an Augmentation with the factors of `cfg.DATA`, as SPIN's code does (arXiv 1909.12828). Shifts and crops of
    parts follow HMR2.0."""
    data = cfg.DATA
    flip = bool(rng.random() < 0.5) and data.FLIP
    gains = rng.uniform(1 - data.NOISE_FACTOR, 1 + data.NOISE_FACTOR, 3)
    rotation = float(np.clip(rng.standard_normal() * data.ROT_FACTOR, -2 * data.ROT_FACTOR, 2 * data.ROT_FACTOR))
    scale = float(np.clip(1 + rng.standard_normal() * data.SCALE_FACTOR, 1 - data.SCALE_FACTOR,
                          1 + data.SCALE_FACTOR))
    rotated = rng.random() < data.ROT_PROB
    # These are drawn last, so that the values above do not depend on them.
    shift = np.clip(rng.standard_normal(2), -1, 1) * data.SHIFT_FACTOR if data.SHIFT_FACTOR else np.zeros(2)
    cut = data.EXTREME_CROP and rng.random() < data.EXTREME_CROP
    return Augmentation(flip, rotation if rotated else 0.0, scale, tuple(gains.tolist()), tuple(shift.tolist()),
                        rng.random() if cut else None)


def crop_transform(center, scale, res, rotation=0.0, flip=False):
    """Matrix [2,3] that maps continuous pixels of the picture to those of the crop, [0, res] on both axes.

    The box has centre `center` and side 200 * `scale`. It is rotated about its centre, then mirrored.
    """
    zoom = res / (200.0 * scale)
    angle = np.deg2rad(rotation)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.array([[cos, sin], [-sin, cos]])
    if flip:
        linear[0] *= -1
    return np.column_stack([linear, res / 2 - linear @ np.asarray(center, np.float64)])


def transform_points(points, matrix):
    """Apply a [2,3] matrix to points [...,2]."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def warp_crop(image, matrix, res, reduced=1):
    """Cut the crop [res,res,3] uint8 of `matrix` (from `crop_transform`) out of an image. Black outside the image.

    The image is resampled once, bilinearly. If it shrinks by a factor of two or more, the region of the box is averaged
    first. Crop pixels whose centre is in the image are not mixed with black: the edge pixels are repeated outside.
    reduced: factor by which the image is already smaller than the picture that `matrix` is for.
    """
    matrix = matrix * np.array([reduced, reduced, 1.0])
    size = np.array([image.shape[1], image.shape[0]])
    low, high = _seen_range(matrix, res)
    first, last = (np.clip(corner, 0, size).astype(int) for corner in (np.floor(low), np.ceil(high)))
    if (last <= first).any():
        return np.zeros((res, res, 3), np.uint8)
    shrink = max(1, int(min(1 / max(np.hypot(*matrix[0, :2]), 1e-6), *(last - first))))
    region, (x, y) = _region(image, first, last, shrink)
    if shrink > 1:
        region = cv2.resize(region, (region.shape[1] // shrink, region.shape[0] // shrink),
                            interpolation=cv2.INTER_AREA)
    # A bilinear sample reads one pixel beyond the edge. This is far faster than cv2.warpAffine's replicated border.
    edge = int((low < shrink).any() or (high > size - shrink).any())
    if edge:
        region = cv2.copyMakeBorder(region, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    at_centres = matrix @ np.array([[shrink, 0, x - edge * shrink], [0, shrink, y - edge * shrink], [0, 0, 1.0]])
    at_centres[:, 2] += 0.5 * at_centres[:, :2].sum(1) - 0.5  # cv2 counts from pixel centres
    # cv2 warps four channels in less than half the time of three, with the same result.
    warped = cv2.warpAffine(cv2.cvtColor(region, cv2.COLOR_BGR2BGRA), at_centres, (res, res), flags=cv2.INTER_LINEAR)
    if (low < 0).any() or (high > size).any():
        warped.view(np.uint32)[..., 0] *= _shows_picture(matrix, res, size)  # all four bytes of a pixel
    return cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR)


def _seen_range(matrix, res):
    """Smallest and largest (x, y) of the picture in the crop."""
    corners = np.array([[0, 0], [res, 0], [0, res], [res, res]]) - matrix[:, 2]
    corners = corners @ np.linalg.inv(matrix[:, :2]).T
    return corners.min(0), corners.max(0)


def _region(image, first, last, shrink):
    """Region of an image for pixels `first` to `last` (x, y), and its first pixel.

    It has a margin of one pixel of the reduced image within the image, and its sides are multiples of `shrink`. If the
    image is too small, its edge pixels are repeated.
    """
    size = np.array([image.shape[1], image.shape[0]])
    first, last = np.maximum(first - shrink, 0), np.minimum(last + shrink, size)
    missing = -(last - first) % shrink
    before = np.minimum(missing, first)
    after = np.minimum(missing - before, size - last)
    first, last, missing = first - before, last + after, missing - before - after
    region = image[first[1]:last[1], first[0]:last[0]]
    if missing.any():
        region = cv2.copyMakeBorder(region, 0, int(missing[1]), 0, int(missing[0]), cv2.BORDER_REPLICATE)
    return region, first


def _shows_picture(matrix, res, size):
    """[res,res] bool: crop pixels whose centres are in a picture of `size` (width, height).

    They are contiguous in a row of the crop, so the first and the last one define the row.
    """
    inverse = np.linalg.inv(matrix[:, :2])
    centres = np.arange(res) + 0.5
    first, last = np.zeros(res), np.full(res, float(res))
    for (along, across), start, length in zip(inverse, inverse @ matrix[:, 2], size):
        at_row_start = across * centres - start  # the picture's coordinate; it changes by `along` per column
        if abs(along) * res < 1e-9:
            last[(at_row_start < 0) | (at_row_start >= length)] = 0
            continue
        one, other = -at_row_start / along, (length - at_row_start) / along
        first, last = np.maximum(first, np.minimum(one, other)), np.minimum(last, np.maximum(one, other))
    return (centres >= first[:, None]) & (centres < last[:, None])


def to_network_input(crop, gains=(1.0, 1.0, 1.0), is_rgb=False):
    """Convert uint8 [R,R,3] to float32 [3,R,R] RGB: multiply by gains, clip at 255, normalize as for ImageNet.

    Each channel has one look-up table for all steps.
    """
    gains = np.asarray(gains, np.float32)[:, None]
    tables = (np.minimum(_LEVELS * gains, 255.0) / 255.0 - _MEAN) / _STD
    planes = cv2.split(crop)
    out = np.empty((3, *crop.shape[:2]), np.float32)
    for channel, plane in enumerate(planes if is_rgb else planes[::-1]):
        cv2.LUT(plane, tables[channel:channel + 1], dst=out[channel])
    return out


def flip_keypoints(points, permutation):
    """Mirror points [J,C] about x = 0. permutation: swaps left and right joints."""
    points = points[permutation]
    points[:, 0] = -points[:, 0]
    return points


def rotate_points(points, rotation):
    """Rotate the first three numbers of points [J,>=3] about the camera's axis by `rotation` degrees (y is down)."""
    return turn_points(points, turn_matrix(rotation))


def turn_points(points, matrix):
    """Rotate the first three numbers of points [J,>=3] by a matrix [3,3]."""
    points = points.copy()
    points[:, :3] = points[:, :3] @ matrix.T
    return points


def flip_pose(pose):
    """Mirror an axis-angle pose [72]: swap sides, and negate rotations about y and z."""
    turned = pose.reshape(24, 3)[SMPL_FLIP] * np.array([1, -1, -1], pose.dtype)
    return turned.reshape(72)


def turn_matrix(rotation):
    """Rotation [3,3] of the camera's frame (y is down) that equals a rotation of the picture by degrees."""
    angle = np.deg2rad(-rotation)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def rotate_pose(pose, rotation):
    """Rotate an axis-angle pose [72], or a global orientation [3], about the camera's axis by degrees."""
    return turn_pose(pose, turn_matrix(rotation))


def turn_pose(pose, matrix):
    """Rotate an axis-angle pose [72], or a global orientation [3], by a rotation [3,3] of the camera's frame."""
    orient, _ = cv2.Rodrigues(pose[:3].astype(np.float64))
    pose = pose.copy()
    pose[:3] = cv2.Rodrigues(matrix @ orient)[0][:, 0]
    return pose

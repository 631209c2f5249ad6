"""Random flips, rotations, scales and colours, applied to image, 2D, 3D and pose together.

The image is resampled once. `crop_transform` gives one matrix that serves image and keypoints alike. Rotations count
in degrees; positive ones turn the picture counter-clockwise, as seen (skimage's and SPIN's direction).
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
    """What is done to one sample: mirror, rotation in degrees, factor of the box, gains of red, green and blue.

    shift: of the box, in sides (x, y). part: None, or which part of the body the box is cut to (`framing.part_box`).
    occluders: what is pasted over the picture (`occluders.Occluder`). photometric: None, or the seed of what is done to
    the crop's colours and detail (`photometric.change`).
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
        """By how much the box about to be cut is larger than the person's, at least."""
        return self.scale if self.part is None else 0.0


def draw_augmentation(rng, cfg):
    """Draw an Augmentation as SPIN does (arXiv 1909.12828, published code), with the factors of `cfg.DATA`; shifts and
    cuts to parts as HMR2.0 does."""
    data = cfg.DATA
    flip = bool(rng.random() < 0.5) and data.FLIP
    gains = rng.uniform(1 - data.NOISE_FACTOR, 1 + data.NOISE_FACTOR, 3)
    rotation = float(np.clip(rng.standard_normal() * data.ROT_FACTOR, -2 * data.ROT_FACTOR, 2 * data.ROT_FACTOR))
    scale = float(np.clip(1 + rng.standard_normal() * data.SCALE_FACTOR, 1 - data.SCALE_FACTOR,
                          1 + data.SCALE_FACTOR))
    rotated = rng.random() < data.ROT_PROB
    # Drawn last: what is drawn before does not depend on them.
    shift = np.clip(rng.standard_normal(2), -1, 1) * data.SHIFT_FACTOR if data.SHIFT_FACTOR else np.zeros(2)
    cut = data.EXTREME_CROP and rng.random() < data.EXTREME_CROP
    return Augmentation(flip, rotation if rotated else 0.0, scale, tuple(gains.tolist()), tuple(shift.tolist()),
                        rng.random() if cut else None)


def crop_transform(center, scale, res, rotation=0.0, flip=False):
    """The matrix [2,3] from the picture's continuous pixel coordinates to those of the crop, [0, res] on both axes.

    The box has its middle at `center` and side 200 * `scale`; it is turned about its middle, then mirrored.
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
    """The crop [res,res,3] uint8 that `matrix` (from `crop_transform`) takes out of an image, black outside it.

    One bilinear resampling. An image that shrinks by two or more is averaged down first, over the box only. A crop's
    pixel whose centre lies in the image shows the image alone, its edge pixels going on where a sample reads further.
    `reduced`: the image is already smaller than the one `matrix` speaks of by this factor.
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
    # A bilinear sample reads one pixel beyond the edge; cv2's own repeated border takes far longer than this one.
    edge = int((low < shrink).any() or (high > size - shrink).any())
    if edge:
        region = cv2.copyMakeBorder(region, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    at_centres = matrix @ np.array([[shrink, 0, x - edge * shrink], [0, shrink, y - edge * shrink], [0, 0, 1.0]])
    at_centres[:, 2] += 0.5 * at_centres[:, :2].sum(1) - 0.5  # cv2 counts from pixel centres
    # cv2 warps four channels in less than half the time of three, to the same values.
    warped = cv2.warpAffine(cv2.cvtColor(region, cv2.COLOR_BGR2BGRA), at_centres, (res, res), flags=cv2.INTER_LINEAR)
    if (low < 0).any() or (high > size).any():
        warped.view(np.uint32)[..., 0] *= _shows_picture(matrix, res, size)  # a pixel's four bytes at once
    return cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR)


def _seen_range(matrix, res):
    """Least and largest (x, y) of the picture that the crop sees."""
    corners = np.array([[0, 0], [res, 0], [0, res], [res, res]]) - matrix[:, 2]
    corners = corners @ np.linalg.inv(matrix[:, :2]).T
    return corners.min(0), corners.max(0)


def _region(image, first, last, shrink):
    """The part of an image that pixels `first` to `last` (x, y) need, and its first pixel.

    It has one more pixel of the reduced image on each side, where the image has it, and sides that `shrink` divides;
    where the image ends before that, its edge pixels are repeated.
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
    """[res,res] bool: the crop's pixels whose centres lie in a picture of `size` (width, height).

    In a row of the crop they follow each other, so each row has a first and a last one.
    """
    inverse = np.linalg.inv(matrix[:, :2])
    centres = np.arange(res) + 0.5
    first, last = np.zeros(res), np.full(res, float(res))
    for (along, across), start, length in zip(inverse, inverse @ matrix[:, 2], size):
        at_row_start = across * centres - start  # the picture's coordinate; it grows by `along` a column
        if abs(along) * res < 1e-9:
            last[(at_row_start < 0) | (at_row_start >= length)] = 0
            continue
        ends = np.sort([-at_row_start / along, (length - at_row_start) / along], axis=0)
        first, last = np.maximum(first, ends[0]), np.minimum(last, ends[1])
    return (centres >= first[:, None]) & (centres < last[:, None])


def to_network_input(crop, gains=(1.0, 1.0, 1.0), is_rgb=False):
    """uint8 [R,R,3] -> float32 [3,R,R] RGB, each channel times its gain, cut at white, ImageNet-normalized.

    All of that is one look-up table a channel.
    """
    gains = np.asarray(gains, np.float32)[:, None]
    tables = (np.minimum(_LEVELS * gains, 255.0) / 255.0 - _MEAN) / _STD
    planes = cv2.split(crop)
    out = np.empty((3, *crop.shape[:2]), np.float32)
    for channel, plane in enumerate(planes if is_rgb else planes[::-1]):
        cv2.LUT(plane, tables[channel:channel + 1], dst=out[channel])
    return out


def flip_keypoints(points, permutation):
    """Mirror points [J,C] about x = 0: left and right change names, x changes sign."""
    points = points[permutation]
    points[:, 0] = -points[:, 0]
    return points


def rotate_points(points, rotation):
    """Turn the first three numbers of points [J,>=3] about the camera's axis by `rotation` degrees (camera y down)."""
    return turn_points(points, turn_matrix(rotation))


def turn_points(points, matrix):
    """Turn the first three numbers of points [J,>=3] by a rotation [3,3]."""
    points = points.copy()
    points[:, :3] = points[:, :3] @ matrix.T
    return points


def flip_pose(pose):
    """Mirror an axis-angle pose [72]: sides change, and so does the sign of turns about y and z."""
    turned = pose.reshape(24, 3)[SMPL_FLIP] * np.array([1, -1, -1], pose.dtype)
    return turned.reshape(72)


def turn_matrix(rotation):
    """[3,3]: what turning the picture by `rotation` degrees does to directions in the camera's frame (y down)."""
    angle = np.deg2rad(-rotation)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def rotate_pose(pose, rotation):
    """Turn an axis-angle pose [72], or a global orientation [3], about the camera's axis by degrees."""
    return turn_pose(pose, turn_matrix(rotation))


def turn_pose(pose, matrix):
    """Turn an axis-angle pose [72], or a global orientation [3], by a rotation [3,3] of the camera's frame."""
    orient, _ = cv2.Rodrigues(pose[:3].astype(np.float64))
    pose = pose.copy()
    pose[:3] = cv2.Rodrigues(matrix @ orient)[0][:, 0]
    return pose

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
    """What is done to one sample: mirror, rotation in degrees, factor of the box, gains of red, green and blue."""
    flip: bool = False
    rotation: float = 0.0
    scale: float = 1.0
    gains: tuple = (1.0, 1.0, 1.0)


def draw_augmentation(rng, cfg):
    """Draw an Augmentation as SPIN does (arXiv 1909.12828, published code), with the factors of `cfg.DATA`."""
    data = cfg.DATA
    flip = bool(rng.random() < 0.5) and data.FLIP
    gains = rng.uniform(1 - data.NOISE_FACTOR, 1 + data.NOISE_FACTOR, 3)
    rotation = float(np.clip(rng.standard_normal() * data.ROT_FACTOR, -2 * data.ROT_FACTOR, 2 * data.ROT_FACTOR))
    scale = float(np.clip(1 + rng.standard_normal() * data.SCALE_FACTOR, 1 - data.SCALE_FACTOR,
                          1 + data.SCALE_FACTOR))
    rotated = rng.random() < data.ROT_PROB
    return Augmentation(flip, rotation if rotated else 0.0, scale, tuple(gains.tolist()))


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

    One bilinear resampling. An image that shrinks by two or more is averaged down first, over the box only.
    `reduced`: the image is already smaller than the one `matrix` speaks of by this factor.
    """
    matrix = matrix * np.array([reduced, reduced, 1.0])
    first, last = _covered_box(matrix, res, image.shape)
    if (last <= first).any():
        return np.zeros((res, res, 3), np.uint8)
    shrink = int(min(1 / max(np.hypot(*matrix[0, :2]), 1e-6), *(last - first)))
    if shrink >= 2:
        size = (last - first) // shrink
        x, y = first
        image = cv2.resize(image[y:y + size[1] * shrink, x:x + size[0] * shrink], tuple(int(s) for s in size),
                           interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.array([[shrink, 0, x], [0, shrink, y], [0, 0, 1.0]])
    else:  # a bilinear sample reads one pixel further
        (x, y), last = np.maximum(first - 1, 0), last + 1
        image = image[y:last[1], x:last[0]]
        matrix = matrix @ np.array([[1.0, 0, x], [0, 1.0, y], [0, 0, 1.0]])
    at_centres = matrix.copy()  # cv2 counts from pixel centres
    at_centres[:, 2] += 0.5 * matrix[:, :2].sum(1) - 0.5
    # cv2 warps four channels in less than half the time of three, to the same values.
    warped = cv2.warpAffine(cv2.cvtColor(image, cv2.COLOR_BGR2BGRA), at_centres, (res, res), flags=cv2.INTER_LINEAR)
    return cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR)


def _covered_box(matrix, res, shape):
    """First and one-past-last (x, y) of the image's pixels that the crop sees, empty where it sees none."""
    corners = np.array([[0, 0], [res, 0], [0, res], [res, res]]) - matrix[:, 2]
    corners = corners @ np.linalg.inv(matrix[:, :2]).T
    size = np.array([shape[1], shape[0]])
    first = np.clip(np.floor(corners.min(0)), 0, size).astype(int)
    last = np.clip(np.ceil(corners.max(0)), 0, size).astype(int)
    return first, last


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
    """Turn the x and y of points [J,>=2] about the camera's axis by `rotation` degrees (camera y down)."""
    angle = np.deg2rad(rotation)
    cos, sin = np.cos(angle), np.sin(angle)
    points = points.copy()
    x, y = points[:, 0].copy(), points[:, 1].copy()
    points[:, 0], points[:, 1] = cos * x + sin * y, cos * y - sin * x
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
    turn = turn_matrix(rotation)
    orient, _ = cv2.Rodrigues(pose[:3].astype(np.float64))
    pose = pose.copy()
    pose[:3] = cv2.Rodrigues(turn @ orient)[0][:, 0]
    return pose

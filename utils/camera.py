"""The camera of a whole picture: its focal length (the user's, else the one its file tells, else a guess from its
size), and the ray along which it sees a crop."""
import math

import cv2
import numpy as np
import torch
from PIL import Image

_EXIF_FOLDER = 0x8769
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x920A, 0xA405  # millimetres, on the sensor and on 35 mm film
_PIXELS_X, _PIXELS_Y = 0xA002, 0xA003
_PLANE_X, _PLANE_Y, _PLANE_UNIT = 0xA20E, 0xA20F, 0xA210
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}
_FILM_DIAGONAL = math.hypot(36, 24)
# As on 35 mm film: beyond these no lens is made, and a file that says so is wrong.
_SHORTEST, _LONGEST = 4.0, 3000.0
# By how much the sides' ratio may change when a picture is reduced to whole pixels.
_SAME_RATIO = 0.02
# CLIFF's scaling of a box, in focal lengths, to about [-1, 1]: of its offset, and mean and deviation of its side.
OFFSET_SCALE, BOX_MEAN, BOX_SCALE = 2.8, 0.24, 0.06


def default_focal_length(width, height):
    """sqrt(width^2 + height^2) pixels: 53 degrees from corner to corner, between a phone's view and a portrait's.

    Kissos et al. (ECCV Workshops 2020), and CLIFF (arXiv 2208.00571). Numbers, arrays or tensors.
    """
    return (width ** 2 + height ** 2) ** 0.5


def camera_matrix(width, height, focal_length=None):
    """Intrinsics [3,3] float64 of a picture: its middle is the principal point. focal_length: pixels, or None."""
    focal = focal_length_of(width, height, focal_length)
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def bbox_info(offset, side, focal_length):
    """Where a crop lies in its picture, as CLIFF's network is told (arXiv 2208.00571, section 3.3, and its code).

    offset [...,2]: from the principal point, the picture's middle where it is not known, to the box's middle; side
    [...]: of the square box; focal_length [...]: all in pixels, arrays or tensors. Returns a float32 tensor [...,3]:
    offset / f * 2.8 and (side - 0.24 f) / (0.06 f). `FullCamera.of_bbox_info` reads it back.
    """
    offset, side, focal = (torch.as_tensor(value, dtype=torch.float64) for value in (offset, side, focal_length))
    box = (side - BOX_MEAN * focal) / (BOX_SCALE * focal)
    return torch.cat([offset / focal[..., None] * OFFSET_SCALE, box[..., None]], -1).float()


def resized_bbox_info(bbox_info, factor):
    """`bbox_info` [...,3] of the box about the same middle whose side is `factor` times as long."""
    side = factor * (BOX_SCALE * bbox_info[..., 2:] + BOX_MEAN)
    return torch.cat([bbox_info[..., :2], (side - BOX_MEAN) / BOX_SCALE], -1)


def principal_point(center, bbox_info, focal_length):
    """The pixel [...,2] that the picture's camera looks at, from a box's middle [...,2] and its `bbox_info` [...,3], of
    a crop that is neither turned nor mirrored."""
    return center - bbox_info[..., :2] * (focal_length / OFFSET_SCALE)[..., None]


def look_at(point, intrinsics):
    """The least turn [3,3] after which a camera with `intrinsics` [3,3] looks at a pixel [2].

    A crop is taken for the picture of a camera that faces its middle (weak perspective): the turn takes directions in
    the picture's camera to the crop's ray.
    """
    ray = np.linalg.solve(intrinsics, np.append(point, 1.0))
    ray /= np.linalg.norm(ray)
    axis = np.cross(ray, (0, 0, 1))
    sine = np.linalg.norm(axis)
    if sine == 0:
        return np.eye(3)
    return cv2.Rodrigues(axis / sine * np.arctan2(sine, ray[2]))[0]


def focal_length_of(width, height, given=None, exif=None):
    """Pixels. given: by the user; exif: of `exif_focal_length`; None or 0 where there is none."""
    return float(given or exif or default_focal_length(width, height))


def exif_focal_length(path, width, height):
    """Focal length in pixels of a picture, `width` x `height`, from its EXIF tags; None without any.

    path: of the file, or a stream of its content.

    FocalLengthIn35mmFilm counts first. It is the angle of view along the diagonal (CIPA DCG-001), so
    f = f35 * diagonal / 43.27 mm. Else FocalLength and FocalPlaneXResolution, for a picture that was reduced too. A
    picture that was cut after it was taken has lost its camera's middle: None.
    """
    try:
        with Image.open(path) as image:
            tags = dict(image.getexif().get_ifd(_EXIF_FOLDER))
    except Exception:  # Pillow raises many kinds on broken files and tags; such a file tells nothing
        return None
    taken = sorted(_positive(tags.get(tag)) or 0 for tag in (_PIXELS_X, _PIXELS_Y))
    shown = sorted((width, height))
    if taken[0] and abs(taken[0] / taken[1] * shown[1] / shown[0] - 1) > _SAME_RATIO:
        return None
    diagonal = math.hypot(width, height)
    on_film = _positive(tags.get(_FOCAL_LENGTH_35MM))
    if on_film is None:
        pixels = _on_the_sensor(tags)
        reduced = shown[1] / taken[1] if taken[1] else 1.0
        on_film = pixels and pixels * reduced / diagonal * _FILM_DIAGONAL
    if on_film is None or not _SHORTEST <= on_film <= _LONGEST:
        return None
    return on_film / _FILM_DIAGONAL * diagonal


def _on_the_sensor(tags):
    """Focal length in pixels of the picture as it was taken, or None."""
    length, unit = _positive(tags.get(_FOCAL_LENGTH)), _UNIT_MM.get(tags.get(_PLANE_UNIT, 2))
    per_unit = _positive(tags.get(_PLANE_X)) or _positive(tags.get(_PLANE_Y))
    return length * per_unit / unit if length and per_unit and unit else None


def _positive(value):
    """A tag as a number, or None: 0 stands for unknown, and rationals may be 0/0."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None

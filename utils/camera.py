"""The camera of a full picture: its focal length (the user's, else the file's, else a guess from the size), and the ray
through a crop's middle."""
import math

import numpy as np
import torch
from PIL import Image

_EXIF_FOLDER = 0x8769
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x920A, 0xA405  # in millimetres: of the lens, and the equivalent on 35 mm film
_PIXELS_X, _PIXELS_Y = 0xA002, 0xA003
_PLANE_X, _PLANE_Y, _PLANE_UNIT = 0xA20E, 0xA20F, 0xA210
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}
_FILM_DIAGONAL = math.hypot(36, 24)
# Range of 35 mm equivalents. No lens is outside of it, so such a file is wrong.
_SHORTEST, _LONGEST = 4.0, 3000.0
# Change of the aspect ratio that is tolerated, because reduced pictures have whole pixels.
_SAME_RATIO = 0.02
# CLIFF's scaling of a box, in focal lengths, to about [-1, 1]: factor on the offset, mean and deviation of the side.
OFFSET_SCALE, BOX_MEAN, BOX_SCALE = 2.8, 0.24, 0.06


def default_focal_length(width, height):
    """sqrt(width^2 + height^2) pixels: 53 degrees from corner to corner, between a phone's view and a portrait's.

    Kissos et al. (ECCV Workshops 2020), and CLIFF (arXiv 2208.00571). Numbers, arrays or tensors.
    """
    return (width ** 2 + height ** 2) ** 0.5


def camera_matrix(width, height, focal_length=None):
    """Intrinsics [3,3] float64 of a picture; the principal point is its middle. focal_length: pixels, or None."""
    focal = focal_length_of(width, height, focal_length)
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def bbox_info(offset, side, focal_length):
    """A crop's place in its picture, as CLIFF's network input (arXiv 2208.00571, section 3.3, and its code).

    offset [...,2]: from the principal point (if unknown, the picture's middle) to the box's middle; side [...]: of the
    square box; focal_length [...]. All are in pixels, as arrays or tensors. Returns a float32 tensor [...,3]:
    offset / f * 2.8 and (side - 0.24 f) / (0.06 f). `FullCamera.of_bbox_info` is the inverse.
    """
    given = offset, side, focal_length
    in_torch = any(torch.is_tensor(value) for value in given)  # numpy is far faster for one sample
    offset, side, focal = (torch.as_tensor(value, dtype=torch.float64) if in_torch else np.asarray(value, np.float64)
                           for value in given)
    box = (side - BOX_MEAN * focal) / (BOX_SCALE * focal)
    parts = offset / focal[..., None] * OFFSET_SCALE, box[..., None]
    return torch.cat(parts, -1).float() if in_torch else torch.from_numpy(np.concatenate(parts, -1)).float()


def resized_bbox_info(bbox_info, factor):
    """`bbox_info` [...,3] of the box with the same middle and `factor` times the side."""
    side = factor * (BOX_SCALE * bbox_info[..., 2:] + BOX_MEAN)
    return torch.cat([bbox_info[..., :2], (side - BOX_MEAN) / BOX_SCALE], -1)


def principal_point(center, bbox_info, focal_length):
    """The principal point [...,2] in pixels, from a box's middle [...,2] and its `bbox_info` [...,3]. The crop must be
    neither rotated nor mirrored."""
    return center - bbox_info[..., :2] * (focal_length / OFFSET_SCALE)[..., None]


def look_at(point, intrinsics):
    """The smallest rotation [3,3] that turns a camera with `intrinsics` [3,3] to look at a pixel [2].

    intrinsics: upper triangular, with last row (0, 0, 1).

    A crop is treated as the picture of a camera that looks at its middle (weak perspective). The rotation maps
    directions in the picture's camera to that camera.
    """
    (focal_x, skew, middle_x), (_, focal_y, middle_y), _ = np.asarray(intrinsics, float).tolist()
    y = (float(point[1]) - middle_y) / focal_y
    x = (float(point[0]) - middle_x - skew * y) / focal_x
    length = math.sqrt(x * x + y * y + 1)
    x, y, z = x / length, y / length, 1 / length
    # Rodrigues' formula about the cross product of (x, y, z) and the optical axis, (y, -x, 0), without angles.
    across = -x * y / (1 + z)
    return np.array([[z + y * y / (1 + z), across, -x], [across, z + x * x / (1 + z), -y], [x, y, z]])


def focal_length_of(width, height, given=None, exif=None):
    """Focal length in pixels. given: the user's; exif: from `exif_focal_length`; None or 0 if there is none."""
    return float(given or exif or default_focal_length(width, height))


def exif_focal_length(path, width, height):
    """Focal length in pixels of a picture of `width` x `height`, from its EXIF tags, or None.

    path: of the file, or a stream of its content.

    FocalLengthIn35mmFilm is used first. It is the angle of view along the diagonal (CIPA DCG-001), so
    f = f35 * diagonal / 43.27 mm. Otherwise FocalLength and FocalPlaneXResolution are used, also for a reduced picture.
    For a cropped picture the result is None, because its principal point is unknown.
    """
    try:
        with Image.open(path) as image:
            tags = dict(image.getexif().get_ifd(_EXIF_FOLDER))
    except Exception:  # Pillow raises many kinds on broken files and tags
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
    """Focal length in pixels of the original picture, or None."""
    length, unit = _positive(tags.get(_FOCAL_LENGTH)), _UNIT_MM.get(tags.get(_PLANE_UNIT, 2))
    per_unit = _positive(tags.get(_PLANE_X)) or _positive(tags.get(_PLANE_Y))
    return length * per_unit / unit if length and per_unit and unit else None


def _positive(value):
    """A tag as a positive number, or None. 0 means unknown, and rationals may be 0/0."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None

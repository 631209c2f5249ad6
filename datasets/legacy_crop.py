"""The crops of SPIN's, DaNet's, PyMAF's, Multi-SPIN's and 4D-Humans' published code, bit for bit.

The outside is black. All except 4D-Humans' truncate corners to whole pixels. They rotate and resize differently:

- 'pil_bicubic' (PyMAF): skimage's rotation and Pillow's bicubic resizing.
- 'imresize_bilinear' (SPIN and DaNet): imrotate and imresize of scipy 1.0.0. These stretch the contrast of an array of
  floats, so that its minimum is black and its maximum is white. Then Pillow's bilinear resizing.
- 'skimage_bilinear' (Multi-SPIN): skimage's resize, here rounded to whole grey levels.
- 'cv2_bilinear' (4D-Humans): `warped_crop`.

Published errors were measured on such crops, so evaluation of published weights uses the crop of their source. Training
uses `augmentation.warp_crop`.
"""
import numpy as np
from PIL import Image
from skimage.transform import resize as skimage_resize
from skimage.transform import rotate as skimage_rotate

from datasets.warped_crop import warped_crop, warped_points
from utils.errors import BadConfig, BadFile
from utils.pixels import PIXEL_CENTER

RESIZES = ('pil_bicubic', 'imresize_bilinear', 'skimage_bilinear', 'cv2_bilinear')
WARPED = 'cv2_bilinear'  # the only one without truncation to whole pixels
# Pixels. The published crop copies the whole box before resizing, so its memory grows with the box.
_LARGEST_SIDE = 20000


def legacy_crop(image, center, scale, res, rotation=0.0, resize='pil_bicubic', of_demo=False):
    """Crop uint8 [H,W,3] to [res,res,3]: a box with centre `center` and side 200 * `scale`, rotated counter-clockwise.

    resize: one of RESIZES. The crop is black if the box is outside the image or, with 'imresize_bilinear', if it has a
    single colour. of_demo: crop as in the published demo, if that differs. Raises BadConfig for an unknown `resize`,
    and BadFile for a box of more than 20,000 pixels.
    """
    if resize not in RESIZES:
        raise BadConfig(f'DATA.LEGACY_CROP_RESIZE is {resize!r}; use one of {", ".join(RESIZES)}')
    if resize == WARPED and not rotation:
        return warped_crop(image, center, scale, res, blurs=of_demo)
    if 200 * scale > _LARGEST_SIDE:
        raise BadFile(f'a box of {200 * scale:g} pixels is too large for the published crop')
    first, last = legacy_box(center, scale, res)
    last = np.maximum(last, first + 1)
    margin = int(np.linalg.norm(last - first) / 2 - float(last[1] - first[1]) / 2) if rotation else 0
    window = _window(image, first - margin, last + margin)
    if resize == 'imresize_bilinear':
        window = _stretched(window)
    if rotation:
        window = _rotated(window, rotation, resize)
        window = window[margin:len(window) - margin, margin:window.shape[1] - margin]
    if resize == 'skimage_bilinear':
        return np.rint(skimage_resize(window.astype(np.float64), (res, res))).astype(np.uint8)
    filters = {'pil_bicubic': Image.BICUBIC, 'imresize_bilinear': Image.BILINEAR}
    return np.array(Image.fromarray(window).resize((res, res), filters[resize]))


def _stretched(window):
    """scipy's bytescale: map the minimum to 0 and the maximum to 255, rounding halves up."""
    low, high = float(window.min()), float(window.max())
    return ((window - low) * (255.0 / (high - low or 1.0)) + 0.5).astype(np.uint8)


def _rotated(window, rotation, resize):
    if resize == 'imresize_bilinear':
        return np.array(Image.fromarray(window).rotate(rotation, resample=Image.BILINEAR))
    if resize == 'pil_bicubic':
        return skimage_rotate(window.astype(np.float64), rotation).astype(np.uint8)
    raise ValueError(f'{resize} does not support rotation')


def legacy_square(center, scale, res, resize):
    """Centre [2] and side of the square that the published code crops, in continuous pixels of the picture."""
    if resize == WARPED:
        return np.asarray(center) + PIXEL_CENTER, 200.0 * scale
    first, last = legacy_box(center, scale, res)
    return (first + last) / 2, float(last[0] - first[0])


def legacy_box(center, scale, res):
    """First pixel (x, y) of the published crop in the picture, and the one after the last."""
    to_picture = np.linalg.inv(_transform(center, scale, res))
    return _truncated(to_picture, [[0.0, 0.0]])[0], _truncated(to_picture, [[res, res]])[0]


def legacy_transform_points(points, center, scale, res, rotation=0.0, resize='pil_bicubic'):
    """Crop coordinates of points [J,2]. As in the published code they are truncated to whole pixels and shifted by one,
    except for 4D-Humans."""
    if resize == WARPED and not rotation:
        return warped_points(points, center, scale, res)
    return _truncated(_transform(center, scale, res, rotation), points) + 1


def _transform(center, scale, res, rotation=0.0):
    """The published 3x3 matrix. The order of operations determines how corners near whole numbers are truncated."""
    side = 200 * scale
    matrix = np.zeros((3, 3))
    matrix[0, 0] = matrix[1, 1] = float(res) / side
    matrix[:2, 2] = [res * (-float(c) / side + .5) for c in center]
    matrix[2, 2] = 1
    if rotation:
        angle = -rotation * np.pi / 180
        turn, there, back = np.eye(3), np.eye(3), np.eye(3)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        there[:2, 2] = -res / 2
        back[:2, 2] = res / 2
        matrix = back @ (turn @ (there @ matrix))
    return matrix


def _truncated(matrix, points):
    """Apply a 3x3 matrix to points [J,2] and truncate towards zero."""
    points = np.asarray(points, np.float64)
    return np.stack([(matrix @ np.array([x, y, 1.0]))[:2].astype(int) for x, y in points])


def _window(image, first, last):
    """The window from first to last (x, y) of the image. Black outside the image."""
    size = np.array([image.shape[1], image.shape[0]])
    window = np.zeros((last[1] - first[1], last[0] - first[0], 3), np.uint8)
    (x0, y0), (x1, y1) = np.maximum(first, 0), np.minimum(last, size)
    if x1 > x0 and y1 > y0:
        window[y0 - first[1]:y1 - first[1], x0 - first[0]:x1 - first[0]] = image[y0:y1, x0:x1]
    return window

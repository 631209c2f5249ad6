"""From the camera of a crop to the one camera of the whole picture.

A network sees a square crop through a camera of 5000 px per 224 px. The whole picture gets one focal length, by default
5000 px per 224 px of its longer side, and its middle as principal point; each person is moved to where the body's
joints fall on the same pixels. Two cameras never agree exactly: what remains is less the longer the focal length.
"""
import torch

from utils.geometry import NORMALIZED_FOCAL, estimate_translation, perspective_projection
from utils.keypoints import FOCAL_LENGTH

_NEAREST = 0.05


def default_focal_length(width, height):
    """Pixels: 5000 / 224 of the longer side."""
    return FOCAL_LENGTH / 224.0 * max(width, height)


def crop_to_picture(keypoints_2d, center, side):
    """Keypoints [N,J,2] in [-1, 1] over crops -> pixels. center: [N,2], side: [N] of the crops in the picture."""
    return center[:, None] + keypoints_2d * (side / 2)[:, None, None]


def place_in_picture(joints, pixels, focal_length, width, height):
    """Translation [N,3] in metres that best projects joints [N,49,3] onto pixels [N,49,2] of the whole picture."""
    middle = pixels.new_tensor([width / 2, height / 2])
    # `estimate_translation` counts in units in which the focal length is NORMALIZED_FOCAL.
    targets = (pixels - middle) * (NORMALIZED_FOCAL / focal_length)
    translation = estimate_translation(joints, torch.cat([targets, torch.ones_like(targets[..., :1])], -1))
    return torch.cat([translation[:, :2], translation[:, 2:].clamp(min=_NEAREST)], -1)


def project_to_picture(joints, translation, focal_length, width, height):
    """Pixels [N,J,2] of joints [N,J,3] seen by the whole picture's camera."""
    middle = translation.new_tensor([[width / 2, height / 2]]).expand(len(joints), -1)
    return perspective_projection(joints, translation, focal_length, middle)

"""From the camera of a crop to the camera of the full picture.

A network sees a square crop through a camera with 5000 px of focal length per 224 px, which looks straight at the
crop. The full picture has its own focal length (`Focus`) and its middle as principal point. `bodies_in_picture` turns
an estimate by the angle at which the picture's camera sees the crop's middle, and translates it so that its joints
project to the same pixels. The remaining difference comes from the ratio of the focal lengths: near people show more
perspective in the picture than in the crop's camera.
"""
import math
from dataclasses import dataclass

import torch

from utils.camera import bbox_info, focal_length_of
from utils.errors import BadConfig
from utils.full_camera import ray_rotation
from utils.geometry import (
    NORMALIZED_FOCAL,
    estimate_translation,
    perspective_projection,
    turn_about,
    turn_root,
)

_NEAREST = 0.05


class Focus:
    """The focal length of each picture in pixels: `fixed` (the user's), else the one in its file, else that of
    `utils.camera.default_focal_length`. fixed: pixels; 0 for none. Raises BadConfig."""

    def __init__(self, fixed=0.0):
        if not 0 <= fixed < math.inf:
            raise BadConfig(f'--focal_length is {fixed:g}; it must be above 0 pixels')
        self._fixed = fixed

    def __call__(self, frame):
        height, width = frame.image.shape[:2]
        return focal_length_of(width, height, self._fixed, frame.focal_length)


@dataclass(frozen=True)
class Crops:
    """The places of N crops in their pictures, in pixels: center [N,2] and side [N] of the square; focal_length [N] and
    size [N,2] (width, height) of the picture."""
    center: torch.Tensor
    side: torch.Tensor
    focal_length: torch.Tensor
    size: torch.Tensor

    @classmethod
    def of(cls, center, side, focal_length, size):
        """From lists or arrays."""
        return cls(*(torch.as_tensor(value, dtype=torch.float32) for value in (center, side, focal_length, size)))

    @property
    def middle(self):
        """[N,2] the principal points."""
        return self.size / 2

    def entries(self):
        """{name: tensor} as in a batch (docs/architecture.md): the inputs of networks that use the crop's place."""
        return {'center': self.center, 'scale': self.side / 200, 'orig_shape': self.size.flip(-1),
                'focal_length': self.focal_length,
                'bbox_info': bbox_info(self.center - self.middle, self.side, self.focal_length)}


@dataclass(frozen=True)
class Placed:
    """N bodies in the cameras of their pictures: rotmat [N,24,3,3]; joints [N,49,3] metres, before `translation` [N,3];
    keypoints_2d [N,49,2], the projected joints in pixels."""
    rotmat: torch.Tensor
    joints: torch.Tensor
    translation: torch.Tensor
    keypoints_2d: torch.Tensor
    _turn: torch.Tensor
    _pivot: torch.Tensor

    def turned(self, points):
        """Turn further points [N,P,3] of the bodies, such as vertices, from the crops' cameras to the pictures'."""
        return turn_about(points, self._pivot, self._turn)


def bodies_in_picture(rotmat, joints, pivot, keypoints_2d, crops, frame='crop'):
    """Estimates in crops -> Placed.

    rotmat [N,24,3,3]; joints [N,49,3] metres; pivot [N,3] the root joint, about which the body turns; keypoints_2d
    [N,49,2] projected joints in the crop, in [-1, 1]; crops: Crops. frame: `Regressor.camera_frame`, the frame of the
    root's rotation: along the crop's ray ('crop'), or the picture's camera ('picture').
    """
    turn = ray_rotation((crops.center - crops.middle) / crops.focal_length[:, None])
    if frame == 'picture':
        turn = torch.eye(3).expand_as(turn)
    turned = turn_about(joints, pivot, turn)
    wanted = crop_to_picture(keypoints_2d, crops.center, crops.side)
    translation = place_in_picture(turned, wanted, crops.focal_length, crops.middle)
    seen = project_to_picture(turned, translation, crops.focal_length, crops.middle)
    return Placed(turn_root(rotmat, turn), turned, translation, seen, turn, pivot)


def crop_to_picture(keypoints_2d, center, side):
    """Keypoints [N,J,2] in [-1, 1] over crops -> pixels. center: [N,2], side: [N] of the crops in the picture."""
    return center[:, None] + keypoints_2d * (side / 2)[:, None, None]


def place_in_picture(joints, pixels, focal_length, middle):
    """Translation [N,3] in metres that best projects joints [N,49,3] onto pixels [N,49,2].

    focal_length: pixels, [N] or one number; middle: [N,2].
    """
    # `estimate_translation` uses units in which the focal length is NORMALIZED_FOCAL.
    unit = NORMALIZED_FOCAL / torch.as_tensor(focal_length, dtype=pixels.dtype).reshape(-1, 1, 1)
    targets = (pixels - middle[:, None]) * unit
    translation = estimate_translation(joints, torch.cat([targets, torch.ones_like(targets[..., :1])], -1))
    return torch.cat([translation[:, :2], translation[:, 2:].clamp(min=_NEAREST)], -1)


def project_to_picture(joints, translation, focal_length, middle):
    """Project joints [N,J,3] into the full picture -> pixels [N,J,2]. middle: [N,2]."""
    return perspective_projection(joints, translation, focal_length, middle)


def middle_of(images):
    """[N,2] float32: the middle of pictures [H,W,3], in pixels."""
    return torch.tensor([[image.shape[1] / 2, image.shape[0] / 2] for image in images])

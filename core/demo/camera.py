"""From the camera of a crop to the camera of the whole picture.

A network sees a square crop, straight ahead, through a camera of 5000 px per 224 px. The whole picture has a focal
length of its own (`Focus`), and its middle is the principal point. `bodies_in_picture` is the one place where an
estimate in the crop becomes a body in the picture's camera: turned by the angle at which that camera sees the crop's
middle, and moved to where the joints fall on the same pixels. What remains between the two cameras comes from the ratio
of their focal lengths: the nearer the person, the more perspective the picture shows and the crop's camera does not.
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
    """The focal length of each picture in pixels: `fixed` (the user's), else what its file tells, else the guess of
    `utils.camera.default_focal_length`. fixed: pixels; 0 for none. Raises BadConfig."""

    def __init__(self, fixed=0.0):
        if not 0 <= fixed < math.inf:
            raise BadConfig(f'--focal_length is {fixed:g}; it wants pixels above 0')
        self._fixed = fixed

    def __call__(self, frame):
        height, width = frame.image.shape[:2]
        return focal_length_of(width, height, self._fixed, frame.focal_length)


@dataclass(frozen=True)
class Crops:
    """What N crops are of their pictures, all in pixels: center [N,2] and side [N] of the square in the picture;
    focal_length [N] and size [N,2] (width, height) of the picture."""
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
        """{name: tensor} as in a batch (docs/architecture.md): what a network may be told of its crops."""
        return {'center': self.center, 'scale': self.side / 200, 'orig_shape': self.size.flip(-1),
                'focal_length': self.focal_length,
                'bbox_info': bbox_info(self.center - self.middle, self.side, self.focal_length)}


@dataclass(frozen=True)
class Placed:
    """N bodies in the cameras of their pictures: rotmat [N,24,3,3]; joints [N,49,3] metres, before `translation` [N,3];
    keypoints_2d [N,49,2], where the picture's camera sees the joints, in pixels."""
    rotmat: torch.Tensor
    joints: torch.Tensor
    translation: torch.Tensor
    keypoints_2d: torch.Tensor
    _turn: torch.Tensor
    _pivot: torch.Tensor

    def turned(self, points):
        """Points [N,P,3] of the bodies as the crops show them, vertices say -> as the pictures do."""
        return turn_about(points, self._pivot, self._turn)


def bodies_in_picture(rotmat, joints, pivot, keypoints_2d, crops, frame='crop'):
    """Estimates in crops -> Placed.

    rotmat [N,24,3,3]; joints [N,49,3] metres; pivot [N,3] the root joint, about which the body turns; keypoints_2d
    [N,49,2] where the estimate sees the joints in the crop, in [-1, 1]; crops: Crops. frame: `Regressor.camera_frame`,
    whether the root's rotation is that seen along the crop's ray ('crop'), or in the picture's camera ('picture').
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
    # `estimate_translation` counts in units in which the focal length is NORMALIZED_FOCAL.
    unit = NORMALIZED_FOCAL / torch.as_tensor(focal_length, dtype=pixels.dtype).reshape(-1, 1, 1)
    targets = (pixels - middle[:, None]) * unit
    translation = estimate_translation(joints, torch.cat([targets, torch.ones_like(targets[..., :1])], -1))
    return torch.cat([translation[:, :2], translation[:, 2:].clamp(min=_NEAREST)], -1)


def project_to_picture(joints, translation, focal_length, middle):
    """Pixels [N,J,2] of joints [N,J,3] seen by the whole picture's camera. middle: [N,2]."""
    return perspective_projection(joints, translation, focal_length, middle)


def middle_of(images):
    """[N,2] float32: the middle of pictures [H,W,3], in pixels."""
    return torch.tensor([[image.shape[1] / 2, image.shape[0] / 2] for image in images])

"""From the camera of a crop to the one camera of the whole picture.

A network sees a square crop, straight ahead, through a camera of 5000 px per 224 px. The whole picture has one focal
length, and its middle is the principal point. Each person is turned by the angle at which the whole picture's camera
sees the crop's middle, and moved to where the joints fall on the same pixels. What remains between the two cameras
comes from the ratio of their focal lengths alone, and is small as long as the whole picture's is not much the shorter
(docs/demo.md has figures).
"""
import roma
import torch

from utils.geometry import NORMALIZED_FOCAL, estimate_translation, perspective_projection
from utils.keypoints import FOCAL_LENGTH

_NEAREST = 0.05


class Focus:
    """The focal length of a run, decided once: `fixed`, or by the first picture that shows people.

    Then it is 5000 / 224 of the largest crop's side, or of half the picture's longer side where that is more: for a
    lone person both cameras agree, and nobody who comes nearer later has much the longer focal length.
    """

    def __init__(self, fixed=None):
        self.value = fixed or None

    def __call__(self, people):
        """people: [(picture [H,W,3], PersonBox)] -> pixels, or None as long as there was nobody."""
        if self.value is None and people:
            self.value = default_focal_length(*people[0][0].shape[1::-1], [person.side for _, person in people])
        return self.value


def default_focal_length(width, height, sides=()):
    """Pixels, for a picture in which crops of these sides are seen."""
    return FOCAL_LENGTH / 224.0 * max([max(width, height) / 2, *sides])


def ray_rotation(center, focal_length, middle):
    """Rotations [N,3,3] from straight ahead to the rays through pixels `center` [N,2]. middle: [N,2] of the pictures.
    """
    offset = (center - middle) / focal_length
    axis = torch.stack([-offset[:, 1], offset[:, 0], torch.zeros_like(offset[:, 0])], -1)
    length = axis.norm(dim=-1, keepdim=True)
    return roma.rotvec_to_rotmat(axis / length.clamp(min=1e-12) * torch.atan(length))


def crop_to_picture(keypoints_2d, center, side):
    """Keypoints [N,J,2] in [-1, 1] over crops -> pixels. center: [N,2], side: [N] of the crops in the picture."""
    return center[:, None] + keypoints_2d * (side / 2)[:, None, None]


def place_in_picture(joints, pixels, focal_length, middle):
    """Translation [N,3] in metres that best projects joints [N,49,3] onto pixels [N,49,2]. middle: [N,2]."""
    # `estimate_translation` counts in units in which the focal length is NORMALIZED_FOCAL.
    targets = (pixels - middle[:, None]) * (NORMALIZED_FOCAL / focal_length)
    translation = estimate_translation(joints, torch.cat([targets, torch.ones_like(targets[..., :1])], -1))
    return torch.cat([translation[:, :2], translation[:, 2:].clamp(min=_NEAREST)], -1)


def project_to_picture(joints, translation, focal_length, middle):
    """Pixels [N,J,2] of joints [N,J,3] seen by the whole picture's camera. middle: [N,2]."""
    return perspective_projection(joints, translation, focal_length, middle)


def middle_of(images):
    """[N,2] float32: the middle of pictures [H,W,3], in pixels."""
    return torch.tensor([[image.shape[1] / 2, image.shape[0] / 2] for image in images])

"""The cameras of full pictures, in units of their crops."""
from dataclasses import dataclass

import roma
import torch

from utils.camera import BOX_MEAN, BOX_SCALE, OFFSET_SCALE

_TINY = 1e-9


@dataclass(frozen=True)
class FullCamera:
    """The picture's cameras of B crops. The unit is half a side of the crop, so no function needs pixels.

    focal [B]: focal length; offset [B,2]: from the principal point to the crop's middle. A rotated or mirrored crop
    belongs to the picture that was rotated about its principal point and mirrored.
    """
    focal: torch.Tensor
    offset: torch.Tensor

    @classmethod
    def of_bbox_info(cls, bbox_info):
        """The cameras described by `utils.camera.bbox_info` [B,3]."""
        bbox_info = bbox_info.float()
        focal = 2 / (BOX_SCALE * bbox_info[:, 2] + BOX_MEAN)
        return cls(focal, bbox_info[:, :2] * (focal / OFFSET_SCALE)[:, None])

    @classmethod
    def facing(cls, batch, focal, device=None):
        """Cameras that look at the middles of `batch` crops, with one focal length."""
        return cls(torch.full((batch,), focal, device=device), torch.zeros(batch, 2, device=device))

    def translation(self, camera):
        """Weak-perspective cameras in the crop [B,3] (s, tx, ty) -> translations [B,3] in metres in the picture's
        camera: (tx + x / s, ty + y / s, f / s), with offset (x, y) (CLIFF, arXiv 2208.00571, equation 5)."""
        scale = camera[:, :1] + _TINY
        return torch.cat([camera[:, 1:] + self.offset / scale, self.focal[:, None] / scale], -1)

    def camera(self, translation):
        """The inverse of `translation`."""
        scale = self.focal[:, None] / translation[:, 2:]
        return torch.cat([scale, translation[:, :2] - self.offset / scale], -1)

    def project(self, points, camera):
        """Project points [B,N,3] in metres with the picture's camera into the crop: [B,N,2] in [-1, 1]."""
        points = points + self.translation(camera)[:, None]
        return self.focal[:, None, None] * points[..., :2] / points[..., 2:] - self.offset[:, None]

    def slopes(self, keypoints_2d):
        """Slopes x / z and y / z [B,N,2] of the rays through points of the crop [B,N,2] in [-1, 1]."""
        return (keypoints_2d + self.offset[:, None]) / self.focal[:, None, None]

    def ray_rotation(self):
        """[B,3,3]: from the frame along the crop's ray to the frame of the picture's camera."""
        return ray_rotation(self.offset / self.focal[:, None])

    def select(self, index):
        """The cameras of some crops (a slice, index or mask)."""
        return FullCamera(self.focal[index], self.offset[index])

    def to(self, device):
        return FullCamera(self.focal.to(device), self.offset.to(device))


def ray_rotation(slopes):
    """The smallest rotations [N,3,3] from straight ahead to rays with slopes x / z, y / z [N,2]."""
    axis = torch.stack([-slopes[:, 1], slopes[:, 0], torch.zeros_like(slopes[:, 0])], -1)
    length = axis.norm(dim=-1, keepdim=True)
    return roma.rotvec_to_rotmat(axis / length.clamp(min=1e-12) * torch.atan(length))

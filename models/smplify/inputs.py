"""Inputs of a fit: made finite, given a view axis, and checked for how much of the body they show."""
from dataclasses import dataclass

import torch

from utils.device_constants import on_device
from utils.geometry import camera_to_translation
from utils.keypoints import JOINT_NAMES

_LIMBS = [f'{side}_{name}' for side in ('left', 'right')
          for name in ('ankle', 'knee', 'hip', 'wrist', 'elbow', 'shoulder')]
# Indices of the 12 limb joints: OpenPose's and the annotated one.
LIMB_JOINTS = tuple((JOINT_NAMES.index(f'openpose_{name}'), JOINT_NAMES.index(name)) for name in _LIMBS)
NUM_JOINTS = len(JOINT_NAMES)


@dataclass(frozen=True)
class FitInputs:
    """Finite inputs with a view axis: orient axis-angle [B,n,3], body_pose [B,69], betas [B,10], translation [B,n,3],
    center [B,n,2], keypoints_2d [B,n,49,3]; usable [B]: pose and betas were finite as given."""
    orient: torch.Tensor
    body_pose: torch.Tensor
    betas: torch.Tensor
    translation: torch.Tensor
    center: torch.Tensor
    keypoints_2d: torch.Tensor
    usable: torch.Tensor


def clean_inputs(pose, betas, cam_t, camera_center, keypoints_2d):
    """New tensors from the arguments of SMPLify. The arguments are not changed.

    Keypoints that are not finite lose their confidence. Confidence is clipped to [0, 1000]. Poses and betas that are
    not finite become zero. Cameras that are not finite or behind the body become the camera (0.9, 0, 0).
    Raises ValueError for shapes that do not match.
    """
    if keypoints_2d.shape[-2:] != (NUM_JOINTS, 3) or keypoints_2d.dim() not in (3, 4):
        raise ValueError(f'keypoints_2d has shape {list(keypoints_2d.shape)}, expected [B,49,3] or [B,n_views,49,3]')
    keypoints = keypoints_2d.detach().float()
    keypoints = keypoints.unsqueeze(1) if keypoints.dim() == 3 else keypoints
    batch, views = keypoints.shape[:2]
    pose = _with_views(pose, 'pose', 72, batch, views)
    center = _with_views(camera_center, 'camera_center', 2, batch, views)
    translation = _with_views(cam_t, 'cam_t', 3, batch, views)
    betas = betas.detach().float()
    if betas.shape != (batch, 10):
        raise ValueError(f'betas has shape {list(betas.shape)}, expected [{batch},10]')
    good = torch.isfinite(translation).all(-1, keepdim=True) & (translation[..., 2:] > 0)
    fallback = camera_to_translation(on_device((0.9, 0.0, 0.0), translation.device))
    usable = torch.isfinite(pose).flatten(1).all(1) & torch.isfinite(betas).all(1)
    pose = torch.where(usable[:, None, None], pose, 0.0)
    return FitInputs(pose[..., :3], pose[:, 0, 3:], torch.where(usable[:, None], betas, 0.0),
                     torch.where(good, translation, fallback), center, _finite_keypoints(keypoints), usable)


def _with_views(value, name, size, batch, views):
    """[B,size] or [B,n,size] -> [B,n,size]"""
    value = value.detach().float()
    if value.dim() == 2:
        value = value.unsqueeze(1).expand(-1, views, -1)
    if value.shape != (batch, views, size):
        raise ValueError(f'{name} has shape {list(value.shape)}, expected [{batch},{size}] or [{batch},{views},{size}]')
    return value


def _finite_keypoints(keypoints):
    finite = torch.isfinite(keypoints).all(-1, keepdim=True)
    keypoints = torch.where(finite, keypoints, 0.0)
    return torch.cat([keypoints[..., :2], keypoints[..., 2:].clamp(0, 1e3)], -1)


def limb_joints_seen(keypoints_2d, camera_center):
    """[B]: how many of the 12 limb joints have a keypoint inside the picture in at least one view.

    keypoints_2d [B,n,49,3] pixels; camera_center [B,n,2], the middle of the picture. NaN is not seen.
    """
    inside = ((keypoints_2d[..., :2] >= 0) & (keypoints_2d[..., :2] <= 2 * camera_center.unsqueeze(2))).all(-1)
    seen = inside & (keypoints_2d[..., 2] > 0)
    return seen[..., on_device(LIMB_JOINTS, seen.device)].any(-1).any(1).sum(-1)

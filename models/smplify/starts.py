"""Starts of fits when only keypoints are known: headings, distances, the torso's orientation."""
import numpy as np
import torch

from models.smplify.inputs import LIMB_JOINTS
from utils.geometry import axis_angle_to_rotmat
from utils.keypoints import JOINT_NAMES

# The direction that a person faces is unknown. The mean pose is turned about the vertical by each angle and fitted.
HEADINGS = (0.0, 0.5 * np.pi, np.pi, 1.5 * np.pi)

_LIMBS = (('ankle', 'knee'), ('knee', 'hip'), ('hip', 'shoulder'), ('shoulder', 'elbow'), ('elbow', 'wrist'))
# [2,10,2]: ends of limbs and flanks among the 49 joints, annotated and OpenPose's.
BONES = torch.tensor([[[JOINT_NAMES.index(f'{owner}{side}_{joint}') for joint in limb]
                       for side in ('left', 'right') for limb in _LIMBS] for owner in ('', 'openpose_')])
# Rank of the bone, by apparent length, that determines the size, and the factor on it. Measured on people of known
# pose: a start that is too near costs more than one that is too far.
_TELLING_BONE, _BELIEVED_SIZE = 2, 0.9


def headings(orient):
    """An orientation [3,3] turned about the camera's vertical axis by each of HEADINGS: [4,3,3]."""
    turns = axis_angle_to_rotmat(torch.tensor([[0.0, heading, 0.0] for heading in HEADINGS], dtype=orient.dtype))
    return turns @ orient


def seen_joints(keypoints):
    """[...] bool: which keypoints [...,3] are seen, that is finite and with confidence."""
    return torch.isfinite(keypoints).all(-1) & (keypoints[..., 2] > 0)


def first_translation(joints, keypoints, focal, side):
    """Camera translation [N,3] of bodies of unknown pose.

    joints [N,49,3] of the mean pose; keypoints [N,49,3], pixels from the principal point; focal [N] pixels; side [N] of
    the box, which determines the distance where no bone is seen.

    Foreshortening makes a bone look shorter, never longer, so the bones that look longest for their length determine
    the depth. The very longest are often wrong annotations or long limbs, so the third longest is taken, a tenth
    shorter. A bone that is annotated twice counts once. The mean of the seen joints determines the other coordinates.
    """
    seen = seen_joints(keypoints)
    points = torch.where(seen[..., None], keypoints[..., :2], 0.0)
    start, end = BONES.to(points.device).unbind(2)
    both = seen[:, start] & seen[:, end]
    ratio = (points[:, start] - points[:, end]).norm(dim=-1) / (joints[:, start] - joints[:, end]).norm(dim=-1)
    ratio = torch.where(both, ratio, 0.0).sum(1) / both.sum(1).clamp_min(1)  # [N,10]
    telling = ((ratio > 0).sum(1, keepdim=True) - 1).clamp(0, _TELLING_BONE)
    ratio = _BELIEVED_SIZE * ratio.sort(1, descending=True).values.gather(1, telling).squeeze(1)
    depth = focal / torch.where(ratio > 0, ratio, 0.45 * side)
    count = seen.sum(1, keepdim=True).clamp_min(1)
    offset = (points * (depth / focal)[:, None, None] - joints[..., :2]) * seen[..., None]
    return torch.cat([offset.sum(1) / count, depth[:, None]], 1)


# Hips and shoulders, and all limb joints, among the annotated joints.
_TORSO = tuple(JOINT_NAMES.index(name) for name in ('right_hip', 'left_hip', 'left_shoulder', 'right_shoulder'))
LIMBS = tuple(annotated for _, annotated in LIMB_JOINTS)


def one_row_a_joint(keypoints):
    """Keypoints [N,49,3] with each limb joint in its annotated row only: the annotated one if seen, else OpenPose's.
    """
    openpose, annotated = torch.tensor(LIMB_JOINTS, device=keypoints.device).unbind(1)
    merged = keypoints.clone()
    absent = ~seen_joints(keypoints[:, annotated])
    merged[:, annotated] = torch.where(absent[..., None], keypoints[:, openpose], keypoints[:, annotated])
    merged[:, openpose] = 0
    return merged


def torso_orientation(joints, joints_3d):
    """The rotation [N,3,3] from the torso of joints [N,49,3] to that of 3D keypoints [N,49,4], and [N] bool: all four
    torso joints are known."""
    known = (joints_3d[:, _TORSO, 3] > 0).all(1)
    source, target = joints[:, _TORSO], joints_3d[:, _TORSO, :3]
    source, target = (points - points.mean(1, keepdim=True) for points in (source, target))
    u, _, vt = torch.linalg.svd(target.transpose(1, 2) @ source)
    vt = torch.cat([vt[:, :2], vt[:, 2:] * torch.linalg.det(u @ vt)[:, None, None]], 1)
    identity = torch.eye(3, dtype=joints.dtype, device=joints.device)
    return torch.where(known[:, None, None], u @ vt, identity), known

"""Rotations, the crop camera and least-squares alignment, batched in torch.

Camera convention of the project: x right, y down, z forward; the focal length is 5000 px for a crop of 224 px. Points
projected into the crop are in [-1, 1] over its full extent, so no function needs the crop's size. A weak-perspective
camera (s, tx, ty) means the translation (tx, ty, 2 f / (res s)) (SPIN, arXiv 1909.12828).
"""
import contextlib

import roma
import torch
import torch.nn.functional as F

from utils.keypoints import FOCAL_LENGTH, NUM_OPENPOSE

# Focal length in units of half a crop: 5000 px / 112 px.
NORMALIZED_FOCAL = FOCAL_LENGTH / 112.0
_TINY = 1e-9


@contextlib.contextmanager
def in_full_precision(device_type):
    """Disable autocast and TF32, in which kinematics and projections lose millimetres."""
    before = torch.backends.cuda.matmul.allow_tf32
    if device_type == 'cuda':
        torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        if device_type == 'cuda':
            torch.backends.cuda.matmul.allow_tf32 = before


def rot6d_to_rotmat(rot6d):
    """6D rotations [..., 6] to matrices [..., 3, 3] (Zhou et al., CVPR 2019).

    The six numbers are the first two columns of the matrix, stored row by row as [3, 2].
    """
    return roma.special_gramschmidt(rot6d.reshape(*rot6d.shape[:-1], 3, 2))


def rotmat_to_rot6d(rotmat):
    """Matrices [..., 3, 3] to 6D rotations [..., 6]; the inverse of `rot6d_to_rotmat`."""
    return rotmat[..., :2].flatten(-2)


def axis_angle_to_rotmat(axis_angle):
    """Axis-angle vectors [..., 3] (radians) to matrices [..., 3, 3]; [..., 72] gives [..., 24, 3, 3]."""
    if axis_angle.shape[-1] != 3:
        axis_angle = axis_angle.unflatten(-1, (-1, 3))
    return roma.rotvec_to_rotmat(axis_angle)


def rotmat_to_axis_angle(rotmat):
    """Matrices [..., 3, 3] to axis-angle vectors [..., 3] in radians, of norm at most pi."""
    return roma.rotmat_to_rotvec(rotmat)


def camera_to_translation(camera):
    """Weak-perspective camera [..., 3] (s, tx, ty) to a camera translation [..., 3] in metres."""
    scale, tx, ty = camera.unbind(-1)
    return torch.stack([tx, ty, 2 * FOCAL_LENGTH / (224.0 * scale + _TINY)], dim=-1)


def translation_to_camera(translation):
    """Camera translation [..., 3] in metres to a weak-perspective camera [..., 3]; inverse of `camera_to_translation`.
    """
    tx, ty, tz = translation.unbind(-1)
    return torch.stack([2 * FOCAL_LENGTH / (224.0 * tz + _TINY), tx, ty], dim=-1)


def turn_root(rotmat, turn):
    """Rotations of bodies [B,24,3,3] with the root's rotated by [B,3,3], such as into another camera's frame."""
    return torch.cat([(turn @ rotmat[:, 0])[:, None], rotmat[:, 1:]], 1)


def turn_about(points, root, turn):
    """Rotate points [B,P,3] by [B,3,3] about root [B,3]. SMPL rotates a body about its root joint."""
    return (points - root[:, None]) @ turn.transpose(-1, -2) + root[:, None]


def project(points, camera, full_camera=None):
    """Project points [B, N, 3] (metres) by a weak-perspective camera [B, 3] into the crop: [B, N, 2] in [-1, 1].

    The projection is a full perspective one, with the translation of `camera_to_translation`, or with the given
    FullCamera.
    """
    if full_camera is not None:
        return full_camera.project(points, camera)
    points = points + camera_to_translation(camera).unsqueeze(-2)
    return NORMALIZED_FOCAL * points[..., :2] / points[..., 2:]


def perspective_projection(points, translation, focal_length, camera_center):
    """Project points [B, N, 3], translated by [B, 3], to pixels [B, N, 2].

    focal_length: pixels, a number or [B]; camera_center: [B, 2] pixels.
    """
    points = points + translation.unsqueeze(-2)
    focal = torch.as_tensor(focal_length, dtype=points.dtype, device=points.device).reshape(-1, 1, 1)
    return focal * points[..., :2] / points[..., 2:] + camera_center.unsqueeze(-2)


def estimate_translation(joints, keypoints_2d, min_points=2, full_camera=None):
    """`solve_translation` without its mask."""
    return solve_translation(joints, keypoints_2d, min_points, full_camera)[0]


def solve_translation(joints, keypoints_2d, min_points=2, full_camera=None):
    """Camera translation [B, 3] that best projects 3D joints to 2D keypoints (least squares weighted by confidence),
    and whether it could be solved [B].

    joints: [B, 49, 3] metres; keypoints_2d: [B, 49, 3], x and y in [-1, 1], confidence. As in SPIN, only the last 24
    joints, the annotated ones, are used. Where fewer than `min_points` are visible or they coincide, the result is the
    translation of the camera (0.9, 0, 0), a placeholder. Does not synchronize with the host.
    full_camera: FullCamera, for joints and translations in the pictures' cameras; None: in a camera of 5000 px that
    looks at the crop's middle.
    """
    points = joints[:, NUM_OPENPOSE:].double()
    annotated = keypoints_2d[:, NUM_OPENPOSE:, :2].double()
    targets = annotated / NORMALIZED_FOCAL if full_camera is None else full_camera.slopes(annotated)
    weight = keypoints_2d[:, NUM_OPENPOSE:, 2:].double()
    # x: tx - u tz = u Z - X, y likewise, with u = x / f.
    ones, zeros = torch.ones_like(weight), torch.zeros_like(weight)
    rows = torch.cat([torch.cat([ones, zeros, -targets[..., :1]], -1),
                      torch.cat([zeros, ones, -targets[..., 1:]], -1)], dim=1)
    right = torch.cat([targets[..., i:i + 1] * points[..., 2:] - points[..., i:i + 1] for i in (0, 1)], dim=1)
    weight = weight.repeat(1, 2, 1)
    normal = rows.transpose(1, 2) @ (weight * rows)
    vector = rows.transpose(1, 2) @ (weight * right)
    solvable = ((keypoints_2d[:, NUM_OPENPOSE:, 2] > 0).sum(-1) >= min_points) & (torch.linalg.det(normal) > 1e-10)
    identity = torch.eye(3, dtype=normal.dtype, device=normal.device)
    solution, _ = torch.linalg.solve_ex(torch.where(solvable[:, None, None], normal, identity), vector)
    # Made on the device, because a copy from the host would block.
    fallback = F.pad(joints.new_full((1,), 0.9), (0, 2))
    if full_camera is None:
        fallback = camera_to_translation(fallback)
    else:
        fallback = full_camera.translation(fallback.expand(len(joints), 3))
    return torch.where(solvable[:, None], solution.squeeze(-1).to(joints.dtype), fallback), solvable


def similarity_align(source, target):
    """Translate, rotate and scale source points [B, N, 3] onto target [B, N, 3] with least squared error.

    Procrustes analysis without reflection (Umeyama 1991). Coincident points are only translated.
    """
    source_mean, target_mean = source.mean(1, keepdim=True), target.mean(1, keepdim=True)
    centred, wanted = source - source_mean, target - target_mean
    u, singular, vt = torch.linalg.svd(wanted.transpose(1, 2) @ centred)
    sign = torch.ones_like(singular)
    sign[:, -1] = torch.where(torch.linalg.det(u @ vt) < 0, -1.0, 1.0)
    rotation = (u * sign.unsqueeze(1)) @ vt
    variance = centred.square().sum((1, 2))
    scale = torch.where(variance > 1e-12, (singular * sign).sum(-1) / variance.clamp_min(1e-12), 1.0)
    return scale[:, None, None] * centred @ rotation.transpose(1, 2) + target_mean

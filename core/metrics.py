"""Errors of 3D poses, meshes and motion. Inputs are in metres; errors are in millimetres or percent per sample."""
from functools import lru_cache
from statistics import NormalDist

import torch

from utils.geometry import similarity_align

# Millimetres. PCK is the share of joints with an error below PCK_THRESHOLD, and AUC its mean over AUC_THRESHOLDS, as in
# the evaluation code of MPI-INF-3DHP (Mehta et al., 3DV 2017).
PCK_THRESHOLD = 150.0
AUC_THRESHOLDS = tuple(range(0, 151, 5))
_MOST_DRAWN = 2000  # largest number of values to resample; takes 16 MB


def joint_errors(predicted, target):
    """Distance of each point, [B,J,3] metres -> [B,J] millimetres."""
    return 1000.0 * (predicted - target).norm(dim=-1)


def mpjpe(predicted, target, valid=None):
    """Mean per-joint position error, [B,J,3] metres -> [B] millimetres. Both inputs must be relative to the root.

    valid [B,J]: joints with ground truth. NaN for a sample without any.
    """
    return masked_mean(joint_errors(predicted, target), valid)


def pa_mpjpe(predicted, target, valid=None):
    """MPJPE after the optimal similarity transform (Procrustes analysis), [B,J,3] metres -> [B] millimetres."""
    return masked_mean(joint_errors(*procrustes_align(predicted, target, valid)), valid)


def procrustes_align(predicted, target, valid=None):
    """Align predicted joints [B,J,3] to the target by a similarity transform -> (predicted, target), float64.

    Joints that are not `valid` [B,J] do not affect the transform. They are set to the centroid of the valid ones, where
    they add nothing to its sums.
    """
    predicted, target = predicted.double(), target.double()
    if valid is not None:
        predicted, target = _absent_at_centroid(predicted, valid), _absent_at_centroid(target, valid)
    return similarity_align(predicted, target), target


def pve(predicted, target):
    """Mean per-vertex error, [B,V,3] metres -> [B] millimetres."""
    return mpjpe(predicted, target)


def pck(errors, valid=None, threshold=PCK_THRESHOLD):
    """Share of joints whose error, [B,J] millimetres, is below a threshold -> [B] percent."""
    return 100.0 * masked_mean((errors < threshold).float(), valid)


def auc(errors, valid=None, thresholds=AUC_THRESHOLDS):
    """Mean PCK over all thresholds -> [B] percent. At most 96.8, because no error is below threshold 0."""
    steps = torch.tensor(thresholds, dtype=errors.dtype, device=errors.device)
    return 100.0 * masked_mean((errors.unsqueeze(-1) < steps).float().mean(-1), valid)


def acceleration_error(predicted, target, fps, valid=None):
    """Mean error of the joints' accelerations: [T,J,3] metres of one sequence -> [T-2] m/s^2.

    Accelerations are second differences over frames (VIBE, Kocabas et al., CVPR 2020), times fps^2 (WHAM, Shin et al.,
    CVPR 2024). 1 mm/frame^2 is 0.9 m/s^2 at 30 frames per second. valid [T,J]: joints with ground truth. A joint counts
    if it is valid in all three frames. NaN if no joint counts.
    """
    difference = predicted - target
    accelerations = (difference[:-2] - 2 * difference[1:-1] + difference[2:]).norm(dim=-1) * fps ** 2
    if valid is None:
        return masked_mean(accelerations)
    return masked_mean(accelerations, valid[:-2] & valid[1:-1] & valid[2:])


def jitter(joints, fps):
    """Mean jerk of the joints: [T,J,3] metres of one sequence -> [T-3] in 10 m/s^3, the unit of EMDB and WHAM.

    Jerk (Flash and Hogan, 1985) is the third difference over frames, times fps^3.
    """
    jerk = joints[3:] - 3 * joints[2:-1] + 3 * joints[1:-2] - joints[:-3]
    return jerk.norm(dim=-1).mean(-1) * fps ** 3 / 10


def masked_mean(values, valid=None):
    """Mean over the last axis of [B,J], of the `valid` values if given. NaN if there are none."""
    if valid is None:
        return values.mean(-1)
    return torch.where(valid, values, 0).sum(-1) / valid.sum(-1)


def _absent_at_centroid(points, valid):
    weight = valid.unsqueeze(-1).to(points.dtype)
    centroid = (points * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1)
    return torch.where(valid.unsqueeze(-1), points, centroid)


def bootstrap_interval(values, level=0.95, draws=1000, seed=0):
    """Bootstrap interval (low, high) of the mean of values [N] (Efron 1979). NaN for no values.

    For more than 2000 values it is the interval of the normal distribution, by the central limit theorem.
    """
    values = torch.as_tensor(values, dtype=torch.float64)
    count, tail = len(values), (1 - level) / 2
    if not count:
        return float('nan'), float('nan')
    if count > _MOST_DRAWN:
        reach = NormalDist().inv_cdf(1 - tail) * float(values.std(correction=0)) / count ** 0.5
        return float(values.mean()) - reach, float(values.mean()) + reach
    means = values[_resampled(count, draws, seed)].mean(1)
    return float(means.quantile(tail)), float(means.quantile(1 - tail))


@lru_cache(maxsize=2)  # all metrics of a group use the same indices
def _resampled(count, draws, seed):
    """Indices [draws, count] of resampled values."""
    return torch.randint(count, (draws, count), generator=torch.Generator().manual_seed(seed))

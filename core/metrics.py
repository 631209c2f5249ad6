"""Errors of 3D poses and meshes: metres in, millimetres out, one value a sample."""
import torch

from utils.geometry import similarity_align


def mpjpe(predicted, target):
    """Mean per-joint position error, [B,J,3] metres -> [B] millimetres. Centre both at the root before."""
    return 1000.0 * (predicted - target).norm(dim=-1).mean(-1)


def pa_mpjpe(predicted, target):
    """MPJPE after the best similarity transform (Procrustes analysis), [B,J,3] metres -> [B] millimetres."""
    return mpjpe(similarity_align(predicted.double(), target.double()), target.double())


def pve(predicted, target):
    """Mean per-vertex error, [B,V,3] metres -> [B] millimetres."""
    return mpjpe(predicted, target)


def bootstrap_interval(values, level=0.95, draws=1000, seed=0):
    """Interval (low, high) of the mean of values [N] by resampling with replacement (Efron 1979)."""
    values = torch.as_tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    means = torch.stack([values[torch.randint(len(values), (len(values),), generator=generator)].mean()
                         for _ in range(draws)])
    tail = (1 - level) / 2
    return float(means.quantile(tail)), float(means.quantile(1 - tail))

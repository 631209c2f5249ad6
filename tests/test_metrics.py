"""Metrics, compared with an independent numpy implementation, and on inputs whose alignment is not unique."""
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.spatial.transform import Rotation

from core.metrics import (
    auc,
    bootstrap_interval,
    joint_errors,
    mpjpe,
    pa_mpjpe,
    pck,
    procrustes_align,
    pve,
)

REFERENCE = Path(__file__).parent / 'reference'


def poses(seed=0, batch=20, joints=14, scale=.4):
    rng = np.random.default_rng(seed)
    target = rng.normal(0, scale, (batch, joints, 3))
    return target + rng.normal(0, .1, target.shape), target


def numpy_pa_mpjpe(predicted, target):
    """Kabsch's rotation by scipy, scale and shift in closed form, for one sample."""
    p, t = predicted - predicted.mean(0), target - target.mean(0)
    turned = Rotation.align_vectors(t, p)[0].apply(p)
    scale = (turned * t).sum() / (p ** 2).sum()
    return 1000 * np.sqrt(((scale * turned - t) ** 2).sum(1)).mean()


def test_agrees_with_numpy():
    predicted, target = poses()
    p, t = torch.from_numpy(predicted), torch.from_numpy(target)
    distances = 1000 * np.sqrt(((predicted - target) ** 2).sum(-1))
    assert np.allclose(mpjpe(p, t), distances.mean(1), atol=1e-6, rtol=0)
    assert np.allclose(pve(p, t), distances.mean(1), atol=1e-6, rtol=0)
    assert np.allclose(pa_mpjpe(p, t), [numpy_pa_mpjpe(*pair) for pair in zip(predicted, target)], atol=1e-6, rtol=0)
    errors = torch.from_numpy(distances)
    assert np.allclose(pck(errors), 100 * (distances < 150).mean(1), atol=1e-5)
    curve = [(distances < threshold).mean(1) for threshold in range(0, 151, 5)]
    assert np.allclose(auc(errors), 100 * np.mean(curve, 0), atol=1e-5)


def test_alignment_undoes_a_similarity_but_no_reflection():
    _, target = poses(1)
    turn = Rotation.random(20, random_state=3).as_matrix()
    moved = 1.7 * np.einsum('bij,bnj->bni', turn, target) + np.random.default_rng(0).normal(size=(20, 1, 3))
    assert pa_mpjpe(torch.from_numpy(moved), torch.from_numpy(target)).max() < 1e-6
    mirrored = target * [-1, 1, 1]
    assert pa_mpjpe(torch.from_numpy(mirrored), torch.from_numpy(target)).min() > 50


def test_alignment_matches_the_published_one():
    stored = np.load(REFERENCE / 'pymaf_ops.npz')
    source, target = torch.from_numpy(stored['pa_src']), torch.from_numpy(stored['pa_dst'])
    aligned, _ = procrustes_align(source, target)
    assert np.abs(aligned.numpy() - stored['pa_out']).max() / np.abs(stored['pa_out']).max() < 1e-6
    wanted = 1000 * np.linalg.norm(stored['pa_out'] - stored['pa_dst'], axis=-1).mean(-1)
    assert np.allclose(pa_mpjpe(source, target), wanted, rtol=1e-5)


@pytest.mark.parametrize('shape', ['coincident', 'collinear', 'planar'])
def test_degenerate_poses_give_numbers(shape):
    predicted, target = (torch.from_numpy(value) for value in poses(2))
    line = torch.linspace(-1, 1, 14, dtype=torch.float64)[:, None] * torch.tensor([.3, .2, .1], dtype=torch.float64)
    flat = target.clone()
    flat[..., 2] = 0
    degenerate = {'coincident': torch.full_like(target, .3), 'collinear': line.expand_as(target), 'planar': flat}[shape]
    for a, b in ((degenerate, target), (predicted, degenerate), (degenerate, degenerate)):
        for metric in (mpjpe, pa_mpjpe, pve):
            assert torch.isfinite(metric(a, b)).all()
    assert pa_mpjpe(degenerate, degenerate).max() < 1e-6


def test_coincident_estimate_scores_the_spread_of_the_target():
    _, target = poses(3)
    target = torch.from_numpy(target)
    spread = 1000 * (target - target.mean(1, keepdim=True)).norm(dim=-1).mean(-1)
    assert torch.allclose(pa_mpjpe(torch.zeros_like(target), target), spread)


def test_absent_joints_do_not_count():
    predicted, target = (torch.from_numpy(value) for value in poses(4))
    valid = torch.ones(20, 14, dtype=torch.bool)
    valid[:, [2, 7]] = False
    kept = [j for j in range(14) if j not in (2, 7)]
    wild = target.clone()
    wild[:, [2, 7]] = 1e3
    for metric in (mpjpe, pa_mpjpe):
        assert torch.allclose(metric(predicted, wild, valid), metric(predicted[:, kept], target[:, kept]))
    errors = joint_errors(predicted, wild)
    assert torch.allclose(pck(errors, valid), pck(errors[:, kept]))
    assert torch.allclose(auc(errors, valid), auc(errors[:, kept]))
    assert mpjpe(predicted, target, torch.zeros_like(valid)).isnan().all()


def test_thresholds_are_open():
    errors = torch.tensor([[0.0, 149.99, 150.0, 151.0]])
    assert float(pck(errors)) == 50
    assert float(auc(torch.zeros(1, 4))) == pytest.approx(100 * 30 / 31)


def test_bootstrap_interval():
    values = torch.from_numpy(np.random.default_rng(0).normal(50, 10, 400))
    low, high = bootstrap_interval(values)
    mean, error = float(values.mean()), float(values.std()) / 20
    assert low == pytest.approx(mean - 1.96 * error, abs=.25 * error)
    assert high == pytest.approx(mean + 1.96 * error, abs=.25 * error)
    assert bootstrap_interval(values) == (low, high)
    assert all(np.isnan(bootstrap_interval([])))
    assert bootstrap_interval([3.0]) == (3.0, 3.0)


@pytest.mark.parametrize('count', [500, 4000])
def test_bootstrap_interval_is_scipys(count):
    """It equals scipy.stats.bootstrap on skewed values. For more than 2000 values ours does not resample."""
    values = np.random.default_rng(3).gamma(2.0, 40.0, count)
    wanted = scipy.stats.bootstrap((values,), np.mean, n_resamples=4000, method='percentile', rng=1).confidence_interval
    low, high = bootstrap_interval(values)
    width = wanted.high - wanted.low
    assert abs(low - wanted.low) < 0.08 * width and abs(high - wanted.high) < 0.08 * width

"""Levenberg-Marquardt for a batch of small problems, each with its own damping (Madsen, Nielsen and Tingleff 2004)."""
from dataclasses import fields, is_dataclass

import torch

# Damping of the first step, relative to the Hessian's diagonal.
FIRST_DAMPING = 1e-2
_LEAST_DAMPING, _MOST_DAMPING = 1e-7, 1e8


@torch.no_grad()
def minimize(stage, at, iterations, tolerance):
    """Minimize the cost of every problem of a batch -> evaluation.

    stage: has `linearize(evaluation) -> gradient [B,d], Hessian [B,d,d]`, `moved(evaluation, step [B,d]) ->
    evaluation` with a `cost` [B], and `select(rows) -> stage`. A problem is done when a step's predicted decrease is
    at most the share `tolerance` of its cost, independent of the others; all are done after `iterations`. A step that
    does not lower a problem's cost, or is not finite, is rejected.
    """
    damping, growth = torch.full_like(at.cost, FIRST_DAMPING), torch.full_like(at.cost, 2.0)
    finished, rows = at, None
    for _ in range(iterations):
        gradient, hessian = stage.linearize(at)
        step, promised = _damped_step(gradient, hessian, damping)
        going = promised > tolerance * at.cost
        left = int(going.sum())
        if not left:
            break
        if 2 * left <= len(going):  # continue without the problems that are done
            finished = at if rows is None else _put(finished, rows, at)
            keep = going.nonzero().flatten()
            rows = keep if rows is None else rows[keep]
            stage, at = stage.select(keep), _take(at, keep)
            damping, growth, step, promised, going = (value[keep] for value in
                                                      (damping, growth, step, promised, going))
        trial = stage.moved(at, step)
        better = going & (trial.cost < at.cost) & torch.isfinite(trial.cost)
        gain = (at.cost - trial.cost) / promised.clamp_min(1e-12)
        shrink = (1 - (2 * gain - 1).pow(3)).clamp(1 / 3, 2.0)
        damping = torch.where(better, damping * shrink, damping * growth).clamp(_LEAST_DAMPING, _MOST_DAMPING)
        growth = torch.where(better, 2.0, 2 * growth)
        at = _where(better, trial, at)
    return at if rows is None else _put(finished, rows, at)


def _damped_step(gradient, hessian, damping):
    """Step [B,d] and the decrease [B] of the cost that the quadratic model predicts; zeros where there is no step."""
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    damped = hessian.clone()
    damped.diagonal(dim1=1, dim2=2).add_(damping[:, None] * diagonal + 1e-6 * diagonal.amax(1, keepdim=True))
    factor, failed = torch.linalg.cholesky_ex(damped)
    step = -torch.cholesky_solve(gradient.unsqueeze(-1), factor).squeeze(-1)
    usable = (failed == 0) & torch.isfinite(step).all(1)
    step = torch.where(usable[:, None], step, 0.0)
    curvature = (step.unsqueeze(1) @ hessian @ step.unsqueeze(-1)).flatten()
    return step, -2 * (gradient * step).sum(1) - curvature


def _map(function, tree, *others):
    """Apply a function to the tensors of equal trees of dataclasses."""
    if isinstance(tree, torch.Tensor):
        return function(tree, *others)
    if is_dataclass(tree):
        return type(tree)(**{field.name: _map(function, *(getattr(part, field.name) for part in (tree, *others)))
                             for field in fields(tree)})
    return tree


def _where(mask, new, old):
    return _map(lambda a, b: torch.where(mask.view(-1, *[1] * (a.dim() - 1)), a, b), new, old)


def _take(tree, rows):
    return _map(lambda value: value[rows], tree)


def _put(tree, rows, part):
    return _map(lambda value, new: value.index_copy(0, rows, new), tree, part)

"""Learning rate as a function of progress, without state."""
import math


def learning_rate(solver, epoch, step, share, base=None):
    """Learning rate at an epoch and global step, both from 0, and a share of the whole run from 0 to 1.

    solver: cfg.SOLVER; base: the rate before decay, by default SOLVER.BASE_LR.
    """
    rate = solver.BASE_LR if base is None else base
    if solver.SCHEDULE == 'cosine':
        rate *= 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    else:
        decays = sum(epoch >= at for at in solver.EPOCHS) + sum(step + 1 >= at for at in solver.STEPS)
        rate *= solver.GAMMA ** decays
    if step < solver.WARMUP_STEPS:
        rate *= (step + 1) / solver.WARMUP_STEPS
    return rate

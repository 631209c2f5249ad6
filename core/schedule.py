"""Learning rate as a function of progress; it has no state to save."""
import math


def learning_rate(solver, epoch, step, total_steps):
    """Rate at an epoch and global step, both from 0. solver: cfg.SOLVER."""
    rate = solver.BASE_LR
    if solver.SCHEDULE == 'cosine':
        rate *= 0.5 * (1 + math.cos(math.pi * min(step / max(total_steps, 1), 1.0)))
    else:
        rate *= solver.GAMMA ** sum(epoch >= decay for decay in solver.EPOCHS)
    if step < solver.WARMUP_STEPS:
        rate *= (step + 1) / solver.WARMUP_STEPS
    return rate

"""Watches each step: whether its loss was finite, and whether a process asks to stop.

The optimizer skips a bad step on the device. The host reads the verdict one step late, when it is already there, so a
step never waits for it. All processes read the same verdict at the same step.
"""
import torch

from utils.distributed import gathered
from utils.errors import ProjectError
from utils.safe_io import save_json


class StepWatch:
    """Counts bad steps in a Progress, and ends the run after `max_bad_steps` in a row.

    stop_asked: whether a process passed `stop` to `note`, as of the last settled step.
    """

    def __init__(self, accelerator, max_bad_steps, folder):
        self._accelerator, self._max_bad_steps, self._folder = accelerator, max_bad_steps, folder
        self._pending, self._losses_finite, self._names = None, True, []
        self.stop_asked = False

    def see(self, total, names):
        """Record the loss of a batch of the current step, and the names of its images."""
        self._losses_finite = torch.isfinite(total.detach()) & self._losses_finite
        self._names = self._names + list(names)

    def verdict(self, gradient_norm):
        """1 if recorded losses or gradients of any process are not finite, else 0: a scalar on the device."""
        bad = 1 - (self._losses_finite & torch.isfinite(gradient_norm)).float()
        return self._over_processes(bad)

    def note(self, bad, stop, progress):
        """Record a step's verdict and settle the previous step. stop: this process asks to stop."""
        self.settle(progress)
        asked = self._over_processes(torch.full_like(bad, float(stop)))
        self._pending = _to_host(torch.stack([bad, asked])), progress.global_step, self._names
        self._losses_finite, self._names = True, []

    def settle(self, progress):
        """Count the pending step. At the limit, writes its images to bad_batch.json and raises ProjectError."""
        if self._pending is None:
            return
        (values, event), step, names = self._pending
        self._pending = None
        if event is not None:
            event.synchronize()
        bad, asked = values.tolist()
        self.stop_asked = asked > 0
        progress.bad_steps = progress.bad_steps + 1 if bad else 0
        progress.skipped_steps += bool(bad)
        if progress.bad_steps >= self._max_bad_steps:
            path, names = self._folder / 'bad_batch.json', sum(gathered(names), [])
            if self._accelerator.is_main_process:
                save_json(path, {'step': step, 'images': names})
            raise ProjectError(f'{progress.bad_steps} losses in a row were NaN or infinite; the images of the last '
                               f'batch are listed in {path}; lower SOLVER.BASE_LR or check those images')

    def _over_processes(self, value):
        return self._accelerator.reduce(value, 'sum') if self._accelerator.num_processes > 1 else value


def _to_host(values):
    """Start a copy to the host -> (host tensor, event to wait for or None)."""
    if values.device.type != 'cuda':
        return values, None
    host = torch.empty_like(values, device='cpu', pin_memory=True)
    host.copy_(values, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return host, event

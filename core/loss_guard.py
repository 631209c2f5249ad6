"""Keeps NaN and infinite losses out of the weights."""
import torch

from utils.errors import ProjectError
from utils.safe_io import save_json


class LossGuard:
    """Decides whether a step may update the weights; stops the run after too many in a row that may not."""

    def __init__(self, accelerator, max_bad_steps, folder):
        self._accelerator, self._max_bad_steps, self._folder = accelerator, max_bad_steps, folder

    def allows(self, total, batch, progress):
        """Whether the loss is finite in every process. Counts in `progress`.

        Raises ProjectError at the limit, after naming the last batch's images in bad_batch.json.
        """
        bad = (~torch.isfinite(total.detach())).float()
        if self._accelerator.num_processes > 1:
            bad = self._accelerator.reduce(bad, 'sum')
        if not bad:
            progress.bad_steps = 0
            return True
        progress.bad_steps += 1
        progress.skipped_steps += 1
        if progress.bad_steps >= self._max_bad_steps:
            path = self._folder / 'bad_batch.json'
            save_json(path, {'step': progress.global_step, 'images': list(batch['imgname'])})
            raise ProjectError(f'{progress.bad_steps} losses in a row were NaN or infinite; the last batch\'s images '
                               f'are named in {path}; lower SOLVER.BASE_LR or look at those images')
        return False

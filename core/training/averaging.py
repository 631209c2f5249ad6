"""Running average of a network's weights (Polyak averaging), which is validated and saved."""
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from utils.sharded import placed_like


class WeightAverage:
    """Exponential moving average of a module's parameters. Buffers are copied: batch statistics are averages already,
    and indices such as a body's faces cannot be averaged.

    The decay rises with the number of updates n, min(decay, (1 + n) / (10 + n)), so that the initial weights are soon
    forgotten.
    """

    def __init__(self, module, decay):
        self._decay = decay
        self._average = AveragedModel(module, multi_avg_fn=self._follow)
        self.count = 0

    @property
    def module(self):
        """The averaged module."""
        return self._average.module

    def update(self, module):
        """Update the average after an optimizer step."""
        self._average.update_parameters(module)
        self.count += 1

    def restore(self, state, count):
        """Restore the average's state dict, whole, and number of updates."""
        self.module.load_state_dict(placed_like(state, self.module.state_dict()))
        self.count = int(count)
        self._average.n_averaged.fill_(self.count)

    def _follow(self, averaged, current, _):
        decay = min(self._decay, (1 + self.count) / (10 + self.count))
        get_ema_multi_avg_fn(decay)(averaged, current, None)

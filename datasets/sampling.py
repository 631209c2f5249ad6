"""The order in which samples are visited: a function of seed and epoch alone, so that a run can go on anywhere."""
import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler):
    """Yields (epoch, index) for one process of `world`.

    An epoch visits every index once: with `shuffle` in an order drawn from (seed, epoch), in which processes take
    turns; else in file order, of which each process takes one stretch, so that it opens its own files alone. All
    get the same number; what is left over, less than `world` indices, waits for another epoch.

    To go on within an epoch: start, how many samples this process has seen; earlier, (processes, samples that each
    has seen) of launches before with other numbers of processes, first to last.
    """

    def __init__(self, length, seed=0, shuffle=True, epoch=0, start=0, rank=0, world=1, earlier=()):
        if not 0 <= rank < world:
            raise ValueError(f'rank {rank} of {world} processes')
        self.length, self.seed, self.shuffle, self.epoch = length, seed, shuffle, epoch
        self.start, self.rank, self.world, self.earlier = start, rank, world, earlier

    def __len__(self):
        left = self.length - sum(processes * seen for processes, seen in self.earlier)
        return max(left // self.world - self.start, 0)

    def __iter__(self):
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.length)
        else:
            order = np.arange(self.length)
        for processes, seen in self.earlier:
            shares, left_over = self._shares(order, processes)
            rest = shares[:, seen:] if not self.shuffle else shares[:, seen:].T
            order = np.concatenate([rest.ravel(), left_over])
        for index in self._shares(order, self.world)[0][self.rank, self.start:]:
            yield self.epoch, int(index)

    def _shares(self, order, processes):
        """What each process visits [processes, n], and what is left over."""
        each = len(order) // processes
        shared = order[:each * processes]
        shares = shared.reshape(each, processes).T if self.shuffle else shared.reshape(processes, each)
        return shares, order[each * processes:]

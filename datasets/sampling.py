"""The order of the samples. It depends only on seed and epoch, so that a run can resume at any sample."""
import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler):
    """Yields (epoch, index) for one process of `world`.

    With `shuffle`, (seed, epoch) defines the order, and the processes take turns. Otherwise the order is that of the
    file, and each process gets one contiguous part, so that it opens only its own files. All processes get the same
    number of samples. An epoch therefore drops up to `world` - 1 indices.

    To resume within an epoch, start: number of samples that this process has seen. earlier: (processes, samples that
    each has seen) of previous launches with other numbers of processes, in order.
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
        """Indices of each process [processes, n], and the remaining ones."""
        each = len(order) // processes
        shared = order[:each * processes]
        shares = shared.reshape(each, processes).T if self.shuffle else shared.reshape(processes, each)
        return shares, order[each * processes:]

"""The order in which samples are visited: a function of seed and epoch alone, so that a run can go on anywhere."""
import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler):
    """Yields (epoch, index) for one process of `world`.

    An epoch visits every index once, in an order drawn from (seed, epoch), or in file order. Processes take turns in
    that order; with `equal`, all get the same number, and the last `length % world` indices of the order are left
    out. `start`: how many of this process's samples of the epoch were already seen (resuming within an epoch).
    """

    def __init__(self, length, seed=0, shuffle=True, epoch=0, start=0, rank=0, world=1, equal=True):
        if not 0 <= rank < world:
            raise ValueError(f'rank {rank} of {world} processes')
        self.length, self.seed, self.shuffle, self.equal = length, seed, shuffle, equal
        self.rank, self.world = rank, world
        self.set_epoch(epoch, start)

    def set_epoch(self, epoch, start=0):
        """Go to an epoch, past its first `start` samples of this process."""
        self.epoch, self.start = epoch, start

    def __len__(self):
        share = self.length // self.world if self.equal else len(range(self.rank, self.length, self.world))
        return max(share - self.start, 0)

    def __iter__(self):
        epoch, start = self.epoch, self.start
        last = self.length - self.length % self.world if self.equal else self.length
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(self.length)[:last]
        else:
            order = np.arange(last)
        for index in order[self.rank::self.world][start:]:
            yield epoch, int(index)

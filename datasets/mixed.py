"""Several datasets as one, each with its share of the samples."""
import numpy as np
import torch
from torch.utils.data import Dataset

from datasets.catalog import STREAM, split_names
from datasets.image_dataset import ImageDataset
from datasets.multiview import ViewGroupDataset
from datasets.registered import DATASETS, RegisteredDataset
from datasets.shard_dataset import ShardDataset, is_shards
from datasets.stream_dataset import StreamDataset
from utils.errors import BadConfig, MissingFile
from utils.logging import log_once

# What a user names by its path is meant to be there. Names of datasets may be those of a recipe.
_FILES = ('.npz', '.json')


def parse_mixture(items):
    """['a:0.3', 'b+c:0.7'] -> [(('a',), 0.3), (('b', 'c'), 0.7)]. Raises BadConfig."""
    groups = []
    for item in items:
        names, colon, share = item.rpartition(':')
        try:
            weight = float(share)
        except ValueError:
            weight = -1.0
        members = tuple(split_names(names))
        if not colon or not 0 < weight < float('inf') or not all(members):
            raise BadConfig(f"DATA.MIXTURE takes 'name:share' or 'name+name:share' with a share above 0, got {item!r}")
        groups.append((members, weight))
    if not groups:
        raise BadConfig('DATA.MIXTURE names no dataset')
    return groups


def open_train_dataset(cfg, name, seed=None, dataset_index=0):
    """One training dataset by name: a registered one, rendered while training for 'free-stream', from tar shards for
    what ends in shards.json, from files for any other; of view groups where DATA.N_VIEWS says so."""
    if name in DATASETS:
        return RegisteredDataset(cfg, name, 'train', seed, dataset_index)
    if is_shards(name):
        if cfg.DATA.N_VIEWS:
            raise BadConfig(f'{name}: shards hold single pictures; DATA.N_VIEWS wants an annotation file')
        return ShardDataset(cfg, name, seed, dataset_index)
    if cfg.DATA.N_VIEWS:
        return ViewGroupDataset(cfg, name, 'train', cfg.DATA.N_VIEWS, seed, dataset_index)
    if name == STREAM:
        from datasets.synthetic.stream import FreeStream  # brings in the renderer, which files do not need
        return StreamDataset(cfg, FreeStream.from_config(cfg), name, seed, dataset_index)
    return ImageDataset(cfg, name, 'train', seed, dataset_index)


def _nothing_here(absent):
    """The error of a mixture of [(name, why it is absent)]."""
    if len(absent) == 1:
        return absent[0][1]
    return (f'no training data: none of {", ".join(name for name, _ in absent)} is here, the first for this reason: '
            f'{absent[0][1]}; `./fetch_data.sh --check` lists what is missing')


class MixedDataset(Dataset):
    """SPIN's mixture (arXiv 1909.12828): sample i comes from a dataset drawn by share, row i modulo its size.

    `groups` is [(names, share)], by default `cfg.DATA.MIXTURE`; a group's datasets divide its share by their sizes. A
    dataset of a name that is not on disk is left out and the others' shares grow. The log says so, and what is trained
    on. An epoch has as many samples as the longest dataset, or `cfg.DATA.EPOCH_LENGTH`.

    datasets: those that are present, in the order of `groups`; `dataset_index` of a sample points into it.
    shares: [len(datasets)], summing to 1. Raises MissingFile where no dataset is present, and for the path of a file
    that is absent or whose pictures are.
    """

    def __init__(self, cfg, seed=None, groups=None):
        self.seed = cfg.SEED if seed is None else seed
        groups = parse_mixture(cfg.DATA.MIXTURE) if groups is None else groups
        self.datasets, weights, absent = [], [], []
        for names, share in groups:
            members = []
            for name in names:
                try:
                    members.append(open_train_dataset(cfg, name, self.seed, len(self.datasets) + len(members)))
                except MissingFile as error:
                    if name.endswith(_FILES):
                        raise
                    absent.append((name, str(error)))
            total = sum(len(member) for member in members)
            weights += [share * len(member) / total for member in members]
            self.datasets += members
        if not self.datasets:
            raise MissingFile(_nothing_here(absent))
        self.shares = np.array(weights) / np.sum(weights)
        # A label that only some datasets have is zeros in the others' samples, under a mask.
        self._labels = {label: zeros for dataset in self.datasets
                        for label, zeros in getattr(dataset, 'labels', {}).items()}
        self._bounds = np.cumsum(self.shares)[:-1]
        self.length = cfg.DATA.EPOCH_LENGTH or max(len(dataset) for dataset in self.datasets)
        left_out = f'not on disk, left out of the mixture: {", ".join(name for name, _ in absent)}; ' if absent else ''
        shares = ', '.join(f'{dataset.name} {share:.0%} ({len(dataset)} people)'
                           for dataset, share in zip(self.datasets, self.shares))
        log_once(f'{left_out}training on {shares}')

    def __len__(self):
        return self.length

    def __getitem__(self, key):
        return self.__getitems__([key])[0]

    def __getitems__(self, keys):
        """The samples of several keys, which torch's loader asks for a batch. Rendered pictures are drawn together."""
        drawn, samples = [self._drawn(key) for key in keys], [None] * len(keys)
        for number, dataset in enumerate(self.datasets):
            places = [place for place, (owner, _, _) in enumerate(drawn) if owner == number]
            rows, rngs = [drawn[place][1] for place in places], [drawn[place][2] for place in places]
            for place, sample in zip(places, dataset.samples(rows, rngs)):
                samples[place] = self._completed(sample)
        return samples

    def _drawn(self, key):
        """The number of a sample's dataset, its own (epoch, index) there, and the generator of its augmentation."""
        epoch, index = key if isinstance(key, tuple) else (0, int(key))
        if not 0 <= index < self.length:
            raise IndexError(f'index {index} of {self.length}')
        rng = np.random.default_rng([self.seed, epoch, index])
        number = int(np.searchsorted(self._bounds, rng.random(), side='right'))
        # Epochs shorter than a dataset go on where the last one ended; a dataset's own epochs are passes through it.
        return number, divmod(epoch * self.length + index, len(self.datasets[number])), rng

    def _completed(self, sample):
        for label, zeros in self._labels.items():
            sample.setdefault(label, zeros)
            sample.setdefault(f'has_{label}', torch.tensor(False))
        return sample

    @property
    def skipped(self):
        """Unreadable pictures passed over so far, in all loader processes."""
        return sum(getattr(dataset, 'skipped', 0) for dataset in self.datasets)

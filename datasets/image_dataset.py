"""Datasets of people in pictures on disk, for training and evaluation."""
import os
from dataclasses import replace
from multiprocessing import Value

import numpy as np
import torch
from torch.utils.data import Dataset

from datasets.augmentation import draw_augmentation
from datasets.bedlam_annotations import SMPLX_POSE
from datasets.catalog import find_dataset, load_annotations
from datasets.dense_points import DenseLabels, drop_dense_labels
from datasets.framing import framed
from datasets.image_io import read_picture
from datasets.label_filters import has_enough_keypoints, trusted
from datasets.occluders import load_occluders
from datasets.photometric import is_on
from datasets.sample import NO_AUGMENTATION, make_sample, shown_center
from utils.assets import find_assets
from utils.errors import BadFile, ProjectError
from utils.logging import log_once
from utils.threads import use_one_thread

# Number of consecutive unreadable rows after which DATA.ON_BAD_IMAGE 'skip' raises.
MAX_SKIPS = 100


def init_worker(_worker_id):
    """`worker_init_fn` of a DataLoader. Each worker process uses one thread."""
    use_one_thread()


class PersonDataset(Dataset):
    """Base class of file and stream datasets.

    Indexed by `index`, or by (epoch, index). Augmentation depends only on (seed, epoch, dataset_index, index), not on
    the worker process or earlier samples. Subclasses implement `__len__` and `_read`.
    """

    def __init__(self, cfg, name, split, seed=None, dataset_index=0):
        if split not in ('train', 'val', 'eval'):
            raise ValueError(f"split is 'train', 'val' or 'eval', got {split!r}")
        self.cfg, self.name, self.split = cfg, name, split
        self.seed = cfg.SEED if seed is None else seed
        self.dataset_index = dataset_index
        self.legacy = split != 'train' and cfg.DATA.LEGACY_CROP_EVAL
        self.hides_3d = split == 'train' and cfg.DATA.IGNORE_3D
        self.poses_of_crops = False
        # All datasets of a mixture return the same entries. Only files can have dense labels.
        self.dense = DenseLabels(cfg.IUV.SIZE) if split == 'train' and cfg.DATA.DENSE_POINTS else None
        self.occludes = split == 'train' and load_occluders(cfg.DATA.OCCLUDERS) is not None

    def __getitem__(self, key):
        epoch, index = key if isinstance(key, tuple) else (0, int(key))
        if not 0 <= index < len(self):
            raise IndexError(f'{self.name}: index {index} of {len(self)}')
        return self.sample(epoch, index, np.random.default_rng([self.seed, epoch, self.dataset_index, index]))

    def sample(self, epoch, index, rng):
        """The sample of row `index`. In training, `rng` draws its augmentation."""
        augmentation = self.draw_augmentation(rng) if self.split == 'train' else NO_AUGMENTATION
        return self._pack(*self._read(epoch, index, augmentation.box_factor), augmentation)

    def samples(self, keys, rngs):
        """`sample` for several (epoch, index), each with its own generator."""
        return [self.sample(*key, rng) for key, rng in zip(keys, rngs)]

    def crop_squares(self, rows):
        """Centres [N,2] and scales [N] (side / 200) of the evaluation crops of `rows`, float64."""
        people = [self._framed(self.annotations.person(row), NO_AUGMENTATION) for row in rows]
        centers, scales = zip(*((person.center, person.scale) for person in people))
        centers = np.array(centers, np.float64)
        return shown_center(centers, self.cfg.DATA) if self.legacy else centers, np.array(scales, np.float64)

    def say_unknown_shapes(self, known, source):
        """Log if evaluation cannot widen boxes. known [N]: rows of `source` whose box has a known shape."""
        if self.split != 'train' and self.cfg.DATA.BOX_ASPECT > 1 and not known.all():
            log_once(f"{source}: {int((~known).sum())} of {len(known)} rows have no width and height of the box "
                     "(bbox_size); their square boxes are not widened (DATA.BOX_ASPECT)")

    def _framed(self, person, augmentation):
        data = self.cfg.DATA
        return framed(person, augmentation, data.BOX_ASPECT, self.split == 'train', data.BOX_MARGIN)

    def draw_augmentation(self, rng):
        """Draw the Augmentation of a training picture."""
        augmentation = draw_augmentation(rng, self.cfg)
        if self.occludes:
            augmentation = replace(augmentation, occluders=load_occluders(self.cfg.DATA.OCCLUDERS).draw(rng))
        if is_on(self.cfg.DATA.PHOTOMETRIC):
            augmentation = replace(augmentation, photometric=int(rng.integers(2 ** 63)))
        return augmentation

    def _pack(self, picture, person, row, imgname, augmentation):
        """The sample of a person, with the entries that identify dataset and row."""
        if self.split == 'train':
            person = trusted(person, self.cfg.DATA)
        person = self._framed(person, augmentation)
        try:
            sample = make_sample(picture, person, augmentation, self.cfg, self.legacy, self.hides_3d,
                                 self.poses_of_crops)
            if self.dense is not None:
                sample.update(self.dense.sample(row, person, augmentation, self.cfg.DATA.IMG_RES))
        except ProjectError as error:
            raise type(error)(f'{imgname}: {error}') from None
        sample.update(dataset_index=torch.tensor(self.dataset_index), sample_index=torch.tensor(row),
                      dataset_name=self.name, imgname=imgname)
        return sample

    def _read(self, epoch, index, box_factor):
        """Read a row -> (Picture, Person, row, image name). box_factor: scale of the crop's box."""
        raise NotImplementedError


class SkipCounter:
    """Counts unreadable pictures of all worker processes if DATA.ON_BAD_IMAGE is 'skip'."""

    def __init__(self, cfg):
        self._cfg, self._count = cfg, Value('q', 0)

    @property
    def count(self):
        return self._count.value

    def add(self, error):
        """Count and log an unreadable picture. Raises `error` if DATA.ON_BAD_IMAGE is not 'skip'."""
        if self._cfg.DATA.ON_BAD_IMAGE != 'skip':
            raise type(error)(f'{error}; DATA.ON_BAD_IMAGE skip goes on without it') from error
        with self._count.get_lock():
            self._count.value += 1
        log_once(f'skipped: {error}')


class RowsDataset(PersonDataset):
    """Base class of datasets with a picture per row.

    With DATA.ON_BAD_IMAGE 'skip' the next row replaces an unreadable one. In training it also replaces a row with fewer
    keypoints than DATA.MIN_KEYPOINTS. Subclasses implement `__len__`, `_read_row(row, box_factor)` and `source_name`,
    which is for messages.
    """

    def __init__(self, cfg, name, split, seed=None, dataset_index=0):
        super().__init__(cfg, name, split, seed, dataset_index)
        self._skipped = SkipCounter(cfg)

    @property
    def num_rows(self):
        """Number of rows whose pictures recur in every epoch, so that their fits can be stored."""
        return len(self)

    @property
    def skipped(self):
        return self._skipped.count

    def has_3d_truth(self):
        """Whether the dataset may have 3D ground truth."""
        return True

    def _read(self, epoch, index, box_factor):
        for row in ((index + step) % len(self) for step in range(min(len(self), MAX_SKIPS))):
            try:
                found = self._read_row(row, box_factor)
            except ProjectError as error:
                self._skipped.add(error)
                continue
            if self.split != 'train' or has_enough_keypoints(found[1], self.cfg.DATA):
                return found
        raise BadFile(f'{self.source_name}: {MAX_SKIPS} consecutive pictures from row {index} are unreadable, or have '
                      'fewer keypoints than DATA.MIN_KEYPOINTS')

    def _read_row(self, row, box_factor):
        """Read a row -> (Picture, Person, row, image name)."""
        raise NotImplementedError


class ImageDataset(RowsDataset):
    """A dataset of the catalog, or a user's own (docs/data.md), from an annotation file and an image folder.

    split: 'train' augments, 'val' and 'eval' do not. skipped: number of unreadable pictures in all worker processes
    (DATA.ON_BAD_IMAGE 'skip'). The next readable row replaces each, and `sample_index` of the sample is that row.
    Raises MissingFile, BadFile, WrongBody.
    """

    def __init__(self, cfg, name, split='train', seed=None, dataset_index=0):
        source = find_dataset(cfg, name, split)
        super().__init__(cfg, source.name, split, seed, dataset_index)
        self.source, self.poses_of_crops = source, source.poses_of_crops
        self.annotations = load_annotations(cfg, source, not self.hides_3d, measured=split != 'train')
        if not len(self.annotations):
            raise BadFile(f'{source.annotations}: no rows')
        self.say_unknown_shapes(self.annotations.has_box_shape(), source.annotations)
        if self.dense is not None:
            self.dense.read(self.annotations, find_assets(cfg.PATHS.DATA_DIR), source.annotations)
        drop_dense_labels(self.annotations)

    def __len__(self):
        return len(self.annotations)

    @property
    def num_rows(self):
        """Number of rows of the annotation file. A sample may consist of several."""
        return len(self.annotations)

    @property
    def source_name(self):
        return self.source.annotations

    def has_3d_truth(self):
        people = self.annotations
        return bool(people.has_smpl.any() or people.has_joints_3d.any() or SMPLX_POSE in people.extra)

    def image_path(self, row):
        return os.path.join(self.source.images, self.annotations.imgname[row])

    def _read_row(self, row, box_factor):
        path = self.image_path(row)
        # The legacy crop starts from full resolution.
        shrink = 1 if self.legacy else 200 * self.annotations.scale[row] * box_factor / self.cfg.DATA.IMG_RES
        return read_picture(path, shrink), self.annotations.person(row), row, path

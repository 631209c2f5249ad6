"""People in pictures on disk, as samples for training or evaluation."""
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

# How many rows in a row may be unreadable before DATA.ON_BAD_IMAGE 'skip' gives up.
MAX_SKIPS = 100


def init_worker(_worker_id):
    """`worker_init_fn` of a DataLoader: one thread a worker, since there are as many workers as wanted threads."""
    use_one_thread()


class PersonDataset(Dataset):
    """What file and stream datasets share: indices, random augmentation, packing.

    Indexed by `index`, or by (epoch, index). Augmentation is drawn from (seed, epoch, dataset_index, index) alone, so
    a sample depends neither on the worker nor on what came before. Subclasses give `__len__` and `_read`.
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
        # Every dataset of a mixture gives the same entries; only files can have dense labels.
        self.dense = DenseLabels(cfg.IUV.SIZE) if split == 'train' and cfg.DATA.DENSE_POINTS else None
        self.occludes = split == 'train' and load_occluders(cfg.DATA.OCCLUDERS) is not None

    def __getitem__(self, key):
        epoch, index = key if isinstance(key, tuple) else (0, int(key))
        if not 0 <= index < len(self):
            raise IndexError(f'{self.name}: index {index} of {len(self)}')
        return self.sample(epoch, index, np.random.default_rng([self.seed, epoch, self.dataset_index, index]))

    def sample(self, epoch, index, rng):
        """The sample of row `index`, its augmentation drawn from `rng` (training only)."""
        augmentation = self.draw_augmentation(rng) if self.split == 'train' else NO_AUGMENTATION
        return self._pack(*self._read(epoch, index, augmentation.box_factor), augmentation)

    def crop_squares(self, rows):
        """Centres [N,2] and scales [N] (side / 200) of the squares that evaluation crops of `rows` show, float64."""
        people = [self._framed(self.annotations.person(row), NO_AUGMENTATION) for row in rows]
        centers, scales = zip(*((person.center, person.scale) for person in people))
        centers = np.array(centers, np.float64)
        return shown_center(centers, self.cfg.DATA) if self.legacy else centers, np.array(scales, np.float64)

    def say_unknown_shapes(self, known, source):
        """Say it where evaluation cannot widen boxes: known [N] tells of which rows of `source` the shape is known."""
        if self.split != 'train' and self.cfg.DATA.BOX_ASPECT > 1 and not known.all():
            log_once(f"{source}: {int((~known).sum())} of {len(known)} rows do not say their box's width and height "
                     "(bbox_size); their square boxes are taken as they are, not widened (DATA.BOX_ASPECT)")

    def _framed(self, person, augmentation):
        data = self.cfg.DATA
        return framed(person, augmentation, data.BOX_ASPECT, self.split == 'train', data.BOX_MARGIN)

    def draw_augmentation(self, rng):
        """The random Augmentation of one training picture."""
        augmentation = draw_augmentation(rng, self.cfg)
        if self.occludes:
            augmentation = replace(augmentation, occluders=load_occluders(self.cfg.DATA.OCCLUDERS).draw(rng))
        if is_on(self.cfg.DATA.PHOTOMETRIC):
            augmentation = replace(augmentation, photometric=int(rng.integers(2 ** 63)))
        return augmentation

    def _pack(self, picture, person, row, imgname, augmentation):
        """The sample of one person, with what names dataset and row."""
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
        """-> (Picture, Person, row, image name); `box_factor`: scale of the box about to be cut."""
        raise NotImplementedError


class SkipCounter:
    """Counts unreadable pictures over all loader processes, or stops at the first, as DATA.ON_BAD_IMAGE says."""

    def __init__(self, cfg):
        self._cfg, self._count = cfg, Value('q', 0)

    @property
    def count(self):
        return self._count.value

    def add(self, error):
        """Count the picture that `error` is about, or raise the error again."""
        if self._cfg.DATA.ON_BAD_IMAGE != 'skip':
            raise error
        with self._count.get_lock():
            self._count.value += 1
        log_once(f'skipped: {error}')


class RowsDataset(PersonDataset):
    """What datasets of rows with pictures share: an unreadable one is passed over for the next, or ends the run; in
    training one with fewer keypoints than DATA.MIN_KEYPOINTS is passed over too.

    Subclasses give `__len__`, `_read_row(row, box_factor)` and `source_name`, for messages.
    """

    def __init__(self, cfg, name, split, seed=None, dataset_index=0):
        super().__init__(cfg, name, split, seed, dataset_index)
        self._skipped = SkipCounter(cfg)

    @property
    def num_rows(self):
        """Rows whose pictures come again, so that fits of them can be kept."""
        return len(self)

    @property
    def skipped(self):
        return self._skipped.count

    def has_3d_truth(self):
        """Whether there may be 3D ground truth to compare with."""
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
        raise BadFile(f'{self.source_name}: {MAX_SKIPS} pictures in a row from row {index} are unreadable, or show '
                      'fewer keypoints than DATA.MIN_KEYPOINTS')

    def _read_row(self, row, box_factor):
        """-> (Picture, Person, row, image name)."""
        raise NotImplementedError


class ImageDataset(RowsDataset):
    """A dataset of the catalog, or a user's own (docs/data.md), read from an annotation file and an image folder.

    split: 'train' augments, 'val' and 'eval' do not. `skipped` counts the unreadable pictures that DATA.ON_BAD_IMAGE
    'skip' passed over, over all loader processes; each was replaced by the next readable row, and the sample's
    `sample_index` says which. Raises MissingFile, BadFile, WrongBody.
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
        """Rows of the annotation file, whatever a sample is made of."""
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

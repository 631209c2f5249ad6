"""Datasets that are Python functions or classes, registered by name. They need no annotation file."""
import difflib

import numpy as np
import torch

from datasets.annotations import GENDER_CODES, Annotations
from datasets.catalog import CATALOG, STREAM, is_free
from datasets.image_dataset import RowsDataset
from datasets.image_io import Picture, read_picture
from utils.errors import BadConfig, BadFile
from utils.keypoints import NUM_COMMON, NUM_JOINTS
from utils.logging import log_once
from utils.plugins import Registry

DATASETS = Registry('dataset')
# Known labels of a person with their shapes: those of `Annotations`, and the picture's camera.
_SHAPES = {'center': (2,), 'scale': (), 'keypoints_2d': (NUM_JOINTS, 3), 'joints_3d': (NUM_COMMON, 4),
           'has_joints_3d': (), 'pose': (72,), 'betas': (10,), 'has_smpl': (), 'gender': (),
           'smpl_keypoints_2d': (24, 3), 'bbox_size': (2,), 'cam_K': (3, 3), 'focal': ()}
_CAMERA = ('cam_K', 'focal')
_OF_BOX = ('center', 'scale', 'bbox_size')
# Names of the entries of every batch.
_RESERVED = {'img', 'keypoints', 'orig_shape', 'focal_length', 'ray_rotation', 'is_flipped', 'rot_angle', 'bbox_info',
             'dataset_index', 'sample_index', 'dataset_name', 'imgname', 'dense_points', 'dense_segments'}
_BOX_MARGIN = 1.2  # side of the square over the longer side of `bbox`, as in SPIN's converters
_LIKELY_TYPO = 0.85  # difflib's ratio from which an unknown label is reported as a possible typo


def register_dataset(name):
    """Decorator that registers a function or class as the dataset `name`, for training and evaluation.

    It is called with (cfg, split) and returns a sequence (`len`, `[i]`) of people. split: 'train', 'val' or 'eval'.
    Each person is a dict:

    - `image`: a path, or a uint8 RGB array [H,W,3].
    - `center` [2] in pixels and `scale` (side / 200), with `bbox_size` (width, height) if the box has a known shape.
      Or `bbox` (left, top, width, height) that is tight about the person. It becomes `center` and
      `scale` = 1.2 * max(width, height) / 200, as in SPIN's converters. A square that has this margin already is
      given as `center` and `scale`: as `bbox` it would be enlarged again.
    - Any labels of `datasets.annotations.Annotations`, without the axis N, such as `keypoints_2d` [49,3], `joints_3d`
      [24,4], `pose` [72], `betas` [10] and `gender` ('m', 'f', 'n'). Pose and betas are those of the body in use.
    - The picture's camera, if known: `cam_K` [3,3] or `focal` in pixels.
    - Other labels: numbers with the same shape in all rows. The batch has them under their names, and
      `auxiliary_losses` gets them as `targets.labels[name]`. Row 0 must have all of them. They are zeros for rows that
      lack them and for other datasets of a mixture, where `targets.labels['has_name']` [B] is False.

    Raises BadConfig if the project has a dataset of that name.
    """
    if name in CATALOG or name == STREAM or is_free(name):
        raise BadConfig(f'the project has a dataset {name!r} already; register yours under another name')
    return DATASETS.register(name)


class RegisteredDataset(RowsDataset):
    """The dataset of a registered function or class. Samples are those of an ImageDataset.

    labels: {name: zeros of its shape} of the other labels. Raises BadConfig for an unknown dataset and for a label with
    the name of a batch entry. Raises BadFile, which names the row, for an invalid person.
    """

    def __init__(self, cfg, name, split='train', seed=None, dataset_index=0):
        super().__init__(cfg, name, split, seed, dataset_index)
        if cfg.DATA.N_VIEWS and split == 'train' or cfg.TEST.N_VIEWS and split != 'train':
            raise BadConfig(f'{name}: registered datasets have single pictures; set DATA.N_VIEWS and TEST.N_VIEWS '
                            'to 0')
        self.people = DATASETS[name](cfg, split)
        if not (hasattr(self.people, '__len__') and hasattr(self.people, '__getitem__')):
            raise BadFile(f'{self.source_name}: returns {type(self.people).__name__}, but must return a sequence of '
                          'people')
        if not len(self.people):
            raise BadFile(f'{self.source_name}: has no people for {split}')
        self.labels = {key: torch.zeros_like(value) for key, value in self._others(self.people[0], 0).items()}
        self._check_names()
        known = self.people[0].get('bbox', self.people[0].get('bbox_size')) is not None
        self.say_unknown_shapes(np.array([known]), f'{self.source_name}, row 0')

    def _check_names(self):
        taken = sorted(set(self.labels) & _RESERVED)
        if taken:
            raise BadConfig(f'{self.source_name}: label {taken[0]!r} has the name of an entry of every batch; rename '
                            'it')
        for label in self.labels:
            close = difflib.get_close_matches(label, _SHAPES, n=1, cutoff=_LIKELY_TYPO)
            if close:
                log_once(f'{self.source_name}: label {label!r} goes to the batch unchanged; did you mean {close[0]!r}?')
        if not set(self.people[0]) & {'keypoints_2d', 'joints_3d', 'pose', *self.labels}:
            log_once(f'{self.source_name}: row 0 has no label for training, only a picture and a box')

    def __len__(self):
        return len(self.people)

    @property
    def source_name(self):
        return f'dataset {self.name!r}'

    def sample(self, epoch, index, rng):
        sample = super().sample(epoch, index, rng)
        row = int(sample['sample_index'])
        given = self._others(self._given, row)
        for label, value in given.items():
            if label not in self.labels or value.shape != self.labels[label].shape:
                wanted = list(self.labels[label].shape) if label in self.labels else 'absent as in row 0'
                raise BadFile(f'{self.source_name}: row {row}: {label} has shape {list(value.shape)}, but must be '
                              f'{wanted}')
        for label, zeros in self.labels.items():
            sample[label] = given.get(label, zeros)
            sample[f'has_{label}'] = torch.tensor(label in given)
        return sample

    def _read_row(self, row, box_factor):
        given = self._given = self.people[row]  # once per sample, because this may decode the picture
        image = given.get('image')
        imgname = str(image) if image is not None and not isinstance(image, np.ndarray) else f'{self.name}/{row}'
        person = self._person(given, row, imgname)
        if image is None:
            raise BadFile(f"{self.source_name}: row {row} has no 'image'")
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise BadFile(f'{self.source_name}: row {row}: image has shape {list(image.shape)} of {image.dtype}, '
                              'but must be [H,W,3] of uint8')
            return Picture(np.ascontiguousarray(image), *image.shape[:2], is_rgb=True), person, row, imgname
        shrink = 1 if self.legacy else 200 * person.scale * box_factor / self.cfg.DATA.IMG_RES
        return read_picture(imgname, shrink), person, row, imgname

    def _person(self, given, row, imgname):
        known = {key: self._known(given[key], key, row) for key in _SHAPES if given.get(key) is not None}
        if 'bbox' in given:
            left, top, width, height = self._numbers(given['bbox'], 'bbox', (4,), row)
            known.setdefault('center', np.array([left + width / 2, top + height / 2]))
            known.setdefault('scale', np.array(_BOX_MARGIN * max(width, height) / 200))
            known.setdefault('bbox_size', np.array([width, height], np.float64))
        if 'center' not in known or 'scale' not in known:
            raise BadFile(f"{self.source_name}: row {row} has no box: give 'center' and 'scale', or 'bbox'")
        if not (np.isfinite(known['center']).all() and 0 < known['scale'] < np.inf):
            raise BadFile(f'{self.source_name}: row {row}: its box is empty or not finite')
        for mask, label in (('has_smpl', 'pose'), ('has_joints_3d', 'joints_3d')):
            known.setdefault(mask, np.array(label in known))
        rows = {key: value[None] for key, value in known.items()}
        extra = {key: rows.pop(key) for key in _CAMERA if key in rows}
        return Annotations.blank([imgname], rows.pop('center'), rows.pop('scale'), extra=extra, **rows).person(0)

    def _known(self, value, key, row):
        if key == 'gender' and isinstance(value, str):
            if value not in GENDER_CODES:
                raise BadFile(f"{self.source_name}: row {row}: gender is {value!r}; use 'm', 'f' or 'n'")
            value = GENDER_CODES[value]
        array = self._numbers(value, key, _SHAPES[key], row)
        if key.startswith('has_'):
            return array.astype(bool)
        return array.astype(np.int8 if key == 'gender' else np.float64 if key in _OF_BOX else np.float32)

    def _numbers(self, value, key, shape, row):
        array = np.asarray(value)
        if array.shape != shape or array.dtype.kind not in 'biuf':
            raise BadFile(f'{self.source_name}: row {row}: {key} has shape {list(array.shape)} of {array.dtype}, '
                          f'but must be {list(shape)} of numbers')
        return array

    def _others(self, given, row):
        """Other labels of a person, {name: tensor}. Only the user's architecture knows them."""
        if not isinstance(given, dict):
            raise BadFile(f'{self.source_name}: row {row} is {type(given).__name__}, but must be a dict')
        out = {}
        for key in sorted(set(given) - set(_SHAPES) - {'image', 'bbox'}):
            value = np.asarray(given[key])
            if value.dtype.kind not in 'biuf':
                raise BadFile(f'{self.source_name}: row {row}: {key} has type {value.dtype}, but must be numbers')
            out[key] = torch.from_numpy(np.array(value, np.float32 if value.dtype.kind == 'f' else None))
        return out

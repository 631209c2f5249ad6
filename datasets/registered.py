"""Data sets that are Python functions or classes, by name: no annotation file is needed."""
import numpy as np
import torch

from datasets.annotations import Annotations
from datasets.image_dataset import RowsDataset
from datasets.image_io import Picture, read_picture
from utils.errors import BadConfig, BadFile
from utils.plugins import Registry

DATASETS = Registry('data set')
# A person's labels that the project knows (`Annotations`); `bbox` may stand for the box.
_KNOWN = {name for name in (*Annotations.ROW_FIELDS, 'smpl_keypoints_2d') if name != 'imgname'}
_CAMERA = ('cam_K', 'focal')


def register_dataset(name):
    """A decorator that makes a function or class the data set `name`, in mixtures, for training and evaluation.

    It is called with (cfg, split), split 'train', 'val' or 'eval', and returns a sequence (`len`, `[i]`) of people.
    Each is a dict:

    - `image`: a path, or a uint8 RGB array [H,W,3];
    - `center` [2] in pixels and `scale` (side / 200), or `bbox` (left, top, width, height);
    - any labels of `datasets.annotations.Annotations`, without the leading N: `keypoints_2d` [49,3], `joints_3d`
      [24,4], `pose` [72], `betas` [10], ... Pose and betas are those of the body in use;
    - the picture's camera, where it is known: `cam_K` [3,3] or `focal`, in pixels;
    - anything else, as numbers. It goes into the batch under its name, and to `auxiliary_losses` as
      `targets.labels[name]`; in a mixture `has_name` says in which rows it is there.
    """
    return DATASETS.register(name)


class RegisteredDataset(RowsDataset):
    """The data set that a registered function or class gives; samples are those of an ImageDataset.

    labels: {name: zeros of that shape} of what goes through to the batch. Raises BadConfig for an unknown name, BadFile
    where a person's dict has no box or no picture.
    """

    def __init__(self, cfg, name, split='train', seed=None, dataset_index=0):
        super().__init__(cfg, name, split, seed, dataset_index)
        if cfg.DATA.N_VIEWS and split == 'train' or cfg.TEST.N_VIEWS and split != 'train':
            raise BadConfig(f'{name}: registered data sets give single pictures; set DATA.N_VIEWS and TEST.N_VIEWS '
                            'to 0')
        self.people = DATASETS[name](cfg, split)
        if not len(self.people):
            raise BadFile(f'data set {name!r}: has no people for {split}')
        self.labels = {key: torch.zeros_like(value) for key, value in self._others(self.people[0], 0).items()}

    def __len__(self):
        return len(self.people)

    @property
    def source_name(self):
        return f'data set {self.name!r}'

    def sample(self, epoch, index, rng):
        sample = super().sample(epoch, index, rng)
        sample.update(self._others(self._given, int(sample['sample_index'])))
        return sample

    def _read_row(self, row, box_factor):
        given = self._given = self.people[row]  # asked once a sample: it may be the picture's decoding
        imgname = given['image'] if isinstance(given.get('image'), str) else f'{self.name}/{row}'
        person = self._person(given, row, imgname)
        image = given.get('image')
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise BadFile(f'{imgname}: image has shape {list(image.shape)} of {image.dtype}, wanted [H,W,3] of '
                              'uint8')
            return Picture(np.ascontiguousarray(image), *image.shape[:2], is_rgb=True), person, row, imgname
        if image is None:
            raise BadFile(f"{imgname}: the dict of row {row} has no 'image'")
        shrink = 1 if self.legacy else 200 * person.scale * box_factor / self.cfg.DATA.IMG_RES
        return read_picture(str(image), shrink), person, row, str(image)

    def _person(self, given, row, imgname):
        known = {key: given[key] for key in _KNOWN if given.get(key) is not None}
        if 'bbox' in given:
            left, top, width, height = map(float, given['bbox'])
            known.setdefault('center', [left + width / 2, top + height / 2])
            known.setdefault('scale', 1.2 * max(width, height) / 200)
        if 'center' not in known or 'scale' not in known:
            raise BadFile(f"{self.source_name}: row {row} has no box: give 'center' and 'scale', or 'bbox'")
        for mask, label in (('has_smpl', 'pose'), ('has_joints_3d', 'joints_3d')):
            known.setdefault(mask, label in known)
        rows = {key: np.asarray(value)[None] for key, value in known.items()}
        camera = {key: np.asarray(given[key])[None] for key in _CAMERA if given.get(key) is not None}
        try:
            return Annotations.blank([imgname], rows.pop('center'), rows.pop('scale'), **rows, extra=camera).person(0)
        except ValueError as error:
            raise BadFile(f'{self.source_name}: row {row}: {error}') from None

    def _others(self, given, row):
        """{name: tensor} of the labels that only an architecture of the user's knows."""
        out = {}
        for key in sorted(set(given) - _KNOWN - {'image', 'bbox', *_CAMERA}):
            value = np.asarray(given[key])
            if value.dtype.kind not in 'biuf':
                raise BadFile(f'{self.source_name}: row {row}: {key} has type {value.dtype}, wanted numbers')
            out[key] = torch.from_numpy(np.array(value, np.float32 if value.dtype.kind == 'f' else None))
        return out

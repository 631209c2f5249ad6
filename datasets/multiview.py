"""Groups of pictures that show one person at one instant from several cameras."""
import random
from dataclasses import replace

import numpy as np
import torch

from datasets.augmentation import turn_matrix
from datasets.catalog import STREAM
from datasets.image_dataset import MAX_SKIPS, ImageDataset
from datasets.mpi_inf_3dhp import read_shot
from datasets.sample import NO_AUGMENTATION
from utils.camera import look_at
from utils.errors import BadConfig, BadFile, ProjectError
from utils.logging import log_once

_MIRROR = np.diag([-1.0, 1.0, 1.0])


class ViewGroupDataset(ImageDataset):
    """A dataset whose samples are `n_views` pictures of one person.

    A sample has the entries of an ImageDataset's sample, stacked to [n_views, ...]. `imgname` and `dataset_name` are
    lists of n_views names. Two more entries are `camera_rotation` [n_views,3,3], from the world to the camera of the
    augmented crop, and `has_camera` [n_views]: whether the file has cam_R and cam_K [N,3,3]. Without cam_K the
    direction of the crop is unknown. Either all views of a sample are mirrored or none. Rotation, scale and colours
    are drawn for each view.

    Training draws `n_views` different views of a group, in random order. Evaluation uses the views of a group in order,
    n_views at a time. If n_views does not divide their number, it uses one window for each first view, wrapping around,
    so that every picture counts equally. A dataset with a `view_seed` is evaluated on views drawn with it, each at most
    once. Groups with fewer views are left out. Raises the errors of ImageDataset, and BadFile if no group has n_views
    views.
    """

    def __init__(self, cfg, name, split, n_views, seed=None, dataset_index=0):
        if name == STREAM:
            raise BadConfig(f'{STREAM} has no groups of views; set DATA.N_VIEWS to 0, or use free-multiview')
        super().__init__(cfg, name, split, seed, dataset_index)
        groups = view_groups(self.annotations, self.source.annotations)
        self.groups = [group for group in groups if len(group) >= n_views]
        if not self.groups:
            raise BadFile(f'{self.source.annotations}: no person has {n_views} views (it has '
                          f'{len(groups)} groups of at most {max(map(len, groups))} views); use fewer views')
        if len(self.groups) < len(groups):
            log_once(f'{self.source.annotations}: {len(groups) - len(self.groups)} of {len(groups)} groups have fewer '
                     f'than {n_views} views and are left out')
        self.n_views = n_views
        self._windows = None if split == 'train' else self._evaluated_windows()

    def _evaluated_windows(self):
        if self.source.view_seed is not None:
            return drawn_windows(self.groups, self.n_views, self.source.view_seed)
        return [rows for group in self.groups for rows in windows(group, self.n_views)]

    def __len__(self):
        return len(self.groups if self._windows is None else self._windows)

    def sample(self, epoch, index, rng):
        """The sample of group `index`. In training, `rng` draws its views and augmentation."""
        for place in range(min(len(self), MAX_SKIPS)):
            rows, augmentations = self._draw((index + place) % len(self), rng)
            try:
                pictures = [self._read_row(int(row), augmentation.box_factor)
                            for row, augmentation in zip(rows, augmentations)]
            except ProjectError as error:
                self._skipped.add(error)
                continue
            return stack_views([self._pack_view(*picture, augmentation)
                                for picture, augmentation in zip(pictures, augmentations)])
        raise BadFile(f'{self.source.images}: pictures of {MAX_SKIPS} consecutive groups from group {index} of '
                      f'{self.source.annotations} are unreadable')

    def _draw(self, index, rng):
        """(rows [n_views], augmentations) of a sample."""
        if self._windows is not None:
            return self._windows[index], [NO_AUGMENTATION] * self.n_views
        rows = rng.permutation(self.groups[index])[:self.n_views]
        drawn = [self.draw_augmentation(rng) for _ in rows]
        return rows, [replace(augmentation, flip=drawn[0].flip) for augmentation in drawn]

    def _pack_view(self, picture, person, row, imgname, augmentation):
        sample = self._pack(picture, person, row, imgname, augmentation)
        rotation, known = self._camera_rotation(row, sample['center'].double().numpy())
        rotation = turn_matrix(augmentation.rotation) @ rotation
        if augmentation.flip:
            rotation = _MIRROR @ rotation @ _MIRROR
        sample['camera_rotation'] = torch.from_numpy(rotation.astype(np.float32))
        sample['has_camera'] = torch.tensor(known)
        return sample

    def _camera_rotation(self, row, center):
        """(rotation [3,3] from the world to the camera that looks at the box's `center`, whether it is known)."""
        rotation, intrinsics = (self.annotations.extra.get(key) for key in ('cam_R', 'cam_K'))
        if rotation is None or intrinsics is None:
            return np.eye(3), False
        rotation, intrinsics = (np.asarray(matrix[row], np.float64) for matrix in (rotation, intrinsics))
        if not (np.isfinite(rotation).all() and np.isfinite(intrinsics).all()):
            return np.eye(3), False
        return look_at(center, intrinsics) @ rotation, True


def view_groups(annotations, path):
    """Rows [n] of each group of views, in the order of the views.

    The arrays `group` and `view` [N] of the file define the groups, or the paths of MPI-INF-3DHP. Raises BadFile
    without either, or if a group has two rows of one view.
    """
    group, view = annotations.extra.get('group'), annotations.extra.get('view')
    if group is None or view is None:
        group, view = _from_paths(annotations.imgname, path)
    _, group = np.unique(group, return_inverse=True)
    _, view = np.unique(view, return_inverse=True)
    order = np.lexsort((view, group))
    same = (np.diff(group[order]) == 0) & (np.diff(view[order]) == 0)
    if same.any():
        first, second = order[np.argmax(same)], order[np.argmax(same) + 1]
        raise BadFile(f'{path}: rows {first} and {second} are the same view of the same group; remove one')
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _from_paths(names, path):
    """Group and view of each row from paths of MPI-INF-3DHP."""
    shots = [read_shot(name) for name in names]
    if None in shots:
        raise BadFile(f"{path}: groups of views need arrays 'group' and 'view', or image names like MPI-INF-3DHP's, "
                      f'unlike {names[shots.index(None)]!r}; for single pictures set DATA.N_VIEWS or TEST.N_VIEWS to 0')
    return (np.array([f'S{shot.subject}/Seq{shot.sequence}/{shot.frame:06d}' for shot in shots]),
            np.array([shot.camera for shot in shots]))


def windows(rows, size):
    """Windows [size] of the rows of a group: adjacent if `size` divides their number, else one per row, wrapping."""
    step = size if len(rows) % size == 0 else 1
    return [np.take(rows, range(start, start + size), mode='wrap') for start in range(0, len(rows), step)]


def drawn_windows(groups, size, seed):
    """Windows [size] of views drawn without replacement, as in Multi-SPIN. One generator shuffles the rows of each
    group, in the order of the file. Remaining rows that do not fill a window are left out."""
    rng, made = random.Random(seed), []
    for group in sorted(map(sorted, groups)):
        order = rng.sample(group, len(group))
        made += [np.array(order[start:start + size]) for start in range(0, len(order) - size + 1, size)]
    return made


def stack_views(samples):
    """Stack the samples of the views -> one sample with tensors [n_views, ...] and lists of texts."""
    return {key: torch.stack([sample[key] for sample in samples]) if isinstance(value, torch.Tensor)
            else [sample[key] for sample in samples] for key, value in samples[0].items()}

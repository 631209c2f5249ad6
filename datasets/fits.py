"""The best SMPL fit of each training picture, without augmentation.

The formats are SPIN's. `static_fits/<name>_fits.npy` [N,82] has pose [72] and betas [10] in the order of the
annotations. `final_fits/<name>.npz` has pose, betas and valid_fit. The latter may also be `<stem>_fits.npz` in the
folder of an annotation file (`python -m datasets.from_pictures`). Files of this project name their body, an `.npy` in
a `.json` of the same name, an `.npz` in an entry. Fits without it belong to SMPL.
"""
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch

from datasets.catalog import entry_of
from utils.device_constants import on_device
from utils.errors import BadFile, WrongBody
from utils.geometry import axis_angle_to_rotmat, rot6d_to_rotmat, rotmat_to_axis_angle
from utils.keypoints import SMPL_FLIP
from utils.logging import log_once
from utils.safe_io import as_numbers, load_json, load_npy, load_npz, save_json, save_npy

NUM_PARAMS = 82
# Names of SPIN's files in mmhuman3d.
_OTHER_STEMS = {'lsp-orig': 'lsp', 'mpi-inf-3dhp': 'mpi_inf_3dhp'}


@dataclass
class DatasetFits:
    """params [N,82] float32. known [N]: the row is a fit, not the mean pose. changed [N]: changed since loading."""
    name: str
    params: np.ndarray
    known: np.ndarray
    changed: np.ndarray


class FitStore:
    """Fits of the datasets of a mixture.

    datasets: [(name, rows)] or [(name, rows, annotation file or None)] in the order of `dataset_index`. rows: 0 if the
    pictures of the dataset do not recur. assets: folder of the files, except those in the folder of the annotation
    file. body_digest: the body in use. final: start from `final_fits/` instead of `static_fits/`. Rows without a file
    start from the mean pose and are not `known`.

    Each process has a full copy. All copies stay equal, because the new fits of a step are gathered and every process
    stores all of them. If a picture has several new fits, the one with the smallest residual is stored, and the first
    of equal ones. Raises BadFile for a file of another shape, WrongBody for one of another body.
    """

    def __init__(self, datasets, assets, body_digest, final=False):
        self.body_digest = body_digest
        mean = mean_parameters(assets)
        self.datasets = [self._open(name, rows, assets, mean, final, *file) for name, rows, *file in datasets]

    def _open(self, name, rows, assets, mean, final, annotations=None):
        found = _find(assets, name, final, annotations) if rows else None
        if found is None:
            if rows:
                kind = 'final' if final else 'static'
                log_once(f'{name}: no {kind} fits in {assets.root / (kind + "_fits")}; starting from the mean pose, '
                         'which is not a target until SMPLify finds a fit')
            return DatasetFits(name, np.repeat(mean[None], rows, 0), np.zeros(rows, bool), np.zeros(rows, bool))
        params, known = read_fits(found, rows, self.body_digest, assets.is_free)
        params[~np.isfinite(params).all(1)] = mean
        return DatasetFits(name, params, known, np.zeros(rows, bool))

    def get(self, dataset_index, sample_index, rot_angle, is_flipped):
        """Fits of a batch, with the augmentation of its pictures: pose [B,72], betas [B,10], known [B].

        All arguments are [B] tensors, rot_angle in degrees. The result is on the device of rot_angle. With both indices
        on the host the call does not wait for the device.
        """
        rows = [self._row(*place) for place in zip(dataset_index.tolist(), sample_index.tolist())]
        # Stack in memory of torch. MKL's rounding depends on the alignment of an array, which differs after a resume.
        params = _sent(torch.stack([torch.from_numpy(params) for params, _ in rows]), rot_angle.device)
        known = _sent(torch.from_numpy(np.array([flag for _, flag in rows])), rot_angle.device)
        return augment_pose(params[:, :72], rot_angle, is_flipped), params[:, 72:], known

    def _row(self, dataset_index, sample_index):
        fits = self.datasets[dataset_index]
        if not len(fits.params):
            return np.zeros(NUM_PARAMS, np.float32), False
        return fits.params[sample_index], bool(fits.known[sample_index])

    def put(self, dataset_index, sample_index, params, residual):
        """Store K fits without augmentation: indices [K] and [K], params [K,82], residual [K]. Skips fits with NaN."""
        params, residual = params.float().cpu().numpy(), residual.float().cpu().numpy()
        dataset_index, sample_index = dataset_index.cpu().numpy(), sample_index.cpu().numpy()
        good = np.isfinite(params).all(1) & np.isfinite(residual)
        order = np.argsort(residual, kind='stable')[::-1]  # the last one written is kept
        for k in order[good[order]]:
            fits = self.datasets[dataset_index[k]]
            if len(fits.params):
                row = sample_index[k]
                fits.params[row], fits.known[row], fits.changed[row] = params[k], True, True

    def state_dict(self):
        """Fits that changed since the files were read: {name: {'rows': [K], 'params': [K,82]}}."""
        state = {}
        for fits in self.datasets:
            rows = np.flatnonzero(fits.changed)
            state[fits.name] = {'rows': torch.from_numpy(rows), 'params': torch.from_numpy(fits.params[rows])}
        return state

    def load_state_dict(self, state):
        """Restore the result of `state_dict`. Other datasets keep the fits of their files. Raises BadFile."""
        for fits in self.datasets:
            if fits.name in state:
                rows = state[fits.name]['rows'].numpy()
                if len(rows) and rows.max() >= len(fits.params):
                    raise BadFile(f'the checkpoint has a fit of row {rows.max()} of {fits.name}, but the dataset has '
                                  f'{len(fits.params)} rows; use the annotations of the run')
                fits.params[rows], fits.known[rows], fits.changed[rows] = state[fits.name]['params'].numpy(), True, True

    def save(self, folder):
        """Write `<name>_fits.npy` of every dataset that changed, each atomically."""
        for fits in self.datasets:
            if fits.changed.any():
                write_fits(Path(folder) / f'{fits.name}_fits.npy', fits.params, self.body_digest)


def _sent(value, device):
    """Start the copy of a host tensor to a device, without waiting for it."""
    return value.pin_memory().to(device, non_blocking=True) if device.type == 'cuda' else value.to(device)


def mean_parameters(assets):
    """Mean pose and shape [82] float32 from smpl_mean_params.npz."""
    path = assets.file('smpl_mean_params.npz')
    arrays = load_npz(path, ('pose', 'shape'))
    pose, betas = (as_numbers(np.ravel(arrays.get(key)), f'{path}: {key}', (size,), np.float32)
                   for key, size in (('pose', 144), ('shape', 10)))
    rotmat = rot6d_to_rotmat(torch.from_numpy(pose.reshape(24, 6)))
    return np.concatenate([rotmat_to_axis_angle(rotmat).flatten().numpy(), betas])


def augment_pose(pose, rot_angle, is_flipped):
    """Rotate poses [B,72] about the camera's axis by degrees [B], then mirror the rows of is_flipped [B]."""
    return _mirror(_turn(pose, rot_angle), is_flipped)


def unaugment_pose(pose, rot_angle, is_flipped):
    """The inverse of `augment_pose`."""
    return _turn(_mirror(pose, is_flipped), -rot_angle)


def _turn(pose, rot_angle):
    axis = torch.stack([torch.zeros_like(rot_angle), torch.zeros_like(rot_angle), -torch.deg2rad(rot_angle)], -1)
    orient = rotmat_to_axis_angle(roma.rotvec_to_rotmat(axis.to(pose.dtype)) @ axis_angle_to_rotmat(pose[:, :3]))
    return torch.cat([torch.where((rot_angle == 0)[:, None], pose[:, :3], orient), pose[:, 3:]], 1)


def _mirror(pose, is_flipped):
    partner, signs = on_device(tuple(SMPL_FLIP.tolist()), pose.device), on_device((1.0, -1.0, -1.0), pose.device)
    mirrored = (pose.unflatten(1, (24, 3))[:, partner] * signs.to(pose.dtype)).flatten(1)
    return torch.where(is_flipped.bool()[:, None], mirrored, pose)


def fits_stems(name):
    """File stems of a dataset's fits: SPIN's, then mmhuman3d's."""
    stem = entry_of(name).fits
    return [other for other in (stem, _OTHER_STEMS.get(stem)) if other]


def fits_beside(annotations):
    """Path of the fits in the folder of an annotation file. The file may be absent."""
    return Path(annotations).with_name(f'{Path(annotations).stem}_fits.npz')


def _find(assets, name, final, annotations=None):
    """Path of a dataset's fits, or None."""
    if annotations is not None and fits_beside(annotations).exists():
        return fits_beside(annotations)
    for stem in fits_stems(name):
        candidates = [f'final_fits/{stem}.npz', f'final_fits/{stem}.npy'] if final else [f'static_fits/{stem}_fits.npy']
        for candidate in candidates:
            if assets.has(candidate):
                return assets.file(candidate)
    return None


def read_fits(path, rows, body_digest, is_free_body):
    """Read (params [N,82] float32, known [N]) from a file with N = rows fits. Raises BadFile, WrongBody."""
    path = Path(path)
    if path.suffix == '.npz':
        arrays = load_npz(path, ('pose', 'betas', 'valid_fit', 'body_digest'))
        missing = {'pose', 'betas', 'valid_fit'} - set(arrays)
        if missing:
            raise BadFile(f'{path}: no key {sorted(missing)[0]!r}; final fits need pose, betas and valid_fit')
        parts, owner = [('pose', arrays['pose'], 72), ('betas', arrays['betas'], 10)], arrays.get('body_digest')
        known = as_numbers(arrays['valid_fit'], f'{path}: valid_fit', (rows,))
    else:
        whole = load_npy(path)
        parts, owner, known = [('fits', whole, NUM_PARAMS)], _check_side(path, whole), np.ones(rows, bool)
    _check_owner(path, owner, body_digest, is_free_body)
    for _, part, width in parts:
        if np.shape(part) != (rows, width):
            raise BadFile(f'{path}: shape {list(np.shape(part))}, but the dataset has {rows} rows and wants '
                          f'{[rows, width]}')
    params = np.concatenate([as_numbers(part, f'{path}: {name}', (rows, width), np.float32, finite=False)
                             for name, part, width in parts], axis=1)
    broken = ~np.isfinite(params).all(1)
    if broken.any():
        log_once(f'{path}: {broken.sum()} of {rows} fits are NaN or infinite; they count as missing')
    return params, (known > 0) & ~broken


def _side_of(path):
    """Content of the `.json` of a file of fits; {} without one. Raises BadFile."""
    side = path.with_suffix('.json')
    content = load_json(side) if side.exists() else {}
    if not isinstance(content, dict) or not isinstance(content.get('sha256', []), list):
        raise BadFile(f'{side}: not the description of fits that this project writes; delete it')
    return content


def _check_side(path, params):
    """The body digest of a file of fits, or None. Raises BadFile if the fits do not match their own digest."""
    side = _side_of(path)
    if 'sha256' in side and _digest(params) not in side['sha256']:
        raise BadFile(f'{path}: damaged: its content does not match the digest in its .json; make it again')
    return side.get('body_digest')


def _digest(params):
    return hashlib.sha256(np.ascontiguousarray(params).tobytes()).hexdigest()


def _check_owner(path, owner, body_digest, is_free_body):
    if owner is None and is_free_body:
        raise WrongBody(f'{path}: these fits belong to the licensed SMPL body, but the body in use is the free one; '
                        "move them away, or set PATHS.DATA_DIR to a folder with SMPL's body")
    if owner is not None and str(owner) != body_digest:
        raise WrongBody(f'{path}: these fits belong to body {owner}, but the body in use is {body_digest}; move them '
                        'away, or use the folder of that body')


def write_fits(path, params, body_digest):
    """Write fits [N,82], and a `.json` with the digests of their body and of the fits. Each file is written atomically.

    The `.json` also has the digest of the fits that are replaced, because these still exist between the two writes.
    """
    path, params = Path(path), np.asarray(params, np.float32)
    try:
        before = _side_of(path).get('sha256', [])[-1:]
    except BadFile:
        before = []
    save_json(path.with_suffix('.json'), {'body_digest': body_digest, 'rows': len(params),
                                          'sha256': [*before, _digest(params)]})
    save_npy(path, params)

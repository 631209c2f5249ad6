"""Initial fits of a dataset: SMPLify from the mean pose, for every row of an annotation file."""
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from core.training.fitting import HALF_CROP
from datasets.fits import mean_parameters, write_fits
from models.smplify.inputs import LIMB_JOINTS
from models.smplify.starts import HEADINGS, first_translation, headings, seen_joints
from utils.assets import find_assets
from utils.errors import BadFile
from utils.geometry import axis_angle_to_rotmat, rotmat_to_axis_angle
from utils.keypoints import FOCAL_LENGTH, NUM_OPENPOSE
from utils.safe_io import load_npz, save_npz


@dataclass(frozen=True)
class Round:
    """One fit of every candidate. stay: weight that holds the body pose at its start; weights: SMPLify's weights that
    differ from the default; candidates: number of a person's candidates to keep, by least loss."""
    stay: float
    weights: dict
    candidates: int


_MEAN_SHAPE = 100.0 ** 2
# First the large movements, then the keypoints' details, then size and depth of the found pose. The shape comes last,
# because a body that may shrink explains long bones by a near camera and tilts all others.
ROUNDS = (Round(300.0, {'shape_prior': _MEAN_SHAPE}, 2), Round(30.0, {'shape_prior': _MEAN_SHAPE}, 1),
          Round(1000.0, {'depth': 1.0}, 1))

# Pixels in the 224 px crop, more than an eighth of it. Two annotations of one joint differ by much less.
_STRANGER = 30.0


@dataclass
class InitialFits:
    """params [N,82] float32, residual [N] (mean squared pixels per joint in a 224 px crop), valid [N]."""
    params: np.ndarray
    residual: np.ndarray
    valid: np.ndarray

    @classmethod
    def concatenate(cls, parts):
        return cls(*(np.concatenate([getattr(part, name) for part in parts])
                     for name in ('params', 'residual', 'valid')))


def keypoints_in_crop(keypoints_2d, center, scale):
    """Convert keypoints [N,49,3] of a picture with boxes center [N,2] and scale [N] to pixels of the 224 px crop
    (float32)."""
    zoom = 2 * HALF_CROP / (200.0 * np.asarray(scale, np.float64)[:, None, None])
    points = (keypoints_2d[..., :2] - np.asarray(center, np.float64)[:, None]) * zoom + HALF_CROP
    return np.concatenate([points, keypoints_2d[..., 2:]], -1).astype(np.float32)


def fit_keypoints(smplify, keypoints_2d, mean, threshold):
    """Fit bodies to keypoints [N,49,3] in the 224 px crop without any other estimate -> InitialFits.

    mean [82]: initial pose and betas; threshold: largest residual of a valid fit.
    """
    keypoints = without_strangers(torch.as_tensor(keypoints_2d, dtype=torch.float32))
    people = torch.arange(len(keypoints))
    fit = _first_candidates(smplify, keypoints, torch.as_tensor(mean, dtype=torch.float32))
    owner = people.repeat_interleave(len(HEADINGS))
    for step in ROUNDS:
        seen = keypoints[owner]
        fit = smplify(fit.pose, fit.betas, fit.camera_translation, seen.new_full((len(seen), 2), HALF_CROP), seen,
                      stay=step.stay, weights=replace(smplify.weights, **step.weights))
        best = _of_least_loss(fit.loss.view(len(people), -1), step.candidates)
        fit, owner = _Candidates.of(fit, best), owner[best]
    residual = fit.reprojection_loss.mean(1)
    return InitialFits(torch.cat([fit.pose, fit.betas], 1).numpy(), residual.numpy(),
                       (fit.valid & (residual < threshold)).numpy())


def without_strangers(keypoints):
    """Keypoints [N,49,3] without OpenPose's if they contradict the annotated ones.

    They do if the median distance of the limb joints that both see is more than `_STRANGER` pixels: OpenPose found
    another person, or confuses the ends of a person who is upside down.
    """
    openpose, annotated = torch.tensor(LIMB_JOINTS).unbind(1)
    both = seen_joints(keypoints[:, openpose]) & seen_joints(keypoints[:, annotated])
    distance = (keypoints[:, openpose, :2] - keypoints[:, annotated, :2]).norm(dim=-1)
    stranger = torch.where(both, distance, torch.nan).nanmedian(1).values > _STRANGER
    kept = keypoints.clone()
    kept[stranger, :NUM_OPENPOSE, 2] = 0
    return kept


@dataclass
class _Candidates:
    """State between two rounds. The candidates of a person are adjacent."""
    pose: torch.Tensor
    betas: torch.Tensor
    camera_translation: torch.Tensor
    reprojection_loss: torch.Tensor | None = None
    valid: torch.Tensor | None = None

    @classmethod
    def of(cls, result, rows):
        return cls(**{field.name: getattr(result, field.name)[rows] for field in fields(cls)})


def _first_candidates(smplify, keypoints, mean):
    """The mean pose in every heading for each person."""
    orient = rotmat_to_axis_angle(headings(axis_angle_to_rotmat(mean[:3])))
    pose = torch.cat([orient, mean[3:72].expand(len(orient), -1)], 1)
    betas = mean[72:].expand(len(pose), -1)
    pose, betas, joints = (value.repeat(len(keypoints), *[1] * (value.dim() - 1))
                           for value in (pose, betas, smplify.body(betas, pose=pose).joints))
    centred = keypoints.repeat_interleave(len(HEADINGS), 0) - keypoints.new_tensor([HALF_CROP, HALF_CROP, 0])
    size = centred.new_ones(len(centred))
    translation = first_translation(joints, centred, FOCAL_LENGTH * size, 2 * HALF_CROP * size)
    return _Candidates(pose, betas, translation)


def _of_least_loss(loss, count):
    """Losses [N,C] of C candidates per person -> rows [N*count] of the flattened candidates to keep."""
    best = loss.topk(min(count, loss.shape[1]), dim=1, largest=False).indices
    return (best + loss.shape[1] * torch.arange(len(loss))[:, None]).flatten()


def fit_annotations(cfg, annotations, smplify, parts_folder, batch_size=64):
    """Fit every row of Annotations, `batch_size` at a time, with a progress bar -> InitialFits.

    Each batch is saved in `parts_folder` when it is done, and a later call with the same annotations and body continues
    from there. The caller removes the folder.
    """
    folder = Path(parts_folder)
    mean = mean_parameters(find_assets(cfg.PATHS.DATA_DIR))
    keypoints = keypoints_in_crop(annotations.keypoints_2d, annotations.center, annotations.scale)
    starts = range(0, len(keypoints), batch_size)
    parts = []
    for start in tqdm(starts, desc='fits', unit='batch'):
        rows = keypoints[start:start + batch_size]
        file = folder / f'{start:08d}.npz'
        part = _finished_part(file, rows, smplify.body.digest)
        if part is None:
            part = fit_keypoints(smplify, rows, mean, cfg.SMPLIFY.THRESHOLD)
            save_npz(file, keypoints=rows, body_digest=smplify.body.digest, **vars(part))
        parts.append(part)
    return InitialFits.concatenate(parts)


def _finished_part(file, keypoints, body_digest):
    """The stored fits of a batch, or None if they are absent or of other keypoints or another body."""
    if not file.exists():
        return None
    try:
        stored = load_npz(file)
        same = str(stored['body_digest']) == body_digest and np.array_equal(stored['keypoints'], keypoints)
        return InitialFits(stored['params'], stored['residual'], stored['valid']) if same else None
    except (BadFile, KeyError):
        return None


def save_initial_fits(folder, stem, fits, body_digest):
    """Write `<stem>_fits.npy` and `.json`, and `<stem>_fits_quality.npz` with residuals and valid flags.

    Returns the path of the first.
    """
    path = Path(folder) / f'{stem}_fits.npy'
    save_npz(Path(folder) / f'{stem}_fits_quality.npz', residual=fits.residual, valid=fits.valid,
             body_digest=body_digest)
    write_fits(path, fits.params, body_digest)
    return path


def histogram(fits, width=50):
    """Histogram of the residuals as lines of text, with bins of doubling width."""
    edges = [0.0, *2.0 ** np.arange(0, 9), np.inf]
    counts, _ = np.histogram(fits.residual, edges)
    lines = [f'residual, px^2 a joint: median {np.median(fits.residual):.2f}, mean {fits.residual.mean():.2f}; '
             f'{fits.valid.sum()} of {len(fits.valid)} fits valid']
    for low, high, count in zip(edges, edges[1:], counts):
        lines.append(f'{low:5.0f} to {high:<5.0f} {"#" * round(width * count / max(counts.max(), 1)):<{width}} {count}')
    return '\n'.join(lines)

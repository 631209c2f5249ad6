"""First fits of a data set: SMPLify from the mean pose, for every row of an annotation file."""
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from core.training.fitting import HALF_CROP
from datasets.fits import mean_parameters, write_fits
from models.smplify.inputs import LIMB_JOINTS
from utils.assets import find_assets
from utils.errors import BadFile
from utils.geometry import axis_angle_to_rotmat, rotmat_to_axis_angle
from utils.keypoints import FOCAL_LENGTH, JOINT_NAMES, NUM_OPENPOSE
from utils.safe_io import load_npz, save_npz

# A person's facing is not known: the mean pose is turned about the vertical by each of these, and fitted.
HEADINGS = (0.0, 0.5 * np.pi, np.pi, 1.5 * np.pi)


@dataclass(frozen=True)
class Round:
    """One fit of every candidate. stay: weight of staying near the start; weights: those of SMPLify's terms that
    differ; candidates: how many of a person's go on, those of least loss."""
    stay: float
    weights: dict
    candidates: int


_MEAN_SHAPE = 100.0 ** 2
# The large movements, then what the keypoints ask for, then size and depth for a pose that is found. The shape waits,
# since a body that may shrink explains long bones by a near camera and tilts all others.
ROUNDS = (Round(300.0, {'shape_prior': _MEAN_SHAPE}, 2), Round(30.0, {'shape_prior': _MEAN_SHAPE}, 1),
          Round(1000.0, {'depth': 1.0}, 1))

_LIMBS = (('ankle', 'knee'), ('knee', 'hip'), ('hip', 'shoulder'), ('shoulder', 'elbow'), ('elbow', 'wrist'))
# [2,10,2]: limbs and flanks by their ends among the 49 joints, annotated and OpenPose's.
BONES = torch.tensor([[[JOINT_NAMES.index(f'{owner}{side}_{joint}') for joint in limb]
                       for side in ('left', 'right') for limb in _LIMBS] for owner in ('', 'openpose_')])
# Which of the ten bones, from the one that looks longest, tells the size, and how much of it is believed. Measured on
# people whose pose is known: one that is taken for too near costs more than one taken for too far.
_TELLING_BONE, _BELIEVED_SIZE = 2, 0.9
# Pixels in the 224 px crop, more than an eighth of it: far more than two annotations of one joint differ by.
_STRANGER = 30.0


@dataclass
class InitialFits:
    """params [N,82] float32, residual [N] (mean squared pixels a joint in a 224 px crop), valid [N]."""
    params: np.ndarray
    residual: np.ndarray
    valid: np.ndarray

    @classmethod
    def concatenate(cls, parts):
        return cls(*(np.concatenate([getattr(part, name) for part in parts])
                     for name in ('params', 'residual', 'valid')))


def keypoints_in_crop(keypoints_2d, center, scale):
    """Keypoints [N,49,3] of a picture, boxes center [N,2] and scale [N], to pixels of the 224 px crop (float32)."""
    zoom = 2 * HALF_CROP / (200.0 * np.asarray(scale, np.float64)[:, None, None])
    points = (keypoints_2d[..., :2] - np.asarray(center, np.float64)[:, None]) * zoom + HALF_CROP
    return np.concatenate([points, keypoints_2d[..., 2:]], -1).astype(np.float32)


def fit_keypoints(smplify, keypoints_2d, mean, threshold):
    """Fit bodies to keypoints [N,49,3] in the 224 px crop, of which nothing else is known -> InitialFits.

    mean [82]: pose and betas to start from; threshold: largest residual of a valid fit.
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
    """Keypoints [N,49,3] less OpenPose's where they contradict the annotated ones.

    They do where the median limb joint that both see is more than `_STRANGER` pixels off: OpenPose has found
    someone else, or has a person who is upside down the wrong way round.
    """
    openpose, annotated = torch.tensor(LIMB_JOINTS).unbind(1)
    both = _seen(keypoints[:, openpose]) & _seen(keypoints[:, annotated])
    distance = (keypoints[:, openpose, :2] - keypoints[:, annotated, :2]).norm(dim=-1)
    stranger = torch.where(both, distance, torch.nan).nanmedian(1).values > _STRANGER
    kept = keypoints.clone()
    kept[stranger, :NUM_OPENPOSE, 2] = 0
    return kept


@dataclass
class _Candidates:
    """What one round hands to the next, candidates of a person one after another."""
    pose: torch.Tensor
    betas: torch.Tensor
    camera_translation: torch.Tensor
    reprojection_loss: torch.Tensor | None = None
    valid: torch.Tensor | None = None

    @classmethod
    def of(cls, result, rows):
        return cls(**{field.name: getattr(result, field.name)[rows] for field in fields(cls)})


def _first_candidates(smplify, keypoints, mean):
    """The mean pose in every heading, for each person."""
    pose = torch.stack([_turned(mean[:72], heading) for heading in HEADINGS])
    betas = mean[72:].expand(len(pose), -1)
    pose, betas, joints = (value.repeat(len(keypoints), *[1] * (value.dim() - 1))
                           for value in (pose, betas, smplify.body(betas, pose=pose).joints))
    return _Candidates(pose, betas, first_translation(joints, keypoints.repeat_interleave(len(HEADINGS), 0)))


def _of_least_loss(loss, count):
    """Losses [N,C] of C candidates a person -> rows [N*count] of the flattened candidates that go on."""
    best = loss.topk(min(count, loss.shape[1]), dim=1, largest=False).indices
    return (best + loss.shape[1] * torch.arange(len(loss))[:, None]).flatten()


def _turned(pose, heading):
    """A pose [72] turned about the camera's vertical axis."""
    turn = axis_angle_to_rotmat(torch.tensor([0.0, heading, 0.0]))
    return torch.cat([rotmat_to_axis_angle(turn @ axis_angle_to_rotmat(pose[:3])), pose[3:]])


def _seen(keypoints):
    """Which keypoints [...,3] are seen [...]."""
    return torch.isfinite(keypoints).all(-1) & (keypoints[..., 2] > 0)


def first_translation(joints, keypoints):
    """Camera translation [N,3] of bodies of unknown pose: joints [N,49,3] of the mean pose, keypoints [N,49,3] pixels.

    A bone looks shorter the more it points at the camera, never longer, so those that look longest for their length
    tell the depth. The longest of all are often wrong annotations or long limbs; the third longest is taken, a tenth
    shorter. A bone that is annotated twice counts once. The seen joints' middle tells the rest.
    """
    seen = _seen(keypoints)
    points = torch.where(seen[..., None], keypoints[..., :2] - HALF_CROP, 0.0)
    start, end = BONES.unbind(2)
    both = seen[:, start] & seen[:, end]
    ratio = (points[:, start] - points[:, end]).norm(dim=-1) / (joints[:, start] - joints[:, end]).norm(dim=-1)
    ratio = torch.where(both, ratio, 0.0).sum(1) / both.sum(1).clamp_min(1)  # [N,10]
    telling = ((ratio > 0).sum(1, keepdim=True) - 1).clamp(0, _TELLING_BONE)
    ratio = _BELIEVED_SIZE * ratio.sort(1, descending=True).values.gather(1, telling).squeeze(1)
    depth = FOCAL_LENGTH / torch.where(ratio > 0, ratio, 0.9 * HALF_CROP)
    count = seen.sum(1, keepdim=True).clamp_min(1)
    offset = (points * (depth / FOCAL_LENGTH)[:, None, None] - joints[..., :2]) * seen[..., None]
    return torch.cat([offset.sum(1) / count, depth[:, None]], 1)


def fit_annotations(cfg, annotations, smplify, parts_folder, batch_size=64):
    """Fit every row of Annotations, `batch_size` at a time, with a progress bar -> InitialFits.

    Each batch is kept in `parts_folder` as soon as it is done; a later call with the same annotations and body goes on
    from there, and the folder is removed at the end.
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
    """The stored fits of a batch, or None where there are none of these keypoints and this body."""
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

    -> path of the first.
    """
    path = Path(folder) / f'{stem}_fits.npy'
    save_npz(Path(folder) / f'{stem}_fits_quality.npz', residual=fits.residual, valid=fits.valid,
             body_digest=body_digest)
    write_fits(path, fits.params, body_digest)
    return path


def histogram(fits, width=50):
    """Residuals as lines of text, in bins that double."""
    edges = [0.0, *2.0 ** np.arange(0, 9), np.inf]
    counts, _ = np.histogram(fits.residual, edges)
    lines = [f'residual, px^2 a joint: median {np.median(fits.residual):.2f}, mean {fits.residual.mean():.2f}; '
             f'{fits.valid.sum()} of {len(fits.valid)} fits valid']
    for low, high, count in zip(edges, edges[1:], counts):
        lines.append(f'{low:5.0f} to {high:<5.0f} {"#" * round(width * count / max(counts.max(), 1)):<{width}} {count}')
    return '\n'.join(lines)

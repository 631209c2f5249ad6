"""Model fitting in the loop, which supervises pictures without ground truth (SPIN, arXiv 1909.12828)."""
from collections import defaultdict
from dataclasses import dataclass

import torch
import torch.distributed

from core.training.supervision import annotation_file, first_view_only
from datasets.fits import FitStore, unaugment_pose
from models.smplify import build_smplify
from models.targets import Targets
from utils.assets import find_assets
from utils.geometry import (
    axis_angle_to_rotmat,
    camera_to_translation,
    estimate_translation,
    rotmat_to_axis_angle,
    turn_about,
    turn_root,
)

# Fits are in pixels of a 224 px crop, whatever the network's input size, because the focal length refers to it.
HALF_CROP = 112.0
# Fits with a larger beta are supervised with the mean shape instead.
EXTREME_BETAS = 3.0


@dataclass
class _Fits:
    """Fits of a batch's rows: pose [R,72], betas [R,10], residual over the joints [R], known [R]."""
    pose: torch.Tensor
    betas: torch.Tensor
    residual: torch.Tensor
    known: torch.Tensor

    def where(self, mask, other):
        """These rows where the mask is True, the other's elsewhere."""
        return _Fits(torch.where(mask[:, None], self.pose, other.pose),
                     torch.where(mask[:, None], self.betas, other.betas),
                     torch.where(mask, self.residual, other.residual), torch.where(mask, self.known, other.known))

    def view(self, i, n_views):
        """The rows of view i."""
        return _Fits(*(value[i::n_views] for value in vars(self).values()))

    def with_view(self, i, n_views, fits):
        """These rows with those of view i replaced by `fits`."""
        rows = torch.arange(i, len(self.pose), n_views, device=self.pose.device)
        return _Fits(*(mine.index_copy(0, rows, theirs)
                       for mine, theirs in zip(vars(self).values(), vars(fits).values())))


class FitsInTheLoop:
    """Targets from ground truth, or from the best fit of a picture without it.

    With SMPLIFY.RUN the body is fitted to the keypoints, starting from the network's estimate, and the better of this
    fit and the stored one is kept in the targets and in the store. Views of one person share a fit, so the better set
    of all views is kept; with MULTIVIEW.SUPERVISED 'first' only the first view is fitted. A row's fit supervises if
    enough of the body is seen and its residual (SMPLIFY.THRESHOLD_ON over the joints) is below SMPLIFY.THRESHOLD. Final
    fits without SMPLIFY.RUN use the validity flags of their file, as in PyMAF's first recipe.

    Fits are made and stored in the frame along the crop's ray. If the network estimates in the picture's own camera
    (`Stage.full_camera`), its estimates are turned to the ray before a fit, and fits are turned to that camera before
    they become targets.

    body: the regressor's, on `device`; datasets: of the training mixture, in the order of `dataset_index`.
    """

    def __init__(self, cfg, body, datasets, device='cpu', iuv_renderer=None):
        options = cfg.SMPLIFY
        self.body, self.iuv_renderer = body, iuv_renderer
        self.cfg, self.run, self.threshold = cfg, options.RUN, options.THRESHOLD
        self._over_joints = {'mean': torch.mean, 'sum': torch.sum}[options.THRESHOLD_ON]
        self.by_flags = options.USE_FINAL_FIT and not options.RUN
        self.smplify = build_smplify(cfg, body, fits=self.run).to(device)
        rows = [(dataset.name, _rows_of(dataset), annotation_file(dataset)) for dataset in datasets]
        self.store = FitStore(rows, find_assets(cfg.PATHS.DATA_DIR), body.digest, options.USE_FINAL_FIT)
        self._sums, self._counts = defaultdict(float), defaultdict(float)

    @torch.no_grad()
    def targets(self, batch, out, n_views=1):
        """Targets of a batch of R rows (views flattened, fastest). out: RegressorOutput."""
        keypoints = _in_pixels(batch['keypoints'])
        center = keypoints.new_full((len(keypoints), 2), HALF_CROP)
        has_smpl = batch['has_smpl'].bool()
        best = self._stored(batch, keypoints, center, n_views)
        if self.run:
            best = self._improved(batch, out.final.detach(), keypoints, center, best, n_views)
        valid = best.known & self._trusted(best, keypoints, center)
        self._record(best, valid, ~has_smpl)
        extreme = (best.betas.abs() > EXTREME_BETAS).any(-1, keepdim=True)
        betas = torch.where(extreme, 0.0, best.betas)
        full_camera = out.final.full_camera
        pose = best.pose if full_camera is None else _turned(best.pose, full_camera.ray_rotation())
        return Targets.of_batch(batch, self.body, self.iuv_renderer, n_views, fits=(pose, betas, valid),
                                full_camera=full_camera)

    def _trusted(self, fits, keypoints, center):
        if self.by_flags:
            return torch.ones_like(fits.known)
        return self.smplify.shows_enough(center, keypoints) & (fits.residual < self.threshold)

    def _stored(self, batch, keypoints, center, n_views):
        """The store's fits with their residuals in this crop."""
        pose, betas, known = self.store.get(batch['dataset_index'], batch['sample_index'], batch['rot_angle'],
                                            batch['is_flipped'])
        joints = self.body(betas, pose=pose).joints
        translation = estimate_translation(joints, torch.nan_to_num(batch['keypoints']))
        residual = self.smplify.fitting_loss(pose, betas, translation, center, keypoints)
        return _Fits(pose, betas, self._over_joints(residual, -1), known)

    def _improved(self, batch, estimate, keypoints, center, stored, n_views):
        """The better of the stored and new fits, of all views or of the first only."""
        if not first_view_only(self.cfg, n_views):
            return self._fit_and_keep(batch, estimate, keypoints, center, stored, n_views)
        first = {key: value[::n_views] for key, value in batch.items()}
        fits = self._fit_and_keep(first, estimate.view(0), keypoints[::n_views], center[::n_views],
                                  stored.view(0, n_views), 1)
        return stored.with_view(0, n_views, fits)

    def _fit_and_keep(self, batch, estimate, keypoints, center, stored, n_views):
        """Fit from the network's estimate where ground truth is missing. Returns the better fits and stores them."""
        wanted = (~batch['has_smpl'].bool()).view(-1, n_views).any(1)
        new, valid = self._fit(batch, estimate, keypoints, center, wanted, n_views)
        gain = (stored.residual - new.residual).view(-1, n_views).mean(1)
        unknown = ~stored.known.view(-1, n_views).all(1)
        better = (valid & (unknown | (gain > 0))).repeat_interleave(n_views)
        self._add('accepted', better, wanted.repeat_interleave(n_views))
        self._add('new_residual', new.residual, valid.repeat_interleave(n_views))
        params = torch.cat([unaugment_pose(new.pose, batch['rot_angle'], batch['is_flipped']), new.betas], 1)
        places = [batch[key].to(params.device) for key in ('dataset_index', 'sample_index')]
        rows = [_gathered(value) for value in (*places, params, new.residual)]
        everywhere = _gathered(better.byte()).bool()  # gloo does not gather booleans
        self.store.put(*(value[everywhere] for value in rows))
        return new.where(better, stored)

    def _fit(self, batch, estimate, keypoints, center, wanted, n_views):
        """Fits of the wanted people [B] as rows, and which people's fits are valid."""
        rotmat, translation = _along_the_ray(estimate)
        pose = rotmat_to_axis_angle(rotmat).flatten(1).unflatten(0, (-1, n_views))
        betas = estimate.betas.float().unflatten(0, (-1, n_views))[:, 0]
        translation = translation.unflatten(0, (-1, n_views))
        keypoints, center = keypoints.unflatten(0, (-1, n_views)), center.unflatten(0, (-1, n_views))
        fits = _Fits(pose.clone(), betas[:, None].repeat(1, n_views, 1),
                     torch.full_like(pose[..., 0], torch.inf), torch.zeros_like(pose[..., 0], dtype=torch.bool))
        valid = torch.zeros_like(wanted)
        calibrated = _calibrated(batch, n_views, wanted)
        for people, rotation in ((wanted & calibrated, batch.get('camera_rotation')), (wanted & ~calibrated, None)):
            if not people.any():
                continue
            rotation = None if rotation is None else rotation.unflatten(0, (-1, n_views))[people]
            result = self.smplify(pose[people], betas[people], translation[people], center[people],
                                  keypoints[people], camera_rotation=rotation)
            fits.pose[people] = result.view_pose
            fits.betas[people] = result.betas[:, None].expand(-1, n_views, -1)
            fits.residual[people] = self._over_joints(result.reprojection_loss, -1)
            fits.known[people] = result.valid[:, None].expand(-1, n_views)
            valid[people] = result.valid
        return _Fits(*(value.flatten(0, 1) for value in vars(fits).values())), valid

    # Reports and checkpoints

    def _record(self, best, valid, without_truth):
        self._add('valid', valid, without_truth)
        self._add('residual', best.residual, without_truth & best.known)

    def _add(self, name, values, rows):
        self._sums[name] += torch.where(rows, values.float(), 0.0).sum()
        self._counts[name] += rows.sum()

    def scalars(self):
        """Means since the last call over this process's rows without ground truth.

        accepted: share of new fits that beat the stored one; valid: share of rows whose fit supervises; residual,
        new_residual: of the kept and of the new fits, in the units of SMPLIFY.THRESHOLD. Empty without such rows.
        """
        values = {name: float(self._sums[name] / count) for name, count in self._counts.items() if count > 0}
        self._sums.clear()
        self._counts.clear()
        return values

    def state_dict(self):
        """The changed fits, for the checkpoint, as tensors and plain containers."""
        return self.store.state_dict()

    def load_state_dict(self, state):
        """Restore the result of `state_dict`."""
        self.store.load_state_dict(state)

    def save(self, folder):
        """Write the changed fits under SPIN's names, `<folder>/<dataset>_fits.npy`, each atomically."""
        self.store.save(folder)


def _rows_of(dataset):
    """Number of rows whose pictures recur. A stream, which has no annotation file, has none."""
    return getattr(dataset, 'num_rows', len(getattr(dataset, 'annotations', ())))


def _in_pixels(keypoints):
    return torch.cat([HALF_CROP * (keypoints[..., :2] + 1), keypoints[..., 2:]], -1)


def _along_the_ray(estimate):
    """Rotations [R,24,3,3] and translation [R,3] of a Stage in the camera that looks at the crop's middle.

    An estimate in the picture's own camera is rotated, and translated so that it projects to the same points.
    """
    rotmat = estimate.rotmat.float()
    if estimate.full_camera is None:
        return rotmat, camera_to_translation(estimate.camera.float())
    turn = estimate.full_camera.ray_rotation().transpose(1, 2)
    joints = turn_about(estimate.joints, estimate.smpl_joints[:, 0], turn)
    seen = torch.cat([estimate.keypoints_2d, torch.ones_like(joints[..., :1])], -1)
    return turn_root(rotmat, turn), estimate_translation(joints, seen)


def _turned(pose, turn):
    """Axis-angle poses [R,72] with the root rotated by [R,3,3]."""
    return torch.cat([rotmat_to_axis_angle(turn @ axis_angle_to_rotmat(pose[:, :3])), pose[:, 3:]], 1)


def _calibrated(batch, n_views, people):
    """[B] bool: which people have a known camera rotation in every view."""
    if 'has_camera' not in batch or n_views == 1:
        return torch.zeros_like(people)
    return batch['has_camera'].bool().view(-1, n_views).all(1)


def _gathered(value):
    """Rows of all processes in the order of their ranks. All processes must have the same number."""
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return value
    parts = [torch.empty_like(value) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, value.contiguous())
    return torch.cat(parts)

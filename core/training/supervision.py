"""Targets of a batch and named losses of an estimate, for any architecture."""
from dataclasses import replace

import torch

from datasets.fits import fits_beside
from models import losses as L
from models.targets import Targets
from utils.errors import BadConfig, BadFile
from utils.keypoints import NUM_OPENPOSE
from utils.logging import get_logger


class AnnotatedTargets:
    """Targets from annotations only. FitsInTheLoop (core/training/fitting.py) has the same interface and adds fits."""

    def __init__(self, body, iuv_renderer):
        self._body, self._iuv_renderer = body, iuv_renderer

    def targets(self, batch, out, n_views=1):
        """Targets of a batch. Of the network's output `out` only the cameras are used."""
        return Targets.of_batch(batch, self._body, self._iuv_renderer, n_views, full_camera=out.final.full_camera)

    def scalars(self):
        """Nothing to report."""
        return {}

    def state_dict(self):
        """Nothing to save."""
        return {}

    def load_state_dict(self, state):
        """Nothing to restore."""

    def save(self, folder):
        """Nothing to write."""


def uses_fits(cfg):
    """Whether a config supervises with fits."""
    return cfg.SMPLIFY.RUN or cfg.SMPLIFY.USE_FITS or cfg.SMPLIFY.USE_FINAL_FIT


def first_view_only(cfg, n_views):
    """Whether losses and fits use only the first of several views."""
    return n_views > 1 and cfg.MULTIVIEW.SUPERVISED == 'first'


def annotation_file(dataset):
    """Path of a dataset's annotation file, or None."""
    return getattr(getattr(dataset, 'source', None), 'annotations', None)


def check_labels(datasets, cfg):
    """Warn about datasets of a mixture without labels for this config's losses, and log which fits are not used.

    Raises BadFile where no dataset has such labels. Datasets that are functions, streams and shards are not looked at.
    """
    lacking = [why for why in (_lack_of_labels(dataset, cfg) for dataset in datasets) if why]
    if len(lacking) == len(datasets):
        raise BadFile(f'{lacking[0]}; without labels nothing is learned (docs/data.md, "Your own data")')
    for why in lacking:
        get_logger().warning(f'{why}, or remove it from DATA.MIXTURE')
    for dataset in datasets:
        file = annotation_file(dataset)
        if file is not None and fits_beside(file).exists() and not uses_fits(cfg):
            get_logger().info(f'{fits_beside(file)}: these fits are not used; SMPLIFY.USE_FITS True supervises with '
                              'them')


def _lack_of_labels(dataset, cfg):
    """Why a dataset has no label that the losses of a config use, and what to do; '' where it has one."""
    labels, dense = getattr(dataset, 'annotations', None), getattr(dataset, 'dense', None)
    if labels is None or dense is not None and dense.points is not None:
        return ''
    openpose, annotated = (bool(labels.keypoints_2d[:, part, 2].any())
                           for part in (slice(NUM_OPENPOSE), slice(NUM_OPENPOSE, None)))
    has_3d = bool(labels.has_smpl.any() or labels.has_joints_3d.any())
    fits = cfg.SMPLIFY.USE_FITS or cfg.SMPLIFY.USE_FINAL_FIT or cfg.SMPLIFY.RUN and (openpose or annotated)
    if (openpose and cfg.LOSS.OPENPOSE_TRAIN_WEIGHT or annotated and cfg.LOSS.GT_TRAIN_WEIGHT
            or has_3d and not cfg.DATA.IGNORE_3D or fits):
        return ''
    where = annotation_file(dataset) or dataset.name
    if has_3d:
        return f'{where}: has 3D labels alone, and DATA.IGNORE_3D leaves them out; set it to False'
    for found, key, weight in ((openpose, 'openpose', 'OPENPOSE_TRAIN_WEIGHT'), (annotated, 'part', 'GT_TRAIN_WEIGHT')):
        if found:
            return f'{where}: has keypoints under {key!r} alone, and LOSS.{weight} is 0; set it to 1'
    return (f'{where}: no row has a label (2D keypoints in part or openpose with a confidence above 0, 3D joints in S, '
            'or pose and shape with has_smpl); add some')


def stage_losses(stage, targets, cfg):
    """{name: weighted scalar} of one estimate: the losses that all architectures share (SPIN, section 3)."""
    weights = cfg.LOSS
    losses = {
        'keypoints_2d': weights.KP_2D_W * L.keypoint_2d_loss(
            stage.keypoints_2d, targets.keypoints_2d, weights.OPENPOSE_TRAIN_WEIGHT, weights.GT_TRAIN_WEIGHT,
            weights.KP_CRITERION, weights.KP_MEAN),
        'keypoints_3d': weights.KP_3D_W * L.keypoint_3d_loss(
            stage.joints, targets.joints_3d, targets.has_3d, weights.KP_CRITERION, weights.KP_MEAN),
        'pose': weights.POSE_W * L.pose_loss(stage.rotmat, targets.rotmat, targets.valid),
        'betas': weights.SHAPE_W * L.betas_loss(stage.betas, targets.betas, targets.valid),
        'camera': weights.CAM_W * L.camera_loss(stage.camera)}
    if weights.VERT_W > 0:
        losses['vertices'] = weights.VERT_W * L.vertex_loss(stage.vertices, targets.vertices, targets.valid)
    return losses


def all_losses(regressor, out, targets, cfg):
    """{name: scalar} of every supervised stage and of the regressor's own losses. Their sum is the training loss.

    If only the first view is supervised, stages and targets contain that view only; other outputs keep all views.
    """
    if first_view_only(cfg, targets.n_views):
        out, targets = replace(out, stages=[stage.view(0) for stage in out.stages]), targets.view(0)
    supervised = [(i, stage) for i, stage in enumerate(out.stages) if stage.supervised]
    losses = {}
    for i, stage in supervised:
        suffix = f'_{i}' if len(supervised) > 1 else ''
        losses.update({name + suffix: value for name, value in stage_losses(stage, targets, cfg).items()})
    losses.update(_own_losses(regressor, out, targets, taken=losses))
    return {name: cfg.LOSS.SCALE * value for name, value in losses.items()}


def _own_losses(regressor, out, targets, taken):
    """The regressor's own losses. Raises BadConfig for one that is not a scalar or has the name of a common loss."""
    own = regressor.auxiliary_losses(out, targets)
    if not isinstance(own, dict) or not all(isinstance(value, torch.Tensor) for value in own.values()):
        raise BadConfig(f'{type(regressor).__name__}.auxiliary_losses returned {own!r:.80}; it must return a dict '
                        '{name: scalar tensor}, {} for none')
    for name, value in own.items():
        if name in taken:
            raise BadConfig(f'{type(regressor).__name__}.auxiliary_losses returns {name!r}, the name of a loss of all '
                            'regressors; rename it')
        if value.dim():
            raise BadConfig(f'{type(regressor).__name__}.auxiliary_losses: {name!r} has shape {list(value.shape)}; '
                            'return a scalar')
    return own

"""Turns a batch into targets, and estimates and targets into named losses. Knows no architecture."""
from dataclasses import replace

from models import losses as L
from models.targets import Targets


def flatten_views(batch):
    """Merge the view axis of a several-view batch into rows, views fastest -> (batch, n_views)."""
    if batch['img'].dim() == 4:
        return batch, 1
    return {key: _flat(value) for key, value in batch.items()}, batch['img'].shape[1]


def _flat(values):
    """A batch entry without its view axis; names come as one list a view, each over the batch."""
    if hasattr(values, 'flatten'):
        return values.flatten(0, 1)
    return [name for views in zip(*values) for name in views]


def build_targets(batch, body, iuv_renderer, n_views=1):
    """Targets from annotations alone: a body is supervised where the batch holds ground truth."""
    return Targets(
        keypoints_2d=batch['keypoints'], smpl_keypoints_2d=batch['smpl_keypoints_2d'],
        joints_3d=batch['joints_3d'], has_3d=batch['has_joints_3d'], pose=batch['pose'], betas=batch['betas'],
        valid=batch['has_smpl'], body=body, iuv_renderer=iuv_renderer, n_views=n_views,
        dense_points=batch.get('dense_points'), dense_segments=batch.get('dense_segments'))


class AnnotatedTargets:
    """Targets from annotations alone. FitsInTheLoop (core/training/fitting.py) has the same interface and adds fits."""

    def __init__(self, body, iuv_renderer):
        self._body, self._iuv_renderer = body, iuv_renderer

    def targets(self, batch, out, n_views=1):
        """Targets of a batch; the network's estimate `out` is not used."""
        return build_targets(batch, self._body, self._iuv_renderer, n_views)

    def scalars(self):
        """Nothing to report."""
        return {}

    def state_dict(self):
        """Nothing to remember."""
        return {}

    def load_state_dict(self, state):
        """Nothing to put back."""

    def save(self, folder):
        """Nothing to write."""


def first_view_only(cfg, n_views):
    """Whether losses and fits look at the first of several views alone."""
    return n_views > 1 and cfg.MULTIVIEW.SUPERVISED == 'first'


def stage_losses(stage, targets, cfg):
    """{name: weighted scalar} of one estimate: what every architecture is supervised with (SPIN, section 3)."""
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
    """{name: scalar} of every supervised stage and of the regressor's own losses; the training loss is their sum.

    Where only the first view is supervised, stages and targets hold that view; what else the output has is whole.
    """
    if first_view_only(cfg, targets.n_views):
        out, targets = replace(out, stages=[stage.view(0) for stage in out.stages]), targets.view(0)
    supervised = [(i, stage) for i, stage in enumerate(out.stages) if stage.supervised]
    losses = {}
    for i, stage in supervised:
        suffix = f'_{i}' if len(supervised) > 1 else ''
        losses.update({name + suffix: value for name, value in stage_losses(stage, targets, cfg).items()})
    losses.update(regressor.auxiliary_losses(out, targets))
    return {name: cfg.LOSS.SCALE * value for name, value in losses.items()}

"""SMPLify: fits a body model to 2D keypoints, starting from an estimate (docs/smplify.md).

`build_smplify(cfg)` makes an SMPLify; calling it fits a batch.
"""
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import nn

from models.body import BodyModel
from models.smplify import adam, objective
from models.smplify.inputs import clean_inputs, limb_joints_seen
from models.smplify.levenberg_marquardt import minimize
from models.smplify.priors import PosePrior
from models.smplify.sparse_body import SparseBody
from models.smplify.stages import BodyStage, CameraStage, FitState
from utils.assets import find_assets
from utils.errors import BadConfig
from utils.geometry import axis_angle_to_rotmat, in_full_precision, rotmat_to_axis_angle
from utils.keypoints import FOCAL_LENGTH

METHODS = ('lm', 'adam')
# Most steps of the camera stage of 'lm'. The body stage goes on optimizing the camera.
CAMERA_STEPS = 5


@dataclass
class FitResult:
    """Fits of B bodies. With a view axis in the keypoints, [.] below is [B,n], else [B].

    pose [B,72] axis-angle, with the global orientation of the first view; betas [B,10]; camera_translation [.,3]
    metres; global_orient [.,3] axis-angle in each view; reprojection_loss [.,49] squared pixels (with normalized
    weights: fourth powers of crop units), zero for ignored and unseen joints; loss [B]: the published body loss with
    its priors; valid [B]: the fit is finite and enough of the body is seen. joints [B,49,3] and, computed on first use,
    vertices [B,V,3]: metres, in the frame of `pose`.
    """
    pose: torch.Tensor
    betas: torch.Tensor
    camera_translation: torch.Tensor
    global_orient: torch.Tensor
    joints: torch.Tensor
    reprojection_loss: torch.Tensor
    loss: torch.Tensor
    valid: torch.Tensor
    body: object

    @cached_property
    @torch.no_grad()
    def vertices(self):
        return self.body(self.betas, pose=self.pose).vertices

    @property
    def view_pose(self):
        """Pose in each view's camera: [.,72]."""
        if self.global_orient.dim() == 2:
            return self.pose
        body_pose = self.pose[:, None, 3:].expand(-1, self.global_orient.shape[1], -1)
        return torch.cat([self.global_orient, body_pose], -1)


class SMPLify(nn.Module):
    """Fits a body to keypoints: the camera first, then pose, shape and orientation.

    method: 'lm', Levenberg-Marquardt with analytic Jacobians, or 'adam', as published. iterations: most per stage;
    'lm' stops when the predicted relative decrease of the loss is below `tolerance`. step_size: Adam's. stay: 'lm':
    weight of the squared distance (radians) of the body pose from its start. min_joints: limb joints, of 12, that a
    valid fit needs to see. torso: 'annotated': the camera stage uses the annotated joints only; 'seen': as described
    in `objective.observe`. focal_length: pixels.
    """

    def __init__(self, body, pose_prior, method='lm', iterations=100, step_size=1e-2, tolerance=1e-3, stay=150.0,
                 min_joints=9, focal_length=FOCAL_LENGTH, weights=None, torso='seen'):
        super().__init__()
        if method not in METHODS:
            raise ValueError(f'unknown method {method!r}: use one of {", ".join(METHODS)}')
        self.body, self.pose_prior, self.sparse_body = body, pose_prior, SparseBody(body)
        self.method, self.iterations, self.step_size, self.tolerance = method, iterations, step_size, tolerance
        self.stay, self.min_joints, self.focal_length = stay, min_joints, focal_length
        self.weights, self.torso = weights or objective.Weights(), torso

    @torch.no_grad()
    def forward(self, pose, betas, cam_t, camera_center, keypoints_2d, camera_rotation=None, stay=None,
                weights=None):
        """Fit -> FitResult. The inputs are not changed. NaN and absent keypoints are ignored.

        pose: [B,72] axis-angle, or [B,n,72] with one orientation per view and a common body pose; betas: [B,10]; cam_t:
        [B,3] or [B,n,3] metres; camera_center: [B,2] or [B,n,2] pixels, the middle of the picture; keypoints_2d:
        [B,49,3] or [B,n,49,3] pixels and confidence. Views share pose and betas; each has its own translation and
        orientation. camera_rotation: [B,n,3,3], world to camera, for calibrated cameras; there is one orientation
        then. stay, weights: override the instance's.
        """
        with in_full_precision(pose.device.type):
            return self._fit(pose, betas, cam_t, camera_center, keypoints_2d, camera_rotation, stay,
                             weights or self.weights)

    def _fit(self, pose, betas, cam_t, camera_center, keypoints_2d, camera_rotation, stay, weights):
        given = clean_inputs(pose, betas, cam_t, camera_center, keypoints_2d)
        seen = objective.observe(given.keypoints_2d, given.center, given.translation, camera_rotation,
                                 self.focal_length, published_torso=self.method == 'adam',
                                 annotated_torso=self.torso == 'annotated')
        start = FitState(given.body_pose, given.betas, _start_orient(given.orient, camera_rotation), given.translation)
        if self.method == 'adam':
            state = adam.fit(self.sparse_body, seen, start, self.pose_prior, weights, self.iterations,
                             self.step_size)
        else:
            state = self._levenberg_marquardt(seen, start, self.stay if stay is None else stay, weights)
        result = self._result(state, start, seen, given, weights)
        return result if keypoints_2d.dim() == 4 else _without_views(result)

    @torch.no_grad()
    def fitting_loss(self, pose, betas, cam_t, camera_center, keypoints_2d):
        """Reprojection loss [B,49] or [B,n,49] of given bodies; arguments as in `forward`."""
        given = clean_inputs(pose, betas, cam_t, camera_center, keypoints_2d)
        seen = objective.observe(given.keypoints_2d, given.center, given.translation, None, self.focal_length, False)
        joints = self.sparse_body.joints(self.sparse_body.pose(given.body_pose, given.betas),
                                         axis_angle_to_rotmat(given.orient))
        loss = objective.reprojection(joints, given.translation, seen, self.weights)
        return loss if keypoints_2d.dim() == 4 else loss.squeeze(1)

    def shows_enough(self, camera_center, keypoints_2d):
        """[B] bool: whether the keypoints [B,49,3] or [B,n,49,3] show enough of a body to trust its fit."""
        if keypoints_2d.dim() == 3:
            keypoints_2d, camera_center = keypoints_2d.unsqueeze(1), camera_center.unsqueeze(1)
        return limb_joints_seen(keypoints_2d, camera_center) >= self.min_joints

    def _levenberg_marquardt(self, seen, start, stay, weights):
        camera = CameraStage(self.sparse_body, seen, weights)
        at = minimize(camera, camera.evaluate(start), min(self.iterations, CAMERA_STEPS), self.tolerance)
        stage = BodyStage(self.sparse_body, seen, weights, self.pose_prior, start.body_pose, stay)
        return minimize(stage, stage.evaluate(at.state), self.iterations, self.tolerance).state

    def _result(self, state, start, seen, given, weights):
        finite = torch.stack([torch.isfinite(value).flatten(1).all(1) for value in
                              (state.body_pose, state.betas, state.orient, state.translation)]).all(0)
        state = state.where(finite, start)
        orient = state.view_orient(seen)
        joints = self.sparse_body.joints(self.sparse_body.pose(state.body_pose, state.betas), orient)
        residual = objective.reprojection(joints, state.translation, seen, weights)
        loss = objective.body_loss(joints, state.translation, state.body_pose, state.betas, seen, self.pose_prior,
                                   weights)
        enough = limb_joints_seen(given.keypoints_2d, given.center) >= self.min_joints
        global_orient = rotmat_to_axis_angle(orient)
        return FitResult(torch.cat([global_orient[:, 0], state.body_pose], 1), state.betas, state.translation,
                         global_orient, joints[:, 0], residual, loss, finite & enough & given.usable, self.body)


def _start_orient(orient, camera_rotation):
    """Rotation matrices [B,n,3,3] of orientations [B,n,3]; with calibrated cameras in the world, [B,1,3,3]."""
    rotmat = axis_angle_to_rotmat(orient)
    return rotmat if camera_rotation is None else camera_rotation[:, :1].transpose(-1, -2) @ rotmat[:, :1]


def _without_views(result):
    names = ('camera_translation', 'global_orient', 'reprojection_loss')
    return replace(result, **{name: getattr(result, name).squeeze(1) for name in names})


def build_smplify(cfg, body=None, fits=True):
    """The SMPLify that a config's SMPLIFY section describes. body: a BodyModel to share; default: the assets' neutral
    one. fits: False: it only measures residuals and needs no pose prior.

    Raises MissingFile where the pose prior (gmm_08.pkl) is needed and absent, BadConfig for an objective that the
    method does not support.
    """
    assets, options = find_assets(cfg.PATHS.DATA_DIR), cfg.SMPLIFY
    normalized = options.OBJECTIVE == 'normalized'
    if fits and normalized and options.METHOD != 'adam':
        raise BadConfig(f'SMPLIFY.OBJECTIVE is normalized, which SMPLIFY.METHOD {options.METHOD} does not minimize; '
                        'use METHOD adam, or OBJECTIVE pixels')
    prior = PosePrior(assets.file('gmm_08.pkl')) if fits else None
    return SMPLify(body or BodyModel(assets.root), prior, options.METHOD, options.NUM_ITERS, options.STEP_SIZE,
                   options.TOLERANCE, options.STAY_WEIGHT, options.MIN_JOINTS,
                   weights=objective.Weights(normalized=normalized), torso=options.TORSO)

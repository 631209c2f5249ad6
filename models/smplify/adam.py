"""The published minimizer: a fixed number of Adam's iterations per stage (SPIN, arXiv 1909.12828)."""
import torch

from models.smplify import objective
from models.smplify.stages import FitState
from utils.geometry import axis_angle_to_rotmat, rotmat_to_axis_angle


def fit(body, seen, state, pose_prior, weights, iterations, step_size):
    """FitState -> FitState. First orientation and translation, then pose, betas and orientation with a fixed camera.

    With normalized weights the first stage has the second's objective, as in mmhuman3d.
    """
    orient = rotmat_to_axis_angle(state.orient).clone().requires_grad_()
    translation = state.translation.clone().requires_grad_()
    body_pose, betas = state.body_pose.clone(), state.betas.clone()

    def joints():
        turned = FitState(body_pose, betas, axis_angle_to_rotmat(orient), translation).view_orient(seen)
        return body.joints(body.pose(body_pose, betas), turned)

    def camera_loss():
        return objective.camera_loss(joints(), translation, seen, weights)

    def body_loss():
        return objective.body_loss(joints(), translation, body_pose, betas, seen, pose_prior, weights)

    with torch.enable_grad():
        _descend([orient, translation], iterations, step_size, body_loss if weights.normalized else camera_loss)
        translation.requires_grad_(False)
        body_pose.requires_grad_()
        betas.requires_grad_()
        _descend([body_pose, betas, orient], iterations, step_size, body_loss)
    return FitState(body_pose.detach(), betas.detach(), axis_angle_to_rotmat(orient.detach()), translation)


def _descend(parameters, iterations, step_size, loss):
    optimizer = torch.optim.Adam(parameters, lr=step_size)
    for _ in range(iterations):
        gradients = torch.autograd.grad(loss().sum(), parameters)
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = torch.where(torch.isfinite(gradient), gradient, 0.0)
        optimizer.step()

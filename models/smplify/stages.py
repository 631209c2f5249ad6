"""The two stages of a fit as least-squares problems: cost, gradient and Gauss-Newton Hessian of their parameters.

Gradients and Hessians are those of half the cost. The robust weights and the most likely Gaussian of the prior are
constant within a step (iteratively reweighted least squares).
"""
from dataclasses import dataclass, replace

import roma
import torch

from models.smplify import objective
from models.smplify.priors import BEND_SIGNS, BENDS, NUM_POSE, angle_prior
from utils.device_constants import on_device


@dataclass(frozen=True)
class FitState:
    """Parameters of B fits in n views. body_pose [B,69] axis-angle; betas [B,10]; orient [B,n,3,3] in each camera, or
    [B,1,3,3] in the world for calibrated cameras; translation [B,n,3] metres."""
    body_pose: torch.Tensor
    betas: torch.Tensor
    orient: torch.Tensor
    translation: torch.Tensor

    def view_orient(self, seen):
        """Orientation in each camera, [B,n,3,3]."""
        return self.orient if seen.camera_rotation is None else seen.camera_rotation @ self.orient

    def where(self, rows, other):
        """These parameters where the mask [B] is True, the other's elsewhere."""
        return FitState(*(torch.where(rows.view(-1, *[1] * (mine.dim() - 1)), mine, theirs)
                          for mine, theirs in zip(vars(self).values(), vars(other).values())))


@dataclass(frozen=True)
class Evaluation:
    """A state and its results: cost [B], the posed body, its distinct points [B,n,P,3] in each camera."""
    state: FitState
    cost: torch.Tensor
    pose: object
    points: torch.Tensor


class CameraStage:
    """Global orientation and translation of each view, from four torso joints and a depth held near its estimate."""

    def __init__(self, body, seen, weights):
        self.body, self.seen, self.weights = body, seen, weights
        self.point_of_torso = body.index[seen.torso_index]

    def select(self, rows):
        """The stage of some bodies of the batch."""
        return CameraStage(self.body, self.seen.select(rows), self.weights)

    def evaluate(self, state, pose=None):
        """FitState -> Evaluation. The body's pose is constant in this stage; `pose` avoids computing it again."""
        pose = pose or self.body.pose(state.body_pose, state.betas)
        points = self.body.view_points(pose, state.view_orient(self.seen))
        cost = objective.camera_loss(points[:, :, self.body.index], state.translation, self.seen, self.weights)
        return Evaluation(state, cost, pose, points)

    def moved(self, at, step):
        """Evaluation after a step [B,d]."""
        views = at.state.translation.shape[1]
        state = replace(at.state, orient=turned(at.state.orient, step[:, :-3 * views]),
                        translation=at.state.translation + step[:, -3 * views:].unflatten(1, (views, 3)))
        return self.evaluate(state, at.pose)

    def linearize(self, at):
        """Evaluation -> gradient [B,d] and Hessian [B,d,d] of half the cost."""
        seen, state = self.seen, at.state
        residual = objective.torso_residual(at.points[:, :, self.body.index], state.translation, seen)
        rows = _image_rows(at.points, state.translation, seen.focal_length)
        index = self.point_of_torso[..., None, None].expand(-1, -1, -1, 2, 3)
        rows = rows.gather(2, index)  # [B,n,4,2,3]
        points = at.points.gather(2, self.point_of_torso.unsqueeze(-1).expand(-1, -1, -1, 3))
        turn = _turn_columns(rows, points, at.pose.root, seen)
        jacobian = torch.cat([turn, _by_view(rows)], -1).flatten(1, 3)
        weight = seen.torso_weight.unsqueeze(-1).expand_as(residual).flatten(1)
        weighted = jacobian * weight.unsqueeze(-1)
        gradient = (weighted * residual.flatten(1).unsqueeze(-1)).sum(1)
        hessian = weighted.transpose(1, 2) @ jacobian
        _add_depth(state, seen, self.weights.depth, gradient, hessian.diagonal(dim1=1, dim2=2))
        return gradient, hessian


class BodyStage:
    """Body pose, betas, orientations and translations, from all joints and the priors.

    Differences from the published stage: translations are optimized, with the depth held near its estimate as in the
    camera stage; and `stay` weighs the squared distance of the body pose from `origin` [B,69], which decides what 2D
    keypoints leave open.
    """

    def __init__(self, body, seen, weights, pose_prior, origin, stay):
        self.body, self.seen, self.weights, self.pose_prior = body, seen, weights, pose_prior
        self.origin, self.stay = origin, stay

    def select(self, rows):
        """The stage of some bodies of the batch."""
        return BodyStage(self.body, self.seen.select(rows), self.weights, self.pose_prior, self.origin[rows],
                         self.stay)

    def evaluate(self, state):
        """FitState -> Evaluation"""
        seen, weights = self.seen, self.weights
        pose = self.body.pose(state.body_pose, state.betas)
        points = self.body.view_points(pose, state.view_orient(seen))
        cost = objective.body_loss(points[:, :, self.body.index], state.translation, state.body_pose, state.betas, seen,
                                   self.pose_prior, weights)
        cost = cost + weights.depth * (state.translation[..., 2] - seen.depth).square().sum(1)
        cost = cost + self.stay * (state.body_pose - self.origin).square().sum(1)
        return Evaluation(state, cost, pose, points)

    def moved(self, at, step):
        """Evaluation after a step [B,d]."""
        state = at.state
        sizes = [NUM_POSE, state.betas.shape[1], 3 * state.orient.shape[1], 3 * state.translation.shape[1]]
        pose, betas, turn, shift = step.split(sizes, dim=1)
        return self.evaluate(FitState(state.body_pose + pose, state.betas + betas, turned(state.orient, turn),
                                      state.translation + shift.view_as(state.translation)))

    def linearize(self, at):
        """Evaluation -> gradient [B,d] and Hessian [B,d,d] of half the cost."""
        weight, pull = self._image_terms(at)
        jacobian = self._jacobian(at)
        gradient = (pull.unsqueeze(1) @ jacobian).squeeze(1)
        hessian = (jacobian * weight.unsqueeze(-1)).transpose(1, 2) @ jacobian
        self._add_priors(at.state, gradient, hessian)
        return gradient, hessian

    def _image_terms(self, at):
        """Weight and weighted residual of each coordinate of each distinct point, both [B,n*P*2]."""
        seen, sigma = self.seen, self.weights.sigma
        residual = objective.project(at.points[:, :, self.body.index], at.state.translation, seen) - seen.points
        robust = (sigma ** 2 / (sigma ** 2 + residual.square())).square()
        weight = seen.confidence.square().unsqueeze(-1) * robust
        # Several of the 49 joints are the same point of the body.
        terms = torch.stack([weight, weight * residual], 0).transpose(-1, -2) @ self.body.merge
        return terms.transpose(-1, -2).flatten(2).unbind(0)

    def _jacobian(self, at):
        """[B,n*P*2,d]: derivative of the projected points by body pose, betas, orientations and translations."""
        state, seen = at.state, self.seen
        rows = _image_rows(at.points, state.translation, seen.focal_length)  # [B,n,P,2,3]
        by_betas, root = self.body.betas_jacobian(at.pose)
        points = torch.cat([self.body.pose_jacobian(at.pose), by_betas], -1)  # [B,3,P,d]
        turned = rows @ state.view_orient(seen).unsqueeze(2)
        body = _contract(turned, points)
        body[..., NUM_POSE:] += rows @ root
        turn = _turn_columns(rows, at.points, at.pose.root, seen)
        return torch.cat([body, turn, _by_view(rows)], -1).flatten(1, 3)

    def _add_priors(self, state, gradient, hessian):
        weights, betas = self.weights, slice(NUM_POSE, NUM_POSE + state.betas.shape[1])
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        _, pull, precision = self.pose_prior.quadratic(state.body_pose)
        gradient[:, :NUM_POSE] += 0.5 * weights.pose_prior * pull + self.stay * (state.body_pose - self.origin)
        hessian[:, :NUM_POSE, :NUM_POSE] += 0.5 * weights.pose_prior * precision
        diagonal[:, :NUM_POSE] += self.stay
        bends = weights.angle_prior * angle_prior(state.body_pose)
        place, signs = (on_device(values, bends.device) for values in (BENDS, BEND_SIGNS))
        gradient[:, place] += bends * signs
        diagonal[:, place] += 2 * bends
        gradient[:, betas] += weights.shape_prior * state.betas
        diagonal[:, betas] += weights.shape_prior
        _add_depth(state, self.seen, weights.depth, gradient, diagonal)


def turned(orient, turn):
    """Orientations [B,m,3,3] turned by small rotation vectors [B,3m]."""
    return roma.rotvec_to_rotmat(turn.unflatten(1, (-1, 3))) @ orient


def _add_depth(state, seen, weight, gradient, diagonal):
    """Hold depths near their estimate. Translations are the last parameters, and depth is the last of each."""
    views = state.translation.shape[1]
    gradient[:, -3 * views:].unflatten(1, (views, 3))[..., 2] += weight * (state.translation[..., 2] - seen.depth)
    diagonal[:, -3 * views:].unflatten(1, (views, 3))[..., 2] += weight


def _image_rows(points, translation, focal_length):
    """Derivative [B,n,P,2,3] of pixels by points [B,n,P,3] in the cameras' frames."""
    points = points + translation.unsqueeze(2)
    depth = points[..., 2:]
    rows = points.new_zeros(*points.shape[:-1], 2, 3)
    rows[..., 0, 0] = rows[..., 1, 1] = (focal_length / depth).squeeze(-1)
    rows[..., 2] = -focal_length * points[..., :2] / depth.square()
    return rows


def _turn_columns(rows, points, root, seen):
    """Derivative [B,n,P,2,3m] of pixels by rotations of the m orientations; points [B,n,P,3] in the cameras' frames."""
    lever = points - root[:, None, None]
    columns = torch.linalg.cross(lever.unsqueeze(3).expand_as(rows), rows, dim=-1)
    if seen.camera_rotation is None:
        return _by_view(columns)
    # One orientation in the world: a rotation about a world axis is one about that axis in the camera's frame.
    return columns @ seen.camera_rotation.unsqueeze(2)


def _by_view(columns):
    """Columns [B,n,P,2,3] that concern one view each, placed in rows [B,n,P,2,3n] of zeros."""
    batch, views = columns.shape[:2]
    if views == 1:
        return columns
    apart = torch.eye(views, dtype=columns.dtype, device=columns.device)[None, :, None, None, :, None]
    return (columns.unsqueeze(-2) * apart).flatten(-2)


def _contract(rows, points):
    """rows [B,n,P,2,3] times points [B,3,P,d] over the coordinate: [B,n,P,2,d]."""
    rows = rows.unsqueeze(-1)
    points = points.unsqueeze(1).unsqueeze(4)  # [B,1,3,P,1,d]
    return sum(rows[..., i, :] * points[:, :, i] for i in range(3))

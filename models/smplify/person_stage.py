"""Least-squares problem of a person in a full picture's camera: 2D and 3D keypoints, priors, the last frame.

Image quantities are in pixels of a picture in which the person's box has a side of 224, so that weights mean the same
for every person. The robust weights, the most likely Gaussian of the prior and the scale of the 3D keypoints are
constant within a step (iteratively reweighted least squares).
"""
from dataclasses import dataclass, fields

import torch

from models.smplify.objective import robust
from models.smplify.priors import BEND_SIGNS, BENDS, NUM_POSE, angle_prior
from models.smplify.stages import turned
from utils.device_constants import on_device

# Range of the scale factor of 3D keypoints.
_SMALLEST, _LARGEST = 0.75, 1.33


@dataclass(frozen=True)
class PersonWeights:
    """Factors of the terms. sigma: pixels, of the robust function. joints_3d: squared pixels per squared metre.
    upright: of the squared distance between the trunk's unit vector and the picture's vertical. It decides the hips'
    place when nobody sees them, and has little influence when they are seen."""
    sigma: float = 100.0
    joints_3d: float = 60.0 ** 2
    pose_prior: float = 4.78 ** 2
    angle_prior: float = 15.2 ** 2
    upright: float = 500.0


@dataclass(frozen=True)
class PersonObservations:
    """Observations of B people.

    points [B,49,2] pixels from the principal point; weight [B,49]; focal [B] pixels; joints_3d [B,49,3] metres with
    any origin, in the picture's camera, weight_3d [B,49]; origin [B,69], at which `stay` [B] holds the body pose; shape
    [B,10], at which `shape_weight` [B] holds the betas; predicted_joints [B,49,3] metres and predicted_place [B,3]
    (x / z, y / z, log z of the translation), with their weights joints_weight [B] and place_weight [B,3].
    """
    points: torch.Tensor
    weight: torch.Tensor
    focal: torch.Tensor
    joints_3d: torch.Tensor
    weight_3d: torch.Tensor
    origin: torch.Tensor
    stay: torch.Tensor
    shape: torch.Tensor
    shape_weight: torch.Tensor
    predicted_joints: torch.Tensor
    joints_weight: torch.Tensor
    predicted_place: torch.Tensor
    place_weight: torch.Tensor

    def select(self, rows):
        """The observations of some people."""
        return PersonObservations(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class PersonState:
    """Parameters of B people: body_pose [B,69] axis-angle, betas [B,10], orient [B,3,3] and translation [B,3] metres,
    in the picture's camera."""
    body_pose: torch.Tensor
    betas: torch.Tensor
    orient: torch.Tensor
    translation: torch.Tensor

    def select(self, rows):
        """The parameters of some people."""
        return PersonState(*(value[rows] for value in vars(self).values()))

    @classmethod
    def joined(cls, parts):
        """The parameters of all parts, one after another."""
        return cls(*(torch.cat(values) for values in zip(*(vars(part).values() for part in parts))))


@dataclass(frozen=True)
class PersonEvaluation:
    """A state and its results: `cost` [B] of all terms, `data` [B] of keypoints and priors only, the posed body, and
    its distinct points [B,P,3] in the camera's frame, before the translation."""
    state: PersonState
    cost: torch.Tensor
    data: torch.Tensor
    pose: object
    points: torch.Tensor


class PersonStage:
    """The problem for `levenberg_marquardt.minimize`. body: SparseBody; weights: PersonWeights."""

    def __init__(self, body, seen, weights, pose_prior):
        self.body, self.seen, self.weights, self.pose_prior = body, seen, weights, pose_prior

    def select(self, rows):
        """The stage of some people of the batch."""
        return PersonStage(self.body, self.seen.select(rows), self.weights, self.pose_prior)

    def evaluate(self, state):
        """PersonState -> PersonEvaluation"""
        seen = self.seen
        pose = self.body.pose(state.body_pose, state.betas)
        points = self.body.view_points(pose, state.orient[:, None])[:, 0]
        joints = points[:, self.body.index]
        image = seen.weight * robust(self._residual(joints, state.translation), self.weights.sigma).sum(-1)
        image = torch.where(seen.weight > 0, image, 0.0).sum(1)
        # Bodies with a point behind the camera are rejected.
        image = torch.where((joints[..., 2] + state.translation[:, None, 2]).amin(1) > 0.05, image, torch.inf)
        data = (image + self.weights.joints_3d * self._error_3d(joints)
                + seen.shape_weight * (state.betas - seen.shape).square().sum(1)
                + self.weights.pose_prior * self.pose_prior(state.body_pose)
                + self.weights.angle_prior * angle_prior(state.body_pose).sum(-1)
                + self.weights.upright * (state.orient[:, :, 1] - self._up(state)).square().sum(1))
        held = (seen.stay * (state.body_pose - seen.origin).square().sum(1)
                + seen.joints_weight * self._moved(joints).square().sum((1, 2))
                + (seen.place_weight * (place_of(state.translation) - seen.predicted_place).square()).sum(1))
        return PersonEvaluation(state, data + held, data, pose, points)

    def moved(self, at, step):
        """Evaluation after a step [B,85]."""
        state = at.state
        pose, betas, turn, shift = step.split([NUM_POSE, state.betas.shape[1], 3, 3], dim=1)
        return self.evaluate(PersonState(state.body_pose + pose, state.betas + betas,
                                         turned(state.orient[:, None], turn)[:, 0], state.translation + shift))

    def linearize(self, at):
        """Evaluation -> gradient [B,85] and Hessian [B,85,85] of half the cost."""
        by_point = self._point_jacobian(at)  # [B,P,3,82], without the translation's columns
        gradient, hessian = self._image_terms(at, by_point)
        for weight, residual in ((self.weights.joints_3d * self.seen.weight_3d, self._residual_3d),
                                 (self.seen.joints_weight[:, None].expand_as(self.seen.weight_3d), self._moved)):
            self._add_points(at, by_point, weight, residual, gradient, hessian)
        self._add_priors(at.state, gradient, hessian)
        self._add_place(at.state, gradient, hessian)
        return gradient, hessian

    def _up(self, state):
        return on_device((0.0, -1.0, 0.0), state.orient.device).to(state.orient.dtype)

    def _residual(self, joints, translation):
        joints = joints + translation[:, None]
        return self.seen.focal[:, None, None] * joints[..., :2] / joints[..., 2:] - self.seen.points

    def _residual_3d(self, joints):
        """Metres [B,49,3] from the 3D keypoints to the joints, each relative to its mean, at the best scale."""
        weight = self.seen.weight_3d[..., None]
        centred, target = _centred(joints, weight), _centred(self.seen.joints_3d, weight)
        scale = (weight * centred * target).sum((1, 2)) / (weight * target.square()).sum((1, 2)).clamp_min(1e-9)
        return centred - scale.clamp(_SMALLEST, _LARGEST)[:, None, None] * target

    def _error_3d(self, joints):
        return (self.seen.weight_3d[..., None] * self._residual_3d(joints).square()).sum((1, 2))

    def _moved(self, joints):
        """Metres [B,49,3] from the predicted joints to the joints, each relative to its mean."""
        difference = joints - self.seen.predicted_joints
        return difference - difference.mean(1, keepdim=True)

    def _point_jacobian(self, at):
        """[B,P,3,82]: derivative of the distinct points by body pose, betas and orientation."""
        by_betas, root = self.body.betas_jacobian(at.pose)
        points = torch.cat([self.body.pose_jacobian(at.pose), by_betas], -1)  # [B,3,P,79]
        body = torch.einsum('bij,bjpd->bpid', at.state.orient, points)
        body[..., NUM_POSE:] += root
        lever = at.points - at.pose.root[:, None]
        identity = torch.eye(3, dtype=lever.dtype, device=lever.device)
        turn = torch.linalg.cross(identity.expand(*lever.shape, 3), lever[..., None, :].expand(*lever.shape, 3), dim=-1)
        return torch.cat([body, turn.transpose(-1, -2)], -1)

    def _image_terms(self, at, by_point):
        """Gradient [B,85] and Hessian [B,85,85] of the reprojection."""
        seen, sigma = self.seen, self.weights.sigma
        residual = self._residual(at.points[:, self.body.index], at.state.translation)
        weight = seen.weight[..., None] * (sigma ** 2 / (sigma ** 2 + residual.square())).square()
        weight, pull = (self._merged(value).flatten(1) for value in (weight, weight * residual))
        rows = _image_rows(at.points + at.state.translation[:, None], seen.focal)  # [B,P,2,3]
        jacobian = torch.cat([rows @ by_point, rows], -1).flatten(1, 2)
        gradient = (pull.unsqueeze(1) @ jacobian).squeeze(1)
        return gradient, (jacobian * weight.unsqueeze(-1)).transpose(1, 2) @ jacobian

    def _merged(self, value):
        """[B,49,n] of joints -> [B,P,n], summed over joints that are the same point of the body."""
        return (value.transpose(1, 2) @ self.body.merge).transpose(1, 2)

    def _add_points(self, at, by_point, weight, residual_of, gradient, hessian):
        """Add a term of squared distances [B,49,3] relative to a mean; weight [B,49]."""
        size = by_point.shape[-1]
        residual = residual_of(at.points[:, self.body.index])
        pull = self._merged(weight[..., None] * residual)
        weight = self._merged(weight[..., None])  # [B,P,1]
        gradient[:, :size] += torch.einsum('bpi,bpid->bd', pull, by_point)
        total = weight.sum(1).clamp_min(1e-9)
        mean = (weight[..., None] * by_point).sum(1) / total[..., None]
        centred = (by_point - mean[:, None]).flatten(1, 2)
        weighted = centred * weight.expand(-1, -1, 3).flatten(1)[..., None]
        hessian[:, :size, :size] += weighted.transpose(1, 2) @ centred

    def _add_priors(self, state, gradient, hessian):
        weights, seen, betas = self.weights, self.seen, slice(NUM_POSE, NUM_POSE + state.betas.shape[1])
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        _, pull, precision = self.pose_prior.quadratic(state.body_pose)
        gradient[:, :NUM_POSE] += (0.5 * weights.pose_prior * pull
                                   + seen.stay[:, None] * (state.body_pose - seen.origin))
        hessian[:, :NUM_POSE, :NUM_POSE] += 0.5 * weights.pose_prior * precision
        diagonal[:, :NUM_POSE] += seen.stay[:, None]
        bends = weights.angle_prior * angle_prior(state.body_pose)
        places, signs = (on_device(values, bends.device) for values in (BENDS, BEND_SIGNS))
        gradient[:, places] += bends * signs
        diagonal[:, places] += 2 * bends
        # A small rotation moves the trunk's unit vector by the cross product of its axis with the vector.
        up = state.orient[:, :, 1]
        turn = slice(betas.stop, betas.stop + 3)
        gradient[:, turn] += weights.upright * torch.linalg.cross(up, up - self._up(state))
        diagonal[:, turn] += weights.upright
        gradient[:, betas] += seen.shape_weight[:, None] * (state.betas - seen.shape)
        diagonal[:, betas] += seen.shape_weight[:, None]

    def _add_place(self, state, gradient, hessian):
        """Add the term that holds the translation at the predicted one."""
        x, y, z = state.translation.unbind(-1)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        jacobian = torch.stack([torch.stack([one, zero, -x / z], -1), torch.stack([zero, one, -y / z], -1),
                                torch.stack([zero, zero, one], -1)], 1) / z[:, None, None]
        residual = self.seen.place_weight * (place_of(state.translation) - self.seen.predicted_place)
        gradient[:, -3:] += (residual.unsqueeze(1) @ jacobian).squeeze(1)
        hessian[:, -3:, -3:] += jacobian.transpose(1, 2) @ (self.seen.place_weight[..., None] * jacobian)


def place_of(translation):
    """A translation [B,3] in metres as (x / z, y / z, log z), in which equal steps look equal in the picture."""
    return torch.cat([translation[:, :2] / translation[:, 2:], translation[:, 2:].clamp_min(1e-6).log()], 1)


def translation_at(place):
    """The inverse of `place_of`."""
    depth = place[:, 2:].exp()
    return torch.cat([place[:, :2] * depth, depth], 1)


def _centred(points, weight):
    return points - (weight * points).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1e-9)


def _image_rows(points, focal):
    """Derivative [B,P,2,3] of pixels by points [B,P,3] in the camera's frame."""
    depth = points[..., 2:]
    rows = points.new_zeros(*points.shape[:-1], 2, 3)
    rows[..., 0, 0] = rows[..., 1, 1] = focal[:, None] / depth.squeeze(-1)
    rows[..., 2] = -focal[:, None, None] * points[..., :2] / depth.square()
    return rows

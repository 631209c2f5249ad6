"""Fits bodies to detected keypoints of people in the picture's own camera (docs/smplify.md)."""
from dataclasses import dataclass, replace

import torch

from models.smplify.levenberg_marquardt import minimize
from models.smplify.objective import IGNORED
from models.smplify.person_stage import PersonObservations, PersonStage, PersonState, PersonWeights, place_of
from models.smplify.sparse_body import SparseBody
from models.smplify.starts import HEADINGS, LIMBS, first_translation, headings, torso_orientation
from utils.full_camera import ray_rotation
from utils.geometry import axis_angle_to_rotmat, in_full_precision, perspective_projection
from utils.keypoints import JOINT_NAMES
from utils.threads import one_torch_thread

# Weights are for a person whose box has this side, in pixels.
BOX_SIDE = 224.0
# The annotated hips are fitted here with this weight: detectors are trained on such hips.
_HIPS, _HIP_SHARE = tuple(JOINT_NAMES.index(name) for name in ('right_hip', 'left_hip')), 0.5
_NOT_FITTED = tuple(set(IGNORED) - set(_HIPS))
# Estimators of 3D keypoints place the face too far forward. Bodies fitted to it would lean.
_FACE = tuple(row for row, name in enumerate(JOINT_NAMES)
              if name.removeprefix('openpose_') in ('nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear'))
# Up to this number of people, one thread is faster.
FEW = 16
_SAME_SHAPE, _SHAPE = 100.0 ** 2, 5.0 ** 2
# Weights of the depth: about that of the published camera stage where the depth is guessed from bones; almost free.
_DEPTH_HELD, _DEPTH_FREE = 1.6e7, 1.6e3


@dataclass(frozen=True)
class FitTargets:
    """N people in pictures.

    keypoints [N,49,3] pixels and confidence in [0, 1]; side [N], longer side of the box, and center [N,2], its middle;
    focal [N] pixels; size [N,2], width and height of the picture; joints_3d [N,49,4] metres and confidence, in a camera
    that looks along the ray to the box's middle, zeros without 3D joints.
    """
    keypoints: torch.Tensor
    center: torch.Tensor
    side: torch.Tensor
    focal: torch.Tensor
    size: torch.Tensor
    joints_3d: torch.Tensor

    def select(self, rows):
        """Some of the people."""
        return FitTargets(*(value[rows] for value in vars(self).values()))


@dataclass(frozen=True)
class KeypointFit:
    """Fits of N people in the cameras of their pictures. state: PersonState; joints [N,49,3] metres, before the
    translation; keypoints_2d [N,49,2] pixels; error [N], mean distance of the visible limb joints over the box's side;
    seen [N], number of visible limb joints, of 12; face [N], number of visible joints of the face; strangeness [N] of
    the poses (`PosePrior.strangeness`); start [N]: 0 the network's estimate, 1 the 3D keypoints' torso, 2 headings,
    3 the frame before."""
    state: PersonState
    joints: torch.Tensor
    keypoints_2d: torch.Tensor
    error: torch.Tensor
    seen: torch.Tensor
    face: torch.Tensor
    strangeness: torch.Tensor
    start: torch.Tensor

    def select(self, rows):
        """The fits of some people."""
        return KeypointFit(self.state.select(rows), *(value[rows] for value in list(vars(self).values())[1:]))

    @classmethod
    def joined(cls, parts):
        """The fits of all parts, one after another."""
        return cls(PersonState.joined([part.state for part in parts]),
                   *(torch.cat([getattr(part, name) for part in parts]) for name in list(vars(parts[0]))[1:]))


START_NAMES = ('network', 'keypoints in 3D', 'headings', 'frame before')
_NETWORK, _TORSO, _HEADINGS, BEFORE = range(4)


@dataclass(frozen=True)
class Candidates:
    """C bodies that compete: state, owner [C] (whose they are), start [C] (how they started), and data [C], the loss
    of keypoints and priors."""
    state: PersonState
    owner: torch.Tensor
    start: torch.Tensor
    data: torch.Tensor

    @classmethod
    def of(cls, state, owner, start):
        """Candidates of one start."""
        return cls(state, owner, torch.full_like(owner, start), state.betas.new_zeros(len(owner)))

    @classmethod
    def joined(cls, parts):
        return cls(PersonState.joined([part.state for part in parts]),
                   *(torch.cat([getattr(part, name) for part in parts]) for name in ('owner', 'start', 'data')))

    def best(self, count):
        """The `count` candidates of each owner with the least loss, sorted by owner."""
        order = self.data.argsort()
        order = order[self.owner[order].argsort(stable=True)]
        owner = self.owner[order]
        place = torch.arange(len(owner), device=owner.device)
        rank = place - torch.searchsorted(owner.contiguous(), owner.contiguous())
        rows = order[rank < count]
        return Candidates(self.state.select(rows), self.owner[rows], self.start[rows], self.data[rows])


class KeypointFitter:
    """Fits bodies to people. body: BodyModel; pose_prior: PosePrior; mean [82]: pose and betas of the mean body.

    iterations: most per round; tolerance: as in `minimize`; explains: largest error (mean distance of the limb joints
    over the box's side) of an estimate that is used as a start.
    """

    def __init__(self, body, pose_prior, mean, weights=None, iterations=30, tolerance=1e-3, explains=0.1):
        self.body, self.pose_prior, self.sparse_body = body, pose_prior, SparseBody(body)
        self.weights = weights or PersonWeights()
        self.iterations, self.tolerance, self.explains = iterations, tolerance, explains
        mean = torch.as_tensor(mean, dtype=torch.float32)
        self._mean_orient = axis_angle_to_rotmat(mean[:3])
        self.mean_pose, self.mean_betas = mean[3:72], mean[72:]

    @torch.no_grad()
    def __call__(self, people, estimate=None):
        """Fit -> KeypointFit. people: FitTargets; estimate: PersonState of each person from a network, or None."""
        with in_full_precision(people.keypoints.device.type), one_torch_thread(len(people.side) <= FEW):
            seen = self.observe(people)
            parts = [self._of_network(people, estimate)] if estimate is not None else []
            parts.append(self._of_torsos(people, seen))
            faced = torch.cat([part.owner for part in parts])
            others = torch.ones(len(people.side), dtype=torch.bool, device=faced.device).index_fill(0, faced, False)
            if others.any():
                turned = self._of_headings(others.nonzero().flatten(), seen)
                parts.append(self._round(turned, seen, 300.0, _SAME_SHAPE).best(2))
            candidates = self._round(Candidates.joined(parts), seen, 30.0, _SAME_SHAPE).best(1)
            candidates = self._round(candidates, seen, 1000.0, None, depth=_DEPTH_FREE)
            return self.result(people, candidates.state, candidates.start)

    def observe(self, people):
        """PersonObservations of people, without terms that hold parameters in place."""
        count, zoom = len(people.side), (BOX_SIDE / people.side)
        weight = keypoint_weights(people)
        points = people.keypoints[..., :2] - people.size[:, None] / 2
        points = torch.where(weight[..., None] > 0, points * zoom[:, None, None], 0.0)
        ray = ray_rotation((people.center - people.size / 2) / people.focal[:, None])
        joints_3d = people.joints_3d[..., :3] @ ray.transpose(1, 2)
        weight_3d = people.joints_3d[..., 3].clamp(0, 1).clone()
        weight_3d[:, _FACE] = 0
        zeros = weight.new_zeros(count)
        return PersonObservations(
            points, weight, people.focal * zoom, joints_3d, weight_3d,
            self.mean_pose.expand(count, -1), zeros, self.mean_betas.expand(count, -1), zeros,
            torch.zeros_like(joints_3d), zeros, weight.new_zeros(count, 3), weight.new_zeros(count, 3))

    def minimize(self, state, seen, iterations=None):
        """PersonState -> PersonEvaluation at the nearest minimum."""
        stage = PersonStage(self.sparse_body, seen, self.weights, self.pose_prior)
        return minimize(stage, stage.evaluate(state), iterations or self.iterations, self.tolerance)

    def _round(self, candidates, seen, stay, shape_weight, depth=_DEPTH_HELD):
        """Candidates at their nearest minimum.

        stay: weight that holds the body pose at its start; shape_weight: likewise for the betas, None: the prior on
        betas; depth: weight that holds the depth of candidates from headings.
        """
        seen, state = seen.select(candidates.owner), candidates.state
        held = torch.where(candidates.start == _HEADINGS, depth, 0.0)
        free = torch.zeros_like(held)
        seen = replace(seen, origin=state.body_pose, stay=torch.full_like(held, stay),
                       shape=state.betas if shape_weight else seen.shape,
                       shape_weight=torch.full_like(held, shape_weight or _SHAPE),
                       predicted_place=place_of(state.translation),
                       place_weight=torch.stack([free, free, held], 1))
        at = self.minimize(state, seen)
        return Candidates(at.state, candidates.owner, candidates.start, at.data)

    def _of_network(self, people, estimate):
        """Candidates from the network's estimates that explain the keypoints."""
        error = self.result(people, estimate, None).error
        rows = (error < self.explains).nonzero().flatten()
        return Candidates.of(estimate.select(rows), rows, _NETWORK)

    def _of_torsos(self, people, seen):
        """Candidates from the mean body, turned like the torso of the 3D keypoints."""
        joints = self._mean_joints(self._mean_orient[None])
        joints_3d = torch.cat([seen.joints_3d, seen.weight_3d[..., None]], -1)
        turn, known = torso_orientation(joints.expand(len(joints_3d), -1, -1), joints_3d)
        rows = known.nonzero().flatten()
        return Candidates.of(self._mean_at(rows, turn[rows] @ self._mean_orient, seen), rows, _TORSO)

    def _of_headings(self, rows, seen):
        """Candidates from the mean body in every heading."""
        orient = headings(self._mean_orient).repeat(len(rows), 1, 1)
        rows = rows.repeat_interleave(len(HEADINGS))
        return Candidates.of(self._mean_at(rows, orient, seen), rows, _HEADINGS)

    def _mean_at(self, rows, orient, seen):
        """PersonState of mean bodies with orientation [C,3,3], at the distance that the keypoints of `rows` imply."""
        seen = seen.select(rows)
        keypoints = torch.cat([seen.points, seen.weight[..., None]], -1)
        translation = first_translation(self._mean_joints(orient), keypoints, seen.focal,
                                        torch.full_like(seen.focal, BOX_SIDE))
        return PersonState(self.mean_pose.expand(len(rows), -1), self.mean_betas.expand(len(rows), -1), orient,
                           translation)

    def _mean_joints(self, orient):
        count = len(orient)
        return self.joints(PersonState(self.mean_pose.expand(count, -1), self.mean_betas.expand(count, -1), orient,
                                       orient.new_zeros(count, 3)))

    def joints(self, state):
        """The 49 joints [N,49,3] of a PersonState, before the translation."""
        pose = self.sparse_body.pose(state.body_pose, state.betas)
        return self.sparse_body.joints(pose, state.orient[:, None])[:, 0]

    def result(self, people, state, start):
        """KeypointFit of bodies."""
        joints = self.joints(state)
        pixels = perspective_projection(joints, state.translation, people.focal, people.size / 2)
        weight = keypoint_weights(people)
        seen, face = weight[:, LIMBS] > 0, (weight[:, _FACE] > 0).sum(1)
        distance = (pixels - people.keypoints[..., :2])[:, LIMBS].norm(dim=-1) / people.side[:, None]
        count = seen.sum(1)
        error = torch.where(seen, distance, 0.0).sum(1) / count.clamp_min(1)
        return KeypointFit(state, joints, pixels, torch.where(count > 0, error, torch.inf), count, face,
                         self.pose_prior.strangeness(state.body_pose), start)


def keypoint_weights(people):
    """[N,49] squared confidence of the keypoints that are fitted. Zero outside of the picture."""
    inside = ((people.keypoints[..., :2] >= 0) & (people.keypoints[..., :2] <= people.size[:, None])).all(-1)
    confidence = torch.where(inside & torch.isfinite(people.keypoints).all(-1), people.keypoints[..., 2], 0.0)
    weight = confidence.clamp(0, 1).square()
    weight[:, _NOT_FITTED] = 0
    weight[:, _HIPS] *= _HIP_SHARE
    return weight

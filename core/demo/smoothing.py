"""The one-euro filter over time on rotations, betas and translation of each person (Casiez et al., CHI 2012).

A low-pass filter whose cutoff rises with speed: little jitter at rest, little lag in motion. It is causal, so frames
are not delayed. Rotations are filtered on the sphere: each step is a fraction of the rotation to the new value.
"""
import numpy as np
import roma
import torch

from core.demo.camera import middle_of, project_to_picture

# Seconds without a person after which filtering starts anew, and the cutoff of speeds in hertz (the paper's value).
_RESET, _SPEED_CUTOFF = 0.5, 1.0
# A move by the box's side, or by a factor e in distance, counts as a rotation by this many radians.
_PLACE_WEIGHT = 10.0
_MIN_STEP = 1e-3


def _share(cutoff, step):
    """Weight of the newest value in a first-order low-pass filter; cutoff in hertz, step in seconds."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


class OneEuro:
    """Filters values of one kind. difference(new, old) -> [..., n]; move(old, difference) -> value. Each row of
    differences has its own speed and cutoff."""

    def __init__(self, cutoff, beta, difference, move):
        self._cutoff, self._beta, self._difference, self._move = cutoff, beta, difference, move
        self._value = self._raw = self._speed = None

    def __call__(self, value, step):
        """The filtered value, `step` seconds after the last one."""
        if self._value is None:
            self._value, self._speed = value, torch.zeros_like(self._difference(value, value))
        else:
            speed = self._difference(value, self._raw) / step
            self._speed = self._speed + _share(_SPEED_CUTOFF, step) * (speed - self._speed)
            share = _share(self._cutoff + self._beta * self._speed.norm(dim=-1, keepdim=True), step)
            self._value = self._move(self._value, share * self._difference(value, self._value))
        self._raw = value
        return self._value


def rotation_filter(cutoff, beta):
    """OneEuro of rotation matrices [...,3,3]."""
    return OneEuro(cutoff, beta, lambda new, old: roma.rotmat_to_rotvec(old.transpose(-1, -2) @ new),
                   lambda old, turn: old @ roma.rotvec_to_rotmat(turn))


def vector_filter(cutoff, beta):
    """OneEuro of vectors [...,n]."""
    return OneEuro(cutoff, beta, lambda new, old: new - old, lambda old, change: old + change)


class _PersonFilter:
    def __init__(self, demo):
        self._rotations = rotation_filter(demo.SMOOTH_CUTOFF, demo.SMOOTH_BETA)
        self._betas = vector_filter(demo.SMOOTH_CUTOFF / 4, 0.0)
        self._place = vector_filter(demo.SMOOTH_CUTOFF, demo.SMOOTH_BETA)
        self.time = self._unit = None

    def __call__(self, estimate, time, focal_length):
        step = max(time - self.time, _MIN_STEP) if self.time is not None else 1.0
        self.time = time
        rotmat = self._rotations(torch.as_tensor(estimate.rotmat), step)
        betas = self._betas(torch.as_tensor(estimate.betas), step)
        return rotmat, betas, self._filtered_place(estimate, step, focal_length)

    def _filtered_place(self, estimate, step, focal_length):
        """Filter direction and log depth of the body instead of x and y in metres, which depend on the depth."""
        x, y, depth = torch.as_tensor(estimate.translation).double()
        left, top, right, bottom = estimate.box.astype(float)
        place = torch.stack([x / depth, y / depth, torch.log(depth)])
        if self._unit is None:  # the first box's side is kept: the unit must not change over time
            unit = focal_length / max(right - left, bottom - top, 1.0)
            self._unit = place.new_tensor([unit, unit, 1.0]) * _PLACE_WEIGHT
        u, v, log_depth = self._place(place * self._unit, step) / self._unit
        depth = torch.exp(log_depth)
        return torch.stack([u * depth, v * depth, depth]).float()


class Smoother:
    """Smooths the estimates of frames in order (cfg.DEMO.SMOOTH_CUTOFF, SMOOTH_BETA). body: BodyModel."""

    def __init__(self, cfg, body):
        self._demo, self._body, self._people = cfg.DEMO, body, {}

    @torch.inference_mode()
    def __call__(self, frames, estimates, focus):
        """Change the Estimates (a list per frame) in place. focus: called with a frame, returns its focal length."""
        changed = []
        for frame, people in zip(frames, estimates):
            self._forget(frame.time)
            for estimate in people:
                person = self._people.setdefault(estimate.person_id, _PersonFilter(self._demo))
                changed.append((frame, estimate, *person(estimate, frame.time, focus(frame))))
        if changed:
            self._rebuild(changed, focus)

    def _forget(self, time):
        self._people = {key: person for key, person in self._people.items() if time - person.time <= _RESET}

    def _rebuild(self, changed, focus):
        """Recompute joints, keypoints and, if drawn, vertices from the smoothed parameters."""
        device = self._body.faces.device
        rotmat, betas = (torch.stack([row[i] for row in changed]).to(device) for i in (2, 3))
        posed = self._body(betas, rotmat)
        joints = posed.joints.cpu()
        vertices = posed.vertices.cpu().numpy() if changed[0][1].vertices is not None else [None] * len(changed)
        for i, (frame, estimate, turned, shape, moved) in enumerate(changed):
            estimate.rotmat, estimate.betas, estimate.translation = turned.numpy(), shape.numpy(), moved.numpy()
            estimate.joints, estimate.vertices = joints[i].numpy(), vertices[i]
            estimate.keypoints_2d = project_to_picture(joints[i:i + 1], moved[None], focus(frame),
                                                       middle_of([frame.image]))[0].numpy()

"""Fits over time: each frame's fit starts at the last one and stays near the predicted motion."""
from dataclasses import dataclass, replace

import torch

from models.smplify.keypoint_fitting import BEFORE, FEW, KeypointFit
from models.smplify.person_stage import PersonState, place_of, translation_at
from utils.geometry import in_full_precision
from utils.threads import one_torch_thread

# Seconds without a person after which the fit starts anew, and the time step for which the weights are made.
_RESET, _STEP = 0.5, 1 / 30
# Factor on the speed in the prediction, and weight of the newest speed in its running mean.
_PERSISTENCE, _NEWEST = 0.9, 0.5


@dataclass(frozen=True)
class SequenceWeights:
    """Weights that hold a frame at the prediction. One pixel of error of a keypoint (in a box of 224) costs one.

    joints: of a joint's squared distance in metres, relative to the joints' mean. place: of squared changes of x / z
    and y / z; depth: of log z. stay: of the body pose's squared change in radians. shape: weight of the mean betas per
    frame so far, up to `shape_most`.
    """
    joints: float = 40.0 ** 2
    place: float = 2e3
    depth: float = 1e6
    stay: float = 15.0
    shape: float = 25.0
    shape_most: float = 2500.0


@dataclass
class _Memory:
    """State of a person: the last fit, its joints and place, their speeds per second, mean betas and number of frames.
    """
    state: PersonState
    joints: torch.Tensor
    place: torch.Tensor
    joints_speed: torch.Tensor
    place_speed: torch.Tensor
    shape: torch.Tensor
    frames: int
    time: float


class SequenceFitter:
    """Fits people frame by frame. It is causal and its memory is bounded. fitter: KeypointFitter; weights:
    SequenceWeights; None: frames start at the previous one but are not held there."""

    def __init__(self, fitter, weights=SequenceWeights(), iterations=6):
        self.fitter, self.weights, self.iterations, self._people = fitter, weights, iterations, {}

    def is_new(self, number, time):
        """Whether a person has no recent fit from which this moment's fit could start."""
        memory = self._people.get(number)
        return memory is None or not 0 <= time - memory.time <= _RESET

    @torch.no_grad()
    def __call__(self, people, numbers, time, estimate=None):
        """Fit the people of a frame -> KeypointFit.

        people: FitTargets; numbers: the identity of each; time: seconds; estimate: PersonState from a network of those
        who are `is_new`, in their order, or None.
        """
        self._people = {number: memory for number, memory in self._people.items() if time - memory.time <= _RESET}
        new = [row for row, number in enumerate(numbers) if self.is_new(number, time)]
        old = [row for row in range(len(numbers)) if row not in set(new)]
        fits = {}
        if old:
            fit = self._follow(people.select(torch.tensor(old)), [numbers[row] for row in old], time)
            lost = fit.error > self.fitter.explains
            fits |= {row: fit.select([i]) for i, row in enumerate(old) if not lost[i]}
            if lost.any():  # the person has moved too far, or the number now has another owner
                again = [row for row, gone in zip(old, lost.tolist()) if gone]
                fits |= self._begin(people, again, None)
        if new:
            fits |= self._begin(people, new, estimate)
        for row, fit in fits.items():
            self._remember(numbers[row], fit, time)
        return KeypointFit.joined([fits[row] for row in range(len(numbers))])

    def _begin(self, people, rows, estimate):
        fit = self.fitter(people.select(torch.tensor(rows)), estimate)
        return {row: fit.select([i]) for i, row in enumerate(rows)}

    def _follow(self, people, numbers, time):
        """Fits that start at the previous frame's."""
        memories = [self._people[number] for number in numbers]
        step = torch.tensor([max(time - memory.time, 1e-3) for memory in memories])
        state = PersonState.joined([memory.state for memory in memories])
        with in_full_precision(people.keypoints.device.type), one_torch_thread(len(numbers) <= FEW):
            seen = self._held(self.fitter.observe(people), memories, state, step)
            if self.weights is not None:
                state = replace(state, translation=translation_at(seen.predicted_place))
            at = self.fitter.minimize(state, seen, self.iterations)
            return self.fitter.result(people, at.state, torch.full((len(numbers),), BEFORE))

    def _held(self, seen, memories, state, step):
        """The observations, with weights that hold the parameters at the predicted motion."""
        weights, before = self.weights, {name: torch.cat([getattr(memory, name) for memory in memories])
                                         for name in ('joints', 'place', 'joints_speed', 'place_speed', 'shape')}
        if weights is None:
            return replace(seen, origin=state.body_pose, stay=torch.full_like(step, 30.0),
                           shape_weight=torch.full_like(step, 25.0))
        ahead = _PERSISTENCE * step
        # The prediction is less certain after a longer time.
        firmness = (_STEP / step).clamp(max=1).square()
        frames = torch.tensor([float(memory.frames) for memory in memories])
        place = torch.tensor([weights.place, weights.place, weights.depth])
        return replace(
            seen, origin=state.body_pose, stay=weights.stay * firmness, shape=before['shape'],
            shape_weight=(weights.shape * (1 + frames)).clamp(max=weights.shape_most),
            predicted_joints=before['joints'] + ahead[:, None, None] * before['joints_speed'],
            joints_weight=weights.joints * firmness,
            predicted_place=before['place'] + ahead[:, None] * before['place_speed'],
            place_weight=firmness[:, None] * place)

    def _remember(self, number, fit, time):
        place, before = place_of(fit.state.translation), self._people.get(number)
        if before is None or int(fit.start) != BEFORE:
            self._people[number] = _Memory(fit.state, fit.joints, place, torch.zeros_like(fit.joints),
                                           torch.zeros_like(place), fit.state.betas, 1, time)
            return
        step, frames = max(time - before.time, 1e-3), before.frames + 1
        joints_speed, place_speed = (
            old + _NEWEST * ((new - last) / step - old)
            for old, new, last in ((before.joints_speed, fit.joints, before.joints),
                                   (before.place_speed, place, before.place)))
        shape = before.shape + (fit.state.betas - before.shape) / frames
        self._people[number] = _Memory(fit.state, fit.joints, place, joints_speed, place_speed, shape, frames, time)

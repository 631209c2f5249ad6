"""Bodies fitted to keypoints, starting from the network's estimates if there is a network (docs/demo.md, "Fitting")."""
from collections import Counter
from itertools import groupby

import numpy as np
import torch

from core.demo.estimate import BEHIND_CAMERA, Estimate
from datasets.fits import mean_parameters
from models.body import BodyModel
from models.regressor import Regressor
from models.smplify.keypoint_fitting import FEW, FitTargets, KeypointFitter
from models.smplify.person_stage import PersonState
from models.smplify.priors import PosePrior
from models.smplify.sequence import SequenceFitter
from models.smplify.starts import one_row_a_joint
from utils.assets import find_assets
from utils.full_camera import FullCamera
from utils.geometry import axis_angle_to_rotmat, rotmat_to_axis_angle
from utils.keypoints import NUM_JOINTS
from utils.threads import one_torch_thread

# A body is shown if at least this many of the 12 limb joints are seen (or two, with three of the face), their mean
# distance to the body over the box's side is at most MAX_ERROR, and the pose is not too strange. This leaves out 1.1 %
# of LSP's 1,000 people and 91 % of sets of random points.
MIN_JOINTS, MAX_ERROR, MAX_STRANGENESS = 4, 0.1, 2.0
NO_BODY = 'no body explains the keypoints'


class FittingEstimator:
    """Fits bodies to people with keypoints; the network alone estimates the others.

    It replaces the `Estimator` that it wraps. network: that Estimator, or None without a checkpoint. keypoints: the
    estimator of keypoints, which the detector uses. video: frames come in order, and a person's fit starts at the
    previous frame's. People without a body are counted in `left_out` by reason.
    """

    def __init__(self, cfg, network, keypoints, video=False):
        assets = find_assets(cfg.PATHS.DATA_DIR)
        self.network, self.keypoints, self._draws = network, keypoints, cfg.DEMO.RENDER
        self.body = network.body if network else BodyModel(assets.root)
        self.regressor = network.regressor if network else Regressor
        # Few people are fitted faster on the CPU, whatever the network's device.
        body = BodyModel(assets.root) if network else self.body
        self._fitter = KeypointFitter(body, PosePrior(assets.file('gmm_08.pkl')), mean_parameters(assets))
        self._sequence = SequenceFitter(self._fitter) if video else None
        self.left_out = Counter()

    @property
    def on_output(self):
        return self.network and self.network.on_output

    @on_output.setter
    def on_output(self, called):
        if self.network:
            self.network.on_output = called

    def views(self, people, focus):
        """As in `Estimator`: the network alone."""
        return self.network.views(people, focus)

    def __call__(self, people, focus):
        """people: [(Frame, PersonBox with a person_id)]; focus: called with a frame, returns its focal length ->
        Estimates in the same order, None for people without a body."""
        if self._sequence is None:
            return self._picture(people, focus)
        estimates = []
        for _, group in groupby(people, key=lambda item: item[0].index):
            estimates += self._frame(list(group), focus)
        return estimates

    def _picture(self, people, focus):
        estimates = self._asked(people, focus)
        rows = [row for row, (_, person) in enumerate(people) if person.keypoints is not None]
        if rows:
            chosen = [people[row] for row in rows]
            fit = self._fitter(people_of(chosen, focus), _states([estimates[row] for row in rows]))
            for row, estimate in zip(rows, self._estimates(chosen, fit, focus)):
                estimates[row] = estimate
        return self._counted(people, estimates)

    def _frame(self, people, focus):
        """The people of one frame of a video. The network runs only on those whose fit uses its estimate."""
        frame = people[0][0]
        fitted = [item for item in people if item[1].keypoints is not None]
        ask = [item for item in people if item[1].keypoints is None
               or self._sequence.is_new(item[1].person_id, frame.time)]
        by_person = {item[1].person_id: estimate for item, estimate in zip(ask, self._asked(ask, focus))}
        if fitted:
            new = [by_person[item[1].person_id] for item in fitted if item[1].person_id in by_person]
            fit = self._sequence(people_of(fitted, focus), [item[1].person_id for item in fitted], frame.time,
                                 _states(new))
            by_person |= {item[1].person_id: estimate
                          for item, estimate in zip(fitted, self._estimates(fitted, fit, focus))}
        return self._counted(people, [by_person.get(item[1].person_id) for item in people])

    def _asked(self, people, focus):
        """The network's estimates, or a list of None without a network."""
        return self.network(people, focus) if self.network and people else [None] * len(people)

    def _counted(self, people, estimates):
        """The estimates. Those that are None are counted by the reason that applies here, not the network's."""
        for (_, person), estimate in zip(people, estimates):
            if estimate is None:
                self.left_out[NO_BODY if person.keypoints is not None
                              else BEHIND_CAMERA if self.network else 'no keypoints, and no network'] += 1
        return estimates

    def _estimates(self, people, fit, focus):
        """Estimates of a KeypointFit, None where the fit is rejected."""
        rotmat = axis_angle_to_rotmat(fit.state.body_pose.unflatten(1, (23, 3)))
        rotmat = torch.cat([fit.state.orient[:, None], rotmat], 1)
        enough = (fit.seen >= MIN_JOINTS) | ((fit.seen >= 2) & (fit.face >= 3))
        good = enough & (fit.error <= MAX_ERROR) & (fit.strangeness <= MAX_STRANGENESS)
        good &= torch.isfinite(fit.keypoints_2d).flatten(1).all(1)
        with torch.inference_mode(), one_torch_thread(len(people) <= FEW):
            posed = self.body(fit.state.betas.to(self.body.faces.device), rotmat.to(self.body.faces.device))
            vertices = posed.vertices.cpu().numpy() if self._draws else [None] * len(people)
        cameras = _crop_cameras(people, fit.state.translation, focus)
        columns = [value.numpy() for value in (rotmat, fit.state.betas, cameras, fit.state.translation, fit.joints,
                                               fit.keypoints_2d)]
        return [Estimate(person.person_id or 0, person.box.astype(np.float32), *(column[i] for column in columns),
                         vertices[i]) if good[i] else None for i, (_, person) in enumerate(people)]


def people_of(items, focus):
    """[(Frame, PersonBox with keypoints)] -> People."""
    found = [person.keypoints for _, person in items]
    boxes = torch.from_numpy(np.stack([person.box for person in found]))
    joints_3d = [np.zeros((NUM_JOINTS, 4), np.float32) if person.joints_3d is None else person.joints_3d
                 for person in found]
    keypoints = one_row_a_joint(torch.from_numpy(np.stack([person.keypoints for person in found])))
    focal = torch.tensor([float(focus(frame)) for frame, _ in items])
    size = torch.tensor([frame.image.shape[1::-1] for frame, _ in items], dtype=torch.float32)
    return FitTargets(keypoints, (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1), focal, size,
                  torch.from_numpy(np.stack(joints_3d)))


def _states(estimates):
    """PersonState of Estimates, with NaN (which explains no keypoints) in rows that are None; None if all are."""
    if not any(estimate is not None for estimate in estimates):
        return None
    rotmat = torch.full((len(estimates), 24, 3, 3), torch.nan)
    betas, translation = torch.full((len(estimates), 10), torch.nan), torch.full((len(estimates), 3), torch.nan)
    for row, estimate in enumerate(estimates):
        if estimate is not None:
            rotmat[row], betas[row], translation[row] = (torch.as_tensor(value) for value in (
                estimate.rotmat, estimate.betas, estimate.translation))
    return PersonState(rotmat_to_axis_angle(rotmat[:, 1:]).flatten(1), betas, rotmat[:, 0], translation)


def _crop_cameras(people, translation, focus):
    """Weak-perspective cameras [N,3] of the crops for translations in the pictures' cameras (CLIFF's equation)."""
    side = torch.tensor([person.side for _, person in people], dtype=torch.float32)
    center = torch.tensor(np.stack([person.center for _, person in people]), dtype=torch.float32)
    middle = torch.tensor([frame.image.shape[1::-1] for frame, _ in people], dtype=torch.float32) / 2
    focal = torch.tensor([float(focus(frame)) for frame, _ in people])
    return FullCamera(2 * focal / side, 2 * (center - middle) / side[:, None]).camera(translation)

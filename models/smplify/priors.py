"""Priors on the body: pose, and the bends of knees and elbows."""
import numpy as np
import torch
from torch import nn

from utils.device_constants import on_device
from utils.errors import BadFile
from utils.safe_io import as_numbers, load_pickle

NUM_POSE = 69
# Entries of the body pose [69] that bend the left elbow, right elbow, left knee and right knee, and the signs that make
# a natural bend negative (Bogo et al., ECCV 2016).
BENDS = (52, 55, 9, 12)
BEND_SIGNS = (1.0, -1.0, -1.0, -1.0)


class PosePrior(nn.Module):
    """Negative log-likelihood of a body pose under the most likely Gaussian of a mixture (`gmm_08.pkl`).

    path: a pickle with 'means' [K,69], 'covars' [K,69,69] and 'weights' [K]. Raises MissingFile, BadFile.
    """

    def __init__(self, path):
        super().__init__()
        means, covariances, weights = _read_mixture(path)
        sign, log_det = np.linalg.slogdet(covariances)
        if not len(means) or (sign <= 0).any() or (weights <= 0).any():
            raise BadFile(f'{path}: not a mixture of Gaussians (covariances and weights must be positive)')
        # The published code divides the determinants by the smallest. This constant is kept so that values agree.
        log_weights = np.log(weights) - 0.5 * NUM_POSE * np.log(2 * np.pi) - 0.5 * (log_det - log_det.min())
        self._buffer('means', means)
        self._buffer('precisions', np.linalg.inv(covariances))
        self._buffer('log_weights', log_weights)

    def _buffer(self, name, array):
        self.register_buffer(name, torch.tensor(np.asarray(array, np.float32)), persistent=False)

    def forward(self, body_pose):
        """body_pose [B,69] axis-angle -> [B]"""
        return self._likeliest(body_pose)[0]

    def strangeness(self, body_pose):
        """Squared Mahalanobis distance to the most likely Gaussian per dimension: 1 on average for poses of the prior.
        [B,69] -> [B]"""
        value, component, _ = self._likeliest(body_pose)
        return 2 * (value + self.log_weights[component]) / NUM_POSE

    def quadratic(self, body_pose):
        """Value [B], gradient [B,69] and Hessian [B,69,69]. Exact while the most likely Gaussian stays the same."""
        value, component, pull = self._likeliest(body_pose)
        rows = torch.arange(len(body_pose), device=body_pose.device)
        return value, pull[component, rows], self.precisions[component]

    def _likeliest(self, body_pose):
        difference = body_pose - self.means[:, None]
        pull = difference @ self.precisions
        value, component = (0.5 * (pull * difference).sum(-1) - self.log_weights[:, None]).min(0)
        return value, component, pull


def _read_mixture(path):
    keys = ('means', 'covars', 'weights')
    raw = load_pickle(path, keys)
    if not isinstance(raw, dict) or not set(keys) <= set(raw):
        raise BadFile(f"{path}: not a pose prior (expected a dictionary of 'means', 'covars' and 'weights')")
    means = as_numbers(raw['means'], f'{path}: means', (None, NUM_POSE))
    count = len(means)
    return (means, as_numbers(raw['covars'], f'{path}: covars', (count, NUM_POSE, NUM_POSE)),
            as_numbers(raw['weights'], f'{path}: weights', (count,)))


def angle_prior(body_pose):
    """exp(2 x bend) of both elbows and knees. It grows where they bend the wrong way. [B,69] -> [B,4]"""
    bends, signs = (on_device(values, body_pose.device) for values in (BENDS, BEND_SIGNS))
    return torch.exp(2 * signs * body_pose[:, bends])

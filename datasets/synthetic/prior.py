"""A pose prior and a mean pose from the sampler of natural poses, for fitting and regressors."""
import numpy as np
import roma
import torch
from sklearn.mixture import GaussianMixture

from datasets.synthetic.anatomy import rotmat_to_pose
from datasets.synthetic.poses import WORLD_TO_CAMERA, sample_body_rotations

_COMPONENTS = 8
# Radians squared, added to every variance: joints that hardly move would make the prior too stiff.
_FLOOR = 4e-4


def fit_pose_prior(seed=0, count=8000):
    """Fit SMPLify's mixture of eight Gaussians (Bogo et al., ECCV 2016) to `count` sampled poses.

    Returns a dict of means [8, 69], covars [8, 69, 69] (axis-angle without root, radians) and weights [8], float64.
    """
    rotmat = sample_body_rotations(np.random.default_rng([seed, 8]), count)
    mixture = GaussianMixture(_COMPONENTS, covariance_type='full', reg_covar=_FLOOR, max_iter=60, random_state=seed)
    mixture.fit(rotmat_to_pose(rotmat)[:, 3:])
    return {'means': mixture.means_, 'covars': mixture.covariances_, 'weights': mixture.weights_}


def mean_pose(seed=0, count=4000):
    """Mean pose [72] of sampled poses: the mean rotation of every body joint, upright and facing the camera.

    It is the chordal mean: the rotation nearest to the mean matrix.
    """
    rotmat = sample_body_rotations(np.random.default_rng([seed, 72]), count).mean(0)
    rotmat = roma.special_procrustes(torch.from_numpy(rotmat)).numpy()
    rotmat[0] = WORLD_TO_CAMERA
    return rotmat_to_pose(rotmat[None])[0]

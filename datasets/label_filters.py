"""Filters for the labels of training (DATA.MIN_CONFIDENCE, MIN_KEYPOINTS, MAX_BETAS)."""
from dataclasses import replace

import numpy as np

_COUNTED = 44  # of the 49 joints; the last 5, the face of the common joints, are duplicates


def trusted(person, data):
    """The Person without keypoints whose confidence is below MIN_CONFIDENCE, and without pose and betas if one of the
    betas exceeds MAX_BETAS. data: cfg.DATA."""
    if data.MIN_CONFIDENCE:
        points = person.keypoints_2d
        person = replace(person, keypoints_2d=np.where(points[:, 2:] < data.MIN_CONFIDENCE, 0, points))
    if data.MAX_BETAS and person.has_smpl and np.abs(person.betas).max() > data.MAX_BETAS:
        person = replace(person, has_smpl=False)
    return person


def has_enough_keypoints(person, data):
    """Whether at least MIN_KEYPOINTS of the first 44 joints are visible."""
    if not data.MIN_KEYPOINTS:
        return True
    seen = person.keypoints_2d[:_COUNTED, 2] >= max(data.MIN_CONFIDENCE, np.finfo(np.float32).tiny)
    return seen.sum() >= data.MIN_KEYPOINTS

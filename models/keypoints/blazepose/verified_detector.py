"""Finds people in a picture: detections on which repeated runs of the landmark network agree.

The landmark network almost always reports a person, even in a lamp or a hand. On a person its second and third run,
each in the region that the previous one predicts, give the same joints. On other things they wander.
"""
from dataclasses import dataclass

import numpy as np

from models.keypoints.blazepose.detector import Detection, tiles_of
from models.keypoints.blazepose.joints import LIMBS
from models.keypoints.blazepose.landmarks import Landmarks
from models.keypoints.matching import is_part, same_person

# Smallest score of each run, and largest mean move of the limb joints between runs over the region's side.
_SURE, _STEADY = 0.9, 0.035
# Stricter limits of detector score and move for a person inside another one.
_PART_SCORE, _PART_STEADY = 0.6, 0.02
_LOOKS = 3
# Regions are alike if their centres are closer than this share of the side, and their sides differ by less than twice
# this share.
_ALIKE = 0.1


@dataclass(frozen=True)
class Candidate:
    """A detection and the last run on it. moved: largest move of the limb joints between two runs."""
    detection: Detection
    landmarks: Landmarks
    moved: float

    @property
    def evidence(self):
        """Confidence of the candidate. Of two candidates of one person, the one with more evidence is kept."""
        return self.detection.score * (1 - self.moved / _STEADY)

    def is_same(self, other):
        first, second = self.landmarks, other.landmarks
        return same_person(first.points, second.points, np.minimum(first.confidence, second.confidence))

    def measured(self):
        return self.landmarks.points, self.landmarks.confidence, self.landmarks.following.side


class VerifiedDetector:
    """Called with a picture [H,W,3] uint8 RGB and its tiles (None: all of `tiles_of`) -> one Candidate per person.

    detector: a PersonDetector; network: the LandmarkNetwork of the repeated runs.
    """

    def __init__(self, detector, network):
        self.detector, self._network = detector, network

    def __call__(self, image, tiles=None):
        tiles = tiles_of(*image.shape[1::-1]) if tiles is None else tiles
        detections = [detection for tile in tiles for detection in self.detector(image, tile)]
        found = []
        for detection in sorted(detections, key=lambda one: -one.score):
            if not any(_is_alike(detection.region, candidate.landmarks.following) for candidate in found):
                found += filter(None, [self._looked_at(image, detection)])
        kept = []
        for candidate in sorted(found, key=lambda one: -one.evidence):
            if not any(candidate.is_same(other) for other in kept):
                kept.append(candidate)
        return [one for one in kept if not _is_doubtful_part(one, kept)]

    def _looked_at(self, image, detection):
        """A Candidate, or None where the score of a run is too low or the runs disagree."""
        region, before, moved = detection.region, None, 0.0
        for _ in range(_LOOKS):
            landmarks = self._network(image, region)
            if landmarks.score < _SURE or not landmarks.can_be_followed():
                return None
            if before is not None:
                steps = np.linalg.norm(landmarks.points[LIMBS] - before.points[LIMBS], axis=1)
                moved = max(moved, steps.mean() / landmarks.following.side)
                if moved > _STEADY:
                    return None
            region, before = landmarks.following, landmarks
        return Candidate(detection, before, float(moved))


def _is_alike(region, other):
    """Whether a region is nearly that of a person who is already found. It would give the same joints."""
    away = np.hypot(*(region.center - other.center))
    return away < _ALIKE * other.side and 1 - 2 * _ALIKE < region.side / other.side < 1 + 2 * _ALIKE


def _is_doubtful_part(one, people):
    sure = one.detection.score >= _PART_SCORE and one.moved <= _PART_STEADY
    return not sure and is_part(*one.measured(), [other.measured() for other in people if other is not one])

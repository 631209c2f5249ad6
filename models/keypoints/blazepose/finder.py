"""Who is in a picture: what the detector finds, where the landmark network agrees with itself.

The landmark network is nearly always sure that it sees a person, also in a lamp or a hand. But on a person its second
and third look, each from the region that the last one asked for, land on the same joints, and elsewhere they wander.
"""
from dataclasses import dataclass

import numpy as np

from models.keypoints.blazepose.detector import Detection, tiles_of
from models.keypoints.blazepose.joints import LIMBS
from models.keypoints.blazepose.landmarks import Landmarks
from models.keypoints.matching import is_part, same_person

# How sure each look must be; how far the limb joints may move from look to look, as a share of the region's side.
_SURE, _STEADY = 0.9, 0.035
# A person within another one is believed where the detector and the looks are surer than that.
_PART_SCORE, _PART_STEADY = 0.6, 0.02
_LOOKS = 3
# Regions whose centres are nearer than this share of the side, and whose sides differ by no more than twice of it.
_ALIKE = 0.1


@dataclass(frozen=True)
class Candidate:
    """A detection and the last of the looks at it. moved: the most that the limb joints moved between two looks."""
    detection: Detection
    landmarks: Landmarks
    moved: float

    @property
    def evidence(self):
        """Larger is surer: of two candidates that are one person, the one with more of it stays."""
        return self.detection.score * (1 - self.moved / _STEADY)

    def is_same(self, other):
        first, second = self.landmarks, other.landmarks
        return same_person(first.points, second.points, np.minimum(first.confidence, second.confidence))

    def measured(self):
        return self.landmarks.points, self.landmarks.confidence, self.landmarks.following.side


class PeopleFinder:
    """Called with a picture [H,W,3] uint8 RGB and its tiles (None: all of `tiles_of`) -> Candidates, each person once.

    detector: a PersonDetector; network: the LandmarkNetwork that looks.
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
        """Candidate, or None where a look is not sure or lands elsewhere."""
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
    """Whether a region is nearly that of somebody who was found: the same joints would come out of it."""
    away = np.hypot(*(region.center - other.center))
    return away < _ALIKE * other.side and 1 - 2 * _ALIKE < region.side / other.side < 1 + 2 * _ALIKE


def _is_doubtful_part(one, people):
    sure = one.detection.score >= _PART_SCORE and one.moved <= _PART_STEADY
    return not sure and is_part(*one.measured(), [other.measured() for other in people if other is not one])

"""BlazePose's landmark network: from a rotated square of the picture to 33 landmarks of one person.

Bazarevsky et al., "BlazePose: On-device Real-time Body Pose Tracking", arXiv 2006.10204; 3D: Grishchenko et al.,
"BlazePose GHUM Holistic", arXiv 2206.11678.
"""
from dataclasses import dataclass

import numpy as np

from models.keypoints.blazepose.region import Region
from models.keypoints.tflite import TFLiteNetwork

SIZE, NUM_LANDMARKS = 256, 33
# Two further points give the region: the middle of the hips, and a point on a circle around the person.
_CENTER, _FAR_END = 33, 34
# Limits for the region of the next pass: score of the network, move of the person over the side, ratio of the sides.
MIN_SCORE, MAX_SHIFT, MIN_GROWTH, MAX_GROWTH = 0.5, 0.5, 0.4, 2.2


@dataclass(frozen=True)
class Landmarks:
    """The result of one pass in `region`.

    points [33,2] pixels of the picture; world [33,3] metres from the middle of the hips, camera axes; confidence [33],
    probability that a landmark is in the square and not hidden; presence [33], probability that it is in the square;
    score: probability that there is a person; following: the region of the next pass.
    """
    region: Region
    points: np.ndarray
    world: np.ndarray
    confidence: np.ndarray
    presence: np.ndarray
    score: float
    following: Region

    def can_be_followed(self):
        """Whether `following` is a valid region of the same person."""
        if self.score <= MIN_SCORE or not self.following.is_usable():
            return False
        shift = np.hypot(*(self.following.center - self.region.center)) / self.region.side
        return bool(shift <= MAX_SHIFT and MIN_GROWTH <= self.following.side / self.region.side <= MAX_GROWTH)


class LandmarkNetwork:
    """The network in a file. Called with a picture [H,W,3] uint8 RGB and a region, it returns Landmarks."""

    def __init__(self, path, threads=1):
        self._network = TFLiteNetwork(path, threads)

    def __call__(self, image, region):
        crop = region.crop(image, SIZE)
        points, score, world = self._network(crop[None].astype(np.float32) / 255,
                                             ('Identity', 'Identity_1', 'Identity_4'))
        points = points.reshape(-1, 5).astype(np.float64)
        in_picture = region.to_picture(points[:, :2] / SIZE)
        world = world.reshape(-1, 3)[:NUM_LANDMARKS].astype(np.float64)
        world[:, :2] = world[:, :2] @ region.rotation.T
        visible, present = 1 / (1 + np.exp(-np.clip(points[:NUM_LANDMARKS, 3:], -50, 50))).T
        return Landmarks(region, in_picture[:NUM_LANDMARKS], world, visible * present, present, float(score.item()),
                         Region.about_person(in_picture[_CENTER], in_picture[_FAR_END]))

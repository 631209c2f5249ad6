"""The result of every estimator of 2D keypoints."""
from dataclasses import dataclass, replace

import numpy as np

from utils.keypoints import NUM_JOINTS


@dataclass(frozen=True)
class PersonKeypoints:
    """One person in one picture.

    box [4] float32: left, top, right, bottom in continuous pixels. score: confidence that this is a person, 0 to 1.
    keypoints [49,3] float32: x, y in continuous pixels (the first pixel covers [0, 1]) and confidence 0 to 1, in the
    49-joint set of `utils.keypoints`. Joints that are not estimated or not visible are zero. A joint never has values
    in both of its rows. joints_3d [49,4] float32 or None: metres from the middle of the hips, camera axes (x right,
    y down, z forward), and confidence. track: the person's number in a video.
    """
    box: np.ndarray
    score: float
    keypoints: np.ndarray
    joints_3d: np.ndarray | None = None
    track: int | None = None

    def __post_init__(self):
        object.__setattr__(self, 'box', np.asarray(self.box, np.float32).reshape(4))
        object.__setattr__(self, 'keypoints', np.asarray(self.keypoints, np.float32).reshape(NUM_JOINTS, 3))
        if self.joints_3d is not None:
            object.__setattr__(self, 'joints_3d', np.asarray(self.joints_3d, np.float32).reshape(NUM_JOINTS, 4))

    def with_track(self, track):
        """The same person with a number."""
        return replace(self, track=track)

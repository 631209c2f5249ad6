"""Bodies found in a picture, a folder of pictures or a video: what the demo computes and every export reads."""
from dataclasses import dataclass, field

import numpy as np


@dataclass
class PersonTrack:
    """One person over T frames, in the order of the frames. A frame in which the person was not found has no row.

    The camera frame is that of the whole picture: x right, y down, z forward, metres.
    """
    person_id: int
    frames: np.ndarray              # [T] int64, index of the picture or video frame
    boxes: np.ndarray               # [T, 4] float32, left, top, right, bottom in pixels
    pose: np.ndarray                # [T, 72] float32, axis-angle in radians
    betas: np.ndarray               # [T, 10] float32
    crop_camera: np.ndarray         # [T, 3] float32, weak perspective (scale, tx, ty) in the square crop
    translation: np.ndarray         # [T, 3] float32, metres; what brings the body into the camera frame
    joints: np.ndarray              # [T, 49, 3] float32, metres, before the translation
    keypoints_2d: np.ndarray        # [T, 49, 2] float32, pixels of the whole picture

    def __len__(self):
        return len(self.frames)


@dataclass
class Recording:
    """Everyone in a picture (one frame), a folder of pictures or a video."""
    source: str                     # what was read
    width: int                      # of the picture, pixels; of the first one where pictures differ
    height: int
    times: np.ndarray               # [number of frames] float64, seconds from the start; frame numbers for pictures
    focal_length: float             # pixels; one for the whole recording
    body_file: str                  # the body model file the parameters belong to
    body_digest: str
    people: list[PersonTrack] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # of the pictures, where the source is a folder

"""Bodies in a picture, a folder of pictures or a video: the demo's result and the exports' input."""
from dataclasses import dataclass, field

import numpy as np


@dataclass
class PersonTrack:
    """One person over T frames, in order. A frame without the person has no row.

    The camera frame is the full picture's: x right, y down, z forward, metres.
    """
    person_id: int
    frames: np.ndarray              # [T] int64, index into the recording's frames
    boxes: np.ndarray               # [T, 4] float32, left, top, right, bottom in pixels
    pose: np.ndarray                # [T, 72] float32, axis-angle in radians
    betas: np.ndarray               # [T, 10] float32
    crop_camera: np.ndarray         # [T, 3] float32, weak perspective (scale, tx, ty) in the square crop
    translation: np.ndarray         # [T, 3] float32, metres; from the body's own frame to the camera frame
    joints: np.ndarray              # [T, 49, 3] float32, metres, before the translation
    keypoints_2d: np.ndarray        # [T, 49, 2] float32, pixels of the whole picture

    def __len__(self):
        return len(self.frames)


@dataclass
class Recording:
    """All people in a picture (one frame), a folder of pictures or a video.

    Frames are the readable ones. Without `numbers`, `sizes` and `focal_lengths`, frames are numbered from 0 and all
    have `width`, `height` and `focal_length`.
    """
    source: str                     # what was read: a path, or the camera
    width: int                      # pixels; of the first picture if sizes differ
    height: int
    times: np.ndarray               # [F] float64, seconds from the start; for pictures their index in the list
    focal_length: float             # pixels; of the first frame
    body_file: str                  # the body model file of the parameters
    body_digest: str
    people: list[PersonTrack] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # [F] names, if the source is pictures
    numbers: np.ndarray | None = None               # [F] int64, number of each frame in the source
    sizes: np.ndarray | None = None                 # [F,2] int64, width and height of each frame, pixels
    focal_lengths: np.ndarray | None = None         # [F] float64, pixels

    def __post_init__(self):
        count = len(self.times)
        if self.numbers is None:
            self.numbers = np.arange(count)
        if self.sizes is None:
            self.sizes = np.tile([[self.width, self.height]], (count, 1))
        if self.focal_lengths is None:
            self.focal_lengths = np.full(count, float(self.focal_length))

"""Bodies found in a picture, a folder of pictures or a video: what the demo computes and every export reads."""
from dataclasses import dataclass, field

import numpy as np


@dataclass
class PersonTrack:
    """One person over T frames, in the order of the frames. A frame in which the person was not found has no row.

    The camera frame is that of the whole picture: x right, y down, z forward, metres.
    """
    person_id: int
    frames: np.ndarray              # [T] int64, index into the recording's frames
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
    """Everyone in a picture (one frame), a folder of pictures or a video.

    Frames are those that could be read. Without `numbers`, `sizes` and `focal_lengths` they are numbered from 0 and all
    have `width`, `height` and `focal_length`.
    """
    source: str                     # what was read
    width: int                      # of the picture, pixels; of the first one where pictures differ
    height: int
    times: np.ndarray               # [F] float64, seconds from the start; for pictures their place in the list
    focal_length: float             # pixels; of the first frame
    body_file: str                  # the body model file the parameters belong to
    body_digest: str
    people: list[PersonTrack] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # [F] of the pictures, where the source is pictures
    numbers: np.ndarray | None = None               # [F] int64, what each frame is called in the source
    sizes: np.ndarray | None = None                 # [F,2] int64, width and height of each, pixels
    focal_lengths: np.ndarray | None = None         # [F] float64, pixels

    def __post_init__(self):
        count = len(self.times)
        if self.numbers is None:
            self.numbers = np.arange(count)
        if self.sizes is None:
            self.sizes = np.tile([[self.width, self.height]], (count, 1))
        if self.focal_lengths is None:
            self.focal_lengths = np.full(count, float(self.focal_length))

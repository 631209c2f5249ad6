"""Parses the names of MPI-INF-3DHP's training pictures: person, sequence, camera and frame."""
import re
from typing import NamedTuple

# SPIN's form, S1/Seq1/imageFrames/video_0/frame_000001.jpg, and mmhuman3d's, S1/Seq1/video_0/000001.jpg.
_NAME = re.compile(r'(?:.*/)?S(\d+)/Seq(\d+)/(?:imageFrames/)?video_(\d+)/(?:frame_)?(\d+)\.\w+$')
SUBJECTS = tuple(range(1, 9))


class Shot(NamedTuple):
    """Subject, sequence, camera and frame (from 1) of a picture."""
    subject: int
    sequence: int
    camera: int
    frame: int

    @property
    def path(self):
        """Name of the picture in SPIN's form."""
        return f'S{self.subject}/Seq{self.sequence}/imageFrames/video_{self.camera}/frame_{self.frame:06d}.jpg'


def read_shot(name):
    """The Shot of a picture's name, or None if it is not a name of MPI-INF-3DHP's training set."""
    match = _NAME.match(name.replace('\\', '/'))
    return Shot(*map(int, match.groups())) if match else None

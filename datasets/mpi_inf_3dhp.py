"""Names of MPI-INF-3DHP's training pictures: which person, which camera, which frame."""
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
        """Its name as SPIN writes it."""
        return f'S{self.subject}/Seq{self.sequence}/imageFrames/video_{self.camera}/frame_{self.frame:06d}.jpg'


def read_shot(name):
    """The Shot that a picture's name tells, or None where it is no name of MPI-INF-3DHP's training set."""
    match = _NAME.match(name.replace('\\', '/'))
    return Shot(*map(int, match.groups())) if match else None

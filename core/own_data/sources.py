"""A user's pictures or video in units of work, each of which is looked at as a whole and kept when it is done."""
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from core.demo.pictures import is_picture, list_pictures, read_frame
from core.evaluation.pictures import save_picture
from datasets.video import Frame, VideoReader
from utils.errors import BadConfig, BadFile, MissingFile
from utils.logging import get_logger

_PICTURES_A_UNIT = 16
_SECONDS_A_UNIT = 10


@dataclass
class Unit:
    """Some frames, to be read once. key: what a finished unit must have been made from; skipped: what could not
    be read, by reason, counted on the way."""
    key: str
    frames: Iterator[Frame]
    skipped: Counter = field(default_factory=Counter)


class PictureSet:
    """The pictures of a folder but one, or one picture. images: the folder that their names are relative to."""
    is_video = False

    def __init__(self, path, but=None):
        path = Path(path)
        self._pictures = [path] if path.is_file() else [
            picture for picture in list_pictures(path) if but is None or picture.resolve() != Path(but).resolve()]
        self.images, self.num_frames = self._pictures[0].parent, len(self._pictures)

    @property
    def skipped(self):
        """What is not counted in the units."""
        return Counter()

    def units(self):
        """Units of a few pictures, in their order."""
        for start in range(0, len(self._pictures), _PICTURES_A_UNIT):
            paths = self._pictures[start:start + _PICTURES_A_UNIT]
            unit = Unit('|'.join(map(_stamp, paths)), iter(()))
            unit.frames = self._read(paths, start, unit.skipped)
            yield unit

    def _read(self, paths, start, skipped):
        for place, path in enumerate(paths, start):
            try:
                yield read_frame(path, place, place)
            except (BadFile, MissingFile) as error:
                get_logger().warning(f'{error}; skipped')
                skipped['unreadable pictures'] += 1

    def keep(self, frame):
        """The name of a frame, which lies on disk already."""
        return frame.name

    def is_wanted(self, frame):
        """Every picture is."""
        return True


class VideoFrames:
    """The frames of a video. images: the folder into which those with people are written as JPEG.

    fps: how many frames a second are wanted; 0 for all. The others are looked at too, since people are followed from
    frame to frame.
    """
    is_video = True

    def __init__(self, path, images, fps):
        self._reader, self.images = VideoReader(path), Path(images)
        self._step = max(1, round(float(self._reader.rate) / fps)) if fps else 1
        self._key = f'{_stamp(Path(path))}, every {self._step}'
        self.num_frames = self._reader.num_frames

    @property
    def skipped(self):
        """What is not counted in the units: frames that could not be decoded so far."""
        return Counter({'frames that cannot be decoded': self._reader.skipped} if self._reader.skipped else {})

    def units(self):
        """Units of ten seconds, whose people are followed and numbered anew: so a run that goes on after a stop gives
        what it had given without."""
        frames, length = iter(self._reader), max(1, round(_SECONDS_A_UNIT * float(self._reader.rate)))
        for number in itertools.count():
            first = next(frames, None)
            if first is None:
                return
            unit = Unit(f'{self._key}, part {number}', itertools.chain([first], itertools.islice(frames, length - 1)))
            yield unit
            for _ in unit.frames:  # of a finished unit, nobody has read them
                pass

    def keep(self, frame):
        """Write a frame -> its name."""
        name = f'{frame.index:06d}.jpg'
        save_picture(self.images / name, frame.image)
        return name

    def is_wanted(self, frame):
        """Whether people of this frame get a row."""
        return frame.index % self._step == 0


def open_source(path, images, fps, sheet=None):
    """Pictures of a folder or file, or a video by path. images: where a video's frames go; sheet: the contact sheet of
    an earlier run, which is none of a folder's pictures. Raises MissingFile, BadFile, BadConfig."""
    path = Path(path)
    if not fps >= 0:
        raise BadConfig(f'--fps is {fps:g}; it wants frames a second, or 0 for all')
    if path.is_dir() or is_picture(path):
        if not path.exists():
            raise MissingFile(f'{path}: no such picture')
        return PictureSet(path, sheet)
    return VideoFrames(path, images, fps)


def _stamp(path):
    state = path.stat()
    return f'{path.name} {state.st_size} {state.st_mtime_ns}'

"""Splits a user's pictures or video into units of work. Each unit is processed as a whole and then saved."""
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
    """Some frames, which can be read once. key: text that identifies them. skipped: number of unreadable pictures by
    reason, counted while reading."""
    key: str
    frames: Iterator[Frame]
    skipped: Counter = field(default_factory=Counter)


class PictureSet:
    """One picture, or all pictures of a folder except `but`. images: the folder that their names are relative to."""
    is_video = False

    def __init__(self, path, but=None):
        path = Path(path)
        self._pictures = [path] if path.is_file() else [
            picture for picture in list_pictures(path) if but is None or picture.resolve() != Path(but).resolve()]
        self.images, self.num_frames = self._pictures[0].parent, len(self._pictures)

    @property
    def skipped(self):
        """Number of skipped frames that no unit counts, by reason."""
        return Counter()

    def units(self):
        """Yield the pictures in order, in units of 16."""
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
        """The name of a frame. Its picture is on disk already."""
        return frame.name

    def is_wanted(self, frame):
        """True, because every picture gets rows."""
        return True


class VideoFrames:
    """The frames of a video. images: folder for the frames with people, which are written as JPEG.

    fps: number of frames per second to label; 0 for all. Tracking uses the other frames too.
    """
    is_video = True

    def __init__(self, path, images, fps):
        self._reader, self.images = VideoReader(path), Path(images)
        self._step = max(1, round(float(self._reader.rate) / fps)) if fps else 1
        self._key = f'{_stamp(Path(path))}, every {self._step}'
        self.num_frames = self._reader.num_frames

    @property
    def skipped(self):
        """Number of skipped frames that no unit counts, by reason: frames that could not be decoded so far."""
        return Counter({'frames that cannot be decoded': self._reader.skipped} if self._reader.skipped else {})

    def units(self):
        """Yield units of ten seconds. Tracking starts anew in each, so an interrupted run gives the same result."""
        frames, length = iter(self._reader), max(1, round(_SECONDS_A_UNIT * float(self._reader.rate)))
        for number in itertools.count():
            first = next(frames, None)
            if first is None:
                return
            unit = Unit(f'{self._key}, part {number}', itertools.chain([first], itertools.islice(frames, length - 1)))
            yield unit
            for _ in unit.frames:  # the frames of a finished unit are still unread
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
    """Open a picture, a folder of pictures or a video -> PictureSet or VideoFrames.

    images: folder for the frames of a video. sheet: contact sheet of an earlier run, to leave out of a folder.
    Raises MissingFile, BadFile, BadConfig.
    """
    path = Path(path)
    if not fps >= 0:
        raise BadConfig(f'--fps is {fps:g}; use frames per second, or 0 for all')
    if not path.exists():
        raise MissingFile(f'{path}: no such folder of pictures, picture or video')
    if path.is_dir() or is_picture(path):
        return PictureSet(path, sheet)
    return VideoFrames(path, images, fps)


def _stamp(path):
    state = path.stat()
    return f'{path.name} {state.st_size} {state.st_mtime_ns}'

"""Frames of a video, decoded one after the other by PyAV (FFmpeg's libraries): upright, with their time stamps."""
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from utils.errors import BadFile, MissingFile

_FALLBACK_RATE = Fraction(25)


@dataclass(frozen=True)
class Frame:
    """One picture of a video or of a folder. image: [H,W,3] uint8 RGB; time in seconds from the first frame."""
    index: int
    time: float
    image: np.ndarray
    name: str = ''


class VideoReader:
    """A video file as an iterator of `Frame`s, in constant memory.

    width, height: upright, as the rotation flag of a phone's video says. rate: mean frames a second (a Fraction).
    num_frames: as many as the file claims to have, or None.
    skipped: packets and frames that could not be decoded so far; they have no number.
    Raises MissingFile; BadFile where the file is no video or holds no frame that can be decoded.
    """

    def __init__(self, path):
        self.path, self.skipped = str(path), 0
        if not Path(path).is_file():
            raise MissingFile(f'{path}: no such video')
        if not Path(path).stat().st_size:
            raise BadFile(f'{path}: an empty file, no video')
        try:
            self._container = av.open(self.path)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise BadFile(f'{path}: not a readable video ({_one_line(error)})') from None
        if not self._container.streams.video:
            raise BadFile(f'{path}: holds no video stream')
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = 'AUTO'
        self.rate = self._stream.average_rate or self._stream.base_rate or _FALLBACK_RATE
        self.num_frames = self._stream.frames or None
        self._frames = self._decode()
        self._first = next(self._frames, None)
        if self._first is None:
            raise BadFile(f'{path}: not one frame of the video can be decoded')
        self.height, self.width = self._first.image.shape[:2]

    def __iter__(self):
        """Every frame, once."""
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        yield from self._frames

    def close(self):
        self._container.close()

    def _decode(self):
        index, start, last, size = 0, None, -1.0, None
        for frame in self._decoded():
            if frame.is_corrupt:
                self.skipped += 1
                continue
            size = size or (frame.width, frame.height)
            # A stream may change its size on the way; everything that follows counts in the first frame's pixels.
            pixels = frame.to_ndarray(format='rgb24', width=size[0], height=size[1])
            time = frame.time if frame.time is not None else last + float(1 / self.rate)
            start = time if start is None else start
            last = max(time - start, last + 1e-3) if index else 0.0
            yield Frame(index, last, np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4)))
            index += 1

    def _decoded(self):
        """What the decoder gives; a packet that it cannot read is counted and passed over."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                yield from packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                self.skipped += 1
                if self.skipped > 10000:  # a demuxer that fails without moving on would never end
                    return


def _one_line(error):
    return ' '.join(str(getattr(error, 'strerror', None) or error).split())[:120]

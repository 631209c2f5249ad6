"""Frames of a video, decoded one after the other by PyAV (FFmpeg's libraries): upright, with their time stamps."""
import heapq
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from utils.errors import BadFile, MissingFile
from utils.video_writer import plain_path

_FALLBACK_RATE = Fraction(25)


@dataclass(frozen=True)
class Frame:
    """One picture of a video or of a folder. image: [H,W,3] uint8 RGB; time in seconds from the first frame.

    index: the number that other files know it by. Of a video it counts from 0, frames that cannot be decoded included;
    of a picture it is `utils.file_names.frame_numbers`. name: the picture's file, without folders; path: with those
    that are known, by '/'. focal_length: pixels, where the file tells it.
    """
    index: int
    time: float
    image: np.ndarray
    name: str = ''
    path: str = ''
    focal_length: float | None = None


class VideoReader:
    """A video file as an iterator of `Frame`s, in constant memory.

    width, height: upright, as the rotation flag of a phone's video says. rate: mean frames a second (a Fraction).
    num_frames: as many as the file claims to have, or None.
    skipped: packets and frames that could not be decoded so far; they have no number.
    Raises MissingFile; BadFile where the file is no video or holds no frame that can be decoded.
    """

    def __init__(self, path):
        self.path, self.skipped = str(path), 0
        self._waiting, self._passed = [], 0
        if not Path(path).is_file():
            raise MissingFile(f'{path}: no such video')
        if not Path(path).stat().st_size:
            raise BadFile(f'{path}: an empty file, no video')
        try:
            self._container = av.open(plain_path(path))
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
        index, start, last, size = -1, None, -1.0, None
        for frame in self._decoded():
            index = self._number_of(frame, index)
            if frame.is_corrupt:
                self.skipped += 1
                continue
            size = size or (frame.width, frame.height)
            # A stream may change its size on the way; everything that follows counts in the first frame's pixels.
            pixels = frame.to_ndarray(format='rgb24', width=size[0], height=size[1])
            time = frame.time if frame.time is not None else last + float(1 / self.rate)
            start = time if start is None else start
            last = max(time - start, last + 1e-3) if last >= 0 else 0.0
            yield Frame(index, last, np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4)))

    def _number_of(self, frame, last):
        """The number of a frame: how many packets of the file are of an earlier time, decodable or not. Where it has no
        time, one more than the `last`."""
        while frame.pts is not None and self._waiting and self._waiting[0] <= frame.pts:
            heapq.heappop(self._waiting)
            self._passed += 1
        return max(self._passed - 1, last + 1)

    def _decoded(self):
        """What the decoder gives; a packet that it cannot read is counted and passed over."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                if packet.pts is not None and packet.size and not packet.is_discard:
                    heapq.heappush(self._waiting, packet.pts)
                yield from packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                self.skipped += 1
                if self.skipped > 10000:  # a demuxer that fails without moving on would never end
                    return


def _one_line(error):
    return ' '.join(str(getattr(error, 'strerror', None) or error).split())[:120]

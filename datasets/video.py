"""Decodes the frames of a video in order with PyAV (FFmpeg's libraries). Frames are upright and have time stamps."""
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
    """One picture of a video or of a folder. image: [H,W,3] uint8 RGB. time: seconds from the first frame.

    index: number of the frame in other files. In a video it counts from 0 and includes frames that cannot be decoded;
    for a picture it is that of `utils.file_names.frame_numbers`. name: file name of the picture. path: file name with
    known folders, separated by '/'. focal_length: in pixels, if the file has it.
    """
    index: int
    time: float
    image: np.ndarray
    name: str = ''
    path: str = ''
    focal_length: float | None = None


class VideoReader:
    """Iterates over the `Frame`s of a video file, in constant memory.

    width, height: after rotation by the flag of a phone's video. rate: mean frames per second (a Fraction). num_frames:
    number of frames by the header of the file, or None. skipped: number of packets and frames that could not be decoded
    so far. Raises MissingFile. Raises BadFile if the file is not a video, or if no frame can be decoded.
    """

    def __init__(self, path):
        self.path, self.skipped = str(path), 0
        self._waiting, self._passed = [], 0
        if not Path(path).is_file():
            raise MissingFile(f'{path}: no such video')
        if not Path(path).stat().st_size:
            raise BadFile(f'{path}: an empty file, not a video')
        try:
            self._container = av.open(plain_path(path))
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise BadFile(f'{path}: not a readable video ({_one_line(error)})') from None
        if not self._container.streams.video:
            raise BadFile(f'{path}: no video stream')
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = 'AUTO'
        self.rate = self._stream.average_rate or self._stream.base_rate or _FALLBACK_RATE
        self.num_frames = self._stream.frames or None
        self._frames = self._decode()
        self._first = next(self._frames, None)
        if self._first is None:
            raise BadFile(f'{path}: no frame of the video can be decoded')
        self.height, self.width = self._first.image.shape[:2]

    def __iter__(self):
        """Yield every frame once."""
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
            # The size may change within a stream. All frames are resized to that of the first one.
            pixels = frame.to_ndarray(format='rgb24', width=size[0], height=size[1])
            time = frame.time if frame.time is not None else last + float(1 / self.rate)
            start = time if start is None else start
            last = max(time - start, last + 1e-3) if last >= 0 else 0.0
            yield Frame(index, last, np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4)))

    def _number_of(self, frame, last):
        """Number of a frame: number of packets with an earlier time, decodable or not. Without a time it is `last` + 1.
        """
        while frame.pts is not None and self._waiting and self._waiting[0] <= frame.pts:
            heapq.heappop(self._waiting)
            self._passed += 1
        return max(self._passed - 1, last + 1)

    def _decoded(self):
        """Yield decoded frames. Unreadable packets are counted and skipped."""
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
                if self.skipped > 10000:  # a demuxer that fails without progress would never end
                    return


def _one_line(error):
    return ' '.join(str(getattr(error, 'strerror', None) or error).split())[:120]

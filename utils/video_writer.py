"""Writes a video frame by frame with PyAV (H.264 in MP4). It is playable whenever writing stops."""
import contextlib
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from utils.errors import ProjectError

# Unit of the time stamps, fine enough for every common frame rate.
_TIME_BASE = Fraction(1, 90000)
_FRAGMENTS = {'movflags': 'frag_keyframe+empty_moov+default_base_moof', 'flush_packets': '1'}


def plain_path(path):
    """A path for FFmpeg. It is absolute, because FFmpeg takes text before a colon for a protocol."""
    return os.path.abspath(path)


class VideoWriter:
    """Writes RGB frames with their times.

    During writing the file consists of fragments of a second, so what is on disk is playable even if the process is
    killed. `close` rewrites it, without encoding, as a plain MP4 with the index in front.
    H.264 needs even sides: the last row or column of odd ones is repeated. Raises ProjectError if it cannot write.
    """

    def __init__(self, path, width, height, rate):
        self.path, self.frames = Path(path), 0
        self._size, self._last = (height, width), -1
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(plain_path(self.path), 'w', format='mp4', options=_FRAGMENTS)
        except (OSError, av.error.FFmpegError) as error:
            raise self._error(error) from None
        rate = Fraction(rate).limit_denominator(1001)
        self._step = round(1 / (rate * _TIME_BASE))
        options = {'crf': '20', 'preset': 'veryfast', 'rc-lookahead': '10'}
        self._stream = self._container.add_stream('libx264', rate=rate, options=options)
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = 'yuv420p'
        context = self._stream.codec_context
        context.time_base, context.gop_size = _TIME_BASE, max(1, round(rate))
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries = context.color_trc = 1  # BT.709

    def write(self, image, time=None):
        """Add a frame [H,W,3] uint8 RGB at `time` seconds; default: one frame's duration after the last."""
        if image.shape[:2] != self._size:
            raise ProjectError(f'{self.path}: a frame of {image.shape[1]} x {image.shape[0]} pixels in a video of '
                               f'{self._size[1]} x {self._size[0]}')
        height, width = self._size
        if height % 2 or width % 2:
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), 'edge')
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format='rgb24').reformat(
            format='yuv420p', dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        wanted = self._last + self._step if time is None else round(time / _TIME_BASE)
        self._last = max(wanted, self._last + 1, 0)
        frame.pts, frame.time_base = self._last, _TIME_BASE
        self._mux(frame)
        self.frames += 1

    def _mux(self, frame):
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (OSError, av.error.FFmpegError) as error:
            raise self._error(error) from None

    def close(self):
        """Finish the file. Without frames no file is left."""
        if self._container is None:
            return
        if self.frames:
            self._mux(None)
        try:
            self._container.close()
        except (OSError, av.error.FFmpegError) as error:
            raise self._error(error) from None
        finally:
            self._container = None
        if self.frames:
            self._put_index_in_front()
        else:
            self.path.unlink(missing_ok=True)

    def _put_index_in_front(self):
        """Copy the packets into a plain MP4. If that fails, such as on a full disk, the fragmented file is kept."""
        aside = self.path.with_name(f'.{self.path.name}.tmp')
        try:
            with av.open(plain_path(self.path)) as source, av.open(
                    plain_path(aside), 'w', format='mp4', options={'movflags': 'faststart'}) as target:
                stream = target.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(source.streams.video[0]):
                    if packet.dts is not None:
                        packet.stream = stream
                        target.mux(packet)
            os.replace(aside, self.path)
        except (OSError, av.error.FFmpegError):
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)

    def _error(self, error):
        return ProjectError(f'{self.path}: the video cannot be written ({getattr(error, "strerror", None) or error})')

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

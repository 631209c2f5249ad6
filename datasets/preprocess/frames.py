"""Frames of videos as pictures."""
from pathlib import Path

import av
import cv2

from utils.errors import BadFile, MissingFile
from utils.safe_io import atomic_write
from utils.video_writer import plain_path


def extract_frames(video, wanted, quality=95):
    """Write frames of a video as JPEG files. wanted: {frame number from 0: path}; files that are there are kept.

    Decodes only as far as it has to. Raises MissingFile, BadFile (the video ends too early, or is none).
    """
    missing = {number: Path(path) for number, path in wanted.items() if not Path(path).exists()}
    if not missing:
        return
    if not Path(video).exists():
        raise MissingFile(f'{video}: no such video')
    try:
        with av.open(plain_path(video)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number in missing:
                    _write_jpeg(missing.pop(number), frame.to_ndarray(format='bgr24'), quality)
                if not missing:
                    return
    except (av.error.FFmpegError, IndexError) as error:
        raise BadFile(f'{video}: not a readable video ({" ".join(str(error).split())[:120]})') from None
    raise BadFile(f'{video}: ends before frame {min(missing)}, which has annotations')


def _write_jpeg(path, pixels, quality):
    _, encoded = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    with atomic_write(path) as stream:
        stream.write(encoded.tobytes())

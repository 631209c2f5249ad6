"""Extracts frames of videos as pictures."""
from pathlib import Path

import av
import cv2

from datasets.preprocess import existing
from utils.logging import get_logger
from utils.safe_io import atomic_write
from utils.video_writer import plain_path

# Number of frames before damage that are dropped too. Decoders that reorder frames, such as H.264's, report it late.
_MARGIN = 16


def extract_frames(video, wanted, quality=95):
    """Write frames of a video as JPEG files -> set of the numbers that could not be extracted.

    wanted: {frame number from 0: path}. Existing files are kept. Decoding stops after the last wanted frame. An absent,
    short or damaged video is logged. Frames after damage are dropped, because their numbers are unknown.
    Raises MissingFile if the folder of the video does not exist.
    """
    missing = {number: Path(path) for number, path in wanted.items() if not Path(path).exists()}
    if not missing:
        return set()
    existing(Path(video).parent, 'folder of videos')
    why = _write_frames(video, missing, quality)
    if missing:
        get_logger().warning(f'{video}: {why or f"ends before frame {min(missing)}"}; {len(missing)} frames with '
                             'annotations are left out')
    return set(missing)


def _write_frames(video, missing, quality):
    """Write frames and remove them from `missing` -> reason why the rest is unreadable, '' at the end of the video."""
    if not Path(video).exists():
        return 'no such video'
    last, waiting = max(missing), {}
    try:
        with av.open(plain_path(video)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if frame.is_corrupt:
                    return f'damaged at frame {number}'
                if number in missing:
                    waiting[number] = _jpeg(frame.to_ndarray(format='bgr24'), quality)
                _write(waiting, missing, number - _MARGIN)
                if number >= last + _MARGIN:
                    return ''
    except (av.error.FFmpegError, IndexError) as error:
        return f'not readable to the end ({" ".join(str(error).split())[:120]})'
    _write(waiting, missing, last)
    return ''


def _write(waiting, missing, up_to):
    """Write the pictures {number: JPEG bytes} of frames up to a number."""
    for number in [number for number in waiting if number <= up_to]:
        with atomic_write(missing.pop(number)) as stream:
            stream.write(waiting.pop(number))


def _jpeg(pixels, quality):
    _, encoded = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()

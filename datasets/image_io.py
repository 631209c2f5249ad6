"""Reads pictures, at a reduced size if that is enough."""
import io
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from utils.camera import exif_focal_length
from utils.errors import BadFile, MissingFile

_REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4,
            8: cv2.IMREAD_REDUCED_COLOR_8}
_JPEG_START, _JPEG_END, _JPEG_SCAN = b'\xff\xd8', b'\xff\xd9', 0xda
_EXIF_ORIENTATION = 0x0112
# First bytes of EXIF tags in JPEG, PNG and WebP, and their largest offset. Files without them are not parsed.
_EXIF_START, _EXIF_WITHIN = (b'Exif\x00\x00', b'eXIf', b'EXIF'), 1 << 17


@dataclass(frozen=True)
class Picture:
    """pixels [h,w,3] uint8. height, width: of the full picture. reduced: factor by which `pixels` is smaller. is_rgb:
    RGB instead of BGR. content: bytes of the file, if there is one."""
    pixels: np.ndarray
    height: int
    width: int
    reduced: int = 1
    is_rgb: bool = False
    content: bytes = field(default=b'', repr=False)

    @cached_property
    def focal_length(self):
        """Focal length in pixels from the EXIF tags, or None. Read on first use."""
        head = _head(self.content)
        if not any(start in head for start in _EXIF_START):
            return None
        return exif_focal_length(io.BytesIO(self.content), self.width, self.height)


def _head(content):
    """The part of a file that may hold EXIF tags: of a JPEG the segments before its compressed data."""
    end = min(len(content), _EXIF_WITHIN)
    if content.startswith(_JPEG_START):
        place = 2
        while place + 4 <= end and content[place] == 0xff and content[place + 1] != _JPEG_SCAN:
            place += 2 + int.from_bytes(content[place + 2:place + 4], 'big')
        if content[place:place + 2] == bytes((0xff, _JPEG_SCAN)):
            end = place
    return content[:end]


def read_picture(path, shrink=1.0):
    """Read and decode a file, see `decode_picture`. Raises MissingFile, BadFile."""
    try:
        with open(path, 'rb') as stream:
            content = stream.read()
    except FileNotFoundError:
        raise MissingFile(f'{path}: no such picture') from None
    except (OSError, ValueError) as error:
        if Path(path).is_dir():
            raise BadFile(f'{path}: a folder, not a picture') from None
        raise BadFile(f'{path}: cannot be opened ({getattr(error, "strerror", None) or error})') from None
    return decode_picture(content, path, shrink)


def decode_picture(content, path, shrink=1.0):
    """Decode a picture to 8-bit BGR -> Picture. It is rotated upright by its EXIF tag, as annotations expect.

    shrink: factor by which the crop reduces the resolution. From 2 on, a JPEG is decoded at 1/2, 1/4 or 1/8 of its
    size. path: for messages. Raises BadFile.
    """
    is_jpeg = content.startswith(_JPEG_START)
    if is_jpeg and content.rfind(_JPEG_END) < 0:
        raise BadFile(f'{path}: truncated JPEG')  # OpenCV 4 would fill the missing part with grey
    reduced, size = 1, None
    if is_jpeg and shrink >= 2:
        size = _upright_size(content)
        reduced = max(factor for factor in _REDUCED if factor <= shrink) if size else 1
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), _REDUCED[reduced]) if content else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise BadFile(f'{path}: not a readable picture ({len(content)} bytes)')
    height, width = pixels.shape[:2] if reduced == 1 else size
    return Picture(pixels, height, width, reduced, content=content)


def _upright_size(content):
    """(height, width) from a JPEG's header, after the EXIF rotation. None if the header is unreadable."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            turned = 'exif' in image.info and image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
            return image.size if turned else image.size[::-1]
    except Exception:  # Pillow raises many types on a broken header; the decoder then decides
        return None

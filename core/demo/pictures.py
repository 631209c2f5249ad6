"""Picture files as frames: their order, pixels and metadata."""
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets.image_io import read_picture
from datasets.video import Frame
from utils.camera import exif_focal_length
from utils.errors import MissingFile
from utils.file_names import natural_key

_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'}


def list_pictures(folder):
    """Pictures in a folder, sorted by natural order of their names. Raises MissingFile if there are none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFile(f'{folder}: no such folder')
    pictures = sorted(filter(is_picture, folder.iterdir()), key=natural_key)
    if not pictures:
        raise MissingFile(f'{folder}: no pictures here ({", ".join(sorted(_SUFFIXES))})')
    return pictures


def is_picture(path):
    """Whether a path has the suffix of a picture."""
    return Path(path).suffix.lower() in _SUFFIXES


def read_frame(path, index, time):
    """Read a picture file as a Frame. Raises MissingFile, BadFile."""
    image = np.ascontiguousarray(read_picture(path).pixels[..., ::-1])
    frame = Frame(index, float(time), image, path.name, path.as_posix())
    return replace(frame, focal_length=exif_focal_length(path, *image.shape[1::-1]))

"""Weights of torchvision's detectors, from a folder or downloaded into it."""
import contextlib
import socket
from pathlib import Path

import torch

from utils.errors import MissingFile
from utils.logging import get_logger

_TIMEOUT = 20.0


def fetched_weights(weights, folder, otherwise):
    """Path of a torchvision weights entry in `folder`, under torchvision's file name, downloaded if absent. Raises
    MissingFile; its message ends with `otherwise`, the user's alternative."""
    path = Path(folder) / Path(weights.url).name
    if path.exists():
        return path
    get_logger().info(f'{path}: fetching the person detector from {weights.url}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _time_limit():
            torch.hub.download_url_to_file(weights.url, str(path), hash_prefix=path.stem.split('-')[-1], progress=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise MissingFile(f'{path}: no detector weights, and {weights.url} cannot be fetched ({_one_line(error)}); '
                          f'put the file there, or {otherwise}') from None
    return path


@contextlib.contextmanager
def _time_limit():
    """Set a time limit, because torch's download has none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _one_line(error):
    return ' '.join(str(error).split())[:100] or type(error).__name__

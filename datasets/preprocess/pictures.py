"""Tests which pictures of a dataset are on disk."""
from pathlib import Path

from utils.logging import log_once

ABSENT = 'whose picture is absent'


class Pictures:
    """`name in pictures` is True if the picture exists. Names are relative to `root`.

    folders: pattern of folders below `root`. If no folder matches, the pictures are not unpacked yet. Then all count as
    existing, and a log line says so.
    """

    def __init__(self, root, folders):
        self.root = Path(root)
        self._known = any(folder.is_dir() for folder in self.root.glob(folders))
        if not self._known:
            log_once(f'{self.root / folders}: no such folder; the existence of the pictures is not checked')

    def __contains__(self, name):
        return not self._known or (self.root / name).exists()

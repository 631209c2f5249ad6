"""Which pictures of a data set are on disk."""
from pathlib import Path

from utils.logging import log_once

ABSENT = 'whose picture is absent'


class Pictures:
    """`name in pictures` says whether a picture, named relative to `root`, is there.

    folders: a pattern below `root`. Where no folder has it, the pictures are not unpacked yet: all count as there, and
    the log says so.
    """

    def __init__(self, root, folders):
        self.root = Path(root)
        self._known = any(folder.is_dir() for folder in self.root.glob(folders))
        if not self._known:
            log_once(f'{self.root / folders}: no such folder; that all pictures are there is taken on trust')

    def __contains__(self, name):
        return not self._known or (self.root / name).exists()

"""Checkpoints of a run: written whole, pruned, found again, damaged ones passed over."""
import os
import re
import shutil
from pathlib import Path

from utils.errors import BadFile, MissingFile
from utils.logging import get_logger
from utils.torch_io import load_torch, save_torch

FORMAT = 1
_IS_BEST = 'is_best'
_NAME = re.compile(r'step_(\d+)\.pt$')


class CheckpointStore:
    """The `checkpoints/` folder of a run.

    `step_NNNNNNNN.pt` for each save; the newest `keep` stay. `latest.pt` and `best.pt` are links to one of them.
    """

    def __init__(self, folder, keep=3):
        self.folder, self.keep = Path(folder), keep

    def save(self, content, step, best=False):
        """Write a checkpoint (a dict of tensors and plain containers) -> its path."""
        path = self.folder / f'step_{step:08d}.pt'
        save_torch(path, {'format': FORMAT, _IS_BEST: best, **content})
        self._link('latest.pt', path)
        if best:
            self._link('best.pt', path)
        self._prune()
        return path

    def settle(self, path, content):
        """Finish a save that was cut short before its links were made; path, content: what `newest` gave."""
        self._link('latest.pt', path)
        if content.get(_IS_BEST):
            self._link('best.pt', path)

    def has_damaged_best(self):
        """Whether best.pt is there and cannot be read, which the log then says."""
        try:
            load_torch(self.folder / 'best.pt')
        except MissingFile:
            return False
        except BadFile as error:
            get_logger().warning(f'{error}; the next validation chooses the best anew')
            return True
        return False

    def newest(self):
        """(path, content) of the newest readable checkpoint, or None; damaged ones are named and passed over."""
        for path in reversed(self._saved()):
            try:
                return path, load_torch(path)
            except BadFile as error:
                get_logger().warning(f'{error}; taking the one before')
        return None

    def best(self):
        """Path of the best checkpoint, or of the newest where none was validated. Raises MissingFile."""
        for name in ('best.pt', 'latest.pt'):
            if (self.folder / name).exists():
                return self.folder / name
        raise MissingFile(f'{self.folder}: no checkpoint here; train first')

    def _saved(self):
        return sorted(path for path in self.folder.glob('step_*.pt') if _NAME.match(path.name))

    def _link(self, name, path):
        """A hard link costs no space and survives the pruning of the name it was made from."""
        aside = self.folder / f'.{name}.tmp'
        aside.unlink(missing_ok=True)
        try:
            os.link(path, aside)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, aside)
        os.replace(aside, self.folder / name)

    def _prune(self):
        for path in self._saved()[:-self.keep]:
            path.unlink(missing_ok=True)

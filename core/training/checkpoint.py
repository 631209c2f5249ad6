"""Checkpoints of a run: atomic writes, pruning, and search for the newest undamaged one."""
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

    Each save writes `step_NNNNNNNN.pt`; the newest `keep` are kept. `latest.pt` and `best.pt` are links to one of them.
    """

    def __init__(self, folder, keep=3):
        self.folder, self.keep = Path(folder), keep

    def save(self, content, step, best=False, replaces=()):
        """Write a checkpoint (a dict of tensors and plain containers). Returns its path. replaces: files to delete
        once it is written."""
        path = self.folder / f'step_{step:08d}.pt'
        save_torch(path, {'format': FORMAT, _IS_BEST: best, **content})
        for old in replaces:
            if old != path:
                old.unlink(missing_ok=True)
        self._link('latest.pt', path)
        if best:
            self._link('best.pt', path)
        self._prune()
        return path

    def settle(self, path, content):
        """Make the links of a save that was interrupted before them. path, content: from `newest`."""
        self._link('latest.pt', path)
        if content.get(_IS_BEST):
            self._link('best.pt', path)

    def has_damaged_best(self):
        """Whether best.pt exists and is unreadable. If so, the log says it."""
        try:
            load_torch(self.folder / 'best.pt')
        except MissingFile:
            return False
        except BadFile as error:
            get_logger().warning(f'{error}; the next validation chooses the best anew')
            return True
        return False

    def newest(self):
        """(path, content) of the newest readable checkpoint, or None. Damaged ones are logged and skipped."""
        for path in reversed(self._saved()):
            try:
                return path, load_torch(path)
            except BadFile as error:
                get_logger().warning(f'{error}; taking the one before')
        return None

    def best(self):
        """Path of the best checkpoint, or of the newest if none was validated. Raises MissingFile."""
        for name in ('best.pt', 'latest.pt'):
            if (self.folder / name).exists():
                return self.folder / name
        raise MissingFile(f'{self.folder}: no checkpoint here; train first')

    def _saved(self):
        return sorted(path for path in self.folder.glob('step_*.pt') if _NAME.match(path.name))

    def set_aside(self, step):
        """Move checkpoints of steps after `step`, from which a run was resumed, to `abandoned_N/`."""
        later = [path for path in self._saved() if int(_NAME.match(path.name)[1]) > step]
        if not later:
            return
        taken = [int(path.name[10:]) for path in self.folder.glob('abandoned_*') if path.name[10:].isdigit()]
        folder = self.folder / f'abandoned_{1 + max(taken, default=0)}'
        folder.mkdir()
        for path in later:
            os.replace(path, folder / path.name)
        best = self.folder / 'best.pt'
        if self._step_of(best) > step:
            os.replace(best, folder / best.name)
        get_logger().info(f'{len(later)} checkpoints after step {step} are kept in {folder}')

    def _step_of(self, path):
        """The step of a checkpoint; -1 if it is absent or unreadable."""
        try:
            return int(load_torch(path).get('global_step', -1))
        except (MissingFile, BadFile, TypeError, ValueError, AttributeError):
            return -1

    def _link(self, name, path):
        """Link `name` to a checkpoint. A hard link takes no space and survives the pruning of the original name. On
        file systems without hard links (exFAT, Google Drive, many FUSE mounts) the file is copied."""
        aside = self.folder / f'.{name}.tmp'
        aside.unlink(missing_ok=True)
        try:
            os.link(path, aside)
        except OSError:
            shutil.copyfile(path, aside)
        os.replace(aside, self.folder / name)

    def _prune(self):
        for path in self._saved()[:-self.keep]:
            path.unlink(missing_ok=True)

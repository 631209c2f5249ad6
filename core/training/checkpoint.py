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
_FOLDER = 'checkpoints'
_NAMED_RUNS = 5  # runs that an error lists


def store_of(cfg):
    """The CheckpointStore of a config's run, LOG_DIR/NAME."""
    return CheckpointStore(Path(cfg.LOG_DIR) / cfg.NAME / _FOLDER, cfg.TRAIN.KEEP_CHECKPOINTS)


def is_resumable(log_dir, name):
    """Whether the run LOG_DIR/NAME has a checkpoint, readable or not."""
    return bool(CheckpointStore(Path(log_dir) / name / _FOLDER).files())


def check_resumable(log_dir, name):
    """Raise MissingFile where the run LOG_DIR/NAME has no checkpoint. The error lists the newest runs of LOG_DIR."""
    log_dir = Path(log_dir)
    if is_resumable(log_dir, name):
        return
    runs = _runs(log_dir)
    listed = ', '.join(runs[:_NAMED_RUNS]) + (', ...' if len(runs) > _NAMED_RUNS else '')
    here = f'{log_dir} has {listed} (newest first)' if runs else f'{log_dir} has no run; check --log_dir'
    raise MissingFile(f'{log_dir / name}: no checkpoint to resume from; {here}; give --name RUN, or leave out --resume '
                      'to start a new run (a job that restarts: --resume_if_exists)')


def _runs(log_dir):
    """Names of the runs in a folder that have a checkpoint, the newest first. A name may have two parts, 'a/b'."""
    newest = {}
    for pattern in ('*', '*/*'):
        for path in log_dir.glob(f'{pattern}/{_FOLDER}/*.pt'):
            name = path.parent.parent.relative_to(log_dir).as_posix()
            newest[name] = max(newest.get(name, 0.0), path.lstat().st_mtime)
    return sorted(newest, key=newest.get, reverse=True)


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

    def files(self):
        """Paths of all checkpoints in the folder."""
        return list(self.folder.glob('*.pt'))

    def newest(self):
        """(path, content) of the newest readable checkpoint, or None where the folder has no checkpoint.

        Damaged ones are logged and skipped. Raises BadFile, which names the newest, where none can be read."""
        latest, failure = self.folder / 'latest.pt', None
        for path in [*reversed(self._saved()), *([latest] if latest.exists() else [])]:
            try:
                found = path, load_torch(path)
            except BadFile as error:
                failure = failure or error
                continue
            if failure is not None:
                get_logger().warning(f'{failure}; taking {path.name}')
            return found
        if self.files():
            reason = failure or f'{self.folder}: has neither step_*.pt nor latest.pt'
            raise BadFile(f'{reason}; no checkpoint of this run can be resumed: give another file with --checkpoint, '
                          'another --name, or --overwrite without --resume to start anew')
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

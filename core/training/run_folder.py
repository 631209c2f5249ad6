"""The folder of a run: config, checkpoints, trackers' files, final table and picture."""
from pathlib import Path

from torchvision.utils import save_image

from core.config import lasting_text
from core.training.checkpoint import store_of
from core.training.trackers import TENSORBOARD, Trackers, check_trackers
from utils.errors import ProjectError
from utils.safe_io import atomic_write

_REPORT = 'evaluation.md'


class RunFolder:
    """LOG_DIR/NAME. Only the main process writes. `trackers` is None until `open`, and in other processes always.

    With TRAIN.OVERWRITE an earlier run's files are kept until the new run's first checkpoint is written.
    Raises ProjectError if the folder holds a run that is neither resumed nor overwritten, or if it holds the checkpoint
    from which the run that overwrites it would start.
    """

    def __init__(self, cfg, is_main):
        self.path = Path(cfg.LOG_DIR) / cfg.NAME
        self.store = store_of(cfg)
        self.trackers, self._text, self._is_main = None, lasting_text(cfg), is_main
        self._tracker_names = list(cfg.LOG.TRACKERS)
        check_trackers(self._tracker_names)
        existing = self.store.files()
        resuming = cfg.TRAIN.RESUME or cfg.TRAIN.CHECKPOINT or cfg.TRAIN.RESUME_IF_EXISTS and existing
        if existing and not (resuming or cfg.TRAIN.OVERWRITE):
            raise ProjectError(f'{self.path}: holds a run already; use --resume to go on, --overwrite to start anew, '
                               'or another --name')
        self._stale = [] if resuming else [*existing, *(self.path / TENSORBOARD).glob('events.*')]
        start = cfg.TRAIN.PRETRAINED_CHECKPOINT
        if self._stale and start and self.path.resolve() in Path(start).resolve().parents:
            raise ProjectError(f'{start}: is in the run that --overwrite would delete, {self.path}; use another '
                               '--name')
        self._resumed_from = None

    def open(self, resumed_step=None):
        """Start to write. resumed_step: the step from which the run resumes; None for a new run."""
        if not self._is_main:
            return
        for path in _left_overs(self.path):
            path.unlink()
        self._resumed_from = resumed_step
        if not self._stale:
            self._write_config()
        self.trackers = Trackers(self._tracker_names, self.path, self.path.name, resumed_step)

    def save(self, content, step, best):
        """Write a checkpoint. The first one replaces older files: those of an overwritten run are deleted, later
        checkpoints of a run that was rolled back are set aside."""
        if self._resumed_from is not None:
            self.store.set_aside(self._resumed_from)
            self._resumed_from = None
        if self._stale:
            self._write_config()
        self.store.save(content, step, best, replaces=self._stale)
        self._stale = []

    def _write_config(self):
        with atomic_write(self.path / 'config.yaml', 'w') as stream:
            stream.write(self._text)

    def has_report(self):
        """Whether the run has its final table."""
        return (self.path / _REPORT).exists()

    def write_report(self, evaluation, picture):
        """Print and save the final table, and save a picture [3,H,W] of held-out people."""
        with atomic_write(self.path / _REPORT, 'w') as stream:
            stream.write(evaluation.table() + '\n')
        save_image(picture, self.path / 'held_out.png')
        print(f'\n{evaluation.table()}\n\ncheckpoint: {self.store.best()}\n'
              f'picture of held-out people: {self.path / "held_out.png"}')


def _left_overs(folder):
    """Temporary files of `atomic_write` from a run that was killed."""
    return [path for path in folder.rglob('.*.tmp') if path.is_file()]

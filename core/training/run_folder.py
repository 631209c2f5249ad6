"""The folder of one run: its config, checkpoints, TensorBoard files, final table and picture."""
from pathlib import Path

from torchvision.utils import save_image

from core.config import to_text
from core.training.checkpoint import CheckpointStore
from core.training.summary import Summary
from utils.errors import ProjectError
from utils.safe_io import atomic_write


class RunFolder:
    """LOG_DIR/NAME. Only the main process writes; `summary` is None in the others.

    Raises ProjectError where the folder holds a run that is neither resumed nor to be overwritten.
    """

    def __init__(self, cfg, is_main):
        self.path = Path(cfg.LOG_DIR) / cfg.NAME
        self.store = CheckpointStore(self.path / 'checkpoints', cfg.TRAIN.KEEP_CHECKPOINTS)
        existing = list(self.store.folder.glob('*.pt'))
        resuming = cfg.TRAIN.RESUME or cfg.TRAIN.CHECKPOINT
        if existing and not (resuming or cfg.TRAIN.OVERWRITE):
            raise ProjectError(f'{self.path}: holds a run already; use --resume to go on, --overwrite to start anew, '
                               'or another --name')
        self.summary = None
        if is_main:
            self._clear([*(existing if not resuming else ()), *_left_overs(self.path)])
            with atomic_write(self.path / 'config.yaml', 'w') as stream:
                stream.write(to_text(cfg))
            self.summary = Summary(self.path)

    def _clear(self, files):
        for path in files:
            path.unlink()

    def write_report(self, evaluation, picture):
        """Print and keep the final table; keep a picture [3,H,W] of held-out people."""
        with atomic_write(self.path / 'evaluation.md', 'w') as stream:
            stream.write(evaluation.table() + '\n')
        save_image(picture, self.path / 'held_out.png')
        print(f'\n{evaluation.table()}\n\ncheckpoint: {self.store.best()}\n'
              f'picture of held-out people: {self.path / "held_out.png"}')


def _left_overs(folder):
    """What `atomic_write` had begun beside its files when the run was killed."""
    return [path for path in folder.rglob('.*.tmp') if path.is_file()]

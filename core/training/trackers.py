"""Logs scalars and pictures of a run to the trackers of accelerate that LOG.TRACKERS names."""
import uuid
from pathlib import Path

import numpy as np
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from utils.errors import BadConfig, ProjectError
from utils.logging import get_logger
from utils.safe_io import load_json, save_json

TENSORBOARD = 'tensorboard'
_PROJECT = 'human-mesh-recovery'
# File with the run ids of the services. A resumed run continues under the same id.
_IDS = 'trackers.json'
# Trackers whose `log_images` takes one image per name instead of a list.
_ONE_IMAGE = ('aim', 'clearml')
_PACKAGES = {'comet_ml': 'comet-ml'}


def check_trackers(names):
    """Raise BadConfig for a tracker that accelerate does not know, ProjectError for one whose package is absent."""
    available = {str(name) for name in get_available_trackers()}
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise BadConfig(f'LOG.TRACKERS: unknown tracker {name!r}; use some of {", ".join(LOGGER_TYPE_TO_CLASS)}')
        if name not in available:
            package = _PACKAGES.get(name, name)
            raise ProjectError(f'LOG.TRACKERS: {name} needs the package {package}, which is not installed; install it '
                               'with pip')


class Trackers:
    """The trackers of one run, in its folder. Only the main process has them.

    resumed_step: the step that a run resumes from; None for a new run. A resumed run is appended: TensorBoard hides
    what was written after that step, and W&B, MLflow and Trackio continue the same run. Other services get a new run.
    Raises BadConfig, ProjectError.
    """

    def __init__(self, names, folder, run_name, resumed_step=None):
        check_trackers(names)
        self._folder, self._name, self._step = Path(folder), run_name, resumed_step
        goes_on = resumed_step is not None and (self._folder / _IDS).exists()
        self._ids = load_json(self._folder / _IDS) if goes_on else {}
        self._trackers = [self._started(name) for name in names]
        if self._ids:
            save_json(self._folder / _IDS, self._ids)

    def _started(self, name):
        tracker_class = LOGGER_TYPE_TO_CLASS[name]
        places = [str(self._folder)] if tracker_class.requires_logging_directory else []
        try:
            tracker = tracker_class(TENSORBOARD if name == TENSORBOARD else _PROJECT, *places, **self._options(name))
            tracker.start()
        except Exception as error:  # services raise many types: no login, no network, no such run
            raise ProjectError(f'LOG.TRACKERS: {name} cannot start: {" ".join(str(error).split())[:200]}') from None
        if name == 'mlflow':
            self._ids[name] = tracker.tracker.info.run_id
        if not hasattr(tracker, 'log_images'):
            get_logger().info(f'{name}: accelerate logs no pictures to it; add tensorboard to LOG.TRACKERS to see them')
        return tracker

    def _options(self, name):
        """Arguments of a tracker's class other than the project and a folder."""
        resumed = self._step is not None
        if name == TENSORBOARD:
            return {'purge_step': self._step + 1 if resumed else None}
        if name == 'wandb':
            self._ids.setdefault(name, uuid.uuid4().hex)
            return {'name': self._name, 'id': self._ids[name], 'resume': 'allow', 'dir': str(self._folder)}
        if name == 'mlflow':
            return {'run_name': self._name, 'run_id': self._ids.get(name)}
        if name == 'trackio':
            return {'name': self._name, 'resume': 'allow' if resumed else 'never'}
        return {}

    def scalars(self, values, step, group='losses'):
        """Log {name: number} at a step."""
        self._log({f'{group}/{name}': float(value) for name, value in values.items()}, step)

    def text(self, name, text):
        self._log({name: text}, None)

    def _log(self, values, step):
        for tracker in self._trackers:
            tracker.log(values, step=step)

    def picture(self, name, image, step):
        """Log a picture [3,H,W] in [0, 1]."""
        pixels = np.round(255 * image.permute(1, 2, 0).numpy()).astype(np.uint8)
        for tracker in self._trackers:
            if tracker.name == TENSORBOARD:
                tracker.log_images({name: pixels[None]}, step=step, dataformats='NHWC')
            elif hasattr(tracker, 'log_images'):
                tracker.log_images({name: pixels if tracker.name in _ONE_IMAGE else [pixels]}, step=step)

    def close(self):
        for tracker in self._trackers:
            tracker.finish()

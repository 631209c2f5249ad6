"""Trackers of accelerate: TensorBoard's content, resuming, and other services through stand-ins."""
import io
import json

import numpy as np
import pytest
import torch
from accelerate import tracking
from accelerate.state import PartialState
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from core.training import trackers as module
from core.training.trackers import Trackers, check_trackers
from utils.errors import BadConfig, ProjectError


@pytest.fixture(autouse=True)
def state():
    PartialState(cpu=True)


def events(folder):
    accumulator = EventAccumulator(str(folder / 'tensorboard'), size_guidance={'images': 0})
    accumulator.Reload()
    return accumulator


def test_tensorboard_has_scalars_text_and_pictures(tmp_path):
    run = Trackers(['tensorboard'], tmp_path, 'run')
    run.text('command', 'train.py --seed 1')
    run.scalars({'total': np.float32(2.5), 'kept': torch.tensor(3)}, 1)
    image = torch.zeros(3, 4, 6)
    image[0, :, :2] = 1
    run.picture('train', image, 1)
    run.close()
    logged = events(tmp_path)
    assert [(e.step, e.value) for e in logged.Scalars('losses/total')] == [(1, 2.5)]
    assert logged.Scalars('losses/kept')[0].value == 3
    assert logged.Tensors('command/text_summary')[0].tensor_proto.string_val[0] == b'train.py --seed 1'
    shown = logged.Images('train')[0]
    pixels = np.asarray(Image.open(io.BytesIO(shown.encoded_image_string)))
    assert (shown.step, pixels.shape) == (1, (4, 6, 3))
    assert (pixels[:, :2] == [255, 0, 0]).all() and not pixels[:, 2:].any()


def test_a_resumed_run_is_appended_to(tmp_path):
    """Entries of the earlier run after its checkpoint are hidden; earlier entries stay."""
    first = Trackers(['tensorboard'], tmp_path, 'run')
    for step in (1, 2, 3):
        first.scalars({'total': step}, step)
    first.close()
    second = Trackers(['tensorboard'], tmp_path, 'run', resumed_step=2)
    for step in (3, 4):
        second.scalars({'total': 10 * step}, step)
    second.close()
    assert [(e.step, e.value) for e in events(tmp_path).Scalars('losses/total')] == [(1, 1), (2, 2), (3, 30), (4, 40)]


class Service(tracking.GeneralTracker):
    """A service with accelerate's interface that records its calls."""
    name, requires_logging_directory, started = 'wandb', False, []

    def __init__(self, run_name, **options):
        super().__init__()
        self.told = {'project': run_name, **options, 'values': [], 'images': []}

    @property
    def tracker(self):
        return self.told

    def start(self):
        Service.started.append(self.told)

    def store_init_configuration(self, values):
        """Nothing."""

    def log(self, values, step=None, **kwargs):
        self.told['values'].append((step, values))

    def log_images(self, values, step=None, **kwargs):
        self.told['images'].append((step, {name: [image.shape for image in images] for name, images in values.items()}))

    def finish(self):
        self.told['finished'] = True


class Refusing(Service):
    def start(self):
        raise RuntimeError('api_key not configured\n(no-tty). call wandb.login()')


@pytest.fixture
def service(monkeypatch):
    def use(kind):
        monkeypatch.setitem(module.LOGGER_TYPE_TO_CLASS, 'wandb', kind)
        monkeypatch.setattr(module, 'get_available_trackers', lambda: ['tensorboard', 'wandb'])
        Service.started = []
    return use


def test_a_service_gets_everything_and_continues_its_run(tmp_path, service):
    service(Service)
    for resumed in (None, 5):
        run = Trackers(['tensorboard', 'wandb'], tmp_path, 'mine', resumed)
        run.scalars({'total': 1}, 6)
        run.picture('train', torch.zeros(3, 4, 6), 6)
        run.close()
    first, second = Service.started
    assert first['id'] == second['id'] == json.loads((tmp_path / 'trackers.json').read_text())['wandb']
    assert first['name'] == 'mine' and first['resume'] == 'allow' and first['dir'] == str(tmp_path)
    assert second['values'] == [(6, {'losses/total': 1.0})] and second['images'] == [(6, {'train': [(4, 6, 3)]})]
    assert first['finished'] and second['finished']
    Trackers(['wandb'], tmp_path, 'mine').close()
    assert Service.started[2]['id'] != first['id']  # a new run has another id


def test_errors_are_one_line(tmp_path, service, monkeypatch):
    with pytest.raises(BadConfig, match=r"LOG\.TRACKERS: unknown tracker 'tensorbord'; use some of .*tensorboard"):
        check_trackers(['tensorbord'])
    monkeypatch.setattr(module, 'get_available_trackers', lambda: [tracking.LoggerType.TENSORBOARD])
    check_trackers(['tensorboard'])
    for name, package in (('mlflow', 'mlflow'), ('trackio', 'trackio'), ('comet_ml', 'comet-ml')):
        with pytest.raises(ProjectError, match=f'{name} needs the package {package}, which'):
            check_trackers(['tensorboard', name])
    service(Refusing)
    with pytest.raises(ProjectError, match=r'LOG\.TRACKERS: wandb cannot start: api_key not configured \(no-tty\)'):
        Trackers(['wandb'], tmp_path, 'run')

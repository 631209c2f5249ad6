"""Fixtures shared by all tests: stand-in assets in the licensed formats, the free assets, scripts and the log."""
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

import models.body
from datasets.synthetic.check_assets import check_assets
from tests.no_skips import pytest_addoption, pytest_configure  # noqa: F401  hooks of --no_skips
from tests.reference.standin import write_assets
from tests.tiny_data import write_tiny_dataset
from utils import logging as project_logging
from utils.assets import Assets

ROOT = Path(__file__).resolve().parent.parent
# `make test` sets OMP_NUM_THREADS to 1 in each of its processes.
THREADS = int(os.environ.get('OMP_NUM_THREADS') or min(2, os.cpu_count() or 1))
torch.set_num_threads(THREADS)
# caplog captures a logger that does not propagate only if the logger exists before the test. Without this line, the
# first test of a process that logs finds no text.
project_logging.get_logger()


@pytest.fixture(autouse=True)
def fresh_process_state():
    """Reset the device and precision that accelerate keeps for a process, and torch's number of threads."""
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.set_num_threads(THREADS)


@pytest.fixture(scope='session')
def unchanging_folders():
    """Asset folders whose bodies no test changes."""
    return [ROOT / 'data' / 'free']


@pytest.fixture(scope='session', autouse=True)
def bodies_are_read_once(unchanging_folders):
    """Keep the arrays of unchanging bodies. Reading them takes most of the time of building a small network."""
    read, kept = models.body.read_body_file, {}

    def read_once(file):
        path = Path(file).resolve()
        if not any(folder.resolve() in path.parents for folder in unchanging_folders):
            return read(file)
        if path not in kept:
            kept[path] = read(file)
            for value in kept[path].values():
                if isinstance(value, np.ndarray):
                    value.flags.writeable = False
        return dict(kept[path])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.body, 'read_body_file', read_once)
        yield


@pytest.fixture(scope='session')
def standin_assets(tmp_path_factory, unchanging_folders):
    """An asset folder in the licensed layout whose arrays are those of the reference values."""
    folder = tmp_path_factory.mktemp('standin')
    write_assets(folder)
    unchanging_folders.append(folder)
    return folder


@pytest.fixture(scope='module')
def tiny_assets(standin_assets):
    """`standin_assets` with the dataset `tiny`, for training and for validation (six people)."""
    write_tiny_dataset(standin_assets, 'tiny', 'train')
    write_tiny_dataset(standin_assets, 'tiny', 'val', count=6, seed=1)
    return standin_assets


@pytest.fixture(scope='session')
def free_assets():
    """The free asset folder of the repository."""
    folder = ROOT / 'data' / 'free'
    check_assets(folder)
    return folder


@pytest.fixture(scope='session')
def cast(free_assets):
    """The people that pictures are rendered of."""
    from datasets.synthetic.people import Cast  # with warp, which other tests need not load
    return Cast(Assets(Path(free_assets), is_free=True))


@pytest.fixture(scope='module')
def scripts():
    """Runs each script in a forked process that has torch imported already."""
    from tests.training_processes import TrainingServer
    with TrainingServer() as server:
        yield server


@pytest.fixture
def without_panels(monkeypatch):
    """Trainings in this process draw no panels of meshes, which take half of a short run."""
    monkeypatch.setattr('core.training.trainer.panel', lambda *_, **__: torch.zeros(3, 8, 8))


@pytest.fixture
def no_assets(tmp_path, monkeypatch):
    """An empty working folder: the published recipes apply, not those of the free body."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def said(monkeypatch):
    """Lines of the log so far."""
    lines = []
    monkeypatch.setattr(project_logging, '_said', set())
    monkeypatch.setattr(project_logging.get_logger(), 'log', lambda level, message: lines.append(message))
    return lines


@pytest.fixture
def log(caplog, monkeypatch):
    """caplog with the messages of the project's logger, which does not propagate."""
    monkeypatch.setattr(project_logging.get_logger(), 'propagate', True)
    return caplog


@pytest.fixture
def without_own_weights(monkeypatch, tmp_path):
    """As in a copy of the repository without pretrained weights."""
    monkeypatch.setattr('core.pretrained.PRETRAINED', tmp_path / 'no_weights')

"""Fixtures shared by all tests: stand-in assets of the licensed formats, and the free assets where they are built."""
import os
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from datasets.synthetic.check_assets import check_assets
from tests.no_skips import pytest_addoption, pytest_configure  # noqa: F401  hooks of --no_skips
from tests.reference.standin import write_assets
from utils import logging as project_logging

ROOT = Path(__file__).resolve().parent.parent
# `make test` gives each of its processes one.
THREADS = int(os.environ.get('OMP_NUM_THREADS') or min(2, os.cpu_count() or 1))
torch.set_num_threads(THREADS)
# caplog captures a logger that does not propagate only if the logger exists before the test. Without this line, the
# first test of a process that logs finds no text.
project_logging.get_logger()


@pytest.fixture(autouse=True)
def fresh_process_state():
    """accelerate keeps device and precision for a whole process, torch its threads; each test may want others."""
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.set_num_threads(THREADS)


@pytest.fixture(scope='session')
def standin_assets(tmp_path_factory):
    """An asset folder in the licensed layout whose arrays are those of the reference values."""
    folder = tmp_path_factory.mktemp('standin')
    write_assets(folder)
    return folder


@pytest.fixture(scope='session')
def free_assets():
    """The free asset folder of the repository."""
    folder = ROOT / 'data' / 'free'
    check_assets(folder)
    return folder


@pytest.fixture(scope='module')
def scripts():
    """Runs the scripts in processes of their own, without the seconds that importing torch takes each."""
    from tests.training_processes import TrainingServer
    with TrainingServer() as server:
        yield server


@pytest.fixture
def no_assets(tmp_path, monkeypatch):
    """A working folder without any assets, where published recipes hold: the free body has recipes of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def said(monkeypatch):
    """Lines of the log so far."""
    lines = []
    monkeypatch.setattr(project_logging, '_said', set())
    monkeypatch.setattr(project_logging.get_logger(), 'log', lambda level, message: lines.append(message))
    return lines


@pytest.fixture
def without_own_weights(monkeypatch, tmp_path):
    """A copy of the repository that has no weights of its own."""
    monkeypatch.setattr('core.pretrained.PRETRAINED', tmp_path / 'no_weights')

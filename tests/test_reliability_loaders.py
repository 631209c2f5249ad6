"""Loader processes that die, wait for a disk or run out of shared memory: one line, no hang, and nothing lost."""
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from torch.utils.data import DataLoader, Dataset

from core.loading import LoaderError, batches_of, worker_options
from core.training.trainer import Trainer
from datasets.image_dataset import ImageDataset
from tests.test_training import tiny_config
from tests.tiny_data import write_tiny_dataset


@pytest.fixture(scope='module')
def data(standin_assets, tmp_path_factory):
    """(config, assets) of a set of twelve pictures that this module may spoil."""
    assets = shutil.copytree(standin_assets, tmp_path_factory.mktemp('loaders') / 'assets', symlinks=True)
    write_tiny_dataset(assets, 'tiny', 'train')
    return tiny_config(assets, assets, 'TRAIN.NUM_WORKERS', 1), assets


def loader_of(cfg, dataset=None, **options):
    return DataLoader(dataset or ImageDataset(cfg, 'tiny'), 2, **{**worker_options(cfg), **options})


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_worker(data, number):
    batches = batches_of(loader_of(data[0]))
    next(batches)
    worker, = (child for child in children() if child != os.getpid())
    os.kill(worker, number)
    started = time.monotonic()
    with pytest.raises(LoaderError, match=f'loader process {worker} was killed by {number.name}') as raised:
        list(batches)
    assert '\n' not in str(raised.value) and time.monotonic() - started < 10 and not children()


def children():
    with open(f'/proc/self/task/{threading.get_native_id()}/children') as stream:
        return [int(pid) for pid in stream.read().split()]


def test_a_worker_that_dies_does_not_break_the_step_in_progress(data):
    """torch would raise in the middle of whatever the main process does."""
    with_death = batches_of(loader_of(data[0], prefetch_factor=2))
    next(with_death)
    os.kill(children()[0], signal.SIGKILL)
    end = time.monotonic() + 1
    while time.monotonic() < end:  # a step, in which the death is reported
        sum(range(1000))
    with pytest.raises(LoaderError):
        next(with_death)


class Exits(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        os._exit(7)


def test_a_worker_that_ends_by_itself(data):
    with pytest.raises(LoaderError, match='ended with status 7'):
        list(batches_of(loader_of(data[0], Exits())))


def as_pipe(path):
    """Put a named pipe in a picture's place: reading it waits until somebody writes."""
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    return content


def test_a_disk_that_does_not_answer(data):
    cfg, assets = data
    path = assets / 'datasets/tiny/train_3.jpg'
    content = as_pipe(path)
    try:
        started = time.monotonic()
        with pytest.raises(LoaderError, match=r'TRAIN\.LOADER_TIMEOUT = 2 seconds'):
            list(batches_of(loader_of(cfg, timeout=2.0)))
        assert time.monotonic() - started < 15 and not children()
    finally:
        path.unlink()
        path.write_bytes(content)


def test_a_stop_ends_the_wait_for_a_disk(data, tmp_path):
    """SIGTERM while a batch is waited for, as a scheduler sends it: the run is saved and ends at once."""
    assets = data[1]
    path = assets / 'datasets/tiny/train_3.jpg'
    content = as_pipe(path)
    asked = []

    def stop():
        asked.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)
    timer = threading.Timer(4, stop)
    try:
        write_tiny_dataset(assets, 'tiny', 'val', count=4, seed=1)
        trainer = Trainer(tiny_config(assets, tmp_path, 'TRAIN.NUM_WORKERS', 1, 'TRAIN.LOADER_TIMEOUT', 300.0,
                                      regressor='hmr'))
        timer.start()
        trainer.fit()
        assert time.monotonic() - asked[0] < 10 and trainer.stop_reason == 'a signal' and not children()
    finally:
        timer.cancel()
        path.unlink()
        path.write_bytes(content)


def test_a_slow_disk_is_waited_for(data):
    """Each of four pictures arrives a third of a second after it is asked for."""
    cfg, assets = data
    paths = [assets / f'datasets/tiny/train_{row}.jpg' for row in range(2, 6)]
    contents = [as_pipe(path) for path in paths]

    def trickle():
        for path, content in zip(paths, contents):
            time.sleep(.3)
            path.write_bytes(content)
    writer = threading.Thread(target=trickle, daemon=True)
    try:
        writer.start()
        rows = [int(row) for batch in batches_of(loader_of(cfg)) for row in batch['sample_index']]
        assert rows == list(range(12))
    finally:
        writer.join(10)
        for path, content in zip(paths, contents):
            path.unlink()
            path.write_bytes(content)


def test_a_full_shared_memory():
    done = subprocess.run([sys.executable, '-m', 'tests.small_shared_memory', str(2 ** 21)], capture_output=True,
                          text=True, timeout=600, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    if done.returncode == 77:
        pytest.skip('no mount namespace can be made here')
    assert done.returncode == 2, done.stdout + done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1 and 'shared memory' in errors[0] and '/dev/shm has' in errors[0], done.stderr


FORGETFUL = """
import torch
from torch.utils.data import DataLoader
from core.loading import _init_worker, batches_of
kept = batches_of(DataLoader(torch.arange(9), 2, num_workers=1, worker_init_fn=_init_worker))
print(next(kept))
"""


def test_a_loader_that_nobody_closed_does_not_hold_up_the_exit():
    done = subprocess.run([sys.executable, '-c', FORGETFUL], cwd=Path(__file__).parents[1], timeout=120,
                          capture_output=True, text=True)
    assert done.returncode == 0 and 'tensor([0, 1])' in done.stdout, done.stderr

"""Runs that are killed and resumed equal an uninterrupted run bit for bit. Signals save and end a run."""
import random
import shutil
import signal
import time

import numpy as np
import pytest
import torch

from core.config import to_text
from tests.test_training import tiny_config
from tests.tiny_data import write_tiny_dataset
from tests.training_processes import TrainingServer
from utils.torch_io import load_torch

# Fits in the loop, and steps of two batches each. A checkpoint may be between the two.
FITTED = ('SOLVER.ACCUMULATE', 2, 'SMPLIFY.RUN', True, 'DATA.IGNORE_3D', True, 'SMPLIFY.NUM_ITERS', 3,
          'SMPLIFY.THRESHOLD', 1e6)
OFTEN = ('TRAIN.CHECKPOINT_STEPS', 1, 'TRAIN.KEEP_CHECKPOINTS', 2, 'TRAIN.VIS_INTERVAL', 1000)


@pytest.fixture(scope='module')
def server():
    with TrainingServer() as server:
        yield server


def config_file(tiny_assets, folder, *overrides, **options):
    folder.mkdir(exist_ok=True)
    path = folder / 'config.yaml'
    path.write_text(to_text(tiny_config(tiny_assets, folder, *OFTEN, *overrides, **options)))
    return path


def assert_same_run(one, other):
    """Compare weights, optimizer, fits, random states and progress of two run folders, newest and best, bit for bit."""
    for name in ('latest.pt', 'best.pt'):
        left, right = (load_torch(folder / 'run/checkpoints' / name) for folder in (one, other))
        assert left.keys() == right.keys()
        for key in left.keys() - {'config'}:
            assert_equal(left[key], right[key], f'{name}: {key}')
    left, right = (sorted((folder / 'run/fits').glob('*')) for folder in (one, other))
    assert [path.name for path in left] == [path.name for path in right]
    for a, b in zip(left, right):
        assert a.suffix != '.npy' or np.array_equal(np.load(a), np.load(b)), a.name
    assert (one / 'run/evaluation.md').read_text() == (other / 'run/evaluation.md').read_text()


def assert_equal(left, right, where):
    if isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_equal(left[key], right[key], f'{where}.{key}')
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), where
        for number, (a, b) in enumerate(zip(left, right)):
            assert_equal(a, b, f'{where}[{number}]')
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    else:
        assert left == right, where


def being_written(folder, name):
    """Whether a temporary file in this folder of the run exists."""
    return any((folder / 'run' / name).glob('.*.tmp'))


class Saboteur:
    """Kills a run at a moment of some kind. done: kinds so far; in_steps: number of kills within a training epoch."""

    def __init__(self, folder, seed):
        self.folder, self.random, self.done, self.in_steps = folder, random.Random(seed), [], 0

    def strike(self, process, kind):
        """Kill the run at a moment of this kind -> whether the run was still running."""
        delay = self.random.uniform(0, 3)
        if kind in ('checkpoints', 'fits'):
            struck = process.wait_for(lambda: being_written(self.folder, kind))
        elif kind == 'worker':
            struck = process.wait_for(process.children)
        elif kind == 'step':
            struck = process.wait_for(lambda: 'batch/s' in process.output())
            time.sleep(delay / 10)
        else:
            struck = process.wait_for(lambda: time.monotonic() - process.started > delay)
        if not struck:
            return False
        workers = process.children()
        try:
            if kind == 'worker':
                process.signal(signal.SIGKILL, workers[0])
            else:
                process.kill()
        except (ProcessLookupError, IndexError):
            return False
        status = process.wait()
        assert status == (2 if kind == 'worker' else -signal.SIGKILL), process.output()[-2000:]
        if kind == 'worker':
            assert process.output().splitlines()[-1].startswith('error: loader process'), process.output()[-2000:]
        self.done.append(kind)
        self.in_steps += process.output().rpartition('epoch ')[2].count('evaluate') == 0 and 'batch' in process.output()
        return True


def run_with_kills(server, folder, path, kinds, seed):
    """Resume the run until it ends, killing it once for each of `kinds` -> the Saboteur."""
    saboteur, kinds = Saboteur(folder, seed), list(kinds)
    while True:
        process = server.start(['--cfg_file', path, '--resume_if_exists'], folder / 'log')
        if not kinds:
            assert process.wait(600) == 0, process.output()[-2000:]
            return saboteur
        if not saboteur.strike(process, kinds.pop(0)) and not process.is_running():
            return saboteur


def compare_with_kills(server, tiny_assets, tmp_path, epochs, kinds, *overrides, seed=0, **options):
    for name in ('whole', 'killed'):
        config_file(tiny_assets, tmp_path / name, 'TRAIN.NUM_EPOCHS', epochs, 'TRAIN.NUM_WORKERS', 1, *overrides,
                    **options)
    whole = server.start(['--cfg_file', tmp_path / 'whole/config.yaml'], tmp_path / 'whole/log')
    assert whole.wait(600) == 0, whole.output()[-2000:]
    saboteur = run_with_kills(server, tmp_path / 'killed', tmp_path / 'killed/config.yaml', kinds, seed)
    assert sorted(saboteur.done) == sorted(kinds), saboteur.done
    print(f'{len(saboteur.done)} kills, {saboteur.in_steps} of them within an epoch')
    assert saboteur.in_steps >= kinds.count('step')
    assert_same_run(tmp_path / 'whole', tmp_path / 'killed')
    assert not list((tmp_path / 'killed').rglob('.*.tmp'))


def test_two_kills(server, tiny_assets, tmp_path):
    compare_with_kills(server, tiny_assets, tmp_path, 2, ['checkpoints', 'fits'], *FITTED, regressor='hmr')


@pytest.mark.slow
def test_twenty_kills(server, tiny_assets, tmp_path):
    kinds = ['moment', 'checkpoints', 'fits', 'worker', 'step'] * 4
    random.Random(1).shuffle(kinds)
    compare_with_kills(server, tiny_assets, tmp_path, 12, kinds, *FITTED)


def stop_at(process, stage, number):
    """Signal a run and its loader processes, as a terminal or job scheduler does -> seconds until its end."""
    assert process.wait_for(lambda: f'{stage}:' in process.output() and process.children()), process.output()
    for pid in [process.pid, *process.children()]:
        process.signal(number, pid)
    asked = time.monotonic()
    assert process.wait() == 0 and 'stopped by a signal' in process.output(), process.output()
    return time.monotonic() - asked


def test_signals_save_and_end_within_ten_seconds(server, tiny_assets, tmp_path):
    """Ctrl-C in a step and SIGTERM in a validation of 60 batches. The resumed run equals an uninterrupted one."""
    longer = shutil.copytree(tiny_assets, tmp_path / 'assets', symlinks=True)
    write_tiny_dataset(longer, 'tiny', 'val', count=60, seed=1)
    overrides = ('TRAIN.NUM_EPOCHS', 1, 'TRAIN.NUM_WORKERS', 1, 'TEST.BATCH_SIZE', 1, 'TRAIN.CHECKPOINT_STEPS', 1000)
    path = config_file(longer, tmp_path / 'stopped', *overrides, regressor='hmr')
    for number, stage in ((signal.SIGINT, 'epoch 0'), (signal.SIGTERM, 'evaluate tiny')):
        process = server.start(['--cfg_file', path, '--resume_if_exists'], tmp_path / stage.replace(' ', '_'))
        assert stop_at(process, stage, number) < 10
        assert not (tmp_path / 'stopped/run/checkpoints/best.pt').exists()
    resumed = server.start(['--cfg_file', path, '--resume'], tmp_path / 'log')
    whole = server.start(['--cfg_file', config_file(longer, tmp_path / 'whole', *overrides, regressor='hmr')],
                         tmp_path / 'log3')
    assert resumed.wait() == 0 and whole.wait() == 0, resumed.output()
    assert_same_run(tmp_path / 'whole', tmp_path / 'stopped')


@pytest.mark.slow
def test_a_picture_that_cannot_be_read_costs_no_step(server, tiny_assets, tmp_path):
    """The run saves and stops. With the picture repaired, the resumed run equals an uninterrupted one."""
    broken = shutil.copytree(tiny_assets, tmp_path / 'assets', symlinks=True)
    picture = broken / 'datasets/tiny/train_7.jpg'
    content = picture.read_bytes()
    overrides = ('TRAIN.CHECKPOINT_STEPS', 1000, 'TRAIN.NUM_WORKERS', 1)
    path = config_file(broken, tmp_path / 'broken', *overrides, regressor='hmr')
    picture.write_bytes(content[:200])
    process = server.start(['--cfg_file', path], tmp_path / 'log')
    assert process.wait() == 2 and process.output().splitlines()[-1].startswith(f'error: {picture}'), process.output()
    picture.write_bytes(content)
    assert server.start(['--cfg_file', path, '--resume'], tmp_path / 'log2').wait() == 0
    whole = config_file(broken, tmp_path / 'whole', *overrides, regressor='hmr')
    assert server.start(['--cfg_file', whole], tmp_path / 'log3').wait() == 0
    assert_same_run(tmp_path / 'whole', tmp_path / 'broken')


@pytest.mark.slow
def test_a_damaged_best_checkpoint_is_chosen_anew(server, tiny_assets, tmp_path):
    """The best checkpoint is of the first epoch, the newest one of the next step."""
    for overrides in (('TRAIN.NUM_EPOCHS', 1), ('TRAIN.NUM_EPOCHS', 2, 'TRAIN.TIME_TO_RUN', 1e-9)):
        path = config_file(tiny_assets, tmp_path / 'a', *overrides, regressor='hmr')
        assert server.start(['--cfg_file', path, '--resume_if_exists'], tmp_path / 'log').wait() == 0
    best = tmp_path / 'a/run/checkpoints/best.pt'
    content = bytearray(best.read_bytes())
    content[len(content) // 2] ^= 1
    best.unlink()  # a link
    best.write_bytes(content)
    path = config_file(tiny_assets, tmp_path / 'a', 'TRAIN.NUM_EPOCHS', 2, regressor='hmr')
    resumed = server.start(['--cfg_file', path, '--resume'], tmp_path / 'log2')
    assert resumed.wait() == 0 and 'chooses the best anew' in resumed.output(), resumed.output()
    assert load_torch(best)['global_step'] == 6

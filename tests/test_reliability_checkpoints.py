"""Damaged checkpoints and fits are detected and named. A full disk leaves the old file."""
import contextlib
import os
import random
import resource
import subprocess

import numpy as np
import pytest
import torch

from core.training.checkpoint import CheckpointStore
from datasets.fits import read_fits, write_fits
from utils.errors import BadFile, ProjectError
from utils.logging import get_logger
from utils.safe_io import load_npz, save_json, save_mat, save_npy, save_npz
from utils.torch_io import content_digest, load_torch, save_torch

TRUNCATIONS, FLIPS = 40, 120


def damaged_copies(content, seed=0):
    """Truncations at random lengths, then copies with one flipped bit."""
    draw = random.Random(seed)
    for _ in range(TRUNCATIONS):
        yield content[:draw.randrange(len(content))]
    for _ in range(FLIPS):
        copy = bytearray(content)
        copy[draw.randrange(len(copy))] ^= 1 << draw.randrange(8)
        yield bytes(copy)


def small_checkpoint(step):
    generator = torch.Generator().manual_seed(step)
    return {'model': {f'layer{i}.weight': torch.randn(20, 20, generator=generator) for i in range(3)},
            'optimizer': {'state': {0: {'step': torch.tensor(float(step))}}}, 'global_step': step}


@pytest.fixture
def log(caplog):
    """Messages of the project's logger, which does not propagate."""
    get_logger().addHandler(caplog.handler)
    yield caplog
    get_logger().removeHandler(caplog.handler)


def test_every_damaged_checkpoint_is_skipped(tmp_path, log):
    store = CheckpointStore(tmp_path)
    store.save(small_checkpoint(1), 1)
    newest = store.save(small_checkpoint(2), 2, best=True)
    intact, wanted = newest.read_bytes(), content_digest(load_torch(newest))
    recognized = harmless = 0
    for content in damaged_copies(intact):
        newest.unlink()  # best.pt is a link to the same file
        newest.write_bytes(content)
        log.clear()
        path, found = store.newest()
        if path == newest:  # a bit without meaning, such as one of a date in the archive's directory
            assert content_digest(found) == wanted
            harmless += 1
            continue
        assert found['global_step'] == 1 and 'step_00000002.pt' in log.text
        recognized += 1
    print(f'{recognized} recognized, {harmless} without effect')
    assert recognized >= TRUNCATIONS + FLIPS // 2


def test_a_damaged_best_checkpoint_is_named(tmp_path, log):
    store = CheckpointStore(tmp_path)
    assert not store.has_damaged_best()
    path = store.save(small_checkpoint(1), 1, best=True)
    assert not store.has_damaged_best()
    path.write_bytes(path.read_bytes()[:-100])
    assert store.has_damaged_best() and 'best.pt' in log.text


def test_links_of_an_interrupted_save_are_completed(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(small_checkpoint(1), 1, best=True)
    path = store.save(small_checkpoint(2), 2, best=True)
    for name in ('latest.pt', 'best.pt'):  # the state if the process dies after the file is renamed
        os.replace(store.folder / name, store.folder / f'{name}.old')
        os.link(store.folder / 'step_00000001.pt', store.folder / name)
    assert load_torch(store.best())['global_step'] == 1
    store.settle(*store.newest())
    assert os.path.samefile(store.best(), path) and os.path.samefile(store.folder / 'latest.pt', path)


def test_every_damaged_fits_file_is_named(tmp_path):
    path = tmp_path / 'tiny_fits.npy'
    params = np.random.default_rng(0).normal(size=(6, 82)).astype(np.float32)
    write_fits(path, params, 'body')
    intact, harmless = path.read_bytes(), 0
    for content in damaged_copies(intact):
        path.write_bytes(content)
        try:
            read, _ = read_fits(path, 6, 'body', False)
        except BadFile as error:
            assert 'tiny_fits.npy' in str(error) and '\n' not in str(error)
        else:
            assert np.array_equal(read, params)
            harmless += 1
    print(f'{TRUNCATIONS + FLIPS - harmless} recognized, {harmless} without effect')
    assert harmless < FLIPS // 4


def test_fits_between_their_two_writes_are_whole(tmp_path):
    """The digest is written before the fits. A run killed in between leaves the new digest with the old fits."""
    path = tmp_path / 'tiny_fits.npy'
    for value in (0, 1):
        write_fits(path, np.full((3, 82), value, np.float32), 'body')
    newest = path.read_bytes()
    write_fits(path, np.full((3, 82), 2, np.float32), 'body')
    path.write_bytes(newest)
    assert (read_fits(path, 3, 'body', False)[0] == 1).all()


@contextlib.contextmanager
def small_disk(folder):
    """A file system of 256 KiB; skips the test where this process may not mount one."""
    made = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'none', str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip('no file system can be mounted here')
    try:
        yield
    finally:
        subprocess.run(['umount', str(folder)], check=True)


@contextlib.contextmanager
def small_files(folder):
    """A limit of 256 KiB on files of this process, like a quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


WRITERS = {
    'x.pt': lambda path, count: save_torch(path, {'model': {'w': torch.rand(count)}}),
    'x.npz': lambda path, count: save_npz(path, w=np.random.default_rng(0).random(count)),
    'x.npy': lambda path, count: save_npy(path, np.random.default_rng(0).random(count)),
    'x.json': lambda path, count: save_json(path, list(range(count))),
    'x.mat': lambda path, count: save_mat(path, {'w': np.random.default_rng(0).random((count, 1))}),
}


@pytest.mark.parametrize('limit', [small_disk, small_files])
@pytest.mark.parametrize('name', WRITERS)
def test_a_full_disk_leaves_the_old_file(tmp_path, limit, name):
    with limit(tmp_path):
        path = tmp_path / name
        WRITERS[name](path, 10)
        old = path.read_bytes()
        with pytest.raises(ProjectError, match=name) as raised:
            WRITERS[name](path, 200_000)
        assert '\n' not in str(raised.value)
        assert limit is small_files or 'disk is full' in str(raised.value)
        assert path.read_bytes() == old and os.listdir(tmp_path) == [name]


def test_a_full_disk_keeps_the_newest_checkpoint(tmp_path):
    with small_disk(tmp_path):
        store = CheckpointStore(tmp_path, keep=2)
        with pytest.raises(ProjectError, match='disk is full'):
            for step in range(100):
                store.save({**small_checkpoint(step), 'fits': torch.rand(1000 * step)}, step, best=step % 2 == 0)
        path, content = store.newest()
        assert content['global_step'] > 0 and os.path.samefile(path, tmp_path / 'latest.pt')
        assert load_torch(tmp_path / 'best.pt')['global_step'] >= content['global_step'] - 1
        assert not list(tmp_path.glob('.*'))


def test_a_damaged_part_of_fits_is_computed_again(tmp_path):
    from core.training.dataset_fits import _finished_part
    keypoints = np.ones((2, 49, 3), np.float32)
    file = tmp_path / '00000000.npz'
    save_npz(file, keypoints=keypoints, body_digest='body', params=np.zeros((2, 82), np.float32),
             residual=np.zeros(2, np.float32), valid=np.ones(2, bool))
    assert _finished_part(file, keypoints, 'body') is not None and len(load_npz(file)) == 5
    file.write_bytes(file.read_bytes()[:-50])
    assert _finished_part(file, keypoints, 'body') is None

"""The project under Windows' limits: no fcntl, no opening of folders, no fork, no pread, no SIGCHLD."""
import io
import multiprocessing
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import ConcatDataset, DataLoader, Subset

from core.evaluation.results import ResultWriter
from core.loading import batches_of, worker_options
from datasets.annotations import Annotations
from datasets.catalog import find_dataset
from datasets.image_dataset import ImageDataset
from datasets.mixed import MixedDataset
from datasets.multiview import ViewGroupDataset
from datasets.remote_files import cache_folder
from datasets.shard_dataset import ShardDataset
from datasets.shard_format import ShardWriter, read_member
from tests.test_training import tiny_config
from tests.tiny_data import write_tiny_dataset
from utils.errors import BadFile
from utils.safe_io import load_npz, save_json

ROOT = Path(__file__).resolve().parent.parent
PREAMBLE = """
import importlib, pkgutil, sys
sys.path.insert(0, {root!r})

def import_everything():
    for package in ('utils', 'models', 'datasets', 'core'):
        for module in pkgutil.walk_packages([{root!r} + '/' + package], package + '.'):
            importlib.import_module(module.name)
"""
TRAIN = """
from core.config import load_config

if __name__ == '__main__':
    import_everything()
    import multiprocessing, os, signal
    assert multiprocessing.get_start_method() == 'spawn' and not hasattr(os, 'pread')
    from core.training.trainer import Trainer
    Trainer(load_config({config!r})).fit()
    from datasets.synthetic.sets import only_run
    from utils.errors import ProjectError
    with only_run({folder!r}):
        try:
            with only_run({folder!r}):
                raise AssertionError('two runs at a time')
        except ProjectError as error:
            print(error)
    with only_run({folder!r}):
        print('free again')
"""


@pytest.fixture(scope='module')
def assets(standin_assets, tmp_path_factory):
    folder = shutil.copytree(standin_assets, tmp_path_factory.mktemp('windows') / 'assets', symlinks=True)
    write_tiny_dataset(folder, 'tiny', 'train')
    write_tiny_dataset(folder, 'tiny', 'val', count=6, seed=1)
    return folder


def run_as_on_windows(folder, script, *arguments):
    """Run a Python script with tests/windows_like.py as its sitecustomize -> its standard output."""
    (folder / 'site').mkdir(exist_ok=True)
    shutil.copy(ROOT / 'tests/windows_like.py', folder / 'site/sitecustomize.py')
    environment = {**os.environ, 'PYTHONPATH': str(folder / 'site'), 'OMP_NUM_THREADS': '1'}
    done = subprocess.run([sys.executable, script, *map(str, arguments)], cwd=ROOT, env=environment, timeout=600,
                          capture_output=True, text=True)
    assert not done.returncode, done.stderr[-3000:]
    return done.stdout


def test_it_imports_trains_and_evaluates(assets, tmp_path):
    cfg = tiny_config(assets, tmp_path, 'TRAIN.NUM_EPOCHS', 1, 'TRAIN.NUM_WORKERS', 1, 'DATA.EVAL_DATASET', '',
                      regressor='hmr')
    (tmp_path / 'given.yaml').write_text(cfg.dump())
    script = tmp_path / 'run.py'
    script.write_text(PREAMBLE.format(root=str(ROOT)) + TRAIN.format(config=str(tmp_path / 'given.yaml'),
                                                                     folder=str(tmp_path / 'rendered')))
    said = run_as_on_windows(tmp_path, script)
    assert 'another run is rendering' in said and 'free again' in said
    latest = tmp_path / 'run/checkpoints/latest.pt'
    assert latest.stat().st_size > 0
    said = run_as_on_windows(tmp_path, 'eval.py', '--checkpoint', latest, '--dataset', 'tiny', '--num_workers', 1,
                             '--misc', 'PATHS.DATA_DIR', assets)
    assert 'MPJPE' in said


def test_spawned_loader_workers_read_every_kind_of_dataset(assets, tmp_path, monkeypatch):
    # As where processes are spawned by default; a counter belongs to one start method.
    monkeypatch.setattr('datasets.image_dataset.Value', multiprocessing.get_context('spawn').Value)
    cfg = tiny_config(assets, tmp_path, 'DATA.ON_BAD_IMAGE', 'skip')
    images = ImageDataset(cfg, 'tiny')
    shards = ShardWriter(images.annotations, Path(images.source.images), tmp_path / 'shards', 'tiny', 5).write()
    of_views = load_npz(images.source.annotations) | {'group': np.arange(12) // 2, 'view': np.arange(12) % 2}
    np.savez(assets / 'dataset_extras/pairs_train.npz', **of_views)
    (assets / 'datasets/pairs').symlink_to(assets / 'datasets/tiny')
    views = tiny_config(assets, tmp_path, 'DATA.N_VIEWS', 2)
    joined = ConcatDataset([Subset(dataset, range(4)) for dataset in (
        images, MixedDataset(cfg), ShardDataset(cfg, str(shards)), ViewGroupDataset(views, 'pairs', 'train', 2))])
    loader = DataLoader(joined, None, num_workers=1, multiprocessing_context='spawn',
                        worker_init_fn=worker_options(cfg)['worker_init_fn'])
    read = list(batches_of(loader))
    assert len(read) == 16 and read[12]['img'].shape == (2, 3, 64, 64)
    assert all((sample['img'] == wanted['img']).all() for sample, wanted in zip(read, joined))


def test_backslashes_in_names_are_folders(assets, tmp_path):
    arrays = load_npz(find_dataset(tiny_config(assets, tmp_path), 'tiny', 'train').annotations)
    names = [f'{"a" if i % 2 else "b"}\\train\\{i}.jpg' for i in range(12)]
    np.savez(tmp_path / 'written_there.npz', **{**arrays, 'imgname': np.array(names)})
    read = Annotations.load(tmp_path / 'written_there.npz')
    assert read.imgname[:2].tolist() == ['b/train/0.jpg', 'a/train/1.jpg']
    made = Annotations.blank(['a\\b.jpg'], [[1, 2]], [1])
    made.save(tmp_path / 'made.npz')
    assert load_npz(tmp_path / 'made.npz')['imgname'].tolist() == ['a/b.jpg']


def test_shards_are_read_without_pread(tmp_path, monkeypatch):
    (tmp_path / 'x.bin').write_bytes(bytes(range(256)) * 5)
    with tarfile.open(tmp_path / 'x.tar', 'w') as tar:
        tar.add(tmp_path / 'x.bin', 'first.bin')
        tar.add(tmp_path / 'x.bin', 'x.bin')
    with tarfile.open(tmp_path / 'x.tar') as tar:
        start = tar.getmember('x.bin').offset_data
    monkeypatch.delattr(os, 'pread', raising=False)
    descriptor = os.open(tmp_path / 'x.tar', os.O_RDONLY)
    try:
        assert read_member(descriptor, start, 1280, 'x.tar') == ('x.bin', bytes(range(256)) * 5)
        with pytest.raises(BadFile):
            read_member(descriptor, start + 100, 1280, 'x.tar')
    finally:
        os.close(descriptor)


def test_text_is_the_same_bytes_everywhere(tmp_path, monkeypatch):
    """Also where the system's encoding is cp1252."""
    monkeypatch.setattr(io, 'text_encoding', lambda encoding, stacklevel=2: encoding or 'cp1252')
    save_json(tmp_path / 'a.json', {'name': 'Zoë — 走'})
    assert (tmp_path / 'a.json').read_bytes().endswith(b'}\n') and b'\r' not in (tmp_path / 'a.json').read_bytes()


def test_names_that_windows_forbids_are_not_made(tmp_path):
    name = cache_folder('https://example.org/sets/people?part=1:2', tmp_path).name
    assert not set(name) & set('<>:"/\\|?*')


def test_results_name_pictures_with_slashes(tmp_path, monkeypatch):
    writer = ResultWriter(tmp_path / 'r.npz', 1, 'C:\\data')
    monkeypatch.setattr('core.evaluation.results.os.sep', '\\')
    monkeypatch.setattr('core.evaluation.results.os.path.relpath', lambda path, start: path[len(start) + 1:])
    assert writer._below('C:\\data\\a\\b.jpg') == 'a/b.jpg'

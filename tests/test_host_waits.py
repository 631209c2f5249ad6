"""A training step never waits for its device: it reads no value back to the host and sends no new constant.

On the CPU the tests check every torch call. With a GPU (`make test-cuda`) CUDA raises where a step would wait.
"""
import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader

from core.batches import flatten_views
from core.training.trainer import Trainer
from tests.test_danet import training_config as danet_config
from tests.test_training import tiny_config
from tests.test_view_groups import write_groups
from tests.tiny_data import write_tiny_dataset

READS = {torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu, torch.Tensor.__bool__,
         torch.Tensor.__int__, torch.Tensor.__float__, torch.Tensor.__index__, torch.Tensor.__array__,
         torch.Tensor.nonzero, torch.nonzero, torch.masked_select, torch.unique, torch.Tensor.unique}
INDEXING = {torch.Tensor.__getitem__, torch.Tensor.__setitem__}
CONSTANTS = {torch.tensor, torch.as_tensor, torch.Tensor.new_tensor}


class NoWaits(TorchFunctionMode):
    """Raises at a call that would wait for a GPU. on_host: tensors that stay on the host."""

    def __init__(self, on_host):
        super().__init__()
        self.on_host = {value.data_ptr() for value in on_host}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        waits = function in CONSTANTS or function in INDEXING and _waits(args[1])
        if waits or function in READS and args[0].data_ptr() not in self.on_host:
            raise AssertionError(f'{function.__name__} waits for the device')
        return function(*args, **kwargs or {})


def _waits(index):
    """Whether an index waits: a mask's rows must be counted, and a list is a new constant."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, (list, tuple, np.ndarray)) or torch.is_tensor(part) and part.dtype == torch.bool
               for part in parts)


@pytest.fixture(scope='module')
def assets(standin_assets):
    write_tiny_dataset(standin_assets, 'tiny', 'train')
    write_tiny_dataset(standin_assets, 'tiny', 'val', count=2, seed=1)
    write_tiny_dataset(standin_assets, 'danet', 'train')
    write_tiny_dataset(standin_assets, 'danet', 'val', count=2, seed=1)
    write_groups(standin_assets, 'views', 'train')
    write_groups(standin_assets, 'views', 'val', seed=1)
    return standin_assets


CONFIGS = {
    'hmr': lambda *given: tiny_config(*given, regressor='hmr'),
    'pymaf': lambda *given: tiny_config(*given, 'DATA.DENSE_POINTS', True, 'LOSS.VERT_W', 1.0),
    'danet, both stages': lambda *given: danet_config(*given, 'TRAIN.PRETR_STEP', 2),
    'multi_spin': lambda *given: tiny_config(
        *given, 'DATA.MIXTURE', ['views:1'], 'DATA.EVAL_DATASET', 'views', 'DATA.N_VIEWS', 2, 'TEST.N_VIEWS', 2,
        'MULTIVIEW.FUSION', 'attention', 'MULTIVIEW.DROP_VIEWS', 0.5, regressor='multi_spin'),
    'stored fits': lambda *given: tiny_config(*given, 'SMPLIFY.USE_FITS', True, regressor='hmr')}


def steps(cfg, count, watched):
    """Take training steps, all but the first within the context `watched`."""
    trainer = Trainer(cfg)
    trainer.network.train()
    batch, n_views = flatten_views(trainer._to_device(next(iter(DataLoader(trainer.train_data, cfg.TRAIN.BATCH_SIZE)))))
    for number in range(count):
        trainer.state.progress.global_step = number
        if number:
            with watched([batch['dataset_index'], batch['sample_index']]):
                trainer._step(batch, n_views)
        else:  # fills caches and draws a panel
            trainer._step(batch, n_views)
        trainer.watch.settle(trainer.state.progress)  # one step late, when its values have arrived


@pytest.mark.parametrize('name', CONFIGS)
def test_a_step_reads_nothing_back_and_sends_no_constants(assets, tmp_path, name, monkeypatch, without_panels):
    monkeypatch.setattr('utils.rasterizer._check_arguments', lambda *_: None)  # reads faces on the CPU only
    steps(CONFIGS[name](assets, tmp_path, 'TRAIN.VIS_INTERVAL', 1000), 4, NoWaits)


def test_a_wait_is_seen(assets, tmp_path, monkeypatch, without_panels):
    monkeypatch.setattr('core.training.supervision.L.camera_loss',
                        lambda camera: camera.sum() * float(camera[0, 0] > 0))
    with pytest.raises(AssertionError, match='__float__ waits'):
        steps(CONFIGS['hmr'](assets, tmp_path, 'TRAIN.VIS_INTERVAL', 1000), 2, NoWaits)


class CudaSays:
    """A context in which CUDA raises where it would wait."""

    def __init__(self, _on_host):
        pass

    def __enter__(self):
        torch.cuda.set_sync_debug_mode('error')

    def __exit__(self, *_):
        torch.cuda.set_sync_debug_mode('default')


@pytest.mark.cuda
@pytest.mark.parametrize('name', CONFIGS)
def test_cuda_sees_no_wait(assets, tmp_path, name):
    steps(CONFIGS[name](assets, tmp_path, 'DEVICE', 'cuda', 'TRAIN.VIS_INTERVAL', 1000), 4, CudaSays)

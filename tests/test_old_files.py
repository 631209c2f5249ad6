"""A checkpoint and a config of a version without registered regressors: they load, and the run continues.

The file's large tensors are one number each, expanded, so the file is small.
"""
import torch

from core.config import load_config
from core.config.training_options import parse_training_options
from core.evaluation.options import checkpoint_config
from core.training.trainer import Trainer
from models import build_regressor
from models.weights import load_weights
from tests.conftest import ROOT
from tests.test_training import tiny_config
from tests.tiny_data import write_tiny_dataset
from utils.torch_io import load_torch, save_torch

FILE = ROOT / 'tests' / 'data' / 'before_plugins.pt'


def dense(value):
    """The same content with contiguous tensors."""
    if isinstance(value, dict):
        return {key: dense(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [dense(entry) for entry in value]
    return value.contiguous() if isinstance(value, torch.Tensor) else value


def test_its_checkpoint_is_evaluated(standin_assets):
    cfg = checkpoint_config(FILE, ['PATHS.DATA_DIR', str(standin_assets)])
    assert cfg.MODEL.REGRESSOR == 'hmr' and cfg.MODEL.HMR.HIDDEN == 32 and not cfg.DATA.LEGACY_CROP_EVAL
    regressor = build_regressor(cfg)
    report = load_weights(regressor, FILE)
    assert (report.source, report.missing, report.unexpected) == ('native', [], [])
    wanted = load_torch(FILE)['model']['head.fc1.weight']
    assert torch.equal(regressor.head.fc1.weight, wanted)


def test_its_config_file_is_read(tmp_path):
    path = tmp_path / 'config.yaml'
    path.write_text(load_torch(FILE)['config'])
    cfg = load_config(path)
    assert (cfg.MODEL.DANET.GRAPH_LAYERS, cfg.MODEL.PyMAF.MLP_DIM, cfg.SOLVER.NAME) == (3, [16, 8, 8, 5], 'adam')


def test_it_estimates_in_the_pictures_camera(tmp_path):
    """Its labels were in the picture's camera. A YAML file does not change that."""
    assert checkpoint_config(FILE).MODEL.CAMERA == 'picture'
    assert checkpoint_config(FILE, cfg_file='spin_lm.yaml').MODEL.CAMERA == 'picture'
    (tmp_path / 'run/checkpoints').mkdir(parents=True)
    save_torch(tmp_path / 'run/checkpoints/step_00000004.pt', dense(load_torch(FILE)))
    (tmp_path / 'run' / 'config.yaml').write_text(load_torch(FILE)['config'])
    cfg, _ = parse_training_options(['--resume', '--name', 'run', '--log_dir', str(tmp_path)])
    assert cfg.MODEL.CAMERA == 'picture' and cfg.TRAIN.BATCH_PER_PROCESS and cfg.MODEL.HMR.HIDDEN == 32


def test_its_run_continues_at_the_next_sample(standin_assets, tmp_path, without_panels):
    write_tiny_dataset(standin_assets, 'tiny', 'train')
    write_tiny_dataset(standin_assets, 'tiny', 'val', count=6, seed=1)
    folder = tmp_path / 'run' / 'checkpoints'
    folder.mkdir(parents=True)
    save_torch(folder / 'step_00000004.pt', dense(load_torch(FILE)))
    trainer = Trainer(tiny_config(standin_assets, tmp_path, 'TRAIN.RESUME', True, 'TRAIN.EMA', 0.5, regressor='hmr'))
    progress = trainer.state.progress
    assert (progress.epoch, progress.samples_done, progress.global_step) == (1, 4, 4)
    trainer.fit()
    assert load_torch(folder / 'latest.pt')['global_step'] == 6  # 8 of the epoch's 12 samples remained: two batches

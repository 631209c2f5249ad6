"""An absent file is never ignored silently. It is an error where it is needed, else a line in the log."""
import numpy as np
import pytest
import torch

from core.config import load_config
from core.training.trainer import Trainer
from datasets.catalog import find_dataset
from models.body import BodyModel
from models.danet.part_crops import RATIO_FILE, PartCrops
from tests.tiny_data import link_assets, write_tiny_dataset
from utils import logging as project_logging
from utils.assets import Assets
from utils.errors import MissingFile


@pytest.fixture
def said(monkeypatch):
    """Lines of the log so far."""
    lines = []
    monkeypatch.setattr(project_logging, '_said', set())
    for name in ('log', 'info'):
        monkeypatch.setattr(project_logging.get_logger(), name, lambda *message, **_: lines.append(str(message[-1])))
    return lines


@pytest.fixture
def without_charts(standin_assets, tmp_path):
    root = tmp_path / 'data'
    root.mkdir()
    link_assets(standin_assets, root, leave_out=('UV_data', 'dataset_extras', 'datasets'))
    write_tiny_dataset(root, 'tiny', 'train', count=4)
    write_tiny_dataset(root, 'tiny', 'val', count=2)
    return root


def trainer_of(root, regressor, folder):
    return Trainer(load_config(None, [
        'PATHS.DATA_DIR', str(root), 'LOG_DIR', str(folder), 'NAME', regressor, 'DEVICE', 'cpu',
        'MODEL.REGRESSOR', regressor, 'MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.BACKBONE.PRETRAINED', '',
        'MODEL.PyMAF.DECONV_FILTERS', [16, 16, 16], 'MODEL.PyMAF.MLP_DIM', [16, 8, 8, 5], 'MODEL.PyMAF.HIDDEN', 32,
        'MODEL.HMR.HIDDEN', 32, 'IUV.SIZE', 16, 'DATA.IMG_RES', 64, 'DATA.MIXTURE', ['tiny:1'], 'DATA.EVAL_DATASET',
        'tiny', 'TRAIN.BATCH_SIZE', 2, 'TRAIN.MAX_STEPS', 1, 'TRAIN.NUM_WORKERS', 0]))


def test_iuv_supervision_needs_the_charts(without_charts, tmp_path, said):
    """HMR trains without the charts, and the log says what its overlay pictures lack."""
    with pytest.raises(MissingFile, match=r'UV_Processed\.mat.*supervised with IUV'):
        trainer_of(without_charts, 'pymaf_net', tmp_path).fit()
    said.clear()
    assert torch.isfinite(trainer_of(without_charts, 'hmr', tmp_path).fit().errors['mpjpe']).all()
    assert sum('UV_Processed.mat: no such file' in line for line in said) == 1


def test_danet_says_where_its_crops_sizes_come_from(standin_assets, free_assets, tmp_path, said):
    body, options = BodyModel(standin_assets), load_config('danet.yaml').MODEL.DANET
    PartCrops(Assets(standin_assets, is_free=False), body, options)
    line, = said
    assert RATIO_FILE in line and 'body at rest' in line
    PartCrops(Assets(free_assets, is_free=True), body, options)
    assert len(said) == 1


def test_the_log_names_the_annotation_file_of_several(standin_assets, tmp_path, said):
    """Human3.6M has two training files: one has MoSh's bodies, the other has no bodies."""
    (tmp_path / 'datasets/h36m').mkdir(parents=True)
    (tmp_path / 'dataset_extras').mkdir()
    link_assets(standin_assets, tmp_path, leave_out=('dataset_extras', 'datasets'))
    cfg = load_config(None, ['PATHS.DATA_DIR', str(tmp_path)])
    for name in ('h36m_train.npz', 'h36m_mosh_train.npz'):
        np.savez(tmp_path / 'dataset_extras' / name)
        find_dataset(cfg, 'h36m')
        assert said[-1].endswith(f'dataset_extras/{name}')
    assert len(said) == 2

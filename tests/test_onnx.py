"""Every regressor as ONNX: onnxruntime and torch give the same output, and 8-bit convolutions a similar one."""
import numpy as np
import pytest
import torch

from core.batches import example_inputs
from core.config import load_config
from core.export import onnx as onnx_export
from models import build_regressor
from utils.errors import ProjectError

SMALL = {
    'hmr': ['MODEL.HMR.HIDDEN', 32],
    'pymaf_net': ['MODEL.PyMAF.DECONV_FILTERS', [16, 16, 16], 'MODEL.PyMAF.MLP_DIM', [16, 8, 8, 5],
                  'MODEL.PyMAF.HIDDEN', 32],
    'danet': ['MODEL.DANET.DECONV_FILTERS', [16, 16, 16], 'MODEL.DANET.GLOBAL_WIDTH', 8, 'MODEL.DANET.LIMB_WIDTH', 8,
              'MODEL.DANET.FEATURES', 16, 'MODEL.DANET.GRAPH_HIDDEN', 16, 'MODEL.DANET.CROP_SIZE', 16],
    'multi_spin': ['MODEL.HMR.HIDDEN', 32, 'TEST.N_VIEWS', 2, 'MULTIVIEW.FUSION', 'attention']}


def small_config(assets, name):
    return load_config(None, ['PATHS.DATA_DIR', str(assets), 'MODEL.REGRESSOR', name, 'MODEL.BACKBONE.NAME', 'resnet18',
                              'DATA.IMG_RES', 64, *SMALL[name]])


def exported(assets, name, path, batch=2):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    cfg = small_config(assets, name)
    torch.manual_seed(0)
    regressor = build_regressor(cfg).eval()
    return regressor, onnx_export.export(regressor, path, example_inputs(regressor, cfg, batch))


@pytest.mark.parametrize('name', SMALL)
def test_onnxruntime_gives_what_torch_gives(standin_assets, tmp_path, name):
    path = tmp_path / 'network.onnx'
    regressor, gaps = exported(standin_assets, name, path)
    assert max(gaps.values()) < 1e-4 and path.stat().st_size > 1 << 20
    # Other images than those of the export, and another batch size.
    views = (2,) if name == 'multi_spin' else ()
    images = torch.rand(3, *views, 3, 64, 64)
    found = onnx_export.OnnxRegressor(path, regressor.body)(images).final
    with torch.no_grad():
        wanted = regressor(images).final
    for field in ('rotmat', 'betas', 'camera'):
        assert torch.allclose(getattr(found, field), getattr(wanted, field), atol=1e-4), field


def test_8_bit_convolutions_stay_close(standin_assets, tmp_path):
    path, small = tmp_path / 'network.onnx', tmp_path / 'small.onnx'
    regressor, _ = exported(standin_assets, 'hmr', path)
    images = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    onnx_export.quantize(path, small, [{'images': images}])
    runs = [onnx_export.OnnxRegressor(file, regressor.body).run(images)['vertices'] for file in (path, small)]
    assert 0 < np.abs(runs[1] - runs[0]).max() < 0.05  # metres
    assert small.stat().st_size < path.stat().st_size


def test_a_network_that_differs_is_not_written(standin_assets, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, 'TOLERANCE', -1)
    with pytest.raises(ProjectError, match='not written'):
        exported(standin_assets, 'hmr', tmp_path / 'network.onnx')
    assert not list(tmp_path.iterdir())


def test_without_onnxruntime_the_package_is_named(standin_assets, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'onnxruntime', None)
    with pytest.raises(ProjectError, match=r'\[onnx\]'):
        onnx_export.OnnxRegressor(tmp_path / 'x.onnx', None)

"""--backend onnx of eval.py and demo.py: onnxruntime and torch compute the same."""
import json
import sys

import cv2
import numpy as np
import pytest
import torch

from core.config import load_config, to_text
from core.demo.options import parse_options
from core.demo.run import run_demo
from core.devices import pick_device
from core.evaluation.options import parse_pose_options
from core.evaluation.run import load_regressor, run_evaluation
from core.export import backend
from models import build_regressor
from tests.tiny_data import write_tiny_dataset
from utils.errors import BadConfig, BadFile, ProjectError
from utils.torch_io import save_torch

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
CPU = torch.device('cpu')


def write_checkpoint(path, assets, seed):
    """A small HMR of random weights whose estimates differ from picture to picture."""
    cfg = load_config(None, ['PATHS.DATA_DIR', str(assets), 'MODEL.REGRESSOR', 'hmr', 'MODEL.BACKBONE.NAME', 'resnet18',
                             'MODEL.BACKBONE.PRETRAINED', '', 'MODEL.HMR.HIDDEN', 32, 'DATA.IMG_RES', 64,
                             'TRAIN.NUM_WORKERS', 0, 'DEVICE', 'cpu'])
    torch.manual_seed(seed)
    regressor = build_regressor(cfg)
    with torch.no_grad():
        for layer in (regressor.head.decpose, regressor.head.decshape):
            layer.weight.mul_(20)
    save_torch(path, {'format': 1, 'regressor': 'hmr', 'config': to_text(cfg), 'body_digest': regressor.body.digest,
                      'model': regressor.state_dict()})
    return str(path)


@pytest.fixture(scope='module')
def checkpoint(standin_assets, tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('weights') / 'small.pt', standin_assets, 0)


@pytest.fixture(scope='module')
def onnx_file(tmp_path_factory):
    """Path of the ONNX file that the tests of this module share."""
    return tmp_path_factory.mktemp('onnx') / 'small.onnx'


@pytest.fixture(autouse=True)
def no_cache_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch_home'))


def test_evaluation_is_the_same(standin_assets, checkpoint, onnx_file, capsys):
    write_tiny_dataset(standin_assets, '3dpw', 'test', count=5)
    options = ['--checkpoint', checkpoint, '--dataset', '3dpw', '--batch_size', '2']
    torch_errors = run_evaluation(*parse_pose_options(options)).errors
    onnx_errors = run_evaluation(*parse_pose_options([*options, '--backend', 'onnx', '--onnx_file', str(onnx_file)])
                                 ).errors
    assert onnx_file.exists()
    for name, wanted in torch_errors.items():  # the file has the last stage alone
        assert onnx_errors[name].shape == (5, 1)
        torch.testing.assert_close(onnx_errors[name][:, -1], wanted[:, -1], atol=0.1, rtol=0)  # 1e-4 m, in mm
    assert torch_errors['mpjpe'][:, -1].std() > 1  # the estimates tell the pictures apart


def test_the_demo_is_the_same(standin_assets, checkpoint, onnx_file, tmp_path):
    picture = tmp_path / 'noise.png'
    cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8))
    rows = {}
    for name, options in (('torch', []), ('onnx', ['--backend', 'onnx', '--onnx_file', str(onnx_file)])):
        folder = tmp_path / name
        run_demo(*parse_options(['--checkpoint', checkpoint, '--img', str(picture), '--fit', 'none', '--detector',
                                 'full_frame', '--no_render', '--output_folder', str(folder), *options]))
        file, = folder.glob('*.json')
        rows[name] = json.loads(file.read_text())['frames'][0]
    for key in ('pose', 'betas', 'crop_camera', 'joints', 'smpl_joints'):
        np.testing.assert_allclose(rows['onnx'][key], rows['torch'][key], atol=1e-4, err_msg=key)


def test_a_file_is_made_once_and_belongs_to_its_weights(standin_assets, checkpoint, tmp_path, monkeypatch, said):
    cfg, _ = parse_pose_options(['--checkpoint', checkpoint, '--backend', 'onnx'])
    first = load_regressor(cfg, checkpoint, CPU)
    file, = (tmp_path / 'torch_home' / 'hub' / 'human-mesh-recovery').glob('*.onnx')
    made = backend.export
    monkeypatch.setattr(backend, 'export', lambda *_: pytest.fail('exported again'))
    again = load_regressor(cfg, checkpoint, CPU)
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(first(images).final.vertices, again(images).final.vertices)
    assert any('onnxruntime' in line for line in said)
    monkeypatch.setattr(backend, 'export', made)
    other = write_checkpoint(tmp_path / 'other.pt', standin_assets, 1)
    cfg, _ = parse_pose_options(['--checkpoint', other, '--backend', 'onnx', '--onnx_file', str(file)])
    with pytest.raises(BadFile, match='other weights'):
        load_regressor(cfg, other, CPU)
    file.write_bytes(b'not a network')
    with pytest.raises(BadFile, match='not a readable ONNX file'):
        load_regressor(cfg, other, CPU)


def test_images_of_another_size_are_one_line(checkpoint, onnx_file):
    cfg, _ = parse_pose_options(['--checkpoint', checkpoint, '--backend', 'onnx', '--onnx_file', str(onnx_file)])
    with pytest.raises(BadConfig, match='takes images of shape'):
        load_regressor(cfg, checkpoint, CPU)(torch.rand(1, 3, 32, 32))


def test_a_network_too_large_for_a_file_is_one_line(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr('core.export.onnx._MOST_BYTES', 1 << 20)
    cfg, _ = parse_pose_options(['--checkpoint', checkpoint, '--backend', 'onnx'])
    with pytest.raises(ProjectError, match='limit of an ONNX file is 2 GiB; run it with'):
        load_regressor(cfg, checkpoint, CPU)


def test_without_onnxruntime_the_package_is_named(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    cfg, _ = parse_pose_options(['--checkpoint', checkpoint, '--backend', 'onnx'])
    with pytest.raises(ProjectError, match=r"pip install '.*\[onnx\]'") as caught:
        load_regressor(cfg, checkpoint, CPU)
    assert '\n' not in str(caught.value)


def test_onnx_and_cuda_exclude_each_other(checkpoint):
    cfg, _ = parse_pose_options(['--checkpoint', checkpoint, '--backend', 'onnx', '--misc', 'DEVICE', 'cuda'])
    with pytest.raises(BadConfig, match='computes on the CPU'):
        pick_device(cfg)


def test_an_unknown_backend_names_the_known_ones(checkpoint):
    with pytest.raises(BadConfig, match='torch, onnx'):
        parse_pose_options(['--checkpoint', checkpoint, '--backend', 'tensorrt'])

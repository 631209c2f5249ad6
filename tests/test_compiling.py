"""TRAIN.COMPILE: where Inductor fails, the network runs uncompiled, and one line says so."""
import pytest
import torch
from torch import nn

from core.config import load_config
from core.training import compiling
from core.training.trainer import Trainer
from tests.tiny_data import write_tiny_dataset


class TwoParts(nn.Module):
    """`backbone` has a convolution and is compiled; `head` has none and is not."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 2)

    def forward(self, images):
        return self.head(self.backbone(images).mean((2, 3)))


def gradients_of(network, images):
    """(output, gradients) of a training pass."""
    network.zero_grad()
    out = network.train()(images)
    out.square().sum().backward()
    return out.detach(), [parameter.grad.clone() for parameter in network.parameters()]


def test_what_inductor_fails_on_runs_in_torch(monkeypatch, said):
    def broken(graph, inputs):
        raise TypeError('Cannot convert expression to float\nwith a second line')

    torch._dynamo.reset()
    torch.manual_seed(0)
    network, images = TwoParts(), torch.rand(2, 3, 8, 8)
    wanted, wanted_gradients = gradients_of(network, images)
    monkeypatch.setattr(compiling, 'lookup_backend', lambda name: broken)
    compiling.compile_parts(network)
    found, found_gradients = gradients_of(network, images)
    # The first pass moved the running statistics; a training pass does not depend on them.
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(found_gradients, wanted_gradients)
    lines = [line for line in said if 'TRAIN.COMPILE' in line]
    assert len(lines) == 1 and 'TypeError: Cannot convert expression to float)' in lines[0] and '\n' not in lines[0]
    assert torch.__version__ in lines[0]


class TwoSizes(nn.Module):
    """Two parts of one class, so of the same code, on tensors of different shapes, as in PyMAF."""

    def __init__(self):
        super().__init__()
        self.deconv = nn.ModuleList([nn.Sequential(nn.ConvTranspose2d(6, 4, 4, 2, 1), nn.BatchNorm2d(4)),
                                     nn.Sequential(nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.BatchNorm2d(3))])

    def forward(self, features):
        for part in self.deconv:
            features = part(features)
        return features


def test_no_size_is_left_open(monkeypatch):
    """Inductor fails on symbolic sizes, which torch.compile introduces by default where shapes change."""
    torch._dynamo.reset()
    shapes = []

    def note(graph, inputs):
        shapes.extend(tuple(value.shape) if torch.is_tensor(value) else (value,) for value in inputs)
        return graph.forward

    monkeypatch.setattr(compiling, 'lookup_backend', lambda name: note)
    network = TwoSizes()
    compiling.compile_parts(network)
    for batch in (2, 3):
        assert network(torch.rand(batch, 6, 5, 5)).shape == (batch, 3, 20, 20)
    assert {(2, 6, 5, 5), (2, 4, 10, 10), (3, 6, 5, 5), (3, 4, 10, 10)} <= set(shapes)
    assert all(type(size) is int for shape in shapes for size in shape)


def test_only_parts_with_convolutions_are_compiled():
    network = TwoParts()
    assert compiling.convolutional_parts(network) == [network.backbone]


@pytest.mark.slow
@pytest.mark.parametrize('channels_last', [False, True])
def test_a_compiled_training_learns_what_a_plain_one_learns(standin_assets, tmp_path, channels_last):
    """With the real Inductor. The last batch of the validation is smaller than the others."""
    torch._dynamo.reset()
    write_tiny_dataset(standin_assets, 'tiny', 'train', count=8)
    write_tiny_dataset(standin_assets, 'tiny', 'val', count=6, seed=1)
    errors = []
    for compiled in (False, True):
        cfg = load_config(None, [
            'PATHS.DATA_DIR', str(standin_assets), 'LOG_DIR', str(tmp_path), 'NAME', f'compiled_{compiled}',
            'DEVICE', 'cpu', 'MODEL.REGRESSOR', 'pymaf_net', 'MODEL.BACKBONE.NAME', 'resnet18',
            'MODEL.BACKBONE.PRETRAINED', '', 'MODEL.PyMAF.DECONV_FILTERS', [16, 16, 16],
            'MODEL.PyMAF.MLP_DIM', [16, 8, 8, 5], 'MODEL.PyMAF.HIDDEN', 32, 'MODEL.HEAD_DROPOUT', 0.0, 'IUV.SIZE', 16,
            'DATA.IMG_RES', 64, 'DATA.MIXTURE', ['tiny:1'], 'DATA.EVAL_DATASET', 'tiny', 'TRAIN.BATCH_SIZE', 4,
            'TEST.BATCH_SIZE', 4, 'TRAIN.NUM_EPOCHS', 1, 'TRAIN.NUM_WORKERS', 0, 'TRAIN.COMPILE', compiled,
            'TRAIN.CHANNELS_LAST', channels_last])
        errors.append(Trainer(cfg).fit().errors['mpjpe'])
    assert (errors[0] - errors[1]).abs().max() < 1  # millimetres; kernels add in different orders

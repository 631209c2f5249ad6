"""Measures training steps in bfloat16, plain and compiled, beside the limits of the device:
python -m benchmarks.step_rates [--networks pymaf hmr2 danet] [--device cuda]

Steps are the trainer's own, on a batch in memory. Operations are those that torch counts in the matrix products and
convolutions of a step, forward and backward. Their limit is the rate of a large matrix product. The limit of the bytes
is the rate of a large copy. Bytes are 28 for each parameter (weight, gradient and both moments of Adam read, weight and
moments written), and four times the output of each convolution, linear layer and normalization (written and read
forward, the gradient too backward) in two bytes a number. No step is faster than either limit.
"""
import argparse
from functools import partial

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import hmr2_step, training_step
from benchmarks.floors import in_turns
from benchmarks.table import one_line
from core.devices import prepared
from utils.errors import run_main

_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d, nn.LayerNorm)
_BYTES_A_PARAMETER, _BYTES_AN_OUTPUT = 28, 4 * 2
_BF16 = ['TRAIN.MIXED_PRECISION', 'bf16']
VARIANTS = {'bfloat16': [*_BF16, 'TRAIN.COMPILE', False], 'bfloat16, compiled': [*_BF16, 'TRAIN.COMPILE', True]}


def _danet(batch, data_dir, backbone, overrides, device):
    """A Trainer of DaNet with all losses from the first step, on rendered IUV maps."""
    return training_step.trainer_of(batch, data_dir, backbone, 224, [
        'TRAIN.PRETR_STEP', 0, 'DATA.DENSE_POINTS', False, *overrides], device, config='danet.yaml')


# Network: maker of its Trainer, published backbone (HMR2.0: ViT-B, whose step fits everywhere), batch size.
NETWORKS = {
    'pymaf': (lambda batch, data_dir, backbone, overrides, device: training_step.trainer_of(
        batch, data_dir, backbone, 224, overrides, device), 'resnet50', 64),
    'hmr2': (lambda batch, data_dir, backbone, overrides, device: hmr2_step.trainer_of(
        backbone, batch, data_dir, device=device, overrides=overrides), 'vit_b', 48),
    'danet': (_danet, 'hrnet_w48', 16)}


def device_rates(device, size, rounds=5):
    """-> (operations a second of a bfloat16 matrix product [size,size] x [size,size], bytes a second of a copy)."""
    left = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    source = torch.empty(16 * size * size, device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    seconds = in_turns({'product': lambda: left @ left, 'copy': lambda: target.copy_(source)}, rounds, device=device)
    return 2 * size ** 3 / seconds['product'], 2 * source.numel() / seconds['copy']


def operations_of(step):
    """Floating-point operations of a training step's products and convolutions, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def bytes_of(trainer, step):
    """Least number of bytes that a training step moves."""
    outputs = []

    def note(layer, given, out):
        outputs.append(out.numel())

    hooks = [layer.register_forward_hook(note) for layer in trainer.regressor.modules() if isinstance(layer, _LAYERS)]
    step()
    for hook in hooks:
        hook.remove()
    parameters = sum(parameter.numel() for parameter in trainer.regressor.parameters())
    return _BYTES_A_PARAMETER * parameters + _BYTES_AN_OUTPUT * sum(outputs)


def measure(network, data_dir, batch=None, backbone=None, device='cpu', rounds=5, product=8192,
            variants=tuple(VARIANTS)):
    """Yield (variant, images a second or an error, gigaoperations an image, limits by operations and by bytes in images
    a second)."""
    build, published, usual = NETWORKS[network]
    batch = batch or usual
    build = partial(build, batch, data_dir, backbone or published)
    plain = build(VARIANTS['bfloat16'], device)
    step = training_step.step_of(plain)
    operations, moved = operations_of(step), bytes_of(plain, step)
    product_rate, copy_rate = device_rates(device, product)
    del plain, step
    for variant in variants:
        try:
            call = training_step.step_of(build(VARIANTS[variant], device))
            rate = batch / in_turns({'step': call}, rounds, warm_up=3, device=device)['step']
        except Exception as error:  # of a compiler, or out of memory; the other variant may still run
            rate = error
        yield variant, rate, operations / batch / 1e9, batch * product_rate / operations, batch * copy_rate / moved


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_dir', default='data')
    parser.add_argument('--networks', nargs='+', default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument('--batch', type=int, help='images a step; default: 64 (PyMAF), 48 (HMR2.0), 16 (DaNet)')
    parser.add_argument('--backbone', help='backbone; default: that of the published network')
    parser.add_argument('--variants', nargs='+', default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--product', type=int, default=8192, help='side of the matrices that measure the device')
    options = parser.parse_args()
    prepared(torch.device(options.device))
    print('| network | variant | images/s | GFLOP an image | images/s at most, by operations | by bytes |\n'
          '| --- | --- | ---: | ---: | ---: | ---: |', flush=True)
    for network in options.networks:
        for variant, rate, operations, by_operations, by_bytes in measure(
                network, options.data_dir, options.batch, options.backbone, options.device, options.rounds,
                options.product, options.variants):
            told = f'failed: {one_line(rate)}' if isinstance(rate, Exception) else f'{rate:.1f}'
            print(f'| {network} | {variant} | {told} | {operations:.1f} | {by_operations:.0f} | {by_bytes:.0f} |',
                  flush=True)
    return 0


if __name__ == '__main__':
    run_main(main)

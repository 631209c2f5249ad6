"""A PyMAF training step over its convolutions alone: python -m benchmarks.training_step

The step is the trainer's own, on a batch in memory: network, targets (IUV images rendered), losses, backward, clipping,
Adam. The floor is forward, backward and Adam of the network's convolutions in float32, on tensors of the same sizes and
in torch's default layout, which the published code uses. Two further floors are the same in channels-last layout, and
the backbone's convolutions alone.
"""
import argparse
import tempfile

import torch
from accelerate.state import AcceleratorState
from torch.utils.data import DataLoader

from benchmarks.floors import ConvolutionsAlone, adam, in_turns
from benchmarks.table import one_line
from core import devices
from core.batches import flatten_views
from core.config import load_config
from core.training.random_streams import seed_everything
from core.training.trainer import Trainer
from utils.errors import run_main


def _variant(bf16=False, channels_last=False, compiled=False):
    return ['TRAIN.MIXED_PRECISION', 'bf16' if bf16 else 'no', 'TRAIN.CHANNELS_LAST', channels_last,
            'TRAIN.COMPILE', compiled]


VARIANTS = {'float32': _variant(), 'bfloat16': _variant(bf16=True), 'channels last': _variant(channels_last=True),
            'bfloat16, channels last': _variant(bf16=True, channels_last=True), 'compiled': _variant(compiled=True),
            'compiled, channels last': _variant(channels_last=True, compiled=True)}


def trainer_of(batch_size, data_dir, backbone='resnet50', res=224, overrides=(), device='cpu', config='pymaf.yaml'):
    """A Trainer of PyMAF, or of another config, on people that are rendered in training. It needs no dataset."""
    AcceleratorState._reset_state(reset_partial_state=True)  # it holds the precision of the previous trainer
    return Trainer(load_config(config, [
        'LOG_DIR', tempfile.mkdtemp(), 'DEVICE', device, 'PATHS.DATA_DIR', data_dir, 'DATA.MIXTURE', ['free-stream:1'],
        'DATA.EVAL_DATASET', '', 'MODEL.BACKBONE.NAME', backbone, 'MODEL.BACKBONE.PRETRAINED', '',
        'DATA.IMG_RES', res, 'TRAIN.BATCH_SIZE', batch_size, 'TRAIN.NUM_WORKERS', 0, *overrides]))


def step_of(trainer):
    """A function that takes one training step on a batch that is in memory."""
    trainer.network.train()
    batch = trainer._to_device(next(iter(DataLoader(trainer.train_data, trainer.cfg.TRAIN.BATCH_SIZE))))
    trainer.state.progress.global_step = 1  # step 0 draws a panel
    return lambda: trainer._step(*flatten_views(batch))


def floor_of(network, images):
    """A function that takes one training step of the convolutions alone."""
    floor = ConvolutionsAlone(network, images)
    optimizer = adam(floor.parameters())
    return lambda: floor.train_step(optimizer)


def measure(batch_size, data_dir, variants=('float32',), backbone='resnet50', res=224, rounds=3, device='cpu'):
    """-> ({name: seconds of `in_turns`}, {variant: loss of the first step}, {variant: error}).

    Names are the variants, 'convolutions', 'convolutions, channels last' and 'backbone'. First steps have equal
    weights, pictures and dropout. Variants whose first step failed are only in the last dict.
    """
    calls, losses, failures = {}, {}, {}
    for name in variants:
        call = step_of(trainer_of(batch_size, data_dir, backbone, res, VARIANTS[name], device))
        seed_everything(0)
        try:
            losses[name] = float(call()[0])
        except Exception as error:  # of a compiler, or out of memory; the other variants may still run
            failures[name] = error
        else:
            calls[name] = call
    network = trainer_of(batch_size, data_dir, backbone, res, VARIANTS['float32'], device).regressor
    images = torch.randn(batch_size, 3, res, res, device=device)
    floors = {'convolutions': floor_of(network, images), 'backbone': floor_of(network.backbone, images)}
    floors['convolutions, channels last'] = floor_of(network.to(memory_format=torch.channels_last),
                                                     images.to(memory_format=torch.channels_last))
    # The memory of a process is constant only after two or more steps (utils/memory.py).
    return in_turns({**calls, **floors}, rounds, warm_up=3, device=device), losses, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data_dir', default='data')
    parser.add_argument('--batch', type=int, nargs='+', default=[8, 32])
    parser.add_argument('--backbone', default='resnet50')
    parser.add_argument('--res', type=int, default=224)
    parser.add_argument('--variants', nargs='+', default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--give_back', action='store_true',
                        help='return freed memory to the system, as without utils/memory.py')
    options = parser.parse_args()
    if options.give_back:
        devices.keep_freed_memory = lambda: False
    print('| batch | variant | s a step | over its convolutions | over those in channels-last | '
          'over the backbone\'s | first loss over float32\'s |')
    print('| --- | --- | ---: | ---: | ---: | ---: | ---: |')
    for batch in options.batch:
        table, losses, failures = measure(batch, options.data_dir, options.variants, options.backbone, options.res,
                                          options.rounds, options.device)
        for name in options.variants:
            if name in failures:
                print(f'| {batch} | {name} | failed: {one_line(failures[name])} | | | | |', flush=True)
                continue
            first = losses[name] / next(iter(losses.values()))
            print(f'| {batch} | {name} | {table[name]:.2f} | {table[name] / table["convolutions"]:.2f} | '
                  f'{table[name] / table["convolutions, channels last"]:.2f} | {table[name] / table["backbone"]:.2f} | '
                  f'{first:.5f} |', flush=True)
    return 0


if __name__ == '__main__':
    run_main(main)

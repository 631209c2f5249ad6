"""HMR2.0's training step over its matrix products, attention and optimizer: python -m benchmarks.hmr2_step

The step is the trainer's own, on a batch in memory: network, targets, losses, adversary, backward, AdamW of both. The
floor is forward and backward of the network's linear layers, convolutions and attentions in float32, each on tensors of
the size of its input, and AdamW's step of the whole network, without other operations.
"""
import argparse
import tempfile

import torch
from accelerate.state import AcceleratorState

from benchmarks.floors import ProductsAlone, in_turns
from benchmarks.training_step import step_of
from core.config import load_config
from core.training.trainer import Trainer
from utils.errors import run_main


def trainer_of(backbone, batch_size, data_dir, precision='no', device='cpu', overrides=()):
    """A Trainer of HMR2.0 with random weights, on people that are rendered during the training."""
    AcceleratorState._reset_state(reset_partial_state=True)  # it holds the precision of the previous trainer
    return Trainer(load_config('hmr2.yaml', [
        'LOG_DIR', tempfile.mkdtemp(), 'DEVICE', device, 'PATHS.DATA_DIR', data_dir, 'DATA.MIXTURE', ['free-stream:1'],
        'DATA.EVAL_DATASET', '', 'MODEL.BACKBONE.NAME', backbone, 'MODEL.BACKBONE.PRETRAINED', '',
        'MODEL.HMR2.DROP_PATH', 0.0, 'ADVERSARY.SAMPLES', '', 'TRAIN.BATCH_SIZE', batch_size, 'TRAIN.NUM_WORKERS', 0,
        'TRAIN.MIXED_PRECISION', precision, *overrides]))


def measure(backbone, batch_size, data_dir, rounds=3, device='cpu'):
    """-> {'float32', 'bfloat16', 'products': seconds of `in_turns`}."""
    calls = {name: step_of(trainer_of(backbone, batch_size, data_dir, precision, device))
             for name, precision in (('float32', 'no'), ('bfloat16', 'bf16'))}
    network = trainer_of(backbone, batch_size, data_dir, device=device).regressor
    calls['products'] = ProductsAlone(network.train(), torch.randn(batch_size, 3, 256, 256, device=device)).train_step
    return in_turns(calls, rounds, warm_up=2, device=device)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data_dir', default='data')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--backbones', nargs='+', default=['vit_s', 'vit_b'])
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    options = parser.parse_args()
    print('| network | batch | products, attention, AdamW: s | float32 over them | bfloat16 over them |')
    print('| --- | ---: | ---: | ---: | ---: |')
    for backbone in options.backbones:
        taken = measure(backbone, options.batch, options.data_dir, options.rounds, options.device)
        floor = taken['products']
        print(f'| HMR2.0, {backbone} | {options.batch} | {floor:.2f} | {taken["float32"] / floor:.2f} | '
              f'{taken["bfloat16"] / floor:.2f} |', flush=True)
    return 0


if __name__ == '__main__':
    run_main(main)

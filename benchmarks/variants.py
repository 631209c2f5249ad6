"""Measures the effect of bfloat16, layout and torch.compile on accuracy: python -m benchmarks.variants

Trains configs/free/pymaf_scratch.yaml in each variant of benchmarks.training_step and prints its errors on held-out
people, with the bootstrap interval of PA-MPJPE, and the processor seconds of its steps. Two seeds of one variant also
differ. Only larger differences are an effect of the variant.
"""
import argparse
import contextlib
import io
import tempfile
import time

from accelerate.state import AcceleratorState

from benchmarks.training_step import VARIANTS
from core.config import load_config
from core.evaluation.report import Score
from core.training.trainer import Trainer
from utils.errors import run_main


def train(variant, seed, options):
    """Train once -> (Evaluation, processor seconds of this process)."""
    AcceleratorState._reset_state(reset_partial_state=True)  # it holds the precision of the previous trainer
    trainer = Trainer(load_config(options.config, [
        'LOG_DIR', tempfile.mkdtemp(), 'PATHS.DATA_DIR', options.data_dir, 'SEED', seed,
        'TRAIN.NUM_EPOCHS', options.epochs, 'TRAIN.VIS_INTERVAL', 10 ** 9, *VARIANTS[variant], *options.misc]))
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):  # the trainer prints a table
        return trainer.fit(), time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--config', default='free/pymaf_scratch.yaml')
    parser.add_argument('--data_dir', default='data')
    parser.add_argument('--epochs', type=int, default=1)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
    parser.add_argument('--variants', nargs='+', default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument('--misc', nargs='*', default=[], metavar='KEY VALUE', help='any config keys with values')
    options = parser.parse_args()
    print('| variant | seed | PA-MPJPE | 95 % interval | MPJPE | PVE | CPU s |')
    print('| --- | ---: | ---: | ---: | ---: | ---: | ---: |')
    for seed in options.seeds:
        for variant in options.variants:
            evaluation, seconds = train(variant, seed, options)
            score = Score.of(evaluation.errors['pa_mpjpe'][:, -1])
            print(f'| {variant} | {seed} | {score.mean:.1f} | {score.low:.1f} to {score.high:.1f} | '
                  f'{evaluation.mean("mpjpe"):.1f} | {evaluation.mean("pve"):.1f} | {seconds:.0f} |', flush=True)
    return 0


if __name__ == '__main__':
    run_main(main)

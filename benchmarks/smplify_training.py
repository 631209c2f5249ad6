"""Measures the effect of SMPLify in the loop without 3D labels: `python -m benchmarks.smplify_training`.

Trains a small HMR on the free studio pictures with 3D labels hidden (DATA.IGNORE_3D), for the same number of steps with
and without SMPLIFY.RUN, and prints the errors on held-out people of each seed. Run
`python -m datasets.synthetic.generate --preset studio` first.
"""
import argparse
import tempfile
from statistics import mean

from core.config import load_config
from core.training.trainer import Trainer
from utils.errors import run_main

CONFIG = 'free/pymaf_scratch.yaml'
METRICS = ('pa_mpjpe', 'mpjpe', 'pve')


def train(seed, run_smplify, args):
    """One training -> errors {metric: mm} of the last stage. TensorBoard's `fits/` has the share of accepted fits."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(load_config(CONFIG, [
            'MODEL.REGRESSOR', 'hmr', 'MODEL.HMR.HIDDEN', 512, 'MODEL.HEAD_DROPOUT', 0.0, 'PATHS.DATA_DIR', args.data,
            'LOG_DIR', args.logs or folder,
            'NAME', f'smplify_{"with" if run_smplify else "without"}_{seed}', 'SEED', seed, 'DATA.IGNORE_3D', True,
            'SMPLIFY.RUN', run_smplify, 'TRAIN.NUM_EPOCHS', 1, 'DATA.EPOCH_LENGTH', args.steps * args.batch,
            'TRAIN.BATCH_SIZE', args.batch, *args.misc]))
        evaluation = trainer.fit()
        return {metric: evaluation.mean(metric) for metric in METRICS}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', default='data', help='asset folder')
    parser.add_argument('--logs', help='folder of the runs, for TensorBoard; default: a temporary one')
    parser.add_argument('--steps', type=int, default=400)
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--misc', nargs='*', default=[], metavar='KEY VALUE', help='other config keys')
    args = parser.parse_args()
    rows = []
    for run_smplify in (False, True):
        results = [train(seed, run_smplify, args) for seed in range(args.seeds)]
        cells = []
        for metric in METRICS:
            values = [errors[metric] for errors in results]
            cells.append(f'{mean(values):.1f} ({", ".join(f"{value:.1f}" for value in values)})')
        rows.append(f'| {"with" if run_smplify else "without"} | ' + ' | '.join(cells) + ' |')
    print('| SMPLify | PA-MPJPE, mm | MPJPE, mm | PVE, mm |\n| --- | --- | --- | --- |')
    print('\n'.join(rows))


if __name__ == '__main__':
    run_main(main)

"""Measures the cost of an image over batch, cores, processes and loader processes: python -m benchmarks.growth

Steps are the trainer's own, of one network (by default that of configs/free/pymaf_scratch.yaml, float32), on batches in
memory. Several processes exchange their gradients by gloo. Loader rows read pictures without training. Each row is
measured in new processes, in wall seconds, so the machine should be idle. The last column is the rate over that of the
table's first row.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import torch

from benchmarks.training_step import step_of
from core.config import load_config
from core.loading import batches_of
from core.training.launch import join_processes
from core.training.trainer import Trainer
from utils.distributed import world_size
from utils.errors import run_main

_LAUNCH = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node']


def trainer_of(options):
    return Trainer(load_config(options.config, [
        'LOG_DIR', tempfile.mkdtemp(), 'PATHS.DATA_DIR', options.data_dir, 'TRAIN.BATCH_SIZE', options.batch,
        'TRAIN.NUM_WORKERS', options.workers, 'TRAIN.MIXED_PRECISION', 'no', 'DEVICE', 'cpu']))


def step_rate(options):
    """Images a second of training steps, over all processes."""
    step = step_of(trainer_of(options))
    step()
    start = time.perf_counter()
    for _ in range(options.steps):
        step()
    return options.steps * options.batch * world_size() / (time.perf_counter() - start)


def loader_rate(options):
    """Images a second of the trainer's loader, after its first batches."""
    batches = batches_of(trainer_of(options)._loader())
    count = max(options.workers, 1) * 4  # as many batches as the loader prepares ahead
    for _ in range(count):
        next(batches)
    start = time.perf_counter()
    for _ in range(count + options.steps):
        next(batches)
    rate = (count + options.steps) * options.batch / (time.perf_counter() - start)
    batches.close()
    return rate


def measured(options, threads=1, processes=1, what='step', **changes):
    """The rate of one row, measured in new processes."""
    wanted = vars(options) | {'what': what} | changes
    flags = [word for key in ('config', 'data_dir', 'batch', 'workers', 'steps', 'what')
             for word in (f'--{key}', str(wanted[key]))]
    launch = [*_LAUNCH, str(processes)] if processes > 1 else []
    command = [sys.executable, *launch, '-m', 'benchmarks.growth', *flags]
    done = subprocess.run(command, env={**os.environ, 'OMP_NUM_THREADS': str(threads)}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def tables(options):
    """Yields (title, [(label, images a second)]); options: from `parser`."""
    cores = os.cpu_count()
    yield 'batch, one thread', [(batch, measured(options, batch=batch, steps=max(options.steps * 4 // batch, 2)))
                                for batch in options.batches]
    yield f'threads of one process, batch {options.batch}', [
        (threads, measured(options, threads)) for threads in _powers(cores)]
    yield f'processes of one thread, batch {options.batch} each', [
        (processes, measured(options, 1, processes)) for processes in _powers(cores)]
    yield 'loader processes', [(workers, measured(options, workers=workers, what='loader'))
                               for workers in (0, *_powers(cores))]


def _powers(highest):
    return [2 ** power for power in range(highest.bit_length())]


def parser():
    """The parser of the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--config', default='free/pymaf_scratch.yaml')
    parser.add_argument('--data_dir', default='data')
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 2, 4, 8, 16, 32])
    parser.add_argument('--steps', type=int, default=8)
    parser.add_argument('--workers', type=int, default=0)
    parser.add_argument('--what', choices=('step', 'loader'), help=argparse.SUPPRESS)
    return parser


def main():
    options = parser().parse_args()
    if options.what:
        torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
        join_processes()
        rate = (step_rate if options.what == 'step' else loader_rate)(options)
        if os.environ.get('RANK', '0') == '0':
            print(json.dumps(rate))
        return 0
    for title, rows in tables(options):
        print(f'\n| {title} | images/s | over the first |\n| --- | ---: | ---: |')
        for label, rate in rows:
            print(f'| {label} | {rate:.1f} | {rate / rows[0][1]:.2f} |', flush=True)
    return 0


if __name__ == '__main__':
    run_main(main)

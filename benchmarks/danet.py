"""Measures the effect of DaNet's part crops: `python -m benchmarks.danet`.

Run `python -m datasets.synthetic.generate --preset studio` first. The benchmark trains configs/free/danet_quick.yaml
for several seeds, as it is and with the global branch alone, for the same number of steps on the same pictures. During
the training it evaluates on held-out people: PA-MPJPE of every stage, and the share of the body's pixels with the right
part. Then it measures time and memory of a training step, and those of configs/free/pymaf_scratch.yaml, each in its own
process.
"""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from torch.utils.data import DataLoader

from core.config import load_config
from core.training.supervision import all_losses
from core.training.trainer import Trainer
from models.targets import Targets
from utils.errors import run_main
from utils.iuv_maps import part_labels

CONFIG, RIVAL = 'free/danet_quick.yaml', 'free/pymaf_scratch.yaml'


class Watch:
    """An evaluator that also measures the dense prediction, and records all results by step."""

    def __init__(self, trainer):
        self._trainer, self._evaluator, self.history = trainer, trainer.evaluator, []

    def evaluate(self, regressor, dataset, name, device, **options):
        evaluation = self._evaluator.evaluate(regressor, dataset, name, device, progress=False)
        stages = evaluation.errors['pa_mpjpe'].nanmean(0).tolist()
        step, accuracy = self._trainer.state.progress.global_step, part_accuracy(regressor, dataset, self._trainer)
        self.history.append((step, accuracy, stages, evaluation.mean('mpjpe')))
        errors = ', '.join(f'{error:.1f}' for error in stages)
        print(f'step {step}: part accuracy {accuracy:.3f}, PA-MPJPE by stage {errors} mm, '
              f'MPJPE {evaluation.mean("mpjpe"):.1f} mm', flush=True)
        return evaluation


@torch.no_grad()
def part_accuracy(regressor, dataset, trainer):
    """Share of the target bodies' pixels with the right part, over held-out people."""
    right = total = 0
    was_training = regressor.training
    regressor.eval()
    for batch in DataLoader(dataset, 32):
        dense = regressor(batch['img'].to(trainer.accelerator.device)).iuv
        targets = Targets.of_batch({key: value.to(dense.index.device) if isinstance(value, torch.Tensor) else value
                                 for key, value in batch.items()}, regressor.body, trainer.iuv_renderer)
        part = part_labels(targets.iuv)
        right += int(((dense.index.argmax(1) == part) & (part > 0)).sum())
        total += int((part > 0).sum())
    regressor.train(was_training)
    return right / total


def train(seed, decomposed, options):
    """Train once -> history of the evaluations."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(load_config(CONFIG, [
            'LOG_DIR', folder, 'PATHS.DATA_DIR', options.data_dir, 'SEED', seed, 'MODEL.DANET.DECOMPOSED', decomposed,
            'TRAIN.NUM_EPOCHS', 1, 'TRAIN.PRETR_STEP', options.pretrain, 'TRAIN.BATCH_SIZE', options.batch,
            'DATA.EPOCH_LENGTH', options.steps * options.batch, 'TRAIN.TEST_STEPS', options.every,
            'TRAIN.CHECKPOINT_STEPS', options.steps, *options.misc]))
        trainer.evaluator = Watch(trainer)
        trainer.fit()
        return trainer.evaluator.history


def compare(options):
    """Train both networks for every seed and print the final errors."""
    finals = {True: [], False: []}
    for seed in range(options.seeds):
        for decomposed in (True, False):
            print(f'seed {seed}, {"decomposed" if decomposed else "global only"}', flush=True)
            finals[decomposed].append(train(seed, decomposed, options)[-1])
    print('| network | PA-MPJPE, mm | MPJPE, mm | part accuracy |\n| --- | ---: | ---: | ---: |')
    for decomposed, name in ((True, 'DaNet'), (False, 'global branch alone')):
        columns = zip(*((run[2][-1], run[3], run[1]) for run in finals[decomposed]))
        print(f'| {name} | ' + ' | '.join(
            f'{statistics.mean(values):.{digits}f} ({", ".join(f"{value:.{digits}f}" for value in values)})'
            for values, digits in zip(columns, (1, 1, 3))) + ' |')


def measure_step(config, batch, data_dir, rounds=5):
    """Print {'parameters', 'cpu_seconds' a step, 'wall_seconds', 'peak_mib'} of training steps as JSON."""
    trainer = Trainer(load_config(config, [
        'LOG_DIR', tempfile.mkdtemp(), 'PATHS.DATA_DIR', data_dir, 'TRAIN.BATCH_SIZE', batch, 'TRAIN.PRETR_STEP', 0,
        'TRAIN.NUM_WORKERS', 0]))
    regressor, cfg = trainer.regressor.train(), trainer.cfg
    samples = next(iter(DataLoader(trainer.train_data, batch)))
    wall, cpu = [], []
    for _ in range(rounds):
        before = time.perf_counter(), time.process_time()
        out = regressor(samples['img'])
        losses = all_losses(regressor, out, Targets.of_batch(samples, regressor.body, trainer.iuv_renderer), cfg)
        sum(losses.values()).backward()
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        wall.append(time.perf_counter() - before[0])
        cpu.append(time.process_time() - before[1])
    print(json.dumps({'parameters': sum(p.numel() for p in regressor.parameters()),
                      'cpu_seconds': statistics.median(cpu[1:]), 'wall_seconds': statistics.median(wall[1:]),
                      'peak_mib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def compare_steps(options):
    """Time and memory of a step of both networks, each measured in a new process."""
    print('| network | parameters, M | CPU s a step | wall s a step | peak memory, MiB |')
    print('| --- | ---: | ---: | ---: | ---: |')
    for config in (CONFIG, RIVAL):
        command = [sys.executable, '-m', 'benchmarks.danet', '--measure', config, '--batch', str(options.batch),
                   '--data_dir', options.data_dir]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        print(f'| {config}, batch {options.batch} | {result["parameters"] / 1e6:.1f} | {result["cpu_seconds"]:.2f} | '
              f'{result["wall_seconds"]:.2f} | {result["peak_mib"]:.0f} |')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data_dir', default='data')
    parser.add_argument('--seeds', type=int, default=3, help='0: only time and memory')
    parser.add_argument('--steps', type=int, default=500)
    parser.add_argument('--pretrain', type=int, default=150, help='steps of the first stage')
    parser.add_argument('--every', type=int, default=150, help='steps between evaluations')
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--measure', help=argparse.SUPPRESS)
    parser.add_argument('--misc', nargs='*', default=[], help='any config keys with their values')
    options = parser.parse_args()
    if options.measure:
        return measure_step(options.measure, options.batch, options.data_dir)
    if options.seeds:
        compare(options)
    compare_steps(options)


if __name__ == '__main__':
    run_main(main)

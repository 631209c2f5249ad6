"""Runs tests and benchmarks on a machine with a GPU, in six minutes: python -m benchmarks.gpu [--parts NAME ...]
[--out FILE]

Each part is a command with its own time limit. When it ends, a line of JSON is appended to the file: part, status
(passed, failed, cut, left out), seconds, command, and output. The line of a part that failed or was cut has the output
until then. The following parts still run. The exit status is 1 if a part did not pass.

`--device cpu` runs the same parts with small sizes, for machines without a GPU. Without internet access, put the source
archive of neural_renderer and the wheels into a folder, and set PIP_NO_INDEX=1 and PIP_FIND_LINKS=FOLDER.
"""
import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from utils.errors import BadConfig, run_main

_LIMIT = 360.0
_LEAST = 3.0  # seconds; with less time left, a part is not started
_LINES = 200  # last lines of a part's output that are kept
_SMALL_STEP = ('--batch', '2', '--rounds', '1', '--product', '128', '--variants', 'bfloat16')  # compiling takes minutes


@dataclass(frozen=True)
class Part:
    """A command of this Python, its limit in seconds, and the same with small sizes on a CPU."""
    on_gpu: tuple
    seconds: float
    on_cpu: tuple


def _step(network, small_backbone):
    command = ('-m', 'benchmarks.step_rates', '--networks', network)
    return Part((*command, '--device', 'cuda'), 60, (*command, '--backbone', small_backbone, *_SMALL_STEP))


def _training(seconds, *overrides):
    return ('train.py', '--cfg_file', 'configs/free/pymaf.yaml', '--name', 'gpu', '--overwrite', '--misc',
            'TRAIN.TIME_TO_RUN', str(seconds), 'TRAIN.SUMMARY_STEPS', '10', 'TRAIN.MIXED_PRECISION', 'bf16',
            *overrides)


# The most important parts come first, in case time runs out. The CUDA tests check that the host does not wait for the
# device, and compare the pixels of warp with those of neural_renderer. It is therefore built before them.
PARTS = {
    'pymaf': _step('pymaf', 'resnet18'),
    'hmr2': _step('hmr2', 'vit_s'),
    'danet': _step('danet', 'hrnet_w18'),
    'renderer': Part(('-m', 'utils.build_neural_renderer'), 100,
                     ('-m', 'pytest', '-q', 'tests/test_build_neural_renderer.py')),
    'tests': Part(('-m', 'pytest', '-m', 'cuda', '-v', '-rs'), 90,
                  ('-m', 'pytest', '-m', 'cuda', '-q', '--collect-only')),
    'rasterizer': Part(('-m', 'benchmarks.rasterizer'), 30, ('-m', 'benchmarks.rasterizer')),
    'table': Part(('-m', 'benchmarks', '--device', 'cuda', '--quick'), 90,
                  ('-m', 'benchmarks', '--only', 'rasterizer', '--quick')),
    'training': Part(_training(60, 'TRAIN.NUM_WORKERS', str(os.cpu_count())), 85,
                     _training(5, 'TRAIN.NUM_WORKERS', '0', 'TRAIN.BATCH_SIZE', '2', 'DATA.IMG_RES', '64',
                               'TRAIN.MAX_STEPS', '2', 'DEVICE', 'cpu'))}


def run_parts(parts, out, limit=_LIMIT, clock=time.monotonic):
    """Run {name: (command after the Python, seconds)} one after the other -> {name: status}.

    Appends a line to the file `out` when a part ends. limit: seconds of all parts together.
    """
    end, statuses = clock() + limit, {}
    for name, (command, seconds) in parts.items():
        left = end - clock()
        record = {'part': name, 'command': list(command)}
        if left < _LEAST:
            record |= {'status': 'left out', 'seconds': 0.0, 'output': [f'the {limit:.0f} seconds are over']}
        else:
            record |= _run([sys.executable, *command], min(seconds, left))
        _add_line(out, record)
        statuses[name] = record['status']
        print(f'{name}: {record["status"]}, {record["seconds"]:.0f} s', *record['output'], sep='\n', flush=True)
    return statuses


def _run(command, seconds):
    """-> {'status', 'seconds', 'output': last lines}. The command and its processes end within `seconds`."""
    start = time.monotonic()
    with tempfile.TemporaryFile('w+', errors='replace') as stream:  # a pipe would lose the output of a cut command
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   start_new_session=True)
        try:
            status = 'passed' if process.wait(seconds) == 0 else 'failed'
        except subprocess.TimeoutExpired:
            status = 'cut'
        finally:
            _end(process)
        stream.seek(0)
        lines = stream.read().replace('\r', '\n').splitlines()
    return {'status': status, 'seconds': round(time.monotonic() - start, 1),
            'output': [line for line in lines if line.strip()][-_LINES:]}


def _end(process):
    """Kill a process and all processes that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, 'killpg'):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _add_line(path, record):
    """Append a record to a file of JSON lines and flush it to the disk."""
    with open(path, 'a', encoding='utf-8') as stream:
        stream.write(json.dumps(record) + '\n')
        stream.flush()
        os.fsync(stream.fileno())


def machine(device):
    """Describe the machine that the figures are measured on."""
    found = {'part': 'machine', 'device': device, 'torch': torch.__version__, 'python': sys.version.split()[0],
             'cores': os.cpu_count()}
    if device == 'cuda':
        properties = torch.cuda.get_device_properties(0)
        found |= {'name': properties.name, 'memory_gib': round(properties.total_memory / 2 ** 30, 1),
                  'capability': f'{properties.major}.{properties.minor}', 'cuda': torch.version.cuda}
    return found


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--parts', nargs='+', default=list(PARTS), metavar='NAME', help=f'some of {", ".join(PARTS)}')
    parser.add_argument('--out', type=Path, default=Path('gpu.jsonl'), help='file to append lines to')
    parser.add_argument('--limit', type=float, default=_LIMIT, help='seconds of all parts together')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cuda')
    options = parser.parse_args(argv)
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        raise BadConfig(f'--parts {unknown[0]}: unknown; use some of {", ".join(PARTS)}')
    if options.device == 'cuda' and not torch.cuda.is_available():
        raise BadConfig('torch finds no CUDA device; --device cpu runs the same parts with small sizes')
    _add_line(options.out, machine(options.device))
    chosen = {name: (part.on_gpu if options.device == 'cuda' else part.on_cpu, part.seconds)
              for name, part in PARTS.items() if name in options.parts}
    statuses = run_parts(chosen, options.out, options.limit)
    print(f'results: {options.out}')
    return int(any(status != 'passed' for status in statuses.values()))


if __name__ == '__main__':
    run_main(main)

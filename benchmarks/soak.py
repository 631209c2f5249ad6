"""Samples and plots memory and open files of a long run.

    python -m benchmarks.soak training --minutes 120 --out soak -- --cfg_file configs/free/pymaf_scratch.yaml
    python -m benchmarks.soak video --minutes 120 --out soak -- --checkpoint FILE --vid_file FILE --detector full_frame

The words after `--` are flags of train.py or demo.py. The training continues until the time is up. The demo repeats the
same video in one process. Writes OUT/<kind>.csv, .png and .json. The first half of the run is warm-up. The second half
is divided into twenty intervals. The slope is that of their medians, because each epoch starts new loader processes.
The error is twice the standard deviation of the slope.
"""
import argparse
import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from utils.safe_io import save_json

WARM_UP, STRETCHES = 0.5, 20
_ROOT = Path(__file__).resolve().parent.parent
_COLUMNS = ('seconds', 'memory_mib', 'files', 'processes')
_LOOP = ('import sys; from core.demo.options import parse_options; from core.demo.run import run_demo\n'
         'while True: run_demo(*parse_options(sys.argv[1:]))')


def family_of(pid):
    """A process and its descendants."""
    found = [pid]
    for each in found:
        try:
            for task in Path(f'/proc/{each}/task').iterdir():
                found += [int(child) for child in (task / 'children').read_text().split()]
        except OSError:
            continue
    return found


def sample(pid):
    """(memory [MiB], open files, processes) of a process and its descendants. Shared pages count in proportion."""
    memory = files = 0
    family = family_of(pid)
    for each in family:
        try:
            rollup = Path(f'/proc/{each}/smaps_rollup').read_text()
            memory += int(rollup.partition('\nPss:')[2].split()[0])
            files += len(os.listdir(f'/proc/{each}/fd'))
        except (OSError, IndexError):  # it has ended
            continue
    return memory / 1024, files, len(family)


def command_of(kind, out, flags):
    if kind == 'training':
        return [sys.executable, 'train.py', *flags, '--log_dir', str(out), '--name', 'run', '--overwrite',
                '--num_epochs', '1000000']
    return [sys.executable, '-c', _LOOP, *flags, '--output_folder', str(out / 'run')]


def record(command, log, minutes, interval):
    """Run a command for some minutes -> samples [N,4]. Raises SystemExit if the command ends by itself."""
    rows, end = [], time.monotonic() + 60 * minutes
    started = time.monotonic()
    with open(log, 'w') as output:
        process = subprocess.Popen(command, cwd=_ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            while time.monotonic() < end:
                time.sleep(interval)
                if process.poll() is not None:
                    raise SystemExit(f'the run ended with status {process.returncode}; see {log}')
                rows.append((time.monotonic() - started, *sample(process.pid)))
        finally:
            stop(process)
    return np.array(rows)


def stop(process):
    """Send SIGTERM, so that a training is saved, and SIGKILL after a minute."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def summary_of(rows):
    """{name: {'slope_per_hour', 'error', 'start', 'end', 'highest'}} after warm-up. start, end: means of the
    medians of the first and last two intervals."""
    steady = rows[rows[:, 0] > WARM_UP * rows[-1, 0]]
    stretches = np.array_split(steady, min(STRETCHES, len(steady)))
    hours = [stretch[:, 0].mean() / 3600 for stretch in stretches]
    told = {'minutes': rows[-1, 0] / 60, 'samples': len(rows)}
    for column, name in enumerate(_COLUMNS[1:3], 1):
        medians = np.array([np.median(stretch[:, column]) for stretch in stretches])
        (slope, _), variance = np.polyfit(hours, medians, 1, cov=True)
        told[name] = {'slope_per_hour': float(slope), 'error': float(2 * variance[0, 0] ** .5),
                      'start': float(medians[:2].mean()), 'end': float(medians[-2:].mean()),
                      'highest': float(steady[:, column].max())}
    return told


def plot(rows, title, width=900, height=260):
    """Memory above, open files below, against minutes: a picture, uint8 BGR."""
    panels = []
    for column, name in ((1, 'memory, MiB'), (2, 'open files')):
        panel = np.full((height, width, 3), 255, np.uint8)
        values, minutes = rows[:, column], rows[:, 0] / 60
        top = max(values.max() * 1.1, 1)
        x = 70 + minutes / minutes[-1] * (width - 90)
        y = height - 30 - values / top * (height - 60)
        cv2.rectangle(panel, (70, 30), (int(70 + WARM_UP * (width - 90)), height - 30), (235, 235, 235), -1)
        for share in (0, .5, 1):
            level = int(height - 30 - share * (height - 60))
            cv2.line(panel, (70, level), (width - 20, level), (200, 200, 200), 1)
            _write(panel, f'{share * top:.0f}', (5, level + 5))
            _write(panel, f'{share * minutes[-1]:.0f} min', (int(70 + share * (width - 130)), height - 8))
        cv2.polylines(panel, [np.stack([x, y], 1).round().astype(np.int32)], False, (180, 80, 20), 2, cv2.LINE_AA)
        _write(panel, f'{title}: {name}', (70, 20))
        panels.append(panel)
    return np.concatenate(panels)


def _write(panel, text, place):
    cv2.putText(panel, text, place, cv2.FONT_HERSHEY_SIMPLEX, .45, (40, 40, 40), 1, cv2.LINE_AA)


def main(argv=None):
    words = list(sys.argv[1:] if argv is None else argv)
    flags = words[words.index('--') + 1:] if '--' in words else []
    parser = argparse.ArgumentParser(prog='python -m benchmarks.soak', description=__doc__.splitlines()[0])
    parser.add_argument('kind', choices=('training', 'video'))
    parser.add_argument('--minutes', type=float, default=120)
    parser.add_argument('--interval', type=float, default=5, help='seconds between samples')
    parser.add_argument('--out', type=Path, default=Path('soak'))
    options = parser.parse_args(words[:words.index('--')] if '--' in words else words)
    options.out.mkdir(parents=True, exist_ok=True)
    stem = options.out / options.kind
    rows = record(command_of(options.kind, options.out.resolve(), flags), stem.with_suffix('.log'), options.minutes,
                  options.interval)
    with open(stem.with_suffix('.csv'), 'w', newline='') as stream:
        csv.writer(stream).writerows([_COLUMNS, *rows.round(2).tolist()])
    cv2.imwrite(str(stem.with_suffix('.png')), plot(rows, options.kind))
    told = summary_of(rows)
    save_json(stem.with_suffix('.json'), told)
    for name in _COLUMNS[1:3]:
        values = told[name]
        print(f'{name}: {values["start"]:.0f} to {values["end"]:.0f} over {told["minutes"]:.0f} minutes, '
              f'{values["slope_per_hour"]:+.1f} (error {values["error"]:.1f}) an hour, at most {values["highest"]:.0f}')


if __name__ == '__main__':
    main()

"""The table of benchmarks: a row that fails gives its reason, and the others are measured."""
import mmap
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

import benchmarks.__main__ as table_command
from benchmarks import training_step
from benchmarks.table import FailedRow, Row, rows_of
from utils.errors import MissingFile

OPTIONS = Namespace(quick=True, device='cpu', data_dir='data', only=None)


def test_a_part_that_fails_does_not_end_the_table(monkeypatch, capsys):
    def broken(options):
        yield Row('before', 2.0, 'floor', 1.0, peak=300)
        raise TypeError('Cannot convert expression to float\nand much more')

    def absent(options):
        raise MissingFile('data/x.npz: no such file')
        yield

    def whole(options):
        yield Row('after', 3.0, 'floor', 2.0, 1.7, 400)

    monkeypatch.setattr(table_command, 'PARTS', {'broken': broken, 'absent': absent, 'whole': whole})
    failed = table_command.print_table(['broken', 'absent', 'whole'], OPTIONS)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('|')][2:]
    assert failed == 2
    assert lines == ['| before | 2.00 | floor | 1.00 | 2.00 |  | 300 |',
                     '| broken | failed: TypeError: Cannot convert expression to float | | | | | |',
                     '| absent | failed: data/x.npz: no such file | | | | | |',
                     '| after | 3.00 | floor | 2.00 | 1.50 | 1.70 | 400 |']


def test_a_variant_that_fails_leaves_the_others(monkeypatch):
    """Stand-ins replace the trainer and the clock, because compiling takes minutes."""
    def step_of(name):
        def step():
            if name == 'compiled':
                raise TypeError('Cannot convert expression to float')
            return 1.0, {}
        return step

    variants = {name: name for name in ('float32', 'compiled')}
    monkeypatch.setattr(training_step, 'VARIANTS', variants)
    monkeypatch.setattr(training_step, 'trainer_of', lambda batch, data, backbone, res, name, device: _Trainer(name))
    monkeypatch.setattr(training_step, 'step_of', lambda trainer: step_of(trainer.name))
    monkeypatch.setattr(training_step, 'floor_of', lambda network, images: lambda: None)
    monkeypatch.setattr(training_step, 'in_turns', lambda calls, *_, **__: dict.fromkeys(calls, 1.0))
    seconds, losses, failures = training_step.measure(2, 'data', list(variants))
    assert set(losses) == {'float32'} and 'float32' in seconds and 'convolutions' in seconds
    assert 'compiled' not in seconds and str(failures['compiled']) == 'Cannot convert expression to float'


class _Trainer:
    def __init__(self, name):
        self.name, self.regressor = name, self
        self.backbone = self

    def to(self, **_):
        return self


@pytest.mark.parametrize('error, said', [(ValueError(''), 'ValueError'), (ValueError('a | b'), 'ValueError: a / b')])
def test_an_error_is_one_cell(error, said):
    def broken():
        raise error
        yield

    row, = rows_of('part', broken)
    assert isinstance(row, FailedRow) and str(row) == f'| part | failed: {said} | | | | | |'


@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='Linux alone reports a peak that can be reset')
def test_each_measurement_has_its_own_peak():
    """400 MB are mapped for one row and not for the next. A fresh map reuses nothing that the process has freed."""
    def measure(megabytes):
        held = np.frombuffer(mmap.mmap(-1, megabytes * 10 ** 6), np.uint8)
        held[:] = 1
        yield Row('part', float(held[0]), 'floor', 1.0)

    small, = rows_of('small', lambda: measure(1))
    large, = rows_of('large', lambda: measure(400))
    after, = rows_of('after', lambda: measure(1))
    assert 350 < large.peak - small.peak < 450
    assert large.peak - after.peak > 350

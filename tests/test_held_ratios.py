"""The benchmark that fails when a step's ratio to its floor grows by a tenth. Stand-ins replace the measurements."""
import json

import pytest

from benchmarks import held_ratios
from utils.errors import BadConfig


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """{step: ratios of its successive measurements}. The recorded ratios are 1.0 and 2.0."""
    ratios = {'one': [1.05], 'two': [2.1]}
    record = tmp_path / 'recorded.json'
    record.write_text(json.dumps({'one': 1.0, 'two': 2.0}))
    monkeypatch.setattr(held_ratios, 'RECORDED', record)
    monkeypatch.setattr(held_ratios, 'STEPS', {
        name: lambda data_dir, rounds, name=name: ratios[name].pop(0) for name in ratios})
    monkeypatch.setattr(held_ratios, 'use_one_thread', lambda: None)
    return ratios


@pytest.mark.parametrize('one, status, word', [
    ([1.09], 0, 'held'), ([1.12, 1.05], 0, 'held'), ([1.12, 1.11], 1, 'has grown')])
def test_a_tenth_more_fails_the_run(measured, capsys, one, status, word):
    measured['one'] = one
    assert held_ratios.main([]) == status
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith('| one'))
    assert row.endswith(f'| 1.00 | 1.10 | {word} |')
    assert not measured['two']  # the other step was measured too


def test_a_failed_measurement_fails_the_run(measured, capsys):
    measured['one'] = []
    assert held_ratios.main([]) == 1
    out = capsys.readouterr().out
    assert 'failed: IndexError' in out and '| two | 2.10 |' in out and 'not held: one' in out


def test_ratios_are_recorded_on_request(measured):
    measured['one'], measured['two'] = [1.3, 1.2], [1.9]
    assert held_ratios.main(['--record']) == 0
    assert json.loads(held_ratios.RECORDED.read_text()) == {'one': 1.2, 'two': 1.9}


def test_every_step_has_a_recorded_ratio():
    recorded = json.loads(held_ratios.RECORDED.read_text())
    assert set(recorded) == set(held_ratios.STEPS) and all(1 <= ratio < 2 for ratio in recorded.values())


def test_an_unknown_step_names_the_known_ones(measured):
    with pytest.raises(BadConfig, match='use some of one; two'):
        held_ratios.main(['--steps', 'three'])

"""`make gpu`: a part that fails, hangs or has no time left does not affect the other parts' results."""
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import gpu
from utils.errors import BadConfig

ROOT = Path(__file__).resolve().parent.parent


def records_of(path):
    return {record['part']: record for record in map(json.loads, path.read_text().splitlines())}


def command(text):
    return ('-c', text)


def test_each_part_writes_its_line_when_others_fail(tmp_path):
    """The part that hangs has a child process that would write a file later. It is killed with the part."""
    out, late = tmp_path / 'gpu.jsonl', tmp_path / 'late'
    child = f'import time; time.sleep(4); open({str(late)!r}, "w")'
    hanging = (f'import subprocess, sys, time; subprocess.Popen([sys.executable, "-c", {child!r}]); '
               'print("begun", flush=True); time.sleep(600)')
    statuses = gpu.run_parts({
        'good': (command('print("| 1 | 2 |")'), 30), 'bad': (command('print("so far"); raise TypeError("no")'), 30),
        'hangs': (command(hanging), 3), 'after': (command('print("still here")'), 30)}, out)
    assert statuses == {'good': 'passed', 'bad': 'failed', 'hangs': 'cut', 'after': 'passed'}
    records = records_of(out)
    assert records['good']['output'] == ['| 1 | 2 |'] and records['after']['output'] == ['still here']
    assert 'so far' in records['bad']['output'] and records['bad']['output'][-1] == 'TypeError: no'
    assert records['hangs']['output'] == ['begun']
    time.sleep(2)
    assert not late.exists()


def test_without_time_left_a_part_is_not_begun(tmp_path):
    out = tmp_path / 'gpu.jsonl'
    now = iter([0.0, 0.0, 359.0, 359.0])
    statuses = gpu.run_parts({'first': (command('pass'), 30), 'second': (command('raise SystemExit(1)'), 30)}, out,
                             limit=360, clock=lambda: next(now))
    assert statuses == {'first': 'passed', 'second': 'left out'}
    assert 'are over' in records_of(out)['second']['output'][0]


def test_results_are_added_to_those_before(tmp_path, monkeypatch):
    out = tmp_path / 'gpu.jsonl'
    monkeypatch.setattr(gpu, 'PARTS', {'one': gpu.Part(command('raise SystemExit(1)'), 30, command('pass')),
                                       'two': gpu.Part(command('pass'), 30, command('raise SystemExit(1)'))})
    assert gpu.main(['--device', 'cpu', '--parts', 'one', '--out', str(out)]) == 0
    assert gpu.main(['--device', 'cpu', '--parts', 'two', '--out', str(out)]) == 1
    assert [json.loads(line)['part'] for line in out.read_text().splitlines()] == ['machine', 'one', 'machine', 'two']
    with pytest.raises(BadConfig, match='three: unknown; use some of one, two'):
        gpu.main(['--device', 'cpu', '--parts', 'three'])


def test_every_part_names_an_existing_command():
    for part in gpu.PARTS.values():
        for name in (part.on_gpu, part.on_cpu):
            path = name[1].replace('.', '/') if name[0] == '-m' else name[0].removesuffix('.py')
            assert name[1] == 'pytest' or (ROOT / f'{path}.py').exists() or (ROOT / path / '__main__.py').exists()


@pytest.mark.slow
def test_the_whole_script_on_a_cpu(tmp_path):
    out = tmp_path / 'gpu.jsonl'
    done = subprocess.run([sys.executable, '-m', 'benchmarks.gpu', '--device', 'cpu', '--out', str(out), '--limit',
                           '900'], cwd=ROOT, capture_output=True, text=True)
    records = records_of(out)
    failed = {name: record['output'][-5:] for name, record in records.items()
              if record.get('status', 'passed') != 'passed'}
    assert not failed and done.returncode == 0, failed
    assert set(records) == {'machine', *gpu.PARTS}
    for network in ('pymaf', 'hmr2', 'danet'):
        row = next(line for line in records[network]['output'] if line.startswith(f'| {network} |'))
        rate, operations = (float(cell) for cell in row.split('|')[3:5])
        assert rate > 0 and operations > 0

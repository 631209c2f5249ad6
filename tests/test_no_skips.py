"""`--no_skips`, which CI uses: a skip fails the run, with one process and with two."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.no_skips import NEEDS_SHARED

ROOT = Path(__file__).resolve().parent.parent
PASSES = 'def test_passes():\n    pass\n'
SKIPPED = f'@pytest.mark.skipif(True, reason="no browser")\n{PASSES}'
CASES = {
    'nothing': (PASSES, 0), 'a test': (SKIPPED, 1),
    'in a fixture': (f'@pytest.fixture(autouse=True)\ndef browser():\n    pytest.skip("no browser")\n{PASSES}', 1),
    'a file': (f'pytest.skip("no browser", allow_module_level=True)\n{PASSES}', 1),
    'cuda': (f'@pytest.mark.cuda\n{SKIPPED}', 0),
    'expected failure': ('@pytest.mark.xfail\ndef test_fails():\n    assert False\n', 0)}


def run(folder, text, *options, root=ROOT):
    """A pytest process without the plugins that are installed, whose imports take most of its time."""
    (folder / 'test_one.py').write_text(f'import pytest\n{text}')
    (folder / 'pytest.ini').write_text('[pytest]\nmarkers =\n  cuda: x\n')
    command = [sys.executable, '-m', 'pytest', '-p', 'tests.no_skips', '-p', 'no:cacheprovider', *options, str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True,
                          env={**os.environ, 'PYTHONPATH': str(root), 'PYTEST_ADDOPTS': '',
                               'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1'})


@pytest.mark.parametrize('case', CASES)
def test_what_is_skipped_fails_the_run(tmp_path, case):
    text, status = CASES[case]
    done = run(tmp_path, text, '--no_skips')
    assert done.returncode == status, done.stdout
    assert ('which --no_skips forbids' in done.stdout and ': no browser' in done.stdout) == bool(status)


def test_without_the_option_a_skip_passes(tmp_path):
    assert run(tmp_path, SKIPPED).returncode == 0


@pytest.mark.parametrize('case', ['a test', 'a file', 'nothing'])
def test_two_workers_are_judged_together(tmp_path, case):
    text, status = CASES[case]
    done = run(tmp_path, text, '--no_skips', '-p', 'xdist', '-n', '2')
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stdout.count(': no browser') == status


def test_the_shared_folder_is_excused_only_where_it_is_absent(tmp_path):
    text = f'@pytest.mark.skipif(True, reason={NEEDS_SHARED!r})\n{PASSES}'
    root = tmp_path / 'clone'
    (root / 'tests').mkdir(parents=True)
    (root / 'tests/no_skips.py').write_bytes((ROOT / 'tests/no_skips.py').read_bytes())
    folder = tmp_path / 'suite'
    folder.mkdir()
    assert run(folder, text, '--no_skips', root=root).returncode == 0
    (tmp_path / 'shared').mkdir()
    assert run(folder, text, '--no_skips', root=root).returncode == 1


def test_every_skip_for_the_shared_folder_has_its_reason():
    """Files that read ../shared give the reason that `--no_skips` excuses."""
    for path in sorted((ROOT / 'tests').glob('test_*.py')):
        text = path.read_text(encoding='utf-8')
        if "'shared'" in text and path.name != 'test_no_skips.py':
            assert NEEDS_SHARED in text, path


def test_tests_that_need_a_gpu_carry_the_marker():
    """`--no_skips` and `make test-cuda` know them by `cuda`, not by a condition of their own."""
    for path in sorted((ROOT / 'tests').glob('test_*.py')):
        for line in path.read_text(encoding='utf-8').splitlines():
            assert 'cuda' not in line or '@pytest.mark.' + 'skipif' not in line, path

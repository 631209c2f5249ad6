"""Freed memory stays with a process that computes on the CPU."""
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from utils.memory import keep_freed_memory

LARGE_PAGES = Path('/sys/kernel/mm/transparent_hugepage/enabled')
BLOCKS = '''
import resource, sys, torch
from core.devices import prepared
if sys.argv[1] == 'kept':
    prepared(torch.device('cpu'))
counts = []
for _ in range(30):  # two layers' outputs of 64 MiB
    outputs = [torch.ones(2 ** 24) for _ in range(2)]
    del outputs
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
rollup = open('/proc/self/smaps_rollup').read()
print(counts[-1] - counts[19], rollup.partition('AnonHugePages:')[2].split()[0])
'''


def measured(how):
    """(Pages that ten rounds of the same allocations take from the system, once twenty were made; KiB on large pages)
    """
    done = subprocess.run([sys.executable, '-c', BLOCKS, how], cwd=ROOT, capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


def test_memory_is_asked_for_once_and_comes_on_large_pages():
    if not keep_freed_memory() or not LARGE_PAGES.exists():
        pytest.skip('a C library without mallopt, or a system without large pages')
    (pages, _), (kept_pages, large) = measured('given back'), measured('kept')
    assert pages > 19 * 2 ** 14 > 10 * kept_pages or '[always]' in LARGE_PAGES.read_text()
    assert large > 2 ** 16 or '[never]' in LARGE_PAGES.read_text()


def test_a_limit_of_the_address_space_does_no_harm():
    limit = 'import resource; resource.setrlimit(resource.RLIMIT_DATA, (3 * 2 ** 30, 3 * 2 ** 30))\n'
    done = subprocess.run([sys.executable, '-c', limit + BLOCKS, 'kept'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

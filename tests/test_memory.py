"""Freed memory stays with a process that computes on the CPU."""
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from utils.memory import keep_freed_memory

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
print(counts[-1] - counts[19])
'''


def pages_asked_for(how):
    """Pages that ten rounds of the same allocations take from the system, once twenty were made."""
    done = subprocess.run([sys.executable, '-c', BLOCKS, how], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason='a C library without mallopt')
def test_memory_is_asked_for_once():
    assert pages_asked_for('given back') > 19 * 2 ** 14 > 10 * pages_asked_for('kept')

"""User errors are one line, also from loader workers. test_reliability_files.py has those of scripts."""
import subprocess
import sys

import pytest
from torch.utils.data import DataLoader, Dataset

from tests.conftest import ROOT
from utils.errors import BadFile


class Broken(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        raise BadFile(f'picture_{index}.jpg: truncated; fetch it again')


def test_error_of_a_loader_worker_is_one_line():
    with pytest.raises(BadFile) as raised:
        list(DataLoader(Broken(), num_workers=1))
    assert str(raised.value) == 'picture_0.jpg: truncated; fetch it again'


@pytest.mark.parametrize('script', ['demo.py', 'train.py', 'eval.py', 'eval_coco.py'])
def test_without_the_environment_one_line_says_so(script):
    """`-S` leaves the installed packages out, as another Python does."""
    done = subprocess.run([sys.executable, '-S', script, '--help'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count('\n') == 1, done.stderr
    assert 'has no package' in done.stderr and 'source .venv/bin/activate' in done.stderr

"""User errors are one line, also from loader workers, and end a script with status 2."""
import subprocess
import sys

import pytest
from torch.utils.data import DataLoader, Dataset

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


def test_scripts_end_with_one_line():
    done = subprocess.run([sys.executable, 'train.py', '--regressor', 'hmmr'], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1 and done.stderr.startswith('error: unknown regressor')

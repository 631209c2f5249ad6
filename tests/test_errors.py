"""User errors are one line, also from loader workers. test_reliability_files.py has those of scripts."""
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

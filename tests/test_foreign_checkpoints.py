"""Checkpoints that hold other objects beside tensors. The tensors equal those that torch reads."""
import collections
import subprocess
import sys
import zipfile

import pytest
import torch
from yacs.config import CfgNode as CN

from utils.errors import BadFile
from utils.torch_io import load_torch


class Bomb:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        import os
        return os.system, (self.command,)


def tensors():
    base = torch.arange(24.0).reshape(4, 6)
    return {'plain': base, 'view': base[1:, 2:5], 'transposed': base.T, 'half': base.half(), 'bf16': base.bfloat16(),
            'long': torch.tensor([2 ** 40]), 'flag': torch.tensor(True), 'empty': torch.zeros(0, 3),
            'parameter': torch.nn.Parameter(base[0]), 'double': base.double(), 'bytes': base.byte()}


def test_tensors_are_those_that_torch_reads(tmp_path):
    """Every type, and views of shared storage. Entries with unknown classes are left out as a whole."""
    content = {'state_dict': collections.OrderedDict(tensors()), 'epoch': 3, 'hyper_parameters': CN({'A': [1]}),
               'bomb': Bomb(f'touch {tmp_path}/mark'), 'callbacks': {'checkpoint': {'best': torch.tensor(1.5)}}}
    torch.save(content, tmp_path / 'x.ckpt')
    read = load_torch(tmp_path / 'x.ckpt')
    assert sorted(read) == ['callbacks', 'epoch', 'state_dict'] and not (tmp_path / 'mark').exists()
    assert read['epoch'] == 3 and read['callbacks']['checkpoint']['best'] == 1.5
    torch.save(tensors(), tmp_path / 'tensors.pt')
    wanted = torch.load(tmp_path / 'tensors.pt', weights_only=True)
    assert list(read['state_dict']) == list(wanted)
    for name, value in wanted.items():
        found = read['state_dict'][name]
        assert found.dtype == value.dtype and torch.equal(found, value), name


def test_no_class_is_imported(tmp_path):
    """The reading process could import a module that writes the file `mark`, and does not."""
    mark = str(tmp_path / 'mark')
    (tmp_path / 'marks.py').write_text(f"open({mark!r}, 'w').close()\nclass Options(dict):\n    pass\n")
    make = "import torch, marks; torch.save({'state_dict': {'w': torch.ones(2)}, 'o': marks.Options(a=1)}, 'x.ckpt')"
    subprocess.run([sys.executable, '-c', make], cwd=tmp_path, check=True)
    (tmp_path / 'mark').unlink()
    root = __file__.rsplit('/tests/', 1)[0]
    read = f"import sys; sys.path += [{root!r}]; from utils.torch_io import load_torch; print(load_torch('x.ckpt'))"
    done = subprocess.run([sys.executable, '-c', read], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout == "{'state_dict': {'w': tensor([1., 1.])}}\n" and not (tmp_path / 'mark').exists()


@pytest.mark.parametrize('content', [
    {'state_dict': {'w': torch.ones(2), 'x': CN()}}, {'hyper_parameters': CN()}, CN({'w': 1}), [CN(), torch.ones(2)]])
def test_weights_beside_unknown_classes_are_not_read(tmp_path, content):
    torch.save(content, tmp_path / 'x.ckpt')
    with pytest.raises(BadFile, match=r'x\.ckpt: not a readable checkpoint \(it asks for code'):
        load_torch(tmp_path / 'x.ckpt')


@pytest.mark.parametrize('how', ['compressed', 'short'])
def test_compressed_and_short_storages_are_refused(tmp_path, how):
    torch.save({'state_dict': {'w': torch.ones(1000)}, 'o': CN()}, tmp_path / 'good.ckpt')
    with zipfile.ZipFile(tmp_path / 'good.ckpt') as good, zipfile.ZipFile(tmp_path / 'x.ckpt', 'w') as bad:
        for entry in good.infolist():
            data = good.read(entry)
            is_numbers = entry.filename.endswith('/data/0')
            kind = zipfile.ZIP_DEFLATED if is_numbers and how == 'compressed' else zipfile.ZIP_STORED
            bad.writestr(entry.filename, data[:-4] if is_numbers and how == 'short' else data, kind)
    assert load_torch(tmp_path / 'good.ckpt')['state_dict']['w'].sum() == 1000
    with pytest.raises(BadFile, match=r'x\.ckpt: not a readable checkpoint'):
        load_torch(tmp_path / 'x.ckpt')

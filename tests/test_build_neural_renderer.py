"""The steps of `make neural-renderer` before it compiles. Compiling needs nvcc and minutes."""
import pytest
import torch

from utils.build_neural_renderer import cuda_home, modernize
from utils.errors import ProjectError

OLD = '''#define CHECK_CUDA(x) AT_CHECK(x.type().is_cuda(), #x " must be a CUDA tensor")
AT_DISPATCH_FLOATING_TYPES(faces.type(), "name", ([&] { kernel<scalar_t>(faces.data<scalar_t>()); }));
'''
NEW = '''#define CHECK_CUDA(x) TORCH_CHECK(x.is_cuda(), #x " must be a CUDA tensor")
AT_DISPATCH_FLOATING_TYPES(faces.scalar_type(), "name", ([&] { kernel<scalar_t>(faces.data_ptr<scalar_t>()); }));
'''


def test_renamed_calls_are_replaced(tmp_path):
    (tmp_path / 'cuda').mkdir()
    for name in ('cuda/kernel.cu', 'binding.cpp', 'notes.txt'):
        (tmp_path / name).write_text(OLD)
    (tmp_path / 'other.cpp').write_text('int nothing_to_do;\n')
    assert modernize(tmp_path) == 2
    assert (tmp_path / 'cuda/kernel.cu').read_text() == (tmp_path / 'binding.cpp').read_text() == NEW
    assert (tmp_path / 'notes.txt').read_text() == OLD
    with pytest.raises(ProjectError, match='nothing to adapt'):
        modernize(tmp_path)


def test_no_compiler_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv('CUDA_HOME', str(tmp_path))
    monkeypatch.setattr(torch.version, 'cuda', '13.0')
    with pytest.raises(ProjectError, match='no nvcc'):
        cuda_home()
    monkeypatch.setattr(torch.version, 'cuda', None)
    with pytest.raises(ProjectError, match='built without CUDA'):
        cuda_home()


def test_toolkit_is_found_behind_a_wrapper(tmp_path, monkeypatch):
    """The toolkit is the folder that nvcc prints, not the folder of the nvcc on PATH."""
    toolkit, places = tmp_path / 'cuda-13.0', tmp_path / 'somewhere' / 'bin'
    for folder in (toolkit / 'bin', places):
        folder.mkdir(parents=True)
    nvcc = places / 'nvcc'
    nvcc.write_text(f'#!/bin/sh\necho "#$ TOP={toolkit}/bin/.." >&2\n')
    nvcc.chmod(0o755)
    monkeypatch.delenv('CUDA_HOME', raising=False)
    monkeypatch.setenv('PATH', f'{places}:/bin:/usr/bin')
    monkeypatch.setattr(torch.version, 'cuda', '13.0')
    assert cuda_home() == toolkit

"""Untrusted files: no pickle, array file, `.mat` or checkpoint runs code. Writes are complete or leave the old file."""
import io
import os
import pickle
import types
import zipfile

import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch

from utils import safe_io
from utils.errors import BadFile, MissingFile, ProjectError
from utils.torch_io import load_torch, save_torch


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.system, (f'touch {self.path}',)


def object_npy(value):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([value, None], dtype=object), allow_pickle=True)
    return stream.getvalue()


def hostile_files(folder, bomb):
    (folder / 'a.pkl').write_bytes(pickle.dumps({'v_template': bomb}))
    (folder / 'b.npy').write_bytes(object_npy(bomb))
    with zipfile.ZipFile(folder / 'c.npz', 'w') as archive:
        archive.writestr('pose.npy', object_npy(bomb))
    torch.save({'model': bomb}, folder / 'd.pt')
    torch.save({'model': bomb}, folder / 'e.pt', _use_new_zipfile_serialization=False)
    return [(safe_io.load_pickle, 'a.pkl'), (safe_io.load_npy, 'b.npy'), (safe_io.load_npz, 'c.npz'),
            (load_torch, 'd.pt'), (load_torch, 'e.pt')]


@pytest.mark.parametrize('number', range(5))
def test_no_file_runs_code(tmp_path, number):
    mark = tmp_path / 'mark'
    load, name = hostile_files(tmp_path, Bomb(mark))[number]
    with pytest.raises(BadFile, match=name):
        load(tmp_path / name)
    assert not mark.exists()


@pytest.mark.parametrize('module, name', [('builtins', 'eval'), ('os', 'system'), ('numpy', 'load'),
                                          ('numpy.testing', 'runstring'), ('scipy.sparse', 'load_npz'),
                                          ('functools', 'partial'), ('builtins', 'getattr')])
def test_only_arrays_can_be_named(tmp_path, module, name):
    path = tmp_path / 'x.pkl'
    path.write_bytes(f'c{module}\n{name}\n.'.encode())
    with pytest.raises(BadFile, match='not an array'):
        safe_io.load_pickle(path)


def test_licensed_smpl_is_read_without_chumpy(tmp_path):
    """The licensed pickles hold chumpy arrays, written by Python 2."""
    module = types.ModuleType('chumpy.ch')

    class Ch:
        def __init__(self, x):
            self.x = x

        def __reduce__(self):
            return Ch, (np.zeros(1),), {'x': self.x, '_dirty_vars': set()}

    Ch.__module__, Ch.__qualname__, module.Ch = 'chumpy.ch', 'Ch', Ch
    import sys
    sys.modules['chumpy'], sys.modules['chumpy.ch'] = types.ModuleType('chumpy'), module
    try:
        content = pickle.dumps({'shapedirs': Ch(np.arange(6.).reshape(2, 3)), 'J': [Ch(np.ones(2))],
                                'J_regressor': scipy.sparse.csc_matrix(np.eye(3)), 'bs_style': 'lbs'}, protocol=2)
    finally:
        del sys.modules['chumpy'], sys.modules['chumpy.ch']
    path = tmp_path / 'SMPL_NEUTRAL.pkl'
    path.write_bytes(content)
    read = safe_io.load_pickle(path)
    assert np.array_equal(read['shapedirs'], np.arange(6.).reshape(2, 3)) and np.array_equal(read['J'][0], [1, 1])
    assert np.array_equal(read['J_regressor'].toarray(), np.eye(3)) and read['bs_style'] == 'lbs'


def test_arrays_come_back(tmp_path):
    sparse = np.empty(2, object)
    sparse[:] = [scipy.sparse.csr_matrix(np.eye(2)), None]
    names = np.array(['a.jpg', 'b.jpg'])
    safe_io.save_npz(tmp_path / 'x.npz', numbers=np.arange(4).reshape(2, 2), names=names, sparse=sparse)
    read = safe_io.load_npz(tmp_path / 'x.npz')
    assert np.array_equal(read['numbers'], [[0, 1], [2, 3]]) and read['names'].tolist() == names.tolist()
    assert np.array_equal(read['sparse'][0].toarray(), np.eye(2))
    first = (tmp_path / 'x.npz').read_bytes()
    safe_io.save_npz(tmp_path / 'x.npz', numbers=np.arange(4).reshape(2, 2), names=names, sparse=sparse)
    assert (tmp_path / 'x.npz').read_bytes() == first
    np.save(tmp_path / 'f.npy', np.asfortranarray(np.arange(6.).reshape(2, 3)))
    assert np.array_equal(safe_io.load_npy(tmp_path / 'f.npy'), np.arange(6.).reshape(2, 3))
    safe_io.save_mat(tmp_path / 'x.mat', {'U': np.ones((2, 1))})
    assert np.array_equal(scipy.io.loadmat(tmp_path / 'x.mat')['U'], safe_io.load_mat(tmp_path / 'x.mat')['U'])


@pytest.mark.parametrize('load, name', [(safe_io.load_pickle, 'x.pkl'), (safe_io.load_npz, 'x.npz'),
                                        (safe_io.load_npy, 'x.npy'), (safe_io.load_mat, 'x.mat'),
                                        (safe_io.load_json, 'x.json'), (load_torch, 'x.pt')])
def test_missing_and_damaged_files_are_named(tmp_path, load, name):
    with pytest.raises(MissingFile, match=name):
        load(tmp_path / name)
    for content in (b'', b'\x00' * 100, os.urandom(300)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadFile, match=name) as raised:
            load(tmp_path / name)
        assert '\n' not in str(raised.value)


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'x.json'
    safe_io.save_json(path, [1])
    with pytest.raises(RuntimeError), safe_io.atomic_write(path) as stream:
        stream.write(b'half')
        raise RuntimeError
    assert safe_io.load_json(path) == [1] and os.listdir(tmp_path) == ['x.json']


def test_full_disk_leaves_the_old_file_and_says_so(tmp_path):
    path = tmp_path / 'x.bin'
    path.write_bytes(b'old')
    with pytest.raises(ProjectError, match='disk is full'), safe_io.atomic_write(path):
        raise OSError(28, 'No space left on device')
    assert path.read_bytes() == b'old' and os.listdir(tmp_path) == ['x.bin']


def test_altered_checkpoint_is_refused(tmp_path):
    path = tmp_path / 'x.pt'
    save_torch(path, {'model': {'w': torch.arange(1000.)}, 'step': 3})
    assert load_torch(path)['step'] == 3
    content = bytearray(path.read_bytes())
    place = content.find(torch.arange(1000.)[500:503].numpy().tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadFile, match='x.pt'):
        load_torch(path)

"""Arrays out of pickles: chumpy's rules, objects beside what is wanted, bodies in every form that is in use."""
import importlib
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from datasets.annotations import Annotations
from models.body import BodyModel
from tests import chumpy_pickles
from tests.reference.standin import body_model
from utils.body_file import read_body_file
from utils.errors import BadFile
from utils.logging import get_logger
from utils.mesh_sampling import downsampling_matrix
from utils.safe_io import load_npz, load_pickle


class Guest:
    """Something of a class of the writer's own."""

    def __init__(self, *content):
        self.content = content


@pytest.fixture(scope='module')
def body():
    return body_model(11)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_chumpy_arrays_of_every_protocol(tmp_path, protocol):
    """Numpy's own indexing says what a Select stands for."""
    array = np.arange(24.).reshape(2, 3, 4)
    whole = chumpy_pickles.ch(array)
    rows = chumpy_pickles.select(whole, np.s_[:, 1:], array)
    content = {'whole': whole, 'rows': rows, 'again': whole,
               'nested': chumpy_pickles.select(rows, np.s_[..., [3, 0]], array[:, 1:]),
               'plain': chumpy_pickles.select(array, np.s_[1], array),
               'inside': [chumpy_pickles.ch(1.5), {'deep': chumpy_pickles.ch([1, 2])}]}
    (tmp_path / 'x.pkl').write_bytes(chumpy_pickles.dumps(content, protocol))
    read = load_pickle(tmp_path / 'x.pkl')
    wanted = {'whole': array, 'rows': array[:, 1:], 'again': array, 'nested': array[:, 1:][..., [3, 0]],
              'plain': array[1]}
    for name, value in wanted.items():
        assert read[name].shape == value.shape and np.array_equal(read[name], value), name
    assert read['inside'][0] == 1.5 and read['inside'][1]['deep'].tolist() == [1, 2]


def test_a_shared_select_is_made_once(tmp_path):
    """Each level names the one below twice: by places and by content. Without a memory that is 2^40 arrays."""
    array = np.arange(2)
    level = chumpy_pickles.select(array, np.s_[:], array)
    for _ in range(40):
        below = level
        level = chumpy_pickles.select(below, np.s_[:], array)
        level.idxs = below
    (tmp_path / 'x.pkl').write_bytes(chumpy_pickles.dumps({'x': level}))
    assert load_pickle(tmp_path / 'x.pkl')['x'].tolist() == [0, 1]


@pytest.mark.parametrize('places', [[0, 99], [-5], [0.5], ['a']])
def test_places_outside_of_a_select_are_refused(tmp_path, places):
    wrong = chumpy_pickles.select(np.zeros(3), np.s_[:], np.zeros(3))
    wrong.idxs, wrong.preferred_shape = np.array(places), (len(places),)
    (tmp_path / 'x.pkl').write_bytes(chumpy_pickles.dumps({'x': wrong}))
    with pytest.raises(BadFile, match=r'x\.pkl'):
        load_pickle(tmp_path / 'x.pkl')


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_objects_lie_beside_what_is_wanted(tmp_path, monkeypatch, protocol):
    """Nothing of theirs is imported or run, and asking for them is an error that names the class."""
    folder, mark = tmp_path / 'modules', tmp_path / 'mark'
    folder.mkdir()
    (folder / 'their_module.py').write_text(f'open({str(mark)!r}, "w")\nclass Thing(list):\n    pass\n')
    monkeypatch.syspath_prepend(folder)
    thing = importlib.import_module('their_module').Thing([1, 2])
    thing.note = Guest(3)
    content = {'means': np.ones(2), 'thing': thing, 'guest': Guest({'a': np.ones(1)}), 'class': Guest}
    (tmp_path / 'x.pkl').write_bytes(pickle.dumps(content, protocol))
    del sys.modules['their_module']
    mark.unlink()
    assert load_pickle(tmp_path / 'x.pkl', ('means', 'absent'))['means'].tolist() == [1, 1]
    assert not mark.exists() and 'their_module' not in sys.modules
    for key, name in (('thing', r'their_module\.Thing'), ('guest', r'test_pickled_arrays\.Guest'),
                      ('class', r'test_pickled_arrays\.Guest')):
        with pytest.raises(BadFile, match=rf'x\.pkl.*{name}, which is not an array'):
            load_pickle(tmp_path / 'x.pkl', (key,))
    with pytest.raises(BadFile, match='which is not an array'):
        load_pickle(tmp_path / 'x.pkl')


def boxed(value):
    box = np.empty((), object)
    box[()] = value
    return box


def test_only_the_wanted_keys_of_an_npz_are_read(tmp_path):
    """The others may hold objects, or be damaged."""
    np.savez(tmp_path / 'x.npz', pose=np.arange(3), guest=boxed(Guest(1)))
    with zipfile.ZipFile(tmp_path / 'x.npz', 'a') as archive:
        archive.writestr('damaged.npy', b'no array')
    assert list(load_npz(tmp_path / 'x.npz', ('pose', 'absent'))) == ['pose']
    for key in ('guest', 'damaged'):
        with pytest.raises(BadFile, match=rf'x\.npz: {key}\.npy'):
            load_npz(tmp_path / 'x.npz', (key,))
    with pytest.raises(BadFile, match=r'x\.npz'):
        load_npz(tmp_path / 'x.npz')


def test_annotations_leave_out_objects_of_others(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(get_logger(), 'propagate', True)
    rows = {'imgname': np.array(['a.jpg', 'b.jpg']), 'center': np.ones((2, 2)), 'scale': np.ones(2)}
    np.savez(tmp_path / 'mine.npz', **rows, guest=boxed(Guest(1)), track=np.array([4, 5]))
    people = Annotations.load(tmp_path / 'mine.npz')
    assert people.extra['track'].tolist() == [4, 5] and 'guest' not in people.extra | people.whole
    assert 'guest.npy' in caplog.text and 'left out' in caplog.text
    np.savez(tmp_path / 'wrong.npz', **rows, pose=boxed(Guest(1)), shape=np.zeros((2, 10)))
    with pytest.raises(BadFile, match=r'wrong\.npz: pose\.npy'):
        Annotations.load(tmp_path / 'wrong.npz')


def test_mesh_objects_in_mesh_downsampling(tmp_path):
    """GraphCMR's file holds meshes of a class of its own beside the matrices."""
    levels = np.empty(2, object)
    levels[:] = [scipy.sparse.csr_matrix(np.eye(4)[[2, 0, 1]]), scipy.sparse.csr_matrix(np.eye(3)[[1]])]
    np.savez(tmp_path / 'x.npz', M=np.array([Guest(1), Guest(2)]), D=levels)
    assert downsampling_matrix(tmp_path / 'x.npz', 4).toarray().tolist() == [[1, 0, 0, 0]]


def body_files(folder, body):
    """{name: file} of one body in the forms that people have."""
    wide = np.concatenate([body['shapedirs'], np.full((*body['shapedirs'].shape[:2], 290), .5)], -1)
    dense = {**body, 'J_regressor': body['J_regressor'].toarray()}
    for name, content in {
            'chumpy.pkl': chumpy_pickles.body_pickle(body), 'plain.pkl': pickle.dumps(body),
            'wide.pkl': chumpy_pickles.dumps({**body, 'shapedirs': chumpy_pickles.ch(wide)}),
            'guest.pkl': pickle.dumps({**body, 'J_regressor_prior': Guest(1)})}.items():
        (folder / name).write_bytes(content)
    np.savez(folder / 'dense.npz', **dense)
    np.savez(folder / 'wide.npz', **{**dense, 'shapedirs': wide.astype(np.float32)})
    np.savez(folder / 'sparse.npz', **{**body, 'part2num': boxed({'head': 3}), 'guest': boxed(Guest(1))})
    return sorted(folder.glob('*.pkl')) + sorted(folder.glob('*.npz'))


def test_a_body_in_every_form_is_one_body(tmp_path, standin_assets, body):
    """Chumpy or plain, 10, 16 or 300 shape components, float32 or float64, sparse or dense: the same vertices."""
    (tmp_path / 'smpl').mkdir()
    for name in ('J_regressor_extra.npy', 'J_regressor_h36m.npy'):
        (tmp_path / name).symlink_to(standin_assets / name)
    pose, betas = torch.full((1, 72), .1), torch.linspace(-1, 1, 10)[None]
    digests, meshes = set(), []
    for file in body_files(tmp_path / 'smpl', body):
        model = BodyModel(file)
        digests.add(read_body_file(file)['body_digest'])
        meshes.append(model(betas, pose=pose).vertices)
    assert len(meshes) == 7 and len(digests) == 1
    assert all(torch.allclose(mesh, meshes[0], atol=1e-5) for mesh in meshes)
    assert Path(model.file).name == 'wide.npz' and BodyModel(file, num_betas=300).mesh.shapedirs.shape[0] == 300

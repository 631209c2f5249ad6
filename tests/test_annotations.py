"""Reading and writing annotation files: every optional key, and every way in which a file can be wrong."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.annotations import Annotations
from utils.errors import BadFile, MissingFile, ProjectError, WrongBody
from utils.safe_io import load_npz, save_npz

N = 4


def spin_arrays(**changes):
    rng = np.random.default_rng(0)
    arrays = {
        'imgname': np.array([f'images/{i}.jpg' for i in range(N)]), 'center': rng.uniform(50, 90, (N, 2)),
        'scale': rng.uniform(1, 2, N), 'part': rng.uniform(0, 100, (N, 24, 3)),
        'openpose': rng.uniform(0, 100, (N, 25, 3)), 'S': rng.normal(size=(N, 24, 4)) ** 2,
        'pose': rng.normal(size=(N, 72)), 'shape': rng.normal(size=(N, 10)), 'has_smpl': np.array([1, 0, 1, 1.0]),
        'gender': np.array(['m', 'f', 'n', 'm']), 'smpl_2dkps': rng.uniform(0, 100, (N, 24, 3)),
        'maskname': np.array(['a', 'b', 'c', 'd']), 'partname': np.array(['a', 'b', 'c', 'd'])}
    arrays.update(changes)
    return {key: value for key, value in arrays.items() if value is not None}


def load(tmp_path, **changes):
    np.savez(tmp_path / 'a.npz', **spin_arrays(**changes))
    return Annotations.load(tmp_path / 'a.npz')


def assert_same(a, b):
    for name in (*Annotations.ROW_FIELDS, *Annotations.OPTIONAL_FIELDS, 'body_digest'):
        one, two = getattr(a, name), getattr(b, name)
        assert (one is None) == (two is None), name
        if one is not None:
            assert np.array_equal(one, two), name
    for one, two in ((a.extra, b.extra), (a.whole, b.whole)):
        assert one.keys() == two.keys()
        assert all(np.array_equal(one[key], two[key]) for key in one)


def test_every_key(tmp_path):
    raw = spin_arrays()
    a = load(tmp_path)
    assert len(a) == N and a.imgname.tolist() == raw['imgname'].tolist()
    assert a.keypoints_2d.dtype == np.float32 and a.center.dtype == np.float64
    assert np.allclose(a.keypoints_2d[:, :25], raw['openpose']) and np.allclose(a.keypoints_2d[:, 25:], raw['part'])
    assert np.allclose(a.joints_3d, raw['S']) and a.has_joints_3d.all()
    assert np.allclose(a.pose, raw['pose'], atol=1e-6) and a.has_smpl.tolist() == [True, False, True, True]
    assert a.gender.tolist() == [0, 1, -1, 0] and a.maskname[1] == 'b'
    assert np.allclose(a.smpl_keypoints_2d, raw['smpl_2dkps'])


OPTIONAL = ['part', 'openpose', 'S', 'pose', 'shape', 'has_smpl', 'gender', 'smpl_2dkps', 'maskname', 'partname']


@pytest.mark.parametrize('absent', OPTIONAL)
def test_each_key_may_be_absent(tmp_path, absent):
    a = load(tmp_path, **{absent: None})
    states = {'part': not a.keypoints_2d[:, 25:].any(), 'openpose': not a.keypoints_2d[:, :25].any(),
              'S': not a.has_joints_3d.any(), 'pose': not a.has_smpl.any(), 'shape': not a.has_smpl.any(),
              'has_smpl': a.has_smpl.all(), 'gender': (a.gender == -1).all(),
              'smpl_2dkps': a.smpl_keypoints_2d is None, 'maskname': a.maskname is None,
              'partname': a.partname is None}
    assert states[absent]
    assert not any(states[key] for key in OPTIONAL
                   if key != absent and {key, absent} not in ({'pose', 'shape'}, {'pose', 'has_smpl'}))


def test_only_the_box(tmp_path):
    a = load(tmp_path, **dict.fromkeys(OPTIONAL))
    assert not (a.keypoints_2d.any() or a.has_joints_3d.any() or a.has_smpl.any()) and (a.gender == -1).all()
    person = a.person(2)
    assert person.scale == a.scale[2] and person.smpl_keypoints_2d is None and not person.has_smpl


@pytest.mark.parametrize('full', [True, False])
def test_saved_and_read_again(tmp_path, full):
    changes = {'action': np.arange(N), 'camera': np.eye(3), 'body_digest': np.array('cafe')} if full else (
        dict.fromkeys(OPTIONAL))
    a = load(tmp_path, **changes)
    assert (set(a.extra), set(a.whole), a.body_digest) == (
        ({'action'}, {'camera'}, 'cafe') if full else (set(), set(), None))
    a.save(tmp_path / 'b.npz')
    assert_same(a, Annotations.load(tmp_path / 'b.npz'))


def test_subset_and_concatenate(tmp_path):
    a = load(tmp_path, action=np.arange(N))
    assert_same(Annotations.concatenate([a.subset([0]), a.subset(slice(1, 3)), a.subset(np.arange(N) == 3)]), a)
    assert a.subset([3, 0]).imgname.tolist() == ['images/3.jpg', 'images/0.jpg']
    joined = Annotations.concatenate([a, load(tmp_path, maskname=None, smpl_2dkps=None)])
    assert len(joined) == 2 * N and joined.maskname.tolist() == ['a', 'b', 'c', 'd', '', '', '', '']
    assert not joined.smpl_keypoints_2d[N:].any() and joined.extra == {}
    one, two = load(tmp_path, body_digest=np.array('1')), load(tmp_path, body_digest=np.array('2'))
    with pytest.raises(WrongBody, match='different bodies'):
        Annotations.concatenate([one, two])


@pytest.mark.parametrize('key,value,message', [
    ('part', np.zeros((N, 24, 2)), r"'part' has shape \[4, 24, 2\], wanted is \[4, 24, 3\]"),
    ('openpose', np.zeros((N + 1, 25, 3)), r"'openpose' has shape \[5, 25, 3\], wanted is \[4, 25, 3\]"),
    ('pose', np.zeros((N, 24, 3)), r"'pose' has shape \[4, 24, 3\], wanted is \[4, 72\]"),
    ('shape', np.zeros(()), r"'shape' has shape \[\], wanted is \[4, 10\]"),
    ('scale', np.zeros((N, 1)), r"'scale' has shape \[4, 1\], wanted is \[4\]"),
    ('scale', np.array([1, 2, 0, 1.0]), "'scale', row 2: 0.0 is not a usable box"),
    ('center', np.full((N, 2), np.nan), "'center', row 0: .* is not a usable box"),
    ('imgname', np.array('one'), r"'imgname' has shape \[\], wanted is \[N\]"),
    ('imgname', np.arange(N), "'imgname' holds int64, text is wanted"),
    ('imgname', np.array([b'a', b'\xff', b'c', b'd']), 'not UTF-8'),
    ('imgname', None, "no key 'imgname'"),
    ('center', None, "no key 'center'"),
    ('pose', np.full((N, 72), 'x'), "'pose' holds <U1, numbers are wanted"),
    ('S', np.zeros((N, 24, 4), complex), "'S' holds complex128"),
    ('gender', np.array(['m', 'f', 'x', 'm']), "'gender' holds something other"),
    ('gender', np.array([0, 1, 2, 0]), "'gender' holds something other"),
    ('part', np.array([np.zeros((24, 3)), None, 1, 2], dtype=object), r"'part' has shape \[4\]"),
])
def test_wrong_key_is_named(tmp_path, key, value, message):
    with pytest.raises(BadFile, match=rf'a\.npz.*{message}') as caught:
        load(tmp_path, **{key: value})
    assert '\n' not in str(caught.value)


def test_names_as_bytes_or_objects(tmp_path):
    for names in (np.array([b'a', b'b', b'c', b'd']), np.array(['a', b'b', 'c', 'd'], dtype=object)):
        assert load(tmp_path, imgname=names).imgname.tolist() == ['a', 'b', 'c', 'd']


def test_unusable_numbers_become_absent_and_are_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('datasets.annotations.log_once', said.append)
    part = spin_arrays()['part']
    part[0, 3, 1], part[1, 4, 2], part[2, 5, 0], part[3, 6, 2] = np.nan, np.inf, 1e300, -1
    pose = spin_arrays()['pose']
    pose[2, 7] = np.nan
    a = load(tmp_path, part=part, pose=pose)
    assert a.keypoints_2d[[0, 1, 2, 3], [28, 29, 30, 31], 2].tolist() == [0, 0, 0, 0]
    assert np.isfinite(a.keypoints_2d).all() and np.isfinite(a.pose).all()
    assert a.has_smpl.tolist() == [True, False, False, True]
    assert len(said) == 2 and '3 of 96 points' in said[0] and '1 of 4 rows' in said[1]


def test_files_that_are_no_annotations(tmp_path):
    with pytest.raises(MissingFile, match=r'none\.npz'):
        Annotations.load(tmp_path / 'none.npz')
    (tmp_path / 'text.npz').write_text('no zip')
    save_npz(tmp_path / 'other.npz', weights=np.zeros(3))
    for name in ('text.npz', 'other.npz'):
        with pytest.raises(BadFile, match=name):
            Annotations.load(tmp_path / name)


def test_disk_error_leaves_the_old_file(tmp_path):
    a = load(tmp_path)
    a.save(tmp_path / 'b.npz')
    a.extra['broken'] = _Unwritable()
    with pytest.raises(RuntimeError):
        a.save(tmp_path / 'b.npz')
    assert len(load_npz(tmp_path / 'b.npz')['imgname']) == N
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a.npz', 'b.npz']


class _Unwritable:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError('cannot be written')


SHAPES = st.lists(st.integers(0, 5), max_size=3).map(tuple)
VALUES = st.one_of(
    st.builds(lambda shape, value, kind: np.full(shape, value).astype(kind), SHAPES,
              st.sampled_from([0, 1, -1, np.nan, np.inf]), st.sampled_from(['f8', 'f2', 'S4', 'U4', 'O'])),
    st.builds(lambda value: np.full(spin_arrays()['part'].shape, value),
              st.sampled_from([0.0, np.nan, np.inf, 1e300])),
    st.none())


@settings(max_examples=150, deadline=None)
@given(key=st.sampled_from(sorted(spin_arrays())), value=VALUES)
def test_any_change_ends_in_annotations_or_our_own_error(tmp_path_factory, key, value):
    path = tmp_path_factory.getbasetemp() / 'mutated.npz'
    with np.errstate(all='ignore'):
        np.savez(path, **spin_arrays(**{key: value}))
    try:
        a = Annotations.load(path)
    except ProjectError as error:
        assert 'mutated.npz' in str(error) and '\n' not in str(error)
    else:
        assert np.isfinite(a.keypoints_2d).all() and np.isfinite(a.joints_3d).all() and np.isfinite(a.pose).all()

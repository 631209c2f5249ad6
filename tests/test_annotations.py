"""Reading and writing annotation files: every optional key, and files that are wrong."""
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.annotations import Annotations
from datasets.humandata import write_humandata
from tests.conftest import ROOT
from utils.errors import BadFile, MissingFile, ProjectError, WrongBody
from utils.keypoints import COMMON_JOINTS
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
    ('part', np.zeros((N, 24, 2)), r"'part' has shape \[4, 24, 2\], but must be \[4, 24, 3\]"),
    ('openpose', np.zeros((N + 1, 25, 3)), r"'openpose' has shape \[5, 25, 3\], but must be \[4, 25, 3\]"),
    ('pose', np.zeros((N, 24, 3)), r"'pose' has shape \[4, 24, 3\], but must be \[4, 72\]"),
    ('shape', np.zeros(()), r"'shape' has shape \[\], but must be \[4, 10\]"),
    ('scale', np.zeros((N, 1)), r"'scale' has shape \[4, 1\], but must be \[4\]"),
    ('scale', np.array([1, 2, 0, 1.0]), "'scale', row 2: 0.0 is not a valid box"),
    ('center', np.full((N, 2), np.nan), "'center', row 0: .* is not a valid box"),
    ('imgname', np.array('one'), r"'imgname' has shape \[\], but must be \[N\]"),
    ('imgname', np.arange(N), "'imgname' has type int64, but must be text"),
    ('imgname', np.array([b'a', b'\xff', b'c', b'd']), 'not UTF-8'),
    ('imgname', None, "no key 'imgname'"),
    ('center', None, "no key 'center'"),
    ('pose', np.full((N, 72), 'x'), "'pose' has type <U1, but must be numbers"),
    ('S', np.zeros((N, 24, 4), complex), "'S' has type complex128"),
    ('gender', np.array(['m', 'f', 'x', 'm']), "'gender' has other values"),
    ('gender', np.array([0, 1, 2, 0]), "'gender' has other values"),
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


def test_a_scale_in_pixels_is_said(tmp_path, caplog):
    """SPIN's scale is the side of the box over 200. Points of 0 to 100 px are in boxes of 200 to 400."""
    load(tmp_path)
    assert 'scale' not in caplog.text
    load(tmp_path, scale=200 * spin_arrays()['scale'])
    assert '`scale` is the side of a box in pixels, over 200' in caplog.text


def test_the_page_names_the_joints():
    """docs/data.md, "The 24 joints": this project's numbers and COCO's, which are those of COCO's annotation files."""
    text = (ROOT / 'docs/data.md').read_text(encoding='utf-8')
    found = re.findall(r'\| (\d+) \| `(\w+)` \| (\d+|-)(?= \|)', text.split('### The 24 joints')[1].split('\n#')[0])
    assert [name for _, name, _ in sorted(found, key=lambda row: int(row[0]))] == list(COMMON_JOINTS)
    parts = ('eye', 'ear', 'shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
    coco = ['nose', *(f'{side}_{part}' for part in parts for side in ('left', 'right'))]
    assert all((coco[int(number)] == name) if number != '-' else name not in coco for _, name, number in found)
    assert sum(number != '-' for *_, number in found) == 17


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


def humandata_arrays(compressed, **changes):
    """A HumanData file as mmhuman3d writes it, with 30 of the 190 joints."""
    rng = np.random.default_rng(1)
    joints = np.array([*range(0, 12), 30, 55, *range(144, 160)])  # SMPL's first 12, a finger, nose, extra, OpenPose
    mask = np.zeros(190, np.uint8)
    mask[joints] = 1
    full2d, full3d = rng.uniform(1, 9, (N, 190, 3)) * mask[:, None], rng.uniform(1, 9, (N, 190, 4)) * mask[:, None]
    boxes = np.array([[10, 20, 30, 50, 1], [0.5, 1, 70, 70, 1], [3, 3, 9, 8, 0.5], [1, 1, 1, 1, 1]])

    def boxed(value):
        array = np.empty((), object)
        array[()] = value
        return array
    arrays = {
        'image_path': np.array([f'{i}.jpg' for i in range(N)]), 'bbox_xywh': boxes,
        'keypoints2d': full2d[:, joints] if compressed else full2d, 'keypoints2d_mask': mask,
        'keypoints3d': full3d[:, joints] if compressed else full3d, 'keypoints3d_mask': mask,
        'smpl': boxed({'body_pose': rng.normal(size=(N, 23, 3)), 'global_orient': rng.normal(size=(N, 3)),
                       'betas': rng.normal(size=(N, 10)), 'transl': rng.normal(size=(N, 3))}),
        'has_smpl': np.array([1, 1, 0, 1]), 'meta': boxed({'gender': ['f', 'm', 'm', 'f'], 'height': [5, 6, 7, 8]}),
        'misc': boxed({'bbox_source': 'provided', 'lists': [[1], [1, 2]]}), 'config': np.array('coco'),
        '__data_len__': np.array(N), '__key_strict__': np.array(False),
        '__keypoints_compressed__': np.array(compressed)}
    arrays.update(changes)
    return {key: value for key, value in arrays.items() if value is not None}, full2d, full3d


@pytest.mark.parametrize('compressed', [True, False])
def test_humandata(tmp_path, compressed):
    raw, full2d, full3d = humandata_arrays(compressed)
    np.savez(tmp_path / 'h.npz', **raw)
    a = Annotations.load(tmp_path / 'h.npz')
    assert np.allclose(a.center[:2], [[25, 45], [35.5, 36]]) and np.allclose(a.scale[:3], [0.25, 0.35, 0.045])
    nose, right_knee, right_hip, openpose_nose = 25 + 19, 25 + 1, 25 + 2, 0
    for ours, theirs in ((nose, 55), (right_knee, 5), (right_hip, 144), (openpose_nose, 153)):
        half = 0 if ours == openpose_nose else .5  # OpenPose's points have it already
        assert np.allclose(a.keypoints_2d[:, ours], full2d[:, theirs] + [half, half, 0])
    assert not a.keypoints_2d[:, 25 + 6].any()  # a wrist, which this file lacks
    assert np.allclose(a.joints_3d[:, 1], full3d[:, 5]) and a.has_joints_3d.all()
    smpl = raw['smpl'].item()
    assert np.allclose(a.pose[:, :3], smpl['global_orient']) and np.allclose(a.betas, smpl['betas'])
    assert np.allclose(a.pose[:, 3:].reshape(N, 23, 3), smpl['body_pose'])
    assert a.has_smpl.tolist() == [True, True, False, True] and a.gender.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize('compressed', [True, False])
def test_humandata_is_written_with_every_value(tmp_path, compressed):
    raw, full2d, full3d = humandata_arrays(compressed)
    np.savez(tmp_path / 'h.npz', **raw)
    a = Annotations.load(tmp_path / 'h.npz')
    write_humandata(a, tmp_path / 'w.npz')
    written = load_npz(tmp_path / 'w.npz')
    for key, full in (('keypoints2d', full2d), ('keypoints3d', full3d)):
        columns = np.flatnonzero(written[f'{key}_mask'])
        expanded = np.zeros(full.shape)
        expanded[:, columns] = written[key]
        if key == 'keypoints2d':  # written files count all pixels from 0, OpenPose's too
            full = full - np.where(np.isin(np.arange(190), np.arange(153, 178))[:, None], [.5, .5, 0], 0)
        assert np.allclose(expanded[full[..., -1] > 0], full[full[..., -1] > 0])
    assert np.array_equal(written['bbox_xywh'], raw['bbox_xywh'])
    smpl, meta, misc = (written[key].item() for key in ('smpl', 'meta', 'misc'))
    assert all(np.allclose(smpl[key], value) for key, value in raw['smpl'].item().items())
    assert list(meta['gender']) == ['f', 'm', 'm', 'f'] and list(meta['height']) == [5, 6, 7, 8]
    assert misc['bbox_source'] == 'provided' and misc['lists'].item() == [[1], [1, 2]]
    assert written['config'] == 'coco' and written['has_smpl'].tolist() == [1, 1, 0, 1]
    assert written['__data_len__'] == N and written['__keypoints_compressed__']
    again = Annotations.load(tmp_path / 'w.npz')
    assert_same(a.subset([0, 1, 2, 3]), again)
    a.save(tmp_path / 's.npz')  # and through SPIN's form
    write_humandata(Annotations.load(tmp_path / 's.npz'), tmp_path / 'w2.npz')
    assert_same(Annotations.load(tmp_path / 'w2.npz'), again)


def test_spin_labels_through_humandata(tmp_path):
    a = load(tmp_path, action=np.arange(N), body_digest=np.array('cafe'))
    write_humandata(a, tmp_path / 'h.npz')
    b = Annotations.load(tmp_path / 'h.npz')
    assert np.allclose(a.center, b.center, atol=1e-9) and np.allclose(a.scale, b.scale)
    a.center, a.scale = b.center, b.scale  # through x = centre - side / 2 and back, to rounding
    b.extra.pop('bbox_xywh', None)
    assert_same(a, b)


@pytest.mark.parametrize('changes,message', [
    ({'bbox_xywh': None}, "no key 'bbox_xywh'"),
    ({'bbox_xywh': np.zeros((N, 5))}, "'scale', row 0: 0.0 is not a valid box"),
    ({'bbox_xywh': np.zeros((N, 3))}, r"'bbox_xywh' has shape \[4, 3\], but must be \[4, 5\]"),
    ({'keypoints2d': np.zeros((N, 17, 3))}, r"'keypoints2d' has shape \[4, 17, 3\]"),
    ({'keypoints2d': np.zeros((N, 30))}, r"'keypoints2d' has shape \[4, 30\]"),
    ({'keypoints2d_mask': np.zeros(17)}, r"'keypoints2d_mask' has shape \[17\]"),
    ({'keypoints2d_mask': None}, r"'keypoints2d' has shape \[4, 30, 3\]"),
    ({'keypoints3d': np.zeros((N, 30, 3))}, r"'keypoints3d' has shape \[4, 30, 3\], but must be \[4, 30, 4\]"),
    ({'keypoints2d_convention': np.array('coco')}, 'convention coco'),
    ({'smpl': np.array({'body_pose': np.zeros((N, 21, 3)), 'global_orient': np.zeros((N, 3)),
                        'betas': np.zeros((N, 10))}, dtype=object)}, r"'smpl.body_pose' has shape \[4, 21, 3\]"),
])
def test_wrong_humandata_key_is_named(tmp_path, changes, message):
    np.savez(tmp_path / 'h.npz', **humandata_arrays(True, **changes)[0])
    with pytest.raises(BadFile, match=rf'h\.npz.*{message}'):
        Annotations.load(tmp_path / 'h.npz')


@pytest.mark.parametrize('make', [spin_arrays, lambda: humandata_arrays(True)[0]])
def test_a_file_without_people(tmp_path, make):
    empty = {key: value[:0] if np.ndim(value) and len(value) == N else value for key, value in make().items()}
    if 'smpl' in empty:
        empty['smpl'] = np.array({key: value[:0] for key, value in empty['smpl'].item().items()}, dtype=object)
        empty['meta'] = np.array({'gender': []}, dtype=object)
    np.savez(tmp_path / 'e.npz', **empty)
    assert len(Annotations.load(tmp_path / 'e.npz')) == 0


SHAPES = st.lists(st.integers(0, 5), max_size=3).map(tuple)
VALUES = st.one_of(
    st.builds(lambda shape, value, kind: np.full(shape, value).astype(kind), SHAPES,
              st.sampled_from([0, 1, -1, np.nan, np.inf]), st.sampled_from(['f8', 'f2', 'S4', 'U4', 'O'])),
    st.builds(lambda value: np.full(spin_arrays()['part'].shape, value),
              st.sampled_from([0.0, np.nan, np.inf, 1e300])),
    st.none())


KINDS = {'spin': spin_arrays, 'humandata': lambda **changes: humandata_arrays(True, **changes)[0]}


@settings(max_examples=300, deadline=None)
@given(which=st.sampled_from([(kind, key) for kind, make in KINDS.items() for key in sorted(make())]), value=VALUES)
def test_any_change_ends_in_annotations_or_our_own_error(tmp_path_factory, which, value):
    path = tmp_path_factory.getbasetemp() / 'mutated.npz'
    kind, key = which
    with np.errstate(all='ignore'):
        np.savez(path, **KINDS[kind](**{key: value}))
    try:
        a = Annotations.load(path)
    except ProjectError as error:
        assert 'mutated.npz' in str(error) and '\n' not in str(error)
    else:
        assert np.isfinite(a.keypoints_2d).all() and np.isfinite(a.joints_3d).all() and np.isfinite(a.pose).all()

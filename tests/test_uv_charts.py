"""The 24 charts of the free body, their mirror images, and the six-part texture."""
import numpy as np
import pytest
import scipy.sparse
from scipy.spatial import cKDTree

from datasets.synthetic.body.chart_checks import folded_faces, overlapping_faces
from datasets.synthetic.body.chart_layout import MIRRORED_PART, face_neighbours
from datasets.synthetic.body.part_texture import SIX_PARTS
from datasets.synthetic.body.uv_charts import _mean_value_weights, _solve, _stretched_map
from utils.iuv import load_charts
from utils.safe_io import load_mat, load_npy, load_npz


@pytest.fixture(scope='module')
def charts(free_assets):
    """faces [F,3], part [F], corner UV [F,3,2]."""
    return load_charts(free_assets / 'UV_data' / 'UV_Processed.mat')[:3]


@pytest.fixture(scope='module')
def body(free_assets):
    return load_npz(free_assets / 'smpl' / 'SMPL_NEUTRAL.npz')


def test_file_is_densepose_layout(free_assets, body):
    mat = load_mat(free_assets / 'UV_data' / 'UV_Processed.mat')
    faces, points = len(body['f']), mat['All_vertices'].shape[1]
    assert mat['All_Faces'].shape == (faces, 3) and mat['All_FaceIndices'].shape == (faces, 1)
    assert mat['All_U_norm'].shape == mat['All_V_norm'].shape == (points, 1)
    assert mat['All_Faces'].min() == 1 and mat['All_Faces'].max() == points
    assert str(mat['body_digest'][0]) == str(body['body_digest'])


def test_each_body_face_is_in_one_chart(charts, body):
    faces, part, _ = charts
    np.testing.assert_array_equal(faces, body['f'].astype(np.int64))
    assert sorted(set(part.tolist())) == list(range(1, 25))


def test_charts_are_disks(charts):
    faces, part, _ = charts
    for number in range(1, 25):
        mine = faces[part == number]
        pieces, _ = scipy.sparse.csgraph.connected_components(face_neighbours(mine), directed=False)
        edges = np.unique(np.sort(np.concatenate([mine[:, [0, 1]], mine[:, [1, 2]], mine[:, [2, 0]]]), 1), axis=0)
        assert pieces == 1 and len(np.unique(mine)) - len(edges) + len(mine) == 1


def test_no_folds(charts):
    _, part, corner_uv = charts
    assert corner_uv.min() >= 0 and corner_uv.max() <= 1
    assert folded_faces(corner_uv, part).sum() == 0
    assert overlapping_faces(corner_uv, part).mean() < 0.01


def test_charts_use_their_square(charts):
    _, part, corner_uv = charts
    a, b, c = corner_uv.swapaxes(0, 1)
    area = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert (np.bincount(part, area)[1:] > 0.9).all()


def test_parts_lie_where_densepose_has_them(charts, body):
    faces, part, _ = charts
    centre = body['v_template'][faces].mean(1)
    joints = body['J_regressor'] @ body['v_template']
    x, y, z = np.stack([[centre[part == n, axis].mean() for n in range(1, 25)] for axis in range(3)])
    x, y, z = (np.concatenate([[0], v]) for v in (x, y, z))
    left, right = [4, 5, 8, 10, 12, 14, 15, 17, 19, 21, 24], [3, 6, 7, 9, 11, 13, 16, 18, 20, 22, 23]
    assert (x[left] > 0.02).all() and (x[right] < -0.02).all()
    assert z[2] > z[1] + 0.05                                                       # torso front, back
    assert all(z[f] > z[b] + 0.03 for f, b in ((10, 8), (9, 7), (14, 12), (13, 11)))  # legs front, back
    assert all(y[o] > y[i] + 0.02 for o, i in ((17, 15), (18, 16), (21, 19), (22, 20)))  # arms outer (up in T), inner
    assert x[4] > joints[20, 0] > x[21] > joints[18, 0] > x[17] > joints[16, 0]
    assert y[24] > joints[12, 1] and y[10] > joints[4, 1] > y[14] > joints[7, 1] > y[5]


def test_symmetry_transforms_lead_to_the_mirrored_point(free_assets, charts, body):
    faces, part, corner_uv = charts
    tables = load_mat(free_assets / 'UV_data' / 'UV_symmetry_transforms.mat')
    mirror = cKDTree(body['v_template']).query(body['v_template'] * [-1, 1, 1])[1]
    found = {}
    for n, face, uv in zip(part, faces, corner_uv):
        for vertex, place in zip(face, uv):
            found[n, vertex] = place
    for (n, vertex), (u, v) in list(found.items())[::5]:
        row, column = int(round(v * 255)), int(round(u * 255))
        turned = [tables[f'{axis}_transforms'][0, n - 1][row, column] for axis in 'UV']
        np.testing.assert_allclose(turned, found[MIRRORED_PART[n], mirror[vertex]], atol=1 / 255)
    assert tables['U_transforms'][0, 3].shape == (256, 256)


def test_six_parts_come_out_as_spin_reads_them(free_assets, charts):
    """SPIN looks a face's colour up in the cube, in hundredths."""
    faces, part, _ = charts
    texture, cube = load_npy(free_assets / 'vertex_texture.npy'), load_npy(free_assets / 'cube_parts.npy')
    assert texture.shape == (1, len(faces), 2, 2, 2, 3) and cube.shape == (100, 100, 100)
    index = np.floor(100 * texture[0, :, 0, 1, 0]).astype(int)
    np.testing.assert_array_equal(cube[tuple(index.T)], SIX_PARTS[part])
    assert set(SIX_PARTS[part]) == {1, 2, 3, 4, 5, 6} and cube[0, 0, 0] == 0


def test_overlaps_are_seen():
    lower = [[0, 0], [1, 0], [1, 1]]
    upper, over, beside = [[0, 0], [1, 1], [0, 1]], [[0.5, 0.1], [1.5, 0.1], [0.9, 0.6]], [[2, 0], [3, 0], [2, 1]]
    corner_uv = np.array([lower, upper, over, beside], float)
    assert overlapping_faces(corner_uv, np.ones(4, int)).tolist() == [True, False, True, False]
    assert not overlapping_faces(corner_uv, np.array([1, 1, 2, 1])).any()
    turned = corner_uv.copy()
    turned[1] = turned[1, ::-1]
    assert folded_faces(turned, np.ones(4, int)).tolist() == [False, True, False, False]


def _grid(side):
    y, x = np.mgrid[0:side, 0:side] / (side - 1)
    points = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1)
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    faces = np.concatenate([np.stack([corner, corner + 1, corner + side + 1], 1),
                            np.stack([corner, corner + side + 1, corner + side], 1)])
    ring = [*range(side), *range(2 * side - 1, side * side, side), *range(side * side - 2, side * (side - 1) - 1, -1),
            *range(side * (side - 2), 0, -side)]
    return points, faces, np.array(ring)


def test_mean_value_map_reproduces_the_plane():
    """Mean-value coordinates have linear precision: a flat part with its own boundary is unchanged."""
    points, faces, rim = _grid(9)
    rng = np.random.default_rng(0)
    inner = np.setdiff1d(np.arange(81), rim)
    points[inner, :2] += rng.uniform(-0.03, 0.03, (len(inner), 2))
    uv = _solve(_mean_value_weights(points, faces), rim, points[rim, :2])
    np.testing.assert_allclose(uv, points[:, :2], atol=1e-9)


def test_a_long_finger_gets_room_and_does_not_fold():
    points, faces, rim = _grid(25)
    distance = np.linalg.norm(points[:, :2] - 0.5, axis=1)
    points[:, 2] = 3 * np.clip(1 - distance / 0.25, 0, 1)
    flat = _solve(_mean_value_weights(points, faces), rim, points[rim, :2])
    even = _stretched_map(points, faces, rim, points[rim, :2])
    part = np.ones(len(faces), int)
    assert not folded_faces(even[faces], part).any() and not overlapping_faces(even[faces], part).any()
    tip = (distance < 0.15)[faces].all(1)

    def area(uv):
        a, b, c = uv[faces[tip]].swapaxes(0, 1)
        return np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum() / 2
    assert area(even) > 1.5 * area(flat)

"""Left and right of every joint set by geometry: the direction of the feet, not names, tells the body's left."""
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse.csgraph
import torch
from smplx.vertex_ids import vertex_ids

from datasets.dense_points import _PART_MIRROR
from datasets.preprocess.h36m import _JOINTS as H36M_OF_32
from datasets.preprocess.joints import H36M17_TO_COMMON, LSP14_TO_COMMON
from datasets.preprocess.mpi_inf_3dhp import _TEST_JOINTS, _TRAIN_JOINTS
from datasets.preprocess.mpii import _TO_COMMON as MPII_TO_COMMON
from datasets.preprocess.pw3d import _OPENPOSE18
from datasets.synthetic.body.part_texture import SIX_PARTS
from models.body import BodyModel
from models.danet.parts import COVER_PARTS, CROP_PARTS
from utils.keypoints import (
    BODY54_TO_J49,
    COMMON_JOINTS,
    EXTRA_JOINTS,
    H36M_JOINTS,
    H36M_TO_J14,
    H36M_TO_J17,
    J24_FLIP,
    J24_TO_COCO,
    J24_TO_J14,
    J24_TO_J17,
    J49_FLIP,
    JOINT_NAMES,
    SMPL_FLIP,
    SMPL_JOINTS,
    VERTEX_JOINTS,
)
from utils.safe_io import load_json, load_mat, load_npy

REAL = Path(__file__).resolve().parents[2] / 'shared' / 'real'


def words(text):
    return text.split()


# Published orders of the datasets, from their documentation.
LSP = words('''
    right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow right_shoulder
    left_shoulder left_elbow left_wrist neck head_top''')
MPII = words('''
    right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax neck head_top right_wrist
    right_elbow right_shoulder left_shoulder left_elbow left_wrist''')
COCO = words('''
    nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist
    right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle''')
OPENPOSE_25 = words('''
    nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist mid_hip right_hip
    right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear left_toe left_toe
    left_heel right_toe right_toe right_heel''')
OPENPOSE_18 = words('''
    nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee
    right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear''')
HUMAN36M_32 = {11: 'hip', 6: 'left_hip', 7: 'left_knee', 8: 'left_ankle', 1: 'right_hip', 2: 'right_knee',
               3: 'right_ankle', 12: 'spine', 24: 'thorax', 14: 'nose', 15: 'head', 17: 'left_shoulder',
               18: 'left_elbow', 19: 'left_wrist', 25: 'right_shoulder', 26: 'right_elbow', 27: 'right_wrist'}
MPI_INF_3DHP_28 = words('''
    spine3 spine4 spine2 spine pelvis neck head head_top left_clavicle left_shoulder left_elbow left_wrist
    left_hand right_clavicle right_shoulder right_elbow right_wrist right_hand left_hip left_knee left_ankle
    left_foot left_toe right_hip right_knee right_ankle right_foot right_toe''')
MPI_INF_3DHP_TEST = words('''
    head_top neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee
    right_ankle left_hip left_knee left_ankle pelvis spine head''')
# DensePose's parts that have a side, from its list.
LEFT_PARTS, RIGHT_PARTS = {4, 5, 8, 10, 12, 14, 15, 17, 19, 21}, {3, 6, 7, 9, 11, 13, 16, 18, 20, 22}
NEAR = 0.12  # metres between two datasets' definitions of a joint


@pytest.fixture(scope='module')
def body(free_assets):
    return BodyModel(free_assets)


@pytest.fixture(scope='module')
def sets(body, free_assets):
    """() -> {set: (names, [J,3])} of the body in a pose [72]."""
    def posed(pose=None):
        rotvec = torch.zeros(1, 72) if pose is None else torch.as_tensor(pose, dtype=torch.float32).view(1, 72)
        with torch.no_grad():
            out = body(torch.zeros(1, 10), pose=rotvec)
        vertices = out.vertices[0].numpy()
        ids = load_json(free_assets / 'vertex_ids.json')
        return {'smpl': (SMPL_JOINTS, out.smpl_joints[0].numpy()), 'j49': (JOINT_NAMES, out.joints[0].numpy()),
                'vertices': (VERTEX_JOINTS, vertices[[ids[name] for name in VERTEX_JOINTS]]),
                'extra': (EXTRA_JOINTS, load_npy(free_assets / 'J_regressor_extra.npy') @ vertices),
                'h36m': (H36M_JOINTS, load_npy(free_assets / 'J_regressor_h36m.npy') @ vertices)}
    return posed


@pytest.fixture(scope='module')
def left(body):
    """The body's left, a unit vector: up x forward. Forward is the direction from the ankles to the feet."""
    with torch.no_grad():
        vertices = body(torch.zeros(1, 10), pose=torch.zeros(1, 72)).vertices[0].numpy()
    height = (vertices[:, 1] - vertices[:, 1].min()) / np.ptp(vertices[:, 1])
    forward = vertices[height < 0.03].mean(0) - vertices[(height > 0.06) & (height < 0.2)].mean(0)
    assert abs(forward[2]) > 0.03
    return np.cross([0, 1, 0], [0, 0, np.sign(forward[2])])


def named_side(name):
    """1 for a name of the left side, -1 for one of the right, else 0."""
    words = name.lower().split('_')
    if 'left' in words or 'right' in words:
        return 1 if 'left' in words else -1
    return {'l': 1, 'r': -1}.get(name[0].lower(), 0) if name in VERTEX_JOINTS else 0


def test_every_named_set_by_geometry(sets, left):
    for title, (names, points) in sets().items():
        sides = np.array([named_side(name) for name in names])
        across = points @ left
        assert (sides != 0).sum() >= 2
        assert (np.sign(across[sides != 0]) == sides[sides != 0]).all(), title
        assert np.abs(across[sides != 0]).min() > 0.02 and np.abs(across[sides == 0]).max() < 0.02, title


@pytest.mark.parametrize('which', [1, -1])
def test_a_moved_limb_moves_the_rows_of_its_side(sets, left, which):
    """A knee and a shoulder of one side, chosen by their places, are rotated. Only that side's joints move."""
    before = sets()
    joints = before['smpl'][1]
    pose = np.zeros((24, 3))
    for pair, turn in (((4, 5), (1.2, 0, 0)), ((16, 17), (0, 0, 1.0 * which))):
        pose[[j for j in pair if joints[j] @ left * which > 0]] = turn
    moved = {title: np.linalg.norm(points - before[title][1], axis=1) > 0.05
             for title, (_, points) in sets(pose.ravel()).items()}
    for title, rows in moved.items():
        names = before[title][0]
        assert all(named_side(names[row]) == which for row in np.flatnonzero(rows)), title
    side = 'left' if which == 1 else 'right'
    assert {H36M_JOINTS[row] for row in np.flatnonzero(moved['h36m'])} == {
        f'{side}_{joint}' for joint in ('ankle', 'elbow', 'wrist')}


def common_points(sets):
    return dict(zip(COMMON_JOINTS, sets()['j49'][1][25:]))


def test_orders_of_datasets_by_geometry(sets, left):
    """A dataset's left joints lie on the body's left, near the joints of the same names."""
    common, openpose = common_points(sets), sets()['j49'][1][:25]
    h36m_32 = [HUMAN36M_32[index] for index in H36M_OF_32]
    train, test = [MPI_INF_3DHP_28[i] for i in _TRAIN_JOINTS], [MPI_INF_3DHP_TEST[i] for i in _TEST_JOINTS]
    orders = {'lsp': (LSP, LSP14_TO_COMMON), 'mpii': (MPII, MPII_TO_COMMON), 'coco': (COCO, J24_TO_COCO),
              'h36m': (h36m_32, H36M17_TO_COMMON), '3dhp': (train, H36M17_TO_COMMON), '3dhp test': (
                  test, H36M17_TO_COMMON)}
    points = {name: [common[COMMON_JOINTS[slot]] for slot in slots] for name, (_, slots) in orders.items()}
    names = {name: theirs for name, (theirs, _) in orders.items()}
    points['openpose'], names['openpose'] = openpose, OPENPOSE_25
    points['openpose 18'], names['openpose 18'] = openpose[_OPENPOSE18], OPENPOSE_18
    smpl = dict(zip(*sets()['smpl']))
    for title, theirs in names.items():
        assert len(theirs) == len(points[title])
        for name, point in zip(theirs, points[title]):
            side = named_side(name)
            assert np.sign(point @ left) == side if side else abs(point @ left) < 0.02, (title, name)
            if name in smpl and name != 'head':  # SMPL's head is a joint, other heads are the face or the crown
                assert np.linalg.norm(point - smpl[name]) < NEAR, (title, name)


def test_compared_joints_are_the_same_ones(sets, left):
    """Evaluation compares 14 and 17 joints of the mesh with those of the labels."""
    h36m, common = sets()['h36m'][1], sets()['j49'][1][25:]
    for of_mesh, of_labels in ((H36M_TO_J17, J24_TO_J17), (H36M_TO_J14, J24_TO_J14)):
        mesh, labels = h36m[list(of_mesh)], common[list(of_labels)]
        assert np.linalg.norm(mesh - labels, axis=1).max() < NEAR
        sides = np.abs(labels @ left) > 0.02
        assert sides.sum() == 12 and (np.sign(mesh @ left) == np.sign(labels @ left))[sides].all()


def test_flips_by_mirror(sets):
    """The body is symmetric, so mirrored joints in the flip's order equal the joints."""
    mirror = np.array([-1, 1, 1])
    for title, flip in (('smpl', SMPL_FLIP), ('j49', J49_FLIP)):
        points = sets()[title][1]
        np.testing.assert_allclose(points[flip] * mirror, points, atol=2e-3)
    common = sets()['j49'][1][25:]
    np.testing.assert_allclose(common[J24_FLIP] * mirror, common, atol=2e-3)


def test_the_54_joints_of_the_body(sets):
    everything = np.concatenate([sets()[title][1] for title in ('smpl', 'vertices', 'extra')])
    np.testing.assert_allclose(everything[BODY54_TO_J49], sets()['j49'][1], atol=1e-4)


def test_parts_of_the_surface(body, free_assets, left):
    """DensePose's parts, DaNet's choice of them and the parts of label pictures, on the body's charts."""
    charts = load_mat(free_assets / 'UV_data/UV_Processed.mat')
    with torch.no_grad():
        vertices = body(torch.zeros(1, 10), pose=torch.zeros(1, 72)).vertices[0].numpy()
    corners = vertices[charts['All_vertices'].ravel().astype(int) - 1][charts['All_Faces'].astype(int) - 1]
    across, part = corners.mean(1) @ left, charts['All_FaceIndices'].ravel().astype(int)
    for parts, side in ((LEFT_PARTS, 1), (RIGHT_PARTS, -1)):
        assert all((across[part == number] * side > 0).mean() > 0.99 for number in parts)
        assert {int(_PART_MIRROR[number]) for number in parts} == (RIGHT_PARTS if side == 1 else LEFT_PARTS)
    for tables in (COVER_PARTS, CROP_PARTS):
        for joint, numbers in zip(SMPL_JOINTS, tables):
            sides = {1: LEFT_PARTS, -1: RIGHT_PARTS}
            assert not named_side(joint) or set(numbers) - {1, 2} <= sides[named_side(joint)], joint
    arms_and_legs = {3: LEFT_PARTS, 4: RIGHT_PARTS, 5: LEFT_PARTS, 6: RIGHT_PARTS}
    assert all(set(np.flatnonzero(number == SIX_PARTS)) <= parts for number, parts in arms_and_legs.items())


@pytest.fixture(scope='module')
def side_of_vertex():
    """Side of each SMPL vertex, 1 left, -1 right: that of the nearest DensePose part with a side, counted in edges."""
    if not REAL.exists():
        pytest.skip('../shared is not here')
    charts = load_mat(REAL / 'assets/UV_data/UV_Processed.mat')
    vertex = charts['All_vertices'].ravel().astype(int) - 1
    faces, part = vertex[charts['All_Faces'].astype(int) - 1], charts['All_FaceIndices'].ravel().astype(int)
    count = int(vertex.max()) + 1
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = scipy.sparse.coo_matrix((np.ones(len(ends)), ends.T), shape=(count, count)).tocsr()
    steps = [scipy.sparse.csgraph.dijkstra(edges, directed=False, unweighted=True, min_only=True, indices=np.unique(
        faces[np.isin(part, list(parts))])) for parts in (LEFT_PARTS, RIGHT_PARTS)]
    return np.sign(steps[1] - steps[0])


@pytest.mark.parametrize('file, names', [('J_regressor_h36m.npy', H36M_JOINTS),
                                         ('J_regressor_extra.npy', EXTRA_JOINTS)])
def test_the_published_regressors(side_of_vertex, file, names):
    """Rows of the real files have their weights on the side of their names."""
    for left, right in ((3182, 6605), (vertex_ids['smplh']['LHeel'], vertex_ids['smplh']['RHeel'])):
        assert side_of_vertex[left] == 1 and side_of_vertex[right] == -1
    matrix = load_npy(REAL / 'assets' / file)
    assert len(matrix) == len(names)
    for name, lean in zip(names, matrix @ side_of_vertex):
        side = named_side(name)
        assert lean * side > 0.7 if side else abs(lean) < 0.25, (name, lean)

"""The skinning core against smplx's functions on a random tree, and a bent elbow by hand."""
import numpy as np
import pytest
import torch
from smplx.lbs import batch_rigid_transform, vertices2joints

from tests.test_rich import PARENTS as SMPLX_PARENTS
from utils.geometry import axis_angle_to_rotmat
from utils.keypoints import SMPL_PARENTS
from utils.skinning import KinematicTree, VertexSet, posed_skeleton, skin

TREES = {'SMPL': SMPL_PARENTS, 'SMPL-X': SMPLX_PARENTS, 'chain': (-1, 0, 1, 2, 3), 'one joint': (-1,)}


@pytest.mark.parametrize('name', TREES)
@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 2e-5), (torch.float64, 1e-12)])
def test_transforms_are_those_of_smplx(name, dtype, tolerance):
    parents = TREES[name]
    generator = torch.Generator().manual_seed(1)
    rest = torch.randn(3, len(parents), 3, generator=generator, dtype=dtype)
    rotmat = axis_angle_to_rotmat(torch.randn(3, len(parents), 3, generator=generator, dtype=dtype))
    joints, transforms = KinematicTree(parents).to(dtype).rest_to_posed(rotmat, rest)
    wanted_joints, wanted = batch_rigid_transform(rotmat, rest, torch.tensor(parents), dtype)
    torch.testing.assert_close(joints, wanted_joints, atol=tolerance, rtol=0)
    torch.testing.assert_close(transforms, wanted[:, :, :3].flatten(2), atol=tolerance, rtol=0)


def test_a_bent_elbow():
    """Shoulder at (1, 0, 0), elbow at (2, 0, 0), wrist at (3, 0, 0). A quarter turn of the elbow about z lifts the
    wrist to (2, 1, 0). A vertex between elbow and wrist follows, one that is half the shoulder's goes half the way."""
    rest = torch.tensor([[1.0, 0, 0], [2, 0, 0], [3, 0, 0]])
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    rotmat = torch.stack([torch.eye(3), quarter, torch.eye(3)])[None]
    tree = KinematicTree((-1, 0, 1))
    rotation, joints = tree(rotmat, rest)
    assert torch.equal(joints, torch.tensor([[[1.0, 0, 0], [2, 0, 0], [2, 1, 0]]]))
    assert torch.equal(rotation[0, 2], quarter)
    vertex = torch.tensor([[[2.5, 0, 0], [2.5, 0, 0]]])
    points = skin(vertex, torch.tensor([[0, 1.0, 0], [.5, .5, 0]]), tree.rest_to_posed(rotmat, rest)[1])
    assert torch.equal(points, torch.tensor([[[2.0, .5, 0], [2.25, .25, 0]]]))


@pytest.fixture(scope='module')
def body():
    """Arrays of a body of 50 vertices and 24 joints."""
    rng = np.random.default_rng(2)
    weights = rng.random((50, 24))
    return {'v_template': rng.normal(size=(50, 3)), 'shapedirs': rng.normal(0, .1, (50, 3, 12)),
            'posedirs': rng.normal(0, .1, (50, 3, 207)), 'weights': weights / weights.sum(1, keepdims=True)}


@pytest.fixture(scope='module')
def skeleton():
    generator = torch.Generator().manual_seed(3)
    rotmat = axis_angle_to_rotmat(torch.randn(2, 72, generator=generator))
    rest = torch.randn(2, 24, 3, generator=generator)
    betas = torch.randn(2, 10, generator=generator)
    return posed_skeleton(KinematicTree(SMPL_PARENTS), betas, rotmat, rest)


def test_points_are_combinations_of_vertices(body, skeleton):
    matrix = np.zeros((4, 50))
    matrix[range(4), [7, 3, 3, 40]] = 1, .5, 1, 2
    points, mesh = VertexSet(body, 10, matrix), VertexSet(body, 10)(skeleton)
    torch.testing.assert_close(points(skeleton), vertices2joints(torch.from_numpy(matrix).float(), mesh))
    assert points.vertex_index.tolist() == [3, 7, 40]

"""The body model against smplx on the same arrays, its few-point evaluation, and its errors."""
import shutil

import numpy as np
import pytest
import smplx
import torch
from smplx.utils import Struct

from models.body import BodyModel, read_body_file
from tests.reference.standin import body_model
from utils.errors import BadFile, MissingFile
from utils.mesh_sampling import downsampling_matrix
from utils.safe_io import load_npy, save_npz


@pytest.fixture(scope='module')
def body(standin_assets):
    return BodyModel(standin_assets)


@pytest.fixture(scope='module')
def random_pose():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 10, generator=generator), torch.randn(3, 72, generator=generator) * .4


@pytest.fixture(scope='module')
def from_smplx(random_pose):
    betas, pose = random_pose
    layer = smplx.SMPL('', data_struct=Struct(**body_model(11)), batch_size=3)
    with torch.no_grad():
        return layer(betas=betas, global_orient=pose[:, :3], body_pose=pose[:, 3:])


def test_mesh_and_joints_equal_smplx(body, random_pose, from_smplx, standin_assets):
    betas, pose = random_pose
    out = body(betas, pose=pose)
    torch.testing.assert_close(out.vertices, from_smplx.vertices, atol=2e-5, rtol=0)
    torch.testing.assert_close(out.smpl_joints, from_smplx.joints[:, :24], atol=2e-5, rtol=0)
    extra = torch.from_numpy(load_npy(standin_assets / 'J_regressor_extra.npy')).float() @ from_smplx.vertices
    all54 = torch.cat([from_smplx.joints, extra], 1)
    torch.testing.assert_close(out.joints, all54[:, body.joint_map], atol=2e-5, rtol=0)


def test_few_points_equal_those_of_the_mesh(body, random_pose, standin_assets):
    betas, pose = random_pose
    matrix = downsampling_matrix(standin_assets / 'mesh_downsampling.npz', body.num_vertices)
    out = body(betas, pose=pose)
    points = body.vertex_set(matrix)(out.skeleton)
    wanted = torch.from_numpy(matrix.toarray()).float() @ out.vertices
    torch.testing.assert_close(points, wanted, atol=2e-5, rtol=0)


def test_joints_need_fewer_than_a_hundred_vertices(body):
    assert len(body.landmarks.template) < 100


def test_nothing_of_the_body_is_in_the_state_dict(body):
    assert not body.state_dict()


def test_gradients_reach_shape_and_pose(body):
    betas, rotmat = torch.zeros(1, 10, requires_grad=True), torch.eye(3).expand(1, 24, 3, 3).clone().requires_grad_()
    body(betas, rotmat).joints.sum().backward()
    assert betas.grad.abs().sum() > 0 and rotmat.grad.abs().sum() > 0


def test_path_may_be_folder_or_file(standin_assets, body):
    for path in (standin_assets / 'smpl', standin_assets / 'smpl' / 'SMPL_NEUTRAL.pkl'):
        assert BodyModel(path).digest == body.digest
    assert BodyModel(standin_assets, 'male').digest != body.digest


def test_flat_layout_of_spin(standin_assets, tmp_path, body):
    shutil.copytree(standin_assets, tmp_path / 'data')
    for file in (tmp_path / 'data' / 'smpl').iterdir():
        shutil.move(file, tmp_path / 'data' / file.name)
    assert BodyModel(tmp_path / 'data').digest == body.digest


def test_missing_body_says_where_to_get_it(tmp_path):
    with pytest.raises(MissingFile, match='data/free'):
        BodyModel(tmp_path)
    with pytest.raises(MissingFile, match=r'smpl\.is\.tue\.mpg\.de'):
        BodyModel(tmp_path / 'SMPL_NEUTRAL.pkl')


def test_unknown_gender(standin_assets):
    with pytest.raises(BadFile, match='unknown gender'):
        BodyModel(standin_assets, 'other')


@pytest.mark.parametrize('key, change, said', [
    ('weights', lambda a: a[:, :23], r'weights has shape \[6890, 23\]'), ('f', None, "no key 'f'"),
    ('shapedirs', lambda a: a[..., :3], 'shapedirs'), ('J_regressor', lambda a: a[:, :5], 'J_regressor')])
def test_wrong_shapes_are_named(tmp_path, key, change, said):
    arrays = body_model(11)
    arrays['J_regressor'] = arrays['J_regressor'].toarray()
    if change:
        arrays[key] = change(arrays[key])
    else:
        del arrays[key]
    path = tmp_path / 'SMPL_NEUTRAL.npz'
    save_npz(path, **arrays)
    with pytest.raises(BadFile, match=said):
        read_body_file(path)


def test_regressor_of_another_mesh_is_refused(standin_assets, tmp_path):
    folder = shutil.copytree(standin_assets, tmp_path / 'data')
    np.save(folder / 'J_regressor_extra.npy', np.zeros((9, 100)))
    with pytest.raises(BadFile, match=r'J_regressor_extra\.npy.*\[9, 6890\]'):
        BodyModel(folder)

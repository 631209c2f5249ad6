"""RICH by BEDLAM's parsed file: SMPL-X against the smplx package, the protocol against arithmetic written out here."""
import pickle

import cv2
import numpy as np
import pytest
import scipy.sparse
import smplx
import torch

from core.config import load_config
from core.evaluation.evaluator import Evaluator
from core.evaluation.protocols import group_of, protocol_of
from core.evaluation.smplx_truth import SmplxBody
from datasets.annotations import Annotations
from datasets.image_dataset import ImageDataset
from models.body import BodyModel
from tests.oracle import Oracle
from utils.errors import BadFile, MissingFile, WrongBody

COUNT, SIZE, VERTICES = 4, 48, 10475
# Parents of SMPL-X's 55 joints: SMPL's 22 of the body, jaw and eyes at the head, 15 joints of each hand at its wrist.
PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15,
           *(wrist if joint % 3 == 0 else first + joint - 1 for wrist, first in ((20, 25), (21, 40))
             for joint in range(15))]


def write_smplx(path, seed):
    """A random body in SMPL-X's file format."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((VERTICES, 55))
    weights[np.arange(VERTICES), rng.integers(0, 55, VERTICES)] = .7
    weights[np.arange(VERTICES), rng.integers(0, 55, VERTICES)] += .3
    regressor = scipy.sparse.random(55, VERTICES, .002, random_state=seed).toarray()
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, v_template=rng.normal(0, .4, (VERTICES, 3)), shapedirs=rng.normal(0, .02, (VERTICES, 3, 20)),
             posedirs=rng.normal(0, .005, (VERTICES, 3, 486)).astype(np.float32), weights=weights,
             J_regressor=regressor / regressor.sum(1, keepdims=True), f=np.zeros((4, 3), np.int64),
             kintree_table=np.stack([np.array(PARENTS).astype(np.uint32), np.arange(55, dtype=np.uint32)]),
             hands_componentsl=np.eye(45), hands_componentsr=np.eye(45), lmk_faces_idx=np.zeros(51, np.int64),
             lmk_bary_coords=np.ones((51, 3)) / 3, hands_meanl=rng.normal(0, .3, 45), hands_meanr=rng.normal(0, .3, 45))


def published_mesh(path, pose, betas):
    """What evaluate_rich.py asks of smplx: body_pose, global_orient and betas, all else by default."""
    body = smplx.SMPLX(str(path), batch_size=len(pose), num_betas=10)
    pose, betas = torch.as_tensor(pose, dtype=torch.float32), torch.as_tensor(betas, dtype=torch.float32)
    with torch.no_grad():
        return body(global_orient=pose[:, :3], body_pose=pose[:, 3:66], betas=betas).vertices


@pytest.fixture(scope='module')
def assets(standin_assets, tmp_path_factory):
    root = tmp_path_factory.mktemp('rich')
    for file in standin_assets.iterdir():
        if file.name not in ('datasets', 'dataset_extras'):  # which other tests put there
            (root / file.name).symlink_to(file)
    for seed, gender in enumerate(('MALE', 'FEMALE')):
        write_smplx(root / f'body_models/smplx/SMPLX_{gender}.npz', seed)
    matrix = scipy.sparse.random(BodyModel(root).num_vertices, VERTICES, .001, random_state=7)
    (root / 'smplx2smpl.pkl').write_bytes(pickle.dumps({'matrix': matrix.toarray().astype(np.float32)}))
    rng = np.random.default_rng(3)
    names = [f'test/Gym_013_burpee4/cam_01/{i:05d}_01.jpeg' for i in range(COUNT)]
    for name in names:
        file = root / 'datasets/rich' / name
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8))
    (root / 'dataset_extras').mkdir()
    np.savez(root / 'dataset_extras/rich_test.npz', imgname=names, center=np.full((COUNT, 2), SIZE / 2),
             scale=np.full(COUNT, SIZE / 200), pose_cam=rng.normal(0, .3, (COUNT, 165)),
             shape=rng.normal(size=(COUNT, 10)), gender=np.array(['m', 'f', 'f', 'm']))
    return root


def config(assets, *overrides):
    return load_config(None, ['PATHS.DATA_DIR', str(assets), 'DATA.IMG_RES', SIZE, 'TRAIN.NUM_WORKERS', 0,
                              'DEVICE', 'cpu', 'TEST.BATCH_SIZE', 3, 'MODEL.CAMERA', 'picture', *overrides])


def test_smplx_is_that_of_the_package(assets):
    rng = np.random.default_rng(1)
    path = assets / 'body_models/smplx/SMPLX_MALE.npz'
    pose, betas = rng.normal(0, .5, (2, 66)).astype(np.float32), rng.normal(size=(2, 10)).astype(np.float32)
    found = SmplxBody(path)(torch.from_numpy(betas), torch.from_numpy(pose))
    assert torch.allclose(found, published_mesh(path, pose, betas), atol=2e-5)


def test_protocol(assets):
    """WHAM's arithmetic: both meshes on SMPL's vertices, joints by SMPL's regressor, about the middle of the hips."""
    cfg = config(assets)
    dataset, body = ImageDataset(cfg, 'rich', 'eval'), BodyModel(assets)
    assert dataset.has_3d_truth() and dataset.annotations.gender.tolist() == [0, 1, 1, 0]
    content = np.load(assets / 'dataset_extras/rich_test.npz')
    matrix = pickle.loads((assets / 'smplx2smpl.pkl').read_bytes())['matrix']
    meshes = np.stack([
        matrix @ published_mesh(assets / f'body_models/smplx/SMPLX_{"MALE" if letter == "m" else "FEMALE"}.npz',
                                content['pose_cam'][[row]], content['shape'][[row]])[0].numpy()
        for row, letter in enumerate(content['gender'])])
    rng = np.random.default_rng(2)
    pose = rng.normal(0, .3, (COUNT, 72)).astype(np.float32)
    betas = rng.normal(size=(COUNT, 10)).astype(np.float32)
    oracle = Oracle(body, dataset, (pose, betas, np.tile([[.9, 0, 0]], (COUNT, 1))))
    errors = Evaluator(cfg, body).evaluate(oracle, dataset, 'rich', torch.device('cpu'), progress=False)
    with torch.no_grad():
        vertices = body(torch.from_numpy(betas), pose=torch.from_numpy(pose)).vertices.numpy()
    regressor = body.joint_regressor
    joints, true = regressor @ vertices, regressor @ meshes
    middle, true_middle = (points[:, [1, 2]].mean(1, keepdims=True) for points in (joints, true))
    mpjpe = 1000 * np.linalg.norm(joints - middle - (true - true_middle), axis=2).mean(1)
    pve = 1000 * np.linalg.norm(vertices - middle - (meshes - true_middle), axis=2).mean(1)
    assert np.allclose(errors.errors['mpjpe'][:, 0], mpjpe, rtol=1e-4)
    assert np.allclose(errors.errors['pve'][:, 0], pve, rtol=1e-4)
    assert set(errors.groups) == {'Gym_013_burpee4'}
    assert group_of(protocol_of('rich'), 'test/Gym_013_burpee4/cam_01/00150_01.jpeg') == 'Gym_013_burpee4'


def test_what_is_missing_is_one_line(assets, tmp_path):
    def evaluate(root):
        cfg = config(root)
        Evaluator(cfg, BodyModel(root)).read_bodies(ImageDataset(cfg, 'rich', 'eval'))
    for file in assets.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / 'smplx2smpl.pkl').unlink()
    with pytest.raises(MissingFile, match=r'smplx2smpl\.pkl: no such file'):
        evaluate(tmp_path)
    (tmp_path / 'smplx2smpl.pkl').write_bytes(pickle.dumps({'matrix': np.zeros((3, VERTICES), np.float32)}))
    with pytest.raises(WrongBody, match='gives 3 vertices of SMPL, but the body in use has'):
        evaluate(tmp_path)
    (tmp_path / 'smplx2smpl.pkl').write_bytes(pickle.dumps({'other': 1}))
    with pytest.raises(BadFile, match=f"no key 'matrix' of shape \\[vertices, {VERTICES}\\]"):
        evaluate(tmp_path)


def test_evaluation_files_of_smpl_keep_their_gender(tmp_path):
    """BEDLAM's 3dpw_test.npz: pose_cam is SMPL's, of the person's gender."""
    pose = np.random.default_rng(0).normal(0, .3, (2, 72))
    content = {'imgname': ['a.jpg', 'b.jpg'], 'center': np.ones((2, 2)), 'scale': np.ones(2), 'pose_cam': pose,
               'shape': np.ones((2, 10)), 'gender': ['m', 'f']}
    np.savez(tmp_path / '3dpw_test.npz', **content)
    people = Annotations.load(tmp_path / '3dpw_test.npz')
    assert people.has_smpl.all() and people.gender.tolist() == [0, 1] and np.allclose(people.pose, pose)
    np.savez(tmp_path / 'odd.npz', **{**content, 'pose_cam': np.zeros((2, 30))})
    with pytest.raises(BadFile, match=r"'pose_cam' and 'shape' have shapes \[2, 30\] and \[2, 10\]"):
        Annotations.load(tmp_path / 'odd.npz')

"""True free bodies are evaluated on their own 3D joints. The errors are differences of two definitions of joints."""
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from core.config import load_config
from core.evaluation.evaluator import Evaluator
from core.evaluation.protocols import protocol_of
from datasets.image_dataset import ImageDataset
from datasets.synthetic.free_body import FreeBody
from datasets.synthetic.poses import sample_poses
from models.body import BodyModel
from tests.oracle import Oracle
from tests.tiny_data import link_assets
from utils.assets import Assets
from utils.errors import WrongBody

COUNT, RES = 24, 64
FILES = {'h36m-p1': ('h36m_valid_protocol1.npz', 'h36m'), 'h36m-p2': ('h36m_valid_protocol2.npz', 'h36m'),
         'h36m-p2-mosh': ('h36m_mosh_valid_p2.npz', 'h36m'), 'mpi-inf-3dhp': ('mpi_inf_3dhp_test.npz', 'mpi-inf-3dhp'),
         '3doh50k': ('threeDOH50K_testset.npz', '3doh50k'), 'mine': ('mine_val.npz', 'mine')}


@pytest.fixture(scope='module')
def root(free_assets, tmp_path_factory):
    """An asset folder whose body files are links."""
    folder = tmp_path_factory.mktemp('own') / 'free'
    folder.mkdir()
    link_assets(free_assets, folder, leave_out=('dataset_extras', 'images'))
    return folder


@pytest.fixture(scope='module')
def people(free_assets):
    """pose [N,72], betas [N,10] and S [N,24,4] of free bodies, S as the renderer writes it."""
    rng = np.random.default_rng(3)
    pose, betas = sample_poses(rng, COUNT), rng.normal(0, 1, (COUNT, 10))
    body = FreeBody(Assets(Path(free_assets), is_free=True))
    posed = [body.pose(*person) for person in zip(betas, pose)]
    joints = np.stack([one.joints[25:] - one.smpl_joints[0] for one in posed])
    return pose, betas, np.concatenate([joints, np.ones((COUNT, 24, 1))], -1).astype(np.float32)


def write(root, name, solid, **arrays):
    file, folder = FILES[name]
    rng = np.random.default_rng(1)
    names = [f'TS1/imageSequence/S9_Walking_1.{row:06d}.jpg' for row in range(COUNT)]
    for path in names:
        (root / 'datasets' / folder / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / 'datasets' / folder / path), rng.integers(0, 255, (RES, RES, 3), dtype=np.uint8))
    (root / 'dataset_extras').mkdir(exist_ok=True)
    np.savez(root / 'dataset_extras' / file, imgname=names, center=np.full((COUNT, 2), RES / 2),
             scale=np.full(COUNT, RES / 200), S=solid, **arrays)


def errors_of_truth(root, name, people, solid=None, **arrays):
    """Evaluation of the true bodies on `solid` or their own S."""
    pose, betas, own = people
    write(root, name, own if solid is None else solid, **arrays)
    cfg = load_config(None, ['PATHS.DATA_DIR', str(root), 'DATA.IMG_RES', RES, 'TRAIN.NUM_WORKERS', 0,
                             'TEST.BATCH_SIZE', 8, 'DEVICE', 'cpu'])
    dataset, body = ImageDataset(cfg, name, 'eval'), BodyModel(root)
    oracle = Oracle(body, dataset, (pose, betas, np.tile([[.9, 0, 0]], (COUNT, 1))))
    return Evaluator(cfg, body).evaluate(oracle, dataset, name, torch.device('cpu'), progress=False)


@pytest.mark.parametrize('name', list(FILES))
def test_true_bodies_score_well_against_their_own_joints(root, people, name):
    """Two datasets' definitions of a joint differ by millimetres. A swapped leg differs by some 40 cm."""
    evaluation = errors_of_truth(root, name, people)
    assert evaluation.mean('mpjpe') < 8 and evaluation.mean('pa_mpjpe') < 8
    assert evaluation.errors['mpjpe'].max() < 15
    if 'pck' in protocol_of(name).metrics:
        assert evaluation.mean('pck') > 99


def test_people_without_a_root_count_where_no_root_is_needed(root, people, monkeypatch):
    """People without pelvis and hips have no MPJPE and PCK, but a PA-MPJPE as the others."""
    said = []
    monkeypatch.setattr('datasets.annotations.log_once', said.append)
    solid = people[2].copy()
    solid[..., 2] += 4
    solid[::2, [2, 3, 14]] = 0
    evaluation = errors_of_truth(root, 'mpi-inf-3dhp', people, solid)
    rootless = torch.arange(COUNT) % 2 == 0
    for metric in ('mpjpe', 'pck', 'auc'):
        assert torch.equal(evaluation.errors[metric][:, 0].isnan(), rootless)
    assert evaluation.mean('mpjpe') < 8 and evaluation.mean('pck') > 99
    assert evaluation.errors['pa_mpjpe'].max() < 15
    assert len(said) == 1 and f'{COUNT // 2} of {COUNT} rows' in said[0]


def test_published_labels_on_the_free_body(root, people, monkeypatch):
    """Human3.6M's files hold SMPL's pose and shape beside S. S is the ground truth; a line says that they are not."""
    said = []
    monkeypatch.setattr('datasets.catalog.log_once', said.append)
    smpl = {'pose': np.random.default_rng(0).normal(size=(COUNT, 72)), 'shape': np.ones((COUNT, 10))}
    evaluation = errors_of_truth(root, 'h36m-p2-mosh', people, **smpl)
    assert set(evaluation.errors) == {'mpjpe', 'pa_mpjpe'} and evaluation.mean('mpjpe') < 8
    assert len(said) == 1 and f'pose and shape of {COUNT} rows' in said[0] and '\n' not in said[0]
    evaluation = errors_of_truth(root, 'mine', people, **smpl)  # its ground truth would be the body
    assert evaluation.mean('mpjpe') < 8
    with pytest.raises(WrongBody, match=r"mine_val\.npz: its 3D labels are only pose and shape .*PATHS\.DATA_DIR"):
        errors_of_truth(root, 'mine', people, solid=np.zeros((COUNT, 24, 4)), has_joints_3d=np.zeros(COUNT), **smpl)

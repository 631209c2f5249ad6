"""LSP's real annotations, SPIN's published fits of them, and our first fits."""
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import load_config
from core.metrics import pa_mpjpe
from core.training.dataset_fits import fit_keypoints, keypoints_in_crop, without_strangers
from datasets.annotations import Annotations
from datasets.fits import mean_parameters, read_fits
from models.smplify import build_smplify
from models.smplify.starts import first_translation
from utils.assets import find_assets
from utils.errors import WrongBody
from utils.geometry import estimate_translation
from utils.keypoints import FOCAL_LENGTH, JOINT_NAMES

REAL = Path(__file__).resolve().parents[2] / 'shared' / 'real'
ASSETS = REAL / 'assets'
PUBLISHED = ASSETS / 'static_fits' / 'lsp-orig_fits.npy'
needs_real = pytest.mark.skipif(not PUBLISHED.exists(), reason='../shared is not here')
LIMBS = slice(25, 37)


@pytest.fixture(scope='module')
def smplify(free_assets):
    return build_smplify(load_config(None, ['PATHS.DATA_DIR', str(free_assets.parent)]))


@pytest.fixture(scope='module')
def mean(free_assets):
    return mean_parameters(find_assets(str(free_assets.parent)))


def people_of(name):
    people = Annotations.load(ASSETS / 'dataset_extras' / name)
    return people, keypoints_in_crop(people.keypoints_2d, people.center, people.scale)


def index(*names):
    return [JOINT_NAMES.index(name) for name in names]


@needs_real
@pytest.mark.parametrize('name, first, openpose', [('lsp_dataset_original_train.npz', 1, True),
                                                   ('lsp_dataset_test.npz', 1001, False)])
def test_real_annotations_load(name, first, openpose):
    """LSP has 1,000 people in each half, numbered consecutively, with 14 joints each. SPIN's boxes contain them."""
    people, keypoints = people_of(name)
    assert [Path(picture).name for picture in people.imgname] == [f'im{first + i:04d}.jpg' for i in range(1000)]
    annotated, more = keypoints[:, 25:39], keypoints[:, 39:]
    assert (annotated[..., 2] == 1).all() and not (more[..., 2] > 0).any()
    assert (keypoints[:, :25, 2] > 0).any() == openpose
    inside = (annotated[..., :2] >= 0) & (annotated[..., :2] <= 224)
    assert inside.mean() > 0.99


@needs_real
def test_published_fits_load_and_lie_on_their_people(smplify):
    """The published poses, on a body of the same skeleton, project to the people of the same rows and no others."""
    _, keypoints = people_of('lsp_dataset_original_train.npz')
    params, known = read_fits(PUBLISHED, 1000, body_digest='', is_free_body=False)
    assert params.shape == (1000, 82) and known.all()
    with pytest.raises(WrongBody):
        read_fits(PUBLISHED, 1000, smplify.body.digest, is_free_body=True)
    pose = torch.from_numpy(params[:200, :72])
    joints = smplify.body(torch.zeros(200, 10), pose=pose).joints

    def pixels_off(seen):
        scaled = torch.from_numpy(np.concatenate([seen[..., :2] / 112 - 1, seen[..., 2:]], -1))
        points = joints + estimate_translation(joints, scaled)[:, None]
        drawn = FOCAL_LENGTH * points[..., :2] / points[..., 2:] + 112
        return (drawn[:, LIMBS] - torch.from_numpy(seen)[:, LIMBS, :2]).norm(dim=-1).median()
    assert pixels_off(keypoints[:200]) < 8
    assert pixels_off(keypoints[1:201]) > 16
    swapped = keypoints[:200].copy()
    swapped[:, LIMBS] = swapped[:, LIMBS][:, [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6]]
    assert pixels_off(swapped) > 16, 'left is left'


@needs_real
def test_first_fits_of_real_people_are_near_the_published_ones(smplify, mean):
    """Mean PA-MPJPE of the limbs under 80 mm on one body of the mean shape (issue 16, A9)."""
    _, keypoints = people_of('lsp_dataset_original_train.npz')
    rows = np.arange(500, 1000, 4)
    fits = fit_keypoints(smplify, keypoints[rows], mean, threshold=100.0)
    published, _ = read_fits(PUBLISHED, 1000, body_digest='', is_free_body=False)
    ours, theirs = (smplify.body(torch.zeros(len(rows), 10), pose=torch.as_tensor(params[:, :72])).joints[:, LIMBS]
                    for params in (fits.params, published[rows]))
    assert pa_mpjpe(ours, theirs).mean() < 80
    assert fits.valid.mean() > 0.95
    assert np.linalg.norm(fits.params[:, 72:], axis=1).max() < 3, 'people have ordinary shapes'


@needs_real
def test_openpose_of_someone_else_is_left_out(smplify, mean):
    """Row 501's OpenPose joints are 200 px off the annotated ones. The fit follows the annotation."""
    _, keypoints = people_of('lsp_dataset_original_train.npz')
    row = keypoints[501:502]
    kept = without_strangers(torch.from_numpy(row))
    assert not (kept[:, :25, 2] > 0).any() and (kept[:, 25:39, 2] == 1).all()
    assert fit_keypoints(smplify, row, mean, threshold=100.0).residual[0] < 40


@needs_real
def test_first_fits_of_people_with_3d(smplify, mean):
    """Two people of Human3.6M whose joints were measured."""
    people = Annotations.load(REAL / 'people' / 'people.npz')
    with np.load(REAL / 'people' / 'people.npz') as raw:
        truth, has = torch.from_numpy(raw['S'][:, :12, :3]).float(), raw['has_joints_3d']
    keypoints = keypoints_in_crop(people.keypoints_2d, people.center, people.scale)
    fits = fit_keypoints(smplify, keypoints, mean, threshold=100.0)
    params = torch.from_numpy(fits.params)
    joints = smplify.body(params[:, 72:], pose=params[:, :72]).joints[:, LIMBS]
    assert has.sum() == 2 and pa_mpjpe(joints[has], truth[has]).mean() < 70
    assert fits.residual.max() < 10


def test_a_wrong_long_bone_does_not_change_the_depth():
    """The wrists are far off in both sets. The depth is that of the other bones."""
    names = [f'{owner}{side}_{joint}' for owner in ('', 'openpose_') for side in ('left', 'right')
             for joint in ('ankle', 'knee', 'hip', 'shoulder', 'elbow', 'wrist')]
    joints = torch.zeros(1, 49, 3)
    for name in names:  # bones of half a metre, side by side in the picture's plane
        joint = ('ankle', 'knee', 'hip', 'shoulder', 'elbow', 'wrist').index(name.rsplit('_', 1)[1])
        joints[0, JOINT_NAMES.index(name)] = torch.tensor([0.3 * ('left' in name), 0.5 * joint, 0.0])
    keypoints = torch.zeros(1, 49, 3)
    keypoints[0, index(*names)] = torch.cat([100 * joints[0, index(*names), :2], torch.ones(24, 1)], 1)
    focal, side = torch.tensor([FOCAL_LENGTH]), torch.tensor([224.0])
    expected = FOCAL_LENGTH / 100 / 0.9  # 100 px a metre, minus a tenth
    assert torch.isclose(first_translation(joints, keypoints, focal, side)[0, 2], torch.tensor(expected), rtol=1e-4)
    for owner in ('', 'openpose_'):
        keypoints[0, index(f'{owner}left_wrist'), 1] += 300
        keypoints[0, index(f'{owner}right_wrist'), 1] += 300
    assert torch.isclose(first_translation(joints, keypoints, focal, side)[0, 2], torch.tensor(expected), rtol=1e-4)

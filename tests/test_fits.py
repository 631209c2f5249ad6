"""The store of best fits, and SMPLify in the loop."""
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.config import load_config
from core.training import dataset_fits
from core.training.dataset_fits import InitialFits, keypoints_in_crop
from core.training.fitting import FitsInTheLoop
from core.training.supervision import uses_fits
from datasets.annotations import Annotations
from datasets.augmentation import flip_pose, rotate_pose
from datasets.fits import FitStore, augment_pose, mean_parameters, read_fits, unaugment_pose, write_fits
from models.body import BodyModel
from models.output import RegressorOutput, Stage
from models.smplify import fit_dataset
from tests.reference.compare import load
from utils.assets import Assets
from utils.errors import BadFile, ProjectError, WrongBody
from utils.geometry import axis_angle_to_rotmat, translation_to_camera
from utils.safe_io import save_npz

NAMES = [('lsp-orig', 16), ('coco', 7)]


@pytest.fixture(scope='module')
def body(standin_assets):
    return BodyModel(standin_assets)


@pytest.fixture
def assets(standin_assets, tmp_path):
    """A folder of this test's own, with links to the stand-in files."""
    for path in standin_assets.rglob('*'):
        if path.is_file():
            target = tmp_path / path.relative_to(standin_assets)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    return Assets(tmp_path, is_free=False)


def random_params(rows, seed=0):
    return (0.3 * np.random.default_rng(seed).standard_normal((rows, 82))).astype(np.float32)


# Augmentation

def test_poses_are_augmented_as_pictures_are():
    pose = torch.from_numpy(random_params(6)[:, :72])
    angle, flip = torch.tensor([0.0, 30, -45, 0, 10, 180]), torch.tensor([0, 0, 1, 1, 1, 0]).bool()
    got = augment_pose(pose, angle, flip)
    for row in range(6):
        wanted = rotate_pose(pose[row].numpy(), float(angle[row]))
        wanted = flip_pose(wanted) if flip[row] else wanted
        rotations = [axis_angle_to_rotmat(torch.as_tensor(value, dtype=torch.float32)) for value in (wanted, got[row])]
        assert torch.allclose(*rotations, atol=1e-5)
    assert torch.allclose(unaugment_pose(got, angle, flip), pose, atol=1e-5)


def test_stored_fits_are_returned_augmented(assets, body):
    store = FitStore(NAMES, assets, body.digest)
    index, row = torch.tensor([0, 1]), torch.tensor([3, 6])
    angle, flip = torch.tensor([20.0, -70.0]), torch.tensor([True, False])
    pose = torch.from_numpy(random_params(2)[:, :72])
    params = torch.cat([unaugment_pose(pose, angle, flip), torch.ones(2, 10)], 1)
    store.put(index, row, params, torch.ones(2))
    again, betas, known = store.get(index, row, angle, flip)
    assert torch.allclose(again, pose, atol=1e-5) and known.all() and (betas == 1).all()
    assert store.datasets[0].changed.nonzero()[0].tolist() == [3]


# Files

def test_mean_pose_where_there_is_no_file(assets, body):
    store = FitStore(NAMES, assets, body.digest)
    pose, betas, known = store.get(torch.tensor([0]), torch.tensor([5]), torch.zeros(1), torch.zeros(1))
    mean = mean_parameters(assets)
    assert np.allclose(torch.cat([pose, betas], 1)[0], mean, atol=1e-6) and not known.any()


@pytest.mark.parametrize('stem', ['lsp-orig', 'lsp'])
def test_static_fits_under_both_names(assets, body, stem):
    params = random_params(16)
    folder = assets.root / 'static_fits'
    folder.mkdir()
    np.save(folder / f'{stem}_fits.npy', params.astype(np.float64))
    store = FitStore(NAMES, assets, body.digest)
    assert np.array_equal(store.datasets[0].params, params) and store.datasets[0].known.all()


def test_final_fits_with_their_flags(assets, body):
    params, flags = random_params(16), np.arange(16) % 3 > 0
    save_npz(assets.root / 'final_fits' / 'lsp-orig.npz', pose=params[:, :72], betas=params[:, 72:], valid_fit=flags)
    store = FitStore(NAMES, assets, body.digest, final=True)
    assert np.array_equal(store.datasets[0].known, flags) and not store.datasets[1].known.any()


def test_wrong_files_are_named(assets, body, tmp_path):
    path = tmp_path / 'static_fits' / 'coco_fits.npy'
    write_fits(path, random_params(8), body.digest)
    with pytest.raises(BadFile, match=r'coco_fits.npy: shape .*the dataset has 7 rows'):
        FitStore(NAMES, assets, body.digest)
    write_fits(path, random_params(7), 'anotherbody')
    with pytest.raises(WrongBody, match='belong to body anotherbody'):
        FitStore(NAMES, assets, body.digest)
    path.with_suffix('.json').unlink()
    with pytest.raises(WrongBody, match='licensed SMPL body'):
        FitStore(NAMES, Assets(assets.root, is_free=True), body.digest)
    save_npz(tmp_path / 'bad.npz', pose=np.zeros((7, 72)))
    with pytest.raises(BadFile, match='no key'):
        read_fits(tmp_path / 'bad.npz', 7, body.digest, False)


def test_rows_that_are_not_finite_count_as_absent(assets, body):
    params = random_params(7)
    params[2, 4] = np.nan
    write_fits(assets.root / 'static_fits' / 'coco_fits.npy', params, body.digest)
    store = FitStore(NAMES, assets, body.digest)
    assert store.datasets[1].known.tolist() == [True, True, False, True, True, True, True]
    assert np.isfinite(store.datasets[1].params).all()


def test_saved_atomically_under_published_names(assets, body, tmp_path):
    store = FitStore(NAMES, assets, body.digest)
    store.put(torch.tensor([1]), torch.tensor([2]), torch.ones(1, 82), torch.ones(1))
    store.save(tmp_path / 'out')
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['coco_fits.json', 'coco_fits.npy']
    assert (np.load(tmp_path / 'out' / 'coco_fits.npy')[2] == 1).all()
    assert json.loads((tmp_path / 'out' / 'coco_fits.json').read_text())['body_digest'] == body.digest


def test_state_goes_through_a_checkpoint(assets, body):
    store, other = FitStore(NAMES, assets, body.digest), FitStore(NAMES, assets, body.digest)
    store.put(torch.tensor([1, 0]), torch.tensor([2, 9]), torch.from_numpy(random_params(2)), torch.ones(2))
    other.load_state_dict(store.state_dict())
    for ours, theirs in zip(store.datasets, other.datasets):
        assert np.array_equal(ours.params, theirs.params) and np.array_equal(ours.known, theirs.known)
    shorter = FitStore([('coco', 1)], assets, body.digest)
    with pytest.raises(BadFile, match='row 2 of coco'):
        shorter.load_state_dict(store.state_dict())


# Several fits of a picture

def test_of_several_fits_of_a_picture_the_best_stays(assets, body):
    params = torch.arange(4.0)[:, None].expand(4, 82)
    rows = torch.tensor([0, 0, 0, 0]), torch.tensor([5, 5, 5, 1])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        store = FitStore(NAMES, assets, body.digest)
        store.put(rows[0][order], rows[1][order], params[order], torch.tensor([3.0, 1.0, 2.0, 9.0])[order])
        assert store.datasets[0].params[5, 0] == 1 and store.datasets[0].params[1, 0] == 3


def test_nothing_that_is_not_finite_is_stored(assets, body):
    store = FitStore(NAMES, assets, body.digest)
    params = torch.zeros(2, 82)
    params[0, 3] = float('nan')
    store.put(torch.zeros(2).long(), torch.tensor([0, 1]), params, torch.tensor([1.0, float('nan')]))
    assert not store.datasets[0].changed.any()


def gather_in_process(rank, port, queue):
    from core.training.fitting import _gathered
    torch.distributed.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    value = torch.arange(3) + 10 * rank
    queue.put((rank, _gathered(value).tolist(), _gathered(torch.tensor([rank]).byte()).tolist()))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_gather_the_same_rows():
    context = torch.multiprocessing.get_context('spawn')
    queue = context.Queue()
    port = 29000 + os.getpid() % 2000
    workers = [context.Process(target=gather_in_process, args=(rank, port, queue)) for rank in range(2)]
    for worker in workers:
        worker.start()
    answers = sorted(queue.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    assert [answer[1] for answer in answers] == [[0, 1, 2, 10, 11, 12]] * 2
    assert [answer[2] for answer in answers] == [[0, 1]] * 2


# In the loop

def loop(assets, body, *overrides):
    cfg = load_config(None, ['PATHS.DATA_DIR', str(assets.root), 'SMPLIFY.RUN', True, *overrides])
    datasets = [SimpleNamespace(name=name, annotations=range(rows)) for name, rows in NAMES]
    return FitsInTheLoop(cfg, body, datasets)


def make_batch(reference, rows=8):
    keypoints = torch.from_numpy(reference['keypoints_2d'][:rows].copy())
    keypoints[..., :2] = keypoints[..., :2] / 112 - 1
    return {'img': torch.zeros(rows, 3, 8, 8), 'keypoints': keypoints, 'pose': torch.zeros(rows, 72),
            'betas': torch.zeros(rows, 10), 'has_smpl': torch.zeros(rows, dtype=torch.bool),
            'joints_3d': torch.zeros(rows, 24, 4), 'has_joints_3d': torch.zeros(rows, dtype=torch.bool),
            'smpl_keypoints_2d': torch.zeros(rows, 24, 3), 'is_flipped': torch.arange(rows) % 2 == 1,
            'rot_angle': 15.0 * torch.arange(rows), 'dataset_index': torch.zeros(rows, dtype=torch.long),
            'sample_index': torch.arange(rows)}


def estimate(reference, body, rows=8):
    """A network's output that equals the reference's initial values."""
    pose = torch.from_numpy(reference['init_pose'][:rows])
    stage = Stage(axis_angle_to_rotmat(pose), torch.from_numpy(reference['init_betas'][:rows]),
                  translation_to_camera(torch.from_numpy(reference['init_cam_t'][:rows])), body)
    return RegressorOutput([stage])


@pytest.fixture(scope='module')
def reference():
    return load('spin_smplify')


def test_better_fits_are_kept_and_found_again(assets, body, reference):
    fits = loop(assets, body)
    batch, out = make_batch(reference), estimate(reference, body)
    targets = fits.targets(batch, out)
    assert targets.valid.all() and fits.store.datasets[0].known.sum() == 8
    first = fits.scalars()
    assert first['accepted'] == 1 and first['residual'] == first['new_residual'] < 5
    assert fits.scalars() == {}
    # Without new fits, the targets are the stored ones.
    fits.run = False
    again = fits.targets(batch, out)
    assert torch.allclose(again.vertices, targets.vertices, atol=1e-3) and again.valid.all()


def test_a_worse_fit_is_not_kept(assets, body, reference):
    fits = loop(assets, body)
    batch = make_batch(reference)
    fits.targets(batch, estimate(reference, body))
    kept = fits.store.datasets[0].params.copy()
    worse = estimate(reference, body)
    worse.stages[0].rotmat = worse.stages[0].rotmat.flip(0)
    fits.smplify.iterations = 1
    fits.targets(batch, worse)
    same = (fits.store.datasets[0].params == kept).all(1)
    assert same[:8].sum() >= 7


def test_ground_truth_wins_and_is_not_fitted(assets, body, reference):
    fits = loop(assets, body)
    batch = make_batch(reference)
    batch['has_smpl'][:3] = True
    batch['pose'][:3], batch['betas'][:3] = 0.1, 4.0
    targets = fits.targets(batch, estimate(reference, body))
    assert (targets.pose[:3] == batch['pose'][:3]).all() and (targets.betas[:3] == 4).all()
    assert not fits.store.datasets[0].known[:3].any() and fits.store.datasets[0].known[3:8].all()


def test_extreme_betas_are_supervised_as_mean_but_stored_as_fitted(assets, body, reference):
    params = random_params(16)
    params[:, 72:] = 0.5
    params[2, 75] = -3.5
    write_fits(assets.root / 'static_fits' / 'lsp-orig_fits.npy', params, body.digest)
    fits = loop(assets, body, 'SMPLIFY.RUN', False, 'SMPLIFY.USE_FITS', True)
    targets = fits.targets(make_batch(reference), estimate(reference, body))
    assert (targets.betas[2] == 0).all() and (targets.betas[1] == 0.5).all()
    assert fits.store.datasets[0].params[2, 75] == -3.5


def test_threshold(assets, body, reference):
    batch, out = make_batch(reference), estimate(reference, body)
    assert not loop(assets, body, 'SMPLIFY.THRESHOLD', 0.5).targets(batch, out).valid.any()


def test_final_fits_are_valid_by_their_flags(assets, body, reference):
    params, flags = random_params(16), np.arange(16) % 2 == 0
    save_npz(assets.root / 'final_fits' / 'lsp-orig.npz', pose=params[:, :72], betas=params[:, 72:], valid_fit=flags)
    fits = loop(assets, body, 'SMPLIFY.RUN', False, 'SMPLIFY.USE_FINAL_FIT', True)
    targets = fits.targets(make_batch(reference), estimate(reference, body))
    assert targets.valid.tolist() == flags[:8].tolist()


def test_bad_rows_are_not_supervised_and_not_stored(assets, body, reference):
    fits = loop(assets, body)
    batch, out = make_batch(reference), estimate(reference, body)
    batch['keypoints'][0, :, 2] = 0
    batch['keypoints'][1, 1:, 2] = 0
    batch['keypoints'][2, :, 2] = float('nan')
    batch['keypoints'][3, :, 0] += 1 - batch['keypoints'][3, :, 0].median()
    out.stages[0].rotmat[4] = float('nan')
    out.stages[0].camera[5] = float('nan')
    targets = fits.targets(batch, out)
    assert targets.valid.tolist() == [False] * 5 + [True] * 3
    assert np.isfinite(fits.store.datasets[0].params).all() and not fits.store.datasets[0].known[:5].any()
    assert torch.isfinite(targets.vertices).all() and torch.isfinite(targets.pose).all()


def test_views_of_a_person_share_pose_and_shape(assets, body, reference):
    fits = loop(assets, body)
    batch, out = make_batch(reference), estimate(reference, body)
    for key in ('keypoints', 'is_flipped'):
        batch[key] = batch[key][::2].repeat_interleave(2, 0)
    stage = out.stages[0]
    out = RegressorOutput([Stage(stage.rotmat[::2].repeat_interleave(2, 0), stage.betas[::2].repeat_interleave(2, 0),
                                 stage.camera[::2].repeat_interleave(2, 0), body, n_views=2)])
    targets = fits.targets(batch, out, n_views=2)
    assert torch.allclose(targets.pose[::2, 3:], targets.pose[1::2, 3:], atol=1e-6)
    assert torch.equal(targets.betas[::2], targets.betas[1::2]) and targets.valid.all()
    assert fits.store.datasets[0].known.sum() == 8


def test_calibrated_and_uncalibrated_people_in_one_batch(assets, body, reference):
    fits = loop(assets, body)
    batch, out = make_batch(reference, 4), estimate(reference, body, 4)
    for key in ('keypoints', 'is_flipped'):
        batch[key] = batch[key][::2].repeat_interleave(2, 0)
    stage = out.stages[0]
    out = RegressorOutput([Stage(stage.rotmat[::2].repeat_interleave(2, 0), stage.betas[::2].repeat_interleave(2, 0),
                                 stage.camera[::2].repeat_interleave(2, 0), body, n_views=2)])
    turn = axis_angle_to_rotmat(torch.tensor([0.0, 0.0, 0.5]))
    batch['camera_rotation'] = torch.stack([torch.eye(3), turn, torch.eye(3), turn])
    batch['has_camera'] = torch.tensor([True, True, False, True])
    pose = fits.targets(batch, out, n_views=2).pose
    orient = axis_angle_to_rotmat(pose[:, :3])
    assert torch.allclose(orient[1], turn @ orient[0], atol=1e-4)
    assert not torch.allclose(orient[3], turn @ orient[2], atol=1e-2)


def test_which_configs_use_fits():
    assert not uses_fits(load_config())
    for key in ('RUN', 'USE_FITS', 'USE_FINAL_FIT'):
        assert uses_fits(load_config(None, [f'SMPLIFY.{key}', True]))


# First fits of a dataset

@pytest.fixture
def annotation_file(tmp_path, reference):
    """An annotation file with ten of the reference's people; the last has no keypoints."""
    keypoints = reference['keypoints_2d'][:10].copy()
    keypoints[9] = 0
    keypoints[..., :2] = keypoints[..., :2] * 2 + 100  # twice as large, with the box's centre at (324, 324)
    Annotations.blank([f'{i}.jpg' for i in range(10)], np.full((10, 2), 324.0), np.full(10, 448 / 200),
                      keypoints_2d=keypoints).save(tmp_path / 'mine.npz')
    return tmp_path / 'mine.npz'


def fit_command(assets, file, *more):
    return fit_dataset.main(['--dataset', str(file), '--batch_size', '4', '--threads', '1', *more,
                             '--misc', 'PATHS.DATA_DIR', str(assets.root)])


def test_keypoints_go_to_the_crop(annotation_file, reference):
    annotations = Annotations.load(annotation_file)
    crop = keypoints_in_crop(annotations.keypoints_2d, annotations.center, annotations.scale)
    seen = reference['keypoints_2d'][:9, :, 2] > 0
    assert np.allclose(crop[:9][seen], reference['keypoints_2d'][:9][seen], atol=1e-3)


def test_fit_dataset_and_training_from_it(assets, body, annotation_file, reference, capsys):
    assert fit_command(assets, annotation_file) == 0
    text = capsys.readouterr().out
    assert '9 of 10 fits valid' in text and text.count('#') > 10
    folder = assets.root / 'static_fits'
    assert sorted(path.name for path in folder.iterdir()) == ['mine_fits.json', 'mine_fits.npy',
                                                              'mine_fits_quality.npz']
    quality = np.load(folder / 'mine_fits_quality.npz')
    assert quality['valid'].tolist() == [True] * 9 + [False] and quality['residual'][:9].max() < 20
    store = FitStore([('mine', 10)], assets, body.digest)
    assert store.datasets[0].known.all() and np.isfinite(store.datasets[0].params).all()
    with pytest.raises(ProjectError, match='--overwrite'):
        fit_command(assets, annotation_file)


def test_fit_dataset_goes_on_where_it_was(assets, annotation_file, monkeypatch):
    done = []

    def stopping(smplify, keypoints, mean, threshold):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(len(keypoints))
        return InitialFits(np.full((len(keypoints), 82), len(done), np.float32), np.zeros(len(keypoints)),
                           np.ones(len(keypoints), bool))
    monkeypatch.setattr(dataset_fits, 'fit_keypoints', stopping)
    with pytest.raises(KeyboardInterrupt):
        fit_command(assets, annotation_file)
    assert not (assets.root / 'static_fits' / 'mine_fits.npy').exists()
    monkeypatch.setattr(dataset_fits, 'fit_keypoints', lambda *given: (done.clear(), stopping(*given))[1])
    fit_command(assets, annotation_file)
    assert done == [2], 'only the last batch was left to do'
    assert np.load(assets.root / 'static_fits' / 'mine_fits.npy')[:, 0].tolist() == [1] * 4 + [2] * 4 + [1] * 2

"""Groups of views: finding, sampling, augmentation and training."""
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from core.config import load_config
from core.evaluation.options import parse_pose_options
from core.evaluation.run import run_evaluation
from core.training.trainer import Trainer
from datasets.annotations import Annotations
from datasets.build import build_eval_dataset, build_train_dataset
from datasets.multiview import ViewGroupDataset, drawn_windows, view_groups, windows
from datasets.preprocess.mpi_inf_3dhp import convert_mpi_inf_3dhp
from models.body import BodyModel
from tests.test_preprocess_datasets import write_3dhp_train, write_video
from utils.camera import look_at
from utils.errors import BadConfig, BadFile
from utils.geometry import axis_angle_to_rotmat, project, rotmat_to_axis_angle

REAL = Path(__file__).resolve().parent.parent.parent / 'shared/real/assets'
SIZE, PEOPLE, VIEWS = 96, 6, 4


def write_groups(assets, name, split, seed=0, **more):
    """Write PEOPLE bodies, each seen by VIEWS calibrated cameras. A picture's grey level tells its row."""
    rng = np.random.default_rng(seed)
    count = PEOPLE * VIEWS
    body_pose = np.repeat(rng.normal(0, .2, (PEOPLE, 23, 3)), VIEWS, 0)
    betas = np.repeat(rng.normal(0, .5, (PEOPLE, 10)), VIEWS, 0).astype(np.float32)
    in_world = axis_angle_to_rotmat(torch.tensor(np.repeat(rng.normal(0, .5, (PEOPLE, 1, 3)), VIEWS, 0)))[:, 0]
    cameras = axis_angle_to_rotmat(torch.tensor(rng.normal(0, 1, (count, 1, 3))))[:, 0]
    root = rotmat_to_axis_angle((cameras @ in_world)[:, None])[:, :1]
    pose = torch.cat([root, torch.tensor(body_pose)], 1).flatten(1).float()
    with torch.no_grad():
        posed = BodyModel(assets)(torch.from_numpy(betas), pose=pose)
        flat = project(posed.joints, torch.tensor([[.8, 0, .2]]).expand(count, -1)).numpy()
    keypoints = np.concatenate([(flat + 1) * SIZE / 2, np.ones((count, 49, 1))], -1)
    joints = (posed.joints[:, 25:] - posed.smpl_joints[:, :1]).numpy()
    folder = assets / 'datasets' / name
    folder.mkdir(parents=True, exist_ok=True)
    names = [f'{split}_{row}.png' for row in range(count)]
    for row, file in enumerate(names):
        cv2.imwrite(str(folder / file), np.full((SIZE, SIZE, 3), 10 * row, np.uint8))
    (assets / 'dataset_extras').mkdir(exist_ok=True)
    # Rows of a group are not adjacent in the file.
    order = rng.permutation(count)
    arrays = {'imgname': np.array(names), 'center': np.full((count, 2), SIZE / 2), 'scale': np.full(count, SIZE / 200),
              'part': keypoints[:, 25:], 'openpose': keypoints[:, :25], 'pose': pose.numpy(), 'shape': betas,
              'S': np.concatenate([joints, np.ones((count, 24, 1))], -1), 'cam_R': cameras.numpy(),
              'cam_K': np.tile([[100.0, 0, SIZE / 2], [0, 100, SIZE / 2], [0, 0, 1]], (count, 1, 1)),
              'group': np.repeat(np.arange(PEOPLE) * 7, VIEWS), 'view': np.tile(np.arange(VIEWS) + 1, PEOPLE), **more}
    np.savez(assets / 'dataset_extras' / f'{name}_{split}.npz',
             **{key: value[order] for key, value in arrays.items() if value is not None})


@pytest.fixture(scope='module')
def assets(standin_assets):
    write_groups(standin_assets, 'views', 'train')
    write_groups(standin_assets, 'views', 'val', seed=1)
    return standin_assets


def config(assets, *overrides):
    return load_config(None, ['PATHS.DATA_DIR', str(assets), 'DATA.IMG_RES', 64, 'DATA.MIXTURE', ['views:1'],
                              'DATA.EVAL_DATASET', 'views', 'DATA.N_VIEWS', 3, *overrides])


def annotations(names, **extra):
    return Annotations.blank(names, np.zeros((len(names), 2)), np.ones(len(names)), extra=extra)


def test_groups_of_mpi_inf_3dhp_paths():
    names = [f'{folder}S{subject}/Seq{seq}/imageFrames/video_{video}/frame_{frame:06d}.jpg'
             for subject, seq, video, frame, folder in [
                 (1, 1, 8, 11, ''), (1, 1, 0, 11, ''), (1, 1, 0, 12, ''), (1, 2, 0, 11, ''), (2, 1, 0, 11, 'x/'),
                 (1, 1, 10, 11, '')]]
    groups = view_groups(annotations(names), 'f.npz')
    assert sorted(map(list, groups)) == [[1, 0, 5], [2], [3], [4]]


@pytest.mark.skipif(not REAL.exists(), reason='../shared is not here')
def test_mmhuman3d_names_are_grouped_too():
    """A name of a file of mmhuman3d's tests, a name of SPIN's for the same group, and another frame's."""
    with np.load(REAL / 'mmhuman3d/sample_mpi_inf_3dhp_train.npz', allow_pickle=True) as file:
        real = str(file['image_path'][0])
    assert real == 'S1/Seq1/video_4/006311.jpg'
    names = [real, 'S1/Seq1/imageFrames/video_0/frame_006311.jpg', 'S1/Seq1/video_0/006312.jpg']
    assert sorted(map(list, view_groups(annotations(names), 'f.npz'))) == [[1, 0], [2]]


def test_groups_by_arrays_and_what_is_wrong_with_them():
    groups = view_groups(annotations(['a', 'b', 'c'], group=np.array(['p', 'q', 'p']), view=np.array([2, 0, 1])), 'f')
    assert sorted(map(list, groups)) == [[1], [2, 0]]
    with pytest.raises(BadFile, match='f.npz: rows 0 and 2 are the same view'):
        view_groups(annotations(['a', 'b', 'c'], group=np.zeros(3), view=np.array([1, 0, 1])), 'f.npz')
    with pytest.raises(BadFile, match="f.npz.*'group' and 'view'.*'b.jpg'"):
        view_groups(annotations(['S1/Seq1/imageFrames/video_0/frame_000001.jpg', 'b.jpg']), 'f.npz')


@pytest.mark.parametrize('size', [1, 2, 3, 4])
def test_windows_count_every_picture_alike(size):
    made = windows(np.array([5, 6, 7, 8]), size)
    assert all(len(set(rows)) == size for rows in made)
    assert len(set(np.bincount(np.concatenate(made))[5:])) == 1


def test_a_sample_shows_one_body_in_the_world(assets):
    """Pose, root and joints in world coordinates are the same for every view, under rotation and flip."""
    data = build_train_dataset(config(assets, 'DATA.ROT_PROB', 1.0)).datasets[0]
    flips = set()
    for epoch in range(8):
        sample = data[epoch, 0]
        assert len(set(sample['sample_index'].tolist())) == 3 and sample['has_camera'].all()
        assert sample['is_flipped'].unique().numel() == 1 and sample['rot_angle'].unique().numel() == 3
        flips.add(bool(sample['is_flipped'][0]))
        to_world = sample['camera_rotation'].transpose(1, 2)
        root = to_world @ axis_angle_to_rotmat(sample['pose'])[:, 0]
        joints = sample['joints_3d'][..., :3] @ sample['camera_rotation']
        for value in (root, joints, sample['pose'][:, 3:], sample['betas']):
            torch.testing.assert_close(value, value[:1].expand_as(value), atol=2e-5, rtol=0)
    assert flips == {True, False}


def test_look_at_faces_the_middle_of_the_box():
    intrinsics = np.array([[900.0, 0, 512], [0, 950, 500], [0, 0, 1]])
    turn = look_at(np.array([100.0, 700]), intrinsics)
    ray = np.linalg.inv(intrinsics) @ [100, 700, 1]
    np.testing.assert_allclose(turn @ ray / np.linalg.norm(ray), [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) > 0
    np.testing.assert_array_equal(look_at(np.array([512.0, 500]), intrinsics), np.eye(3))


def test_intrinsics_turn_the_camera(assets):
    """Boxes are in the middle of the pictures. Another principal point rotates the crop's camera."""
    intrinsics = np.tile(np.array([[100.0, 0, SIZE / 2 - 100], [0, 100, SIZE / 2], [0, 0, 1]]), (PEOPLE * VIEWS, 1, 1))
    write_groups(assets, 'aside', 'val', seed=1, cam_K=intrinsics)
    straight = build_eval_dataset(config(assets, 'TEST.N_VIEWS', 4))[0]['camera_rotation']
    turned = ViewGroupDataset(config(assets), 'aside', 'eval', 4)[0]['camera_rotation']
    angle = rotmat_to_axis_angle((turned @ straight.transpose(1, 2))[:, None])[:, 0]
    # The person is 45 degrees to the right. The camera turns right, so points turn left about y, which points down.
    torch.testing.assert_close(angle, torch.tensor([[0, -np.pi / 4, 0]]).float().expand(4, 3), atol=1e-5, rtol=0)


def test_without_intrinsics_no_camera_is_known(assets):
    """The crop's ray depends on the intrinsics, so the camera's rotation alone is not enough."""
    write_groups(assets, 'rotations', 'val', seed=1, cam_K=None)
    sample = ViewGroupDataset(config(assets), 'rotations', 'eval', 4)[0]
    assert not sample['has_camera'].any() and torch.equal(sample['camera_rotation'], torch.eye(3).expand(4, 3, 3))


def test_a_sample_is_reproducible_and_its_views_vary(assets):
    data = build_train_dataset(config(assets))
    first, again = data[3, 1], data[3, 1]
    assert torch.equal(first['img'], again['img']) and first['imgname'] == again['imgname']
    members = {tuple(data[epoch, 1]['imgname']) for epoch in range(12)}
    assert len(members) > 4
    assert len(data) == PEOPLE


def test_pictures_and_labels_belong_together(assets):
    sample = build_eval_dataset(config(assets, 'TEST.N_VIEWS', 4))[2]
    batch = default_collate([sample, sample])
    assert batch['img'].shape == (2, 4, 3, 64, 64) and batch['keypoints'].shape == (2, 4, 49, 3)
    assert [len(names) for names in batch['imgname']] == [2] * 4
    grey = (sample['img'][:, 0, 32, 32] * 0.229 + 0.485) * 255
    rows = [int(name.rsplit('_', 1)[1].split('.')[0]) for name in sample['imgname']]
    assert torch.allclose(grey, 10.0 * torch.tensor(rows), atol=.1)
    assert rows == list(range(rows[0], rows[0] + 4))


@pytest.mark.parametrize('views', [1, 2, 3, 4])
def test_evaluation_sees_all_pictures(assets, views):
    data = build_eval_dataset(config(assets, 'TEST.N_VIEWS', views))
    rows = torch.cat([data[i]['sample_index'] for i in range(len(data))])
    assert torch.bincount(rows).unique().numel() == 1 and rows.unique().numel() == PEOPLE * VIEWS


@pytest.mark.parametrize('seed', range(3))
def test_drawn_pairs_are_multi_spins(seed):
    """As in its dataset class: frames of each subject and sequence in file order; `random.sample` after
    `random.seed(10)` pairs the rows of each frame with two or more."""
    rng = np.random.default_rng(seed)
    names = [f'S8/Seq{sequence}/imageFrames/video_{video}/frame_{frame:06d}.jpg' for sequence in (1, 2)
             for video in (0, 1, 2, 4, 5, 6, 7, 8) for frame in sorted(rng.choice(40, 12, replace=False))]
    frames = {}
    for row, name in enumerate(names):
        _, sequence, _, _, file = name.split('/')
        frames.setdefault((sequence, file), []).append(row)
    random.seed(10)
    pairs = []
    for rows in frames.values():
        if len(rows) >= 2:
            order = random.sample(range(len(rows)), len(rows))
            pairs += [[rows[order[2 * i]], rows[order[2 * i + 1]]] for i in range(len(rows) // 2)]
    groups = [group for group in view_groups(annotations(names), 'f.npz') if len(group) >= 2]
    assert [list(pair) for pair in drawn_windows(groups, 2, 10)] == pairs


def test_small_groups_are_left_out(assets):
    view = np.tile(np.arange(VIEWS), PEOPLE)
    group = np.where(view < 3, np.repeat(np.arange(PEOPLE), VIEWS), 100 + np.arange(PEOPLE * VIEWS))
    write_groups(assets, 'fewer', 'train', group=group)
    assert len(ViewGroupDataset(config(assets), 'fewer', 'train', 3)) == PEOPLE
    with pytest.raises(BadFile, match='fewer_train.npz: no person has 4 views.*at most 3'):
        ViewGroupDataset(config(assets), 'fewer', 'train', 4)


def test_an_unreadable_picture_skips_its_group(assets):
    write_groups(assets, 'broken', 'train')
    (assets / 'datasets' / 'broken' / 'train_0.png').write_bytes(b'no picture')
    data = ViewGroupDataset(config(assets, 'DATA.ON_BAD_IMAGE', 'skip'), 'broken', 'train', 4)
    people = {int(data[0, index]['imgname'][0].rsplit('_', 1)[1].split('.')[0]) // VIEWS for index in range(len(data))}
    assert people == set(range(1, PEOPLE)) and data.skipped == 1
    with pytest.raises(BadFile, match='train_0.png'):
        stop = ViewGroupDataset(config(assets), 'broken', 'train', 4)
        [stop[0, index] for index in range(len(stop))]


def test_the_stream_has_no_groups(assets):
    with pytest.raises(BadConfig, match='free-stream has no groups'):
        build_train_dataset(config(assets, 'DATA.MIXTURE', ['free-stream:1']))


def test_training_on_groups(assets, tmp_path, capsys, monkeypatch):
    cfg = config(assets, 'MODEL.REGRESSOR', 'multi_spin', 'MULTIVIEW.FUSION', 'attention', 'MULTIVIEW.DROP_VIEWS', 0.5,
                 'MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.BACKBONE.PRETRAINED', '', 'MODEL.HMR.HIDDEN', 32,
                 'LOG_DIR', str(tmp_path), 'NAME', 'run', 'DEVICE', 'cpu', 'TRAIN.BATCH_SIZE', 2, 'TRAIN.NUM_EPOCHS', 1,
                 'TRAIN.NUM_WORKERS', 0, 'TRAIN.VIS_INTERVAL', 1, 'IUV.SIZE', 16, 'TEST.N_VIEWS', 2)
    trainer = Trainer(cfg)
    before = trainer.regressor.fusion.correct.weight.clone()
    evaluation = trainer.fit()
    assert not torch.equal(before, trainer.regressor.fusion.correct.weight)
    assert evaluation.errors['pa_mpjpe'].shape == (PEOPLE * VIEWS, 4)
    assert torch.isfinite(evaluation.errors['pve']).all()
    checkpoint = ['--checkpoint', str(tmp_path / 'run/checkpoints/latest.pt')]
    capsys.readouterr()
    asked = []
    monkeypatch.setattr('core.evaluation.run.build_eval_dataset',
                        lambda cfg: asked.append(cfg.TEST.N_VIEWS) or build_eval_dataset(cfg))
    most = run_evaluation(*parse_pose_options([*checkpoint, '--n_views', '1', '2']))
    assert torch.allclose(most.errors['pve'], evaluation.errors['pve'], atol=1e-3)
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    one, two = (next(line for line in table if line[:2] == words) for words in (['1', 'view'], ['2', 'views']))
    assert asked == [2, 1] and float(two[2]) == pytest.approx(most.mean('mpjpe'), abs=.051)
    assert len(one) == len(two) == 5
    with pytest.raises(BadConfig, match='--n_views is 0'):
        parse_pose_options([*checkpoint, '--n_views', '0', '2'])


def test_published_recipe_trains_on_the_first_view(assets, tmp_path, without_panels):
    """configs/multi_spin.yaml: one epoch fits one picture of each group, its first view."""
    trainer = Trainer(load_config('multi_spin.yaml', [
        'PATHS.DATA_DIR', str(assets), 'DATA.IMG_RES', 64, 'DATA.MIXTURE', ['views:1'], 'DATA.EVAL_DATASET', 'views',
        'DATA.IGNORE_3D', True, 'MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.BACKBONE.PRETRAINED', '',
        'MODEL.HMR.HIDDEN', 32, 'SMPLIFY.NUM_ITERS', 3, 'SMPLIFY.THRESHOLD', 1e6, 'LOG_DIR', str(tmp_path),
        'NAME', 'run', 'DEVICE', 'cpu', 'TRAIN.BATCH_SIZE', 2, 'TRAIN.NUM_EPOCHS', 1, 'TRAIN.NUM_WORKERS', 0,
        'IUV.SIZE', 16]))
    evaluation = trainer.fit()
    assert trainer.supervisor.store.datasets[0].known.sum() == PEOPLE
    assert torch.isfinite(evaluation.errors['pa_mpjpe']).all()


@pytest.fixture
def studio(standin_assets, tmp_path):
    """MPI-INF-3DHP's training set of subjects 1, 2 and 8 with generated videos and annotations, converted."""
    for name in ('smpl', 'J_regressor_extra.npy', 'J_regressor_h36m.npy', 'smpl_mean_params.npz'):
        (tmp_path / name).symlink_to(standin_assets / name)
    root = tmp_path / 'datasets/mpi-inf-3dhp'
    write_3dhp_train(root, [f'S{subject}/Seq{sequence}' for subject in (1, 2, 8) for sequence in (1, 2)], frames=11)
    for folder in root.glob('S*/Seq*'):
        for video in (0, 1, 2, 4, 5, 6, 7, 8):
            write_video(folder / f'imageSequence/video_{video}.avi', 11)
    convert_mpi_inf_3dhp(root, tmp_path / 'dataset_extras/mpi_inf_3dhp_train.npz', extract=True, subjects='1-2,8',
                         progress=False)
    return tmp_path


def test_multi_spins_protocol(studio, tmp_path, capsys, without_panels):
    """As published: subjects 1 to 7 train, and pairs of views of subject 8 are evaluated."""
    small = ['PATHS.DATA_DIR', str(studio), 'DATA.IMG_RES', 64, 'MODEL.BACKBONE.NAME', 'resnet18',
             'MODEL.BACKBONE.PRETRAINED', '', 'MODEL.HMR.HIDDEN', 32, 'LOG_DIR', str(tmp_path / 'logs'), 'NAME', 'run',
             'DEVICE', 'cpu', 'TRAIN.BATCH_SIZE', 4, 'TRAIN.NUM_EPOCHS', 1, 'TRAIN.NUM_WORKERS', 0,
             'SMPLIFY.RUN', False]
    trainer = Trainer(load_config('multi_spin.yaml', small))
    (train,) = trainer.train_data.datasets
    assert {name[:2] for name in train.annotations.imgname} == {'S1', 'S2'} and len(train) == 2 * 2 * 2
    assert {name[:2] for name in trainer.eval_data.annotations.imgname} == {'S8'}
    sample = trainer.eval_data[0]
    assert sample['img'].shape[0] == 2 and sample['has_camera'].all()
    assert len(set(sample['imgname'])) == 2
    trainer.fit()
    capsys.readouterr()
    checkpoint = str(tmp_path / 'logs/run/checkpoints/latest.pt')
    evaluation = run_evaluation(*parse_pose_options(['--checkpoint', checkpoint, '--dataset', 'mpi-inf-3dhp-s8']))
    # Two frames of two sequences, eight views each in four pairs.
    assert len(evaluation.errors['mpjpe']) == 2 * 2 * 8 and set(evaluation.groups) == {'S8/Seq1', 'S8/Seq2'}
    assert {'mpjpe', 'pa_mpjpe', 'pck'} <= set(evaluation.errors)
    assert 'S8/Seq2' in capsys.readouterr().out


def test_a_camera_of_mpi_inf_3dhp_looks_at_the_person(studio):
    """With a focal length of 1500 and the principal point at 1024, a box about (1774, 1024) is half the focal length to
    the right. Points in that direction are in the middle of the crop."""
    path = studio / 'dataset_extras/mpi_inf_3dhp_train.npz'
    rows = Annotations.load(path)
    rows.center[:] = [1774.5, 1024.5]
    rows.save(path)
    sample = ViewGroupDataset(config(studio, 'DATA.FLIP', False), 'mpi-inf-3dhp', 'train', 2)[0, 0]
    for view in range(2):
        row = int(sample['sample_index'][view])
        person = np.linalg.inv(rows.extra['cam_R'][row]) @ [0.5, 0, 1]  # a direction in the world
        seen = sample['camera_rotation'][view].double().numpy() @ person
        np.testing.assert_allclose(seen / np.linalg.norm(seen), [0, 0, 1], atol=1e-6)

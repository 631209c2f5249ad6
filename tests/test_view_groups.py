"""Groups of views: how they are found, drawn, augmented alike, and trained on."""
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
from datasets.multiview import ViewGroupDataset, view_groups, windows
from models.body import BodyModel
from utils.camera import look_at
from utils.errors import BadConfig, BadFile
from utils.geometry import axis_angle_to_rotmat, project, rotmat_to_axis_angle

SIZE, PEOPLE, VIEWS = 96, 6, 4


def write_groups(assets, name, split, seed=0, **more):
    """PEOPLE bodies, each seen by VIEWS calibrated cameras; every picture is of one grey that names its row."""
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
    # Rows of a group do not stand together in the file.
    order = rng.permutation(count)
    arrays = {'imgname': np.array(names), 'center': np.full((count, 2), SIZE / 2), 'scale': np.full(count, SIZE / 200),
              'part': keypoints[:, 25:], 'openpose': keypoints[:, :25], 'pose': pose.numpy(), 'shape': betas,
              'S': np.concatenate([joints, np.ones((count, 24, 1))], -1), 'cam_R': cameras.numpy(),
              'group': np.repeat(np.arange(PEOPLE) * 7, VIEWS), 'view': np.tile(np.arange(VIEWS) + 1, PEOPLE), **more}
    np.savez(assets / 'dataset_extras' / f'{name}_{split}.npz', **{key: value[order] for key, value in arrays.items()})


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
    """What turns, mirrors and cameras leave is the same pose, root and joints in the world, whatever the view."""
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
    """The test set's boxes are in the middle of its pictures: a principal point elsewhere makes the difference."""
    intrinsics = np.tile(np.array([[100.0, 0, SIZE / 2 - 100], [0, 100, SIZE / 2], [0, 0, 1]]), (PEOPLE * VIEWS, 1, 1))
    write_groups(assets, 'aside', 'val', seed=1, cam_K=intrinsics)
    straight = build_eval_dataset(config(assets, 'TEST.N_VIEWS', 4))[0]['camera_rotation']
    turned = ViewGroupDataset(config(assets), 'aside', 'eval', 4)[0]['camera_rotation']
    angle = rotmat_to_axis_angle((turned @ straight.transpose(1, 2))[:, None])[:, 0]
    # The person is 45 degrees to the right: the camera turns right, which moves points left, about y down.
    torch.testing.assert_close(angle, torch.tensor([[0, -np.pi / 4, 0]]).float().expand(4, 3), atol=1e-5, rtol=0)


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


def test_small_groups_are_left_out(assets):
    view = np.tile(np.arange(VIEWS), PEOPLE)
    group = np.where(view < 3, np.repeat(np.arange(PEOPLE), VIEWS), 100 + np.arange(PEOPLE * VIEWS))
    write_groups(assets, 'fewer', 'train', group=group)
    assert len(ViewGroupDataset(config(assets), 'fewer', 'train', 3)) == PEOPLE
    with pytest.raises(BadFile, match='fewer_train.npz: no person is seen by 4 cameras.*at most 3'):
        ViewGroupDataset(config(assets), 'fewer', 'train', 4)


def test_an_unreadable_picture_passes_over_its_group(assets):
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


def test_published_recipe_trains_on_the_first_view(assets, tmp_path):
    """configs/multi_spin.yaml in the harness: one epoch fits one picture a group, its first view."""
    trainer = Trainer(load_config('multi_spin.yaml', [
        'PATHS.DATA_DIR', str(assets), 'DATA.IMG_RES', 64, 'DATA.MIXTURE', ['views:1'], 'DATA.EVAL_DATASET', 'views',
        'DATA.IGNORE_3D', True, 'MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.BACKBONE.PRETRAINED', '',
        'MODEL.HMR.HIDDEN', 32, 'SMPLIFY.NUM_ITERS', 3, 'SMPLIFY.THRESHOLD', 1e6, 'LOG_DIR', str(tmp_path),
        'NAME', 'run', 'DEVICE', 'cpu', 'TRAIN.BATCH_SIZE', 2, 'TRAIN.NUM_EPOCHS', 1, 'TRAIN.NUM_WORKERS', 0,
        'TRAIN.VIS_INTERVAL', 1, 'IUV.SIZE', 16]))
    evaluation = trainer.fit()
    assert trainer.supervisor.store.datasets[0].known.sum() == PEOPLE
    assert torch.isfinite(evaluation.errors['pa_mpjpe']).all()

"""EMDB's files, as its dataset.md documents them, and its protocol, compared with arithmetic in numpy."""
import pickle

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from core.config import load_config
from core.evaluation.evaluator import Evaluator
from core.evaluation.report import as_csv, console
from core.metrics import acceleration_error, jitter
from datasets.annotations import Annotations
from datasets.image_dataset import ImageDataset
from datasets.preprocess.emdb import convert_emdb
from models.body import BodyModel
from tests.oracle import Oracle
from tests.tiny_data import write_gendered_assets
from utils.errors import BadFile, MissingFile

FRAMES, SIZE = 9, 64
RNG = np.random.default_rng(0)
CPU = torch.device('cpu')


def sequence(name, emdb1=True, gender='female', bad=()):
    """The dictionary of `*_data.pkl`, with the keys, types and shapes of dataset.md."""
    good = np.ones(FRAMES, bool)
    good[list(bad)] = False
    extrinsics = np.tile(np.eye(4), (FRAMES, 1, 1))
    extrinsics[:, :3, :3] = Rotation.from_euler('xyz', RNG.uniform(-.4, .4, (FRAMES, 3))).as_matrix()
    corners = np.tile([12., 4., 44., 60.], (FRAMES, 1)) + RNG.uniform(-2, 2, (FRAMES, 1))
    motion = np.linspace(0, 1, FRAMES)[:, None] ** 3 + RNG.normal(0, .05, (FRAMES, 1))
    return {
        'gender': gender, 'name': name, 'emdb1': emdb1, 'emdb2': not emdb1, 'n_frames': FRAMES,
        'good_frames_mask': good,
        'camera': {'intrinsics': np.array([[70., 0, 32], [0, 70, 32], [0, 0, 1]]), 'extrinsics': extrinsics,
                   'width': SIZE, 'height': SIZE},
        'smpl': {'poses_root': RNG.normal(0, .3, (1, 3)) + motion,
                 'poses_body': RNG.normal(0, .2, (1, 69)) + .3 * motion,
                 'trans': RNG.normal(size=(FRAMES, 3)), 'betas': RNG.normal(size=10)},
        'kp2d': RNG.uniform(0, SIZE, (FRAMES, 24, 2)),
        'bboxes': {'bboxes': corners, 'invalid_idxs': np.flatnonzero(~good)}}


def write(root, subject, name, content):
    folder = root / subject / name
    (folder / 'images').mkdir(parents=True)
    (folder / f'{subject}_{name}_data.pkl').write_bytes(pickle.dumps(content))
    for frame in range(FRAMES):
        pixels = np.random.default_rng([frame, len(name)]).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'images/{frame:05d}.jpg'), pixels)


def test_files(tmp_path):
    content = sequence('P0_09_outdoor_walk', bad=[2])
    content['bboxes']['bboxes'][4] = [10, 10, 10, 30]
    write(tmp_path, 'P0', '09_outdoor_walk', content)
    write(tmp_path, 'P2', '19_indoor_walk', sequence('P2_19_indoor_walk', emdb1=False, gender='male'))
    (tmp_path / 'P0/09_outdoor_walk/images/00007.jpg').unlink()
    convert_emdb(tmp_path, tmp_path / 'o.npz', progress=False)
    people = Annotations.load(tmp_path / 'o.npz')
    frames = [0, 1, 3, 5, 6, 8]
    assert people.imgname.tolist() == [f'P0/09_outdoor_walk/images/{i:05d}.jpg' for i in frames]
    assert (people.gender == 1).all() and people.extra['sequence'].tolist() == ['P0/09_outdoor_walk'] * 6
    smpl, camera = content['smpl'], content['camera']
    root = camera['extrinsics'][3, :3, :3] @ Rotation.from_rotvec(smpl['poses_root'][3]).as_matrix()
    assert np.allclose(Rotation.from_rotvec(people.pose[2, :3]).as_matrix(), root, atol=1e-6)
    assert np.allclose(people.pose[2, 3:], smpl['poses_body'][3]) and np.allclose(people.betas[5], smpl['betas'])
    left, top, right, bottom = content['bboxes']['bboxes'][3]
    assert np.allclose(people.center[2], [(left + right) / 2, (top + bottom) / 2])
    assert people.scale[2] == pytest.approx(1.2 * (bottom - top) / 200)
    assert np.allclose(people.bbox_size[2], [right - left, bottom - top])
    assert np.allclose(people.person(0).intrinsics, camera['intrinsics'])
    convert_emdb(tmp_path, tmp_path / 'two.npz', 'emdb2', progress=False)
    assert (Annotations.load(tmp_path / 'two.npz').gender == 0).all()


def test_bad_files_are_one_line(tmp_path):
    with pytest.raises(MissingFile, match='no such EMDB folder'):
        convert_emdb(tmp_path / 'nowhere', tmp_path / 'o.npz', progress=False)
    content = sequence('P0_a')
    content['smpl']['poses_body'] = np.zeros((3, 69))
    write(tmp_path, 'P0', 'a', content)
    with pytest.raises(BadFile, match=r'P0_a_data\.pkl: smpl\.poses_body has shape \[3, 69\]'):
        convert_emdb(tmp_path, tmp_path / 'o.npz', progress=False)
    (tmp_path / 'P0/a/P0_a_data.pkl').write_bytes(pickle.dumps({'emdb1': True}))
    with pytest.raises(BadFile, match=r"P0_a_data\.pkl: not a sequence file of EMDB"):
        convert_emdb(tmp_path, tmp_path / 'o.npz', progress=False)


@pytest.fixture(scope='module')
def assets(standin_assets, tmp_path_factory):
    """The stand-in body as men's, women's and the neutral one, and two converted sequences."""
    root = tmp_path_factory.mktemp('emdb')
    write_gendered_assets(standin_assets, root, {'NEUTRAL': 0, 'MALE': 1.0, 'FEMALE': -1.0})
    for name, gender in (('walk', 'female'), ('stand', 'male')):
        write(root / 'datasets/emdb', 'P0', name, sequence(f'P0_{name}', gender=gender, bad=[4] * (gender == 'male')))
    convert_emdb(root / 'datasets/emdb', root / 'dataset_extras/emdb1_test.npz', progress=False)
    return root


def config(assets, *overrides):
    return load_config(None, ['PATHS.DATA_DIR', str(assets), 'DATA.IMG_RES', SIZE, 'TRAIN.NUM_WORKERS', 0,
                              'DEVICE', 'cpu', *overrides])


def published(predicted, true, true_vertices, vertices):
    """EMDB's and WHAM's metrics of one sequence of SMPL joints [T,24,3] in the camera's frame, in numpy."""
    middle, true_middle = (points[:, [1, 2]].mean(1, keepdims=True) for points in (predicted, true))
    centred, true_centred = predicted - middle, true - true_middle
    second = centred[:-2] - 2 * centred[1:-1] + centred[2:]
    true_second = true_centred[:-2] - 2 * true_centred[1:-1] + true_centred[2:]
    still = predicted.copy()
    still[:, [0, 7, 8, 10, 11, 20, 21, 22, 23]] = 0
    jerk = (still[3:] - 3 * still[2:-1] + 3 * still[1:-2] - still[:-3]) * 30 ** 3
    return {'mpjpe': 1000 * np.linalg.norm(centred - true_centred, axis=2).mean(1),
            'pve': 1000 * np.linalg.norm(vertices - middle - (true_vertices - true_middle), axis=2).mean(1),
            'accel': np.linalg.norm(second - true_second, axis=2).mean(1)[1:-1] * 30 ** 2,
            'jitter': np.linalg.norm(jerk, axis=2).mean(1) / 10}


@pytest.mark.parametrize('frame', ['crop', 'picture'])
@pytest.mark.parametrize('options', [[], ['TEST.SHUFFLE', True]])
def test_protocol(assets, options, frame):
    """A noisy estimate: errors equal the published arithmetic, sequence by sequence, with gaps closed."""
    cfg = config(assets, 'TEST.BATCH_SIZE', 4, 'MODEL.CAMERA', frame, *options)
    dataset = ImageDataset(cfg, 'emdb1', 'eval')
    people, body = dataset.annotations, BodyModel(assets)
    assert len(people) == 2 * FRAMES - 1
    pose = (people.pose + np.random.default_rng(1).normal(0, .1, people.pose.shape)).astype(np.float32)
    betas = np.zeros((len(people), 10), np.float32)
    asked = pose.copy()
    if frame == 'crop':  # estimates are relative to the crop's ray and are turned to the picture's camera
        turn = np.stack([dataset[i]['ray_rotation'].numpy() for i in range(len(people))])
        assert np.abs(turn - np.eye(3)).max() > 1e-3
        asked[:, :3] = (Rotation.from_matrix(turn).inv() * Rotation.from_rotvec(pose[:, :3])).as_rotvec()
    oracle = Oracle(body, dataset, (asked, betas, np.tile([[.9, 0, 0]], (len(people), 1))), stages=2)
    evaluation = Evaluator(cfg, body).evaluate(oracle, dataset, 'emdb1', CPU, progress=False)
    with torch.no_grad():
        found = body(torch.from_numpy(betas), pose=torch.from_numpy(pose))
        wanted = {name: [] for name in ('mpjpe', 'pve', 'accel', 'jitter')}
        for gender, rows in (('male', people.gender == 0), ('female', people.gender == 1)):
            true = BodyModel(assets, gender)(torch.from_numpy(people.betas[rows]),
                                             pose=torch.from_numpy(people.pose[rows]))
            values = published(found.smpl_joints[rows].numpy().astype(np.float64), true.smpl_joints.numpy(),
                               true.vertices.numpy(), found.vertices[rows].numpy())
            for name, value in values.items():
                wanted[name].append(value)
    assert people.gender[0] == 0  # sequences are in the order of their names
    for name, parts in wanted.items():
        errors = evaluation.errors[name][:, -1]
        errors = errors[~errors.isnan()]
        assert len(errors) == sum(map(len, parts)), name
        assert np.allclose(np.sort(errors.numpy()), np.sort(np.concatenate(parts)), rtol=2e-3), name
    assert evaluation.errors['accel'][:, 0].isnan().all()  # motion is the last stage's
    by_sequence = {row.name: row.scores for row in evaluation.rows() if row.kind == 'sequence'}
    assert set(by_sequence) == {'P0/stand', 'P0/walk'}
    assert by_sequence['P0/walk']['accel'].mean == pytest.approx(wanted['accel'][1].mean(), rel=2e-3)
    assert 'acceleration error, m/s^2' in console(evaluation) and 'jitter, 10 m/s^3' in console(evaluation)
    assert ',accel,m/s^2,' in as_csv(evaluation)


def test_motion_by_hand():
    """A joint at x = t^2 / 2 has an acceleration of 1 / frame^2; at x = t^3 / 6 it has a jerk of 1 / frame^3."""
    time = torch.arange(8, dtype=torch.float64)
    square, cube = (torch.zeros(8, 1, 3, dtype=torch.float64) for _ in range(2))
    square[:, 0, 0], cube[:, 0, 0] = time ** 2 / 2, time ** 3 / 6
    assert torch.allclose(acceleration_error(square, torch.zeros_like(square), 30), torch.full((6,), 900.).double())
    assert torch.allclose(jitter(cube, 10), torch.full((5,), 100.).double())
    valid = torch.ones(8, 1, dtype=torch.bool)
    valid[3] = False
    kept = acceleration_error(square, torch.zeros_like(square), 30, valid)
    assert kept.isnan().tolist() == [False, True, True, True, False, False]


def test_motion_is_measured_between_consecutive_frames_alone(assets):
    """The key `frame` marks gaps. Without the key `sequence` no motion is measured."""
    cfg = config(assets)
    dataset, body = ImageDataset(cfg, 'emdb1', 'eval'), BodyModel(assets)
    people = dataset.annotations
    oracle = Oracle(body, dataset, (people.pose, people.betas, np.ones((len(people), 3))))
    people.extra['frame'] = np.concatenate([[0, 1, 2, 3, 5, 6, 7, 8], np.arange(FRAMES)])

    def measured():
        return Evaluator(cfg, body).evaluate(oracle, dataset, 'emdb1', CPU, progress=False).errors
    assert (~measured()['jitter'].isnan()).sum() == 1 + 1 + FRAMES - 3
    del people.extra['sequence']
    assert 'jitter' not in measured()

"""python -m datasets.from_pictures: its files, training with them, and continuing a stopped run.

The people are bodies of known pose before a known camera. Their keypoints are computed.
"""
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.utils.data import default_collate

import core.own_data.run
import core.own_data.sources
from core.config import load_config
from core.config.training_options import parse_training_options
from core.own_data.run import label_own_data
from core.own_data.training_command import training_command
from core.training.fitting import FitsInTheLoop
from core.training.supervision import check_labels
from datasets.annotations import Annotations
from datasets.build import build_train_dataset
from datasets.catalog import find_dataset
from datasets.fits import mean_parameters
from datasets.from_pictures import main
from models.body import BodyModel
from models.keypoints import PersonKeypoints
from models.output import RegressorOutput, Stage
from tests.blazepose import there
from tests.demo_data import write_video
from utils.assets import find_assets
from utils.camera import look_at
from utils.errors import BadConfig, BadFile, MissingFile, ProjectError
from utils.keypoints import JOINT_NAMES, NUM_OPENPOSE
from utils.logging import get_logger

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / 'shared' / 'real'
WIDTH, HEIGHT, FOCAL = 640, 480, 800.0  # sqrt(640^2 + 480^2)
CAMERA = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
# Metres to the right, down and away from the camera. The first person is 14 degrees off the axis.
PLACES = [(0.85, 0.1, 3.5), (-0.2, 0.0, 4.0), (0.1, 0.1, 5.0)]
# Upright: half a turn about x, and 0, 40 and -60 degrees about the body's axis.
HEADINGS = [(np.pi * np.cos(half), 0, np.pi * np.sin(half)) for half in np.radians([0, 20, -30])]


class KnownPeople:
    """A pose estimator that returns keypoints of known bodies. The red of a picture's corner tells the person: 0, 20
    and 40 are whole people, 200 is a person with visible face and arms, and 250 is nobody."""
    name = 'known people'

    def __init__(self, assets):
        body = BodyModel(assets)
        self.pose = np.repeat(mean_parameters(find_assets(assets))[None, :72], 3, 0)
        self.pose[:, :3] = HEADINGS
        with torch.no_grad():
            joints = body(torch.zeros(3, 10), pose=torch.from_numpy(self.pose)).joints.numpy()
        self._joints, self.asked, self.stop_at = joints, 0, None

    def __call__(self, image, boxes=None):
        self.asked += 1
        if self.asked == self.stop_at:
            raise KeyboardInterrupt
        mark = int(image[:8, :8, 0].mean().round())
        if mark > 245:
            return []
        return [self.person(0 if mark > 150 else mark // 20, half=mark > 150)]

    def video(self):
        return lambda image: [person.with_track(0) for person in self(image)]

    def person(self, which, half=False):
        placed = self._joints[which] + PLACES[which]
        points = FOCAL * placed[:, :2] / placed[:, 2:] + (WIDTH / 2, HEIGHT / 2)
        confidence = np.full(49, 0.9)
        confidence[:NUM_OPENPOSE] = 0
        if half:
            seen = [JOINT_NAMES.index(name) for name in ('nose', 'left_eye', 'right_eye', *(
                f'{side}_{joint}' for side in ('left', 'right') for joint in ('shoulder', 'elbow', 'wrist')))]
            confidence[np.setdiff1d(np.arange(49), seen)] = 0
        rectangle = points[confidence > 0]
        middle = (rectangle.min(0) + rectangle.max(0)) / 2
        turn = look_at(middle, CAMERA)
        hips = [JOINT_NAMES.index(f'{side}_hip') for side in ('left', 'right')]
        solid = (self._joints[which] - self._joints[which][hips].mean(0)) @ turn.T
        return PersonKeypoints(np.concatenate([rectangle.min(0), rectangle.max(0)]), 0.9,
                               np.concatenate([points, confidence[:, None]], 1) * (confidence[:, None] > 0),
                               np.concatenate([solid, confidence[:, None]], 1))


@pytest.fixture
def people(free_assets, monkeypatch):
    estimator = KnownPeople(free_assets)
    monkeypatch.setattr(core.own_data.run, 'pose_estimator', lambda cfg, device: estimator)
    return estimator


@pytest.fixture
def cfg(free_assets):
    return load_config(None, ['DEMO.RENDER', False, 'PATHS.DATA_DIR', str(free_assets), 'DEVICE', 'cpu'])


def write_pictures(folder, marks):
    folder.mkdir(exist_ok=True)
    for place, mark in enumerate(marks):
        picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        picture[:16, :16, 2] = mark
        cv2.imwrite(str(folder / f'p{place}.png'), picture)
    return folder


def fits_of(out):
    with np.load(out.with_name(f'{out.stem}_fits.npz')) as archive:
        return dict(archive)


def test_labels_fits_and_sheet_are_written(people, cfg, tmp_path, capsys):
    pictures, out = write_pictures(tmp_path / 'pictures', [0, 20, 250, 40, 200]), tmp_path / 'out' / 'mine.npz'
    (pictures / 'p9.png').write_bytes(b'no picture')
    label_own_data(cfg, pictures, out)
    assert sorted(path.name for path in out.parent.iterdir()) == ['mine.npz', 'mine_fits.npz', 'mine_sheet.jpg']
    labels, fits = Annotations.load(out), fits_of(out)
    assert list(labels.imgname) == ['p0.png', 'p1.png', 'p3.png', 'p4.png']
    assert not labels.has_smpl.any() and not labels.has_joints_3d.any()  # fits are no ground truth
    np.testing.assert_allclose(labels.extra['focal'], FOCAL)
    seen = people.person(0).keypoints
    np.testing.assert_allclose(labels.keypoints_2d[0], seen, atol=1e-4)
    left, top, right, bottom = people.person(0).box
    np.testing.assert_allclose(labels.center[0], [(left + right) / 2, (top + bottom) / 2], atol=1e-3)
    assert labels.scale[0] == pytest.approx(1.2 * max(right - left, bottom - top) / 200, rel=1e-5)
    assert list(fits['valid_fit']) == [True, True, True, False] and fits['seen'][3] == 6
    sheet = cv2.imread(str(out.with_name('mine_sheet.jpg')))
    assert sheet.shape[0] > 200 and sheet.std() > 20
    assert '5 frames, 4 people; 1 without a person; 1 skipped: unreadable pictures' in capsys.readouterr().out


def test_joints_outside_of_the_picture_are_no_labels(people, cfg, tmp_path, monkeypatch):
    """The person's left half is beyond the picture's right edge."""
    monkeypatch.setitem(globals(), 'PLACES', [(1.4, 0.1, 3.5)])
    label_own_data(cfg, write_pictures(tmp_path / 'p', [0]), tmp_path / 'mine.npz')
    points, guessed = Annotations.load(tmp_path / 'mine.npz').keypoints_2d[0], people.person(0).keypoints
    beyond = guessed[:, 0] > WIDTH
    assert beyond[NUM_OPENPOSE:].sum() > 3 and not points[beyond].any() and (points[~beyond] == guessed[~beyond]).all()


def test_training_supervises_with_the_fits(people, cfg, free_assets, tmp_path):
    """The mixture names the annotation file alone. Fits are relative to the crop's ray, as SPIN's."""
    out = tmp_path / 'mine.npz'
    label_own_data(cfg, write_pictures(tmp_path / 'pictures', [0, 20, 40, 200]), out)
    train = load_config(None, ['DATA.MIXTURE', [f'{out}:1'], 'PATHS.DATA_DIR', str(free_assets), 'DATA.IMG_RES', 64,
                               'SMPLIFY.USE_FITS', True, 'DATA.FLIP', False, 'DATA.ROT_PROB', 0.0,
                               'DATA.SCALE_FACTOR', 0.0])
    data = build_train_dataset(train)
    fits = FitsInTheLoop(train, BodyModel(free_assets), data.datasets)
    batch = default_collate([data[(0, row)] for row in range(4)])
    rows = batch['sample_index'].argsort()
    stage = Stage(torch.eye(3).expand(4, 24, 3, 3), torch.zeros(4, 10), torch.tensor([[0.9, 0, 0]]).expand(4, 3),
                  BodyModel(free_assets))
    targets = fits.targets(batch, RegressorOutput([stage]))
    assert targets.valid[rows].tolist() == [True, True, True, False]
    assert fits.scalars()['residual'] < 20  # square pixels of a crop of 224
    for row in range(3):
        orient = Rotation.from_matrix(targets.rotmat[rows][row, 0].numpy())
        ray = Rotation.from_matrix(look_at(Annotations.load(out).center[row], CAMERA))
        truth = ray * Rotation.from_rotvec(people.pose[row, :3])
        assert np.degrees((truth.inv() * orient).magnitude()) < 10
        assert row or np.degrees(ray.magnitude()) > 12


def test_the_log_names_fits_that_are_not_used(people, cfg, free_assets, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(get_logger(), 'propagate', True)
    label_own_data(cfg, write_pictures(tmp_path / 'pictures', [0]), tmp_path / 'mine.npz')
    train = load_config(None, ['DATA.MIXTURE', [f'{tmp_path / "mine.npz"}:1'], 'PATHS.DATA_DIR', str(free_assets)])
    check_labels(build_train_dataset(train).datasets, train)
    assert 'mine_fits.npz: these fits are not used; SMPLIFY.USE_FITS True' in caplog.text


def test_the_picture_folder_is_relative_to_the_file(people, cfg, free_assets, tmp_path, monkeypatch):
    """Training may run in any folder. PATHS.IMAGE_DIRS takes precedence."""
    label_own_data(cfg, write_pictures(tmp_path / 'pictures', [0]), tmp_path / 'labels' / 'mine.npz')
    monkeypatch.chdir(tmp_path)
    keys = ['PATHS.DATA_DIR', str(free_assets)]
    assert find_dataset(load_config(None, keys), 'labels/mine.npz').images.resolve() == tmp_path / 'pictures'
    (tmp_path / 'pictures').rename(tmp_path / 'moved')
    with pytest.raises(MissingFile, match=r"PATHS.IMAGE_DIRS to \['mine=FOLDER'\]"):
        find_dataset(load_config(None, keys), 'labels/mine.npz')
    found = find_dataset(load_config(None, [*keys, 'PATHS.IMAGE_DIRS', ['mine=moved']]), 'labels/mine.npz')
    assert found.images.resolve() == tmp_path / 'moved'


def test_a_stopped_run_continues_and_gives_the_same_files(people, cfg, tmp_path, monkeypatch):
    monkeypatch.setattr(core.own_data.sources, '_PICTURES_A_UNIT', 2)
    pictures = write_pictures(tmp_path / 'pictures', [0, 20, 40, 250, 0, 200])
    label_own_data(cfg, pictures, tmp_path / 'whole.npz')
    people.asked, people.stop_at = 0, 6
    with pytest.raises(KeyboardInterrupt):
        label_own_data(cfg, pictures, tmp_path / 'mine.npz')
    assert not (tmp_path / 'mine.npz').exists() and not (tmp_path / 'mine_fits.npz').exists()
    people.asked, people.stop_at = 0, None
    cv2.imwrite(str(pictures / 'p1.png'), cv2.imread(str(pictures / 'p1.png')), [cv2.IMWRITE_PNG_COMPRESSION, 0])
    label_own_data(cfg, pictures, tmp_path / 'mine.npz')
    assert people.asked == 4  # the first unit, of which a picture changed, and the last
    for name in ('{}.npz', '{}_fits.npz', '{}_sheet.jpg'):
        assert ((tmp_path / name.format('mine')).read_bytes() == (tmp_path / name.format('whole')).read_bytes()), name
    assert not [path for path in tmp_path.iterdir() if path.name.startswith('.')]


def test_a_video_and_its_frames(people, cfg, tmp_path, monkeypatch):
    """24 frames at 12 frames a second; 4 of each second are kept."""
    monkeypatch.setattr(core.own_data.sources, '_SECONDS_A_UNIT', 1)
    clip = write_video(tmp_path / 'clip.mp4', count=24, size=(WIDTH, HEIGHT))
    monkeypatch.setattr(people, 'video', lambda: lambda image: (people(np.zeros_like(image)), [
        people.person(0).with_track(0)])[1])
    people.stop_at = 20
    with pytest.raises(KeyboardInterrupt):
        label_own_data(cfg, clip, tmp_path / 'mine.npz', fps=4)
    people.asked, people.stop_at = 0, None
    label_own_data(cfg, clip, tmp_path / 'mine.npz', fps=4)
    assert people.asked == 12  # the first second was finished
    labels = Annotations.load(tmp_path / 'mine.npz')
    assert list(labels.imgname) == [f'{index:06d}.jpg' for index in range(0, 24, 3)]
    assert sorted(path.name for path in (tmp_path / 'mine_frames').iterdir()) == list(labels.imgname)
    assert fits_of(tmp_path / 'mine.npz')['valid_fit'].all()
    frame = cv2.imread(str(tmp_path / 'mine_frames' / '000003.jpg'))
    assert frame.shape == (HEIGHT, WIDTH, 3) and frame[:50, :50, 2].mean() > 200  # its corner is red


@pytest.mark.parametrize('pictures, error', [
    ('absent', MissingFile), ('empty', MissingFile), ('absent.jpg', MissingFile), ('text.mp4', BadFile),
    ('nobody', BadFile), ('broken', BadFile)])
def test_what_cannot_be_labelled_is_one_line(people, cfg, tmp_path, pictures, error):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'text.mp4').write_text('no video')
    write_pictures(tmp_path / 'nobody', [250, 250])
    (write_pictures(tmp_path / 'broken', []) / 'a.jpg').write_bytes(b'no picture')
    with pytest.raises(error) as raised:
        label_own_data(cfg, tmp_path / pictures, tmp_path / 'out.npz')
    assert '\n' not in str(raised.value) and pictures in str(raised.value)
    assert not (tmp_path / 'out.npz').exists()


def test_files_are_replaced_only_with_overwrite(people, cfg, tmp_path):
    pictures = write_pictures(tmp_path / 'pictures', [0])
    label_own_data(cfg, pictures, tmp_path / 'mine.npz')
    with pytest.raises(ProjectError, match='--overwrite'):
        label_own_data(cfg, pictures, tmp_path / 'mine.npz')
    write_pictures(tmp_path / 'pictures', [0, 20])
    label_own_data(cfg, pictures, tmp_path / 'mine.npz', overwrite=True)
    assert len(Annotations.load(tmp_path / 'mine.npz')) == len(fits_of(tmp_path / 'mine.npz')['pose']) == 2
    for _ in range(2):  # the first run's sheet lies among the second run's pictures
        label_own_data(cfg, pictures, pictures / 'mine.npz', overwrite=True)
        assert list(Annotations.load(pictures / 'mine.npz').imgname) == ['p0.png', 'p1.png']
    for changes in ({'out': tmp_path / 'mine.txt'}, {'fps': float('nan')}):
        with pytest.raises(BadConfig):
            label_own_data(cfg, pictures, **{'out': tmp_path / 'other.npz', **changes})


@pytest.mark.parametrize('name', ['absent', 'absent.jpg', 'absent.mp4'])
def test_what_is_absent_need_not_be_a_video(people, cfg, tmp_path, name):
    with pytest.raises(MissingFile, match=rf'{name}: no such folder of pictures, picture or video$'):
        label_own_data(cfg, tmp_path / name, tmp_path / 'out.npz')


def printed_command(capsys):
    """Words of the last line that the command printed."""
    return shlex.split(capsys.readouterr().out.strip().splitlines()[-1].removeprefix('to train: '))


def test_the_printed_command_trains(people, free_assets, tmp_path, capsys, scripts):
    """A single person is enough. The folder's name has a blank."""
    out = tmp_path / 'my labels' / 'mine.npz'
    main(['--pictures', str(write_pictures(tmp_path / 'p', [0])), '--out', str(out), '--misc', 'PATHS.DATA_DIR',
          str(free_assets)])
    python, script, *arguments = printed_command(capsys)
    assert (python, script) == ('python', 'train.py')
    status, _, errors = scripts.run([script, *arguments, 'TRAIN.MAX_STEPS', 1, 'LOG_DIR', tmp_path / 'logs'], tmp_path)
    assert status == 0, errors
    assert (tmp_path / 'logs/own_pictures/checkpoints/latest.pt').is_file()
    assert 'no licensed SMPL body' in errors and 'left out of the mixture' not in errors


def test_the_recipes_own_file_name_needs_no_more_words(people, free_assets, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'data').symlink_to(free_assets.parent)
    (tmp_path / 'pretrained').symlink_to(ROOT / 'pretrained')
    main(['--pictures', str(write_pictures(tmp_path / 'p', [0])), '--out', 'mine.npz'])
    assert printed_command(capsys) == ['python', 'train.py', '--cfg_file', 'configs/free/own_pictures.yaml']


def test_the_printed_command_for_another_body_has_a_whole_batch(people, cfg, tmp_path, monkeypatch):
    monkeypatch.setattr('core.own_data.training_command.own_pictures_yaml', lambda data_dir: None)
    labels = label_own_data(cfg, write_pictures(tmp_path / 'p', [0, 20]), tmp_path / 'mine.npz')
    words = shlex.split(training_command(cfg, tmp_path / 'mine.npz', len(labels)))
    train, _ = parse_training_options(words[2:])
    assert train.SMPLIFY.USE_FITS and len(build_train_dataset(train)) >= train.TRAIN.BATCH_SIZE


@there
@pytest.mark.skipif(not REAL.exists(), reason='../shared is not here')
def test_a_real_picture_by_the_command(free_assets, tmp_path):
    """A man who kicks: one person with a fit, whose ankles are apart by more than a third of the box."""
    main(['--pictures', str(REAL / 'pictures/COCO_val2014_000000000589.jpg'), '--out', str(tmp_path / 'kick.npz'),
          '--misc', 'PATHS.DATA_DIR', str(free_assets)])
    labels, fits = Annotations.load(tmp_path / 'kick.npz'), fits_of(tmp_path / 'kick.npz')
    assert len(labels) == 1 and fits['valid_fit'].all() and fits['error'].max() < 0.04
    ankles = labels.keypoints_2d[0, [JOINT_NAMES.index(f'{side}_ankle') for side in ('left', 'right')], 0]
    assert abs(ankles[0] - ankles[1]) > 200 * labels.scale[0] / 3

"""demo.py fits bodies to keypoints: with and without a network, on pictures and videos, and leaves out bad fits."""
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage

from core.config import load_config
from core.demo.boxes import square_box
from core.demo.estimate import BEHIND_CAMERA
from core.demo.fitting import FittingEstimator
from core.demo.options import parse_options
from core.demo.run import run_demo
from datasets.video import Frame
from models.body import BodyModel
from models.keypoints import PersonKeypoints
from models.regressor import Regressor
from tests.blazepose import there
from tests.demo_data import networks_are_read_once, write_checkpoint  # noqa: F401
from utils.errors import BadConfig, MissingFile, ProjectError
from utils.keypoints import COCO_JOINTS, JOINT_NAMES

REAL = Path(__file__).resolve().parents[2] / 'shared' / 'real'
ASTRONAUT = Path(skimage.__file__).parent / 'data' / 'astronaut.png'
real = pytest.mark.skipif(not REAL.exists(), reason='../shared is not here')
pytestmark = pytest.mark.usefixtures('networks_are_read_once')
ROW = JOINT_NAMES.index
# A person who stands and faces the camera in a picture of 400 x 500, in COCO's order. Their left is on the right.
STANDING = np.array([[200, 60], [208, 52], [192, 52], [218, 56], [182, 56], [240, 110], [160, 110], [262, 180],
                     [138, 180], [270, 245], [130, 245], [225, 250], [175, 250], [228, 350], [172, 350], [230, 450],
                     [170, 450]], float)


@pytest.fixture
def demo(free_assets, tmp_path, monkeypatch):
    """Runs demo.py in an empty folder, without a trained checkpoint -> Recordings."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        line = [*map(str, arguments), '--output_folder', str(tmp_path / 'o'), '--misc', 'PATHS.DATA_DIR',
                str(free_assets)]
        return run_demo(*parse_options(line))
    return run


@there
def test_a_picture_needs_no_network_and_no_box(demo, capsys, tmp_path):
    """An astronaut, visible to the hips: one body, with shoulders and nose at their places (read off the picture)."""
    [recording] = demo('--checkpoint', 'none', '--img', ASTRONAUT, '--no_render')
    person, = recording.people
    seen = person.keypoints_2d[0]
    # Her left shoulder is on the picture's right.
    for joint, place in (('right_shoulder', (130, 210)), ('left_shoulder', (325, 215)), ('nose', (222, 125))):
        assert np.linalg.norm(seen[ROW(joint)] - place) < 45, joint
    assert '1 body' in capsys.readouterr().out
    written = json.loads((tmp_path / 'o' / 'astronaut_person0.json').read_text())
    assert written['frames'][0]['translation'][2] > 0.3


@there
@real
def test_three_people_on_a_bench_sit(demo):
    """Three people who sit (COCO, val2014, 328): the knees are before the hips, and the ankles below the knees."""
    [recording] = demo('--img', REAL / 'pictures' / 'COCO_val2014_000000000328.jpg', '--no_render')
    assert len(recording.people) == 3
    for person in recording.people:
        joints = person.joints[0]
        for side in ('left', 'right'):
            hip, knee, ankle = (joints[ROW(f'{side}_{name}')] for name in ('hip', 'knee', 'ankle'))
            assert hip[2] - knee[2] > 0.15 and ankle[1] - knee[1] > 0.2
        assert joints[ROW('nose'), 1] < joints[ROW('left_hip'), 1] - 0.2  # y points down


@there
@real
def test_an_untrained_network_does_not_spoil_the_fit(free_assets, tmp_path, demo, capsys):
    """With an untrained network the fit reaches the same keypoints as without a network."""
    picture = REAL / 'pictures' / 'COCO_val2014_000000000589.jpg'
    checkpoint = write_checkpoint(tmp_path / 'hmr.pt', free_assets)
    [alone], [both] = demo('--img', picture, '--no_render'), demo('--img', picture, '--checkpoint', checkpoint,
                                                                 '--no_render')
    assert len(alone.people) == len(both.people) == 1
    distance = np.linalg.norm(alone.people[0].keypoints_2d - both.people[0].keypoints_2d, axis=-1)
    assert distance[0, 25:37].mean() < 10
    [network] = demo('--img', picture, '--checkpoint', checkpoint, '--fit', 'none', '--no_render')
    distance = np.linalg.norm(network.people[0].keypoints_2d - both.people[0].keypoints_2d, axis=-1)
    assert distance[0, 25:37].mean() > 20  # it knows the man's box, but not that he kicks


@there
@real
def test_a_person_of_a_video_keeps_one_number_and_one_shape(demo):
    [recording] = demo('--vid_file', REAL / 'video' / 'dancer.mp4', '--no_render')
    person, = recording.people
    assert len(person.frames) == len(recording.times)
    assert person.betas[30:].std(0).max() < 0.1
    torso = person.joints[:, ROW('left_shoulder')] - person.joints[:, ROW('left_hip')]
    assert (torso[:, 1] < -0.3).all()  # upright throughout


@there
def test_pictures_without_people_get_no_body(demo, tmp_path, capsys):
    """Noise and an empty wall: no body, and the run says so."""
    folder = tmp_path / 'empty'
    folder.mkdir()
    cv2.imwrite(str(folder / 'wall.png'), np.full((200, 300, 3), 180, np.uint8))
    cv2.imwrite(str(folder / 'noise.png'), np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8))
    [recording] = demo('--image_folder', folder, '--image_based')
    assert not recording.people and '2 frames without a person' in capsys.readouterr().out


@there
def test_keypoints_that_no_body_explains_are_left_out(demo, tmp_path, capsys):
    """An OpenPose file with random joints: nobody is drawn, and the error says why."""
    points = np.zeros((25, 3))
    points[:] = np.c_[np.random.default_rng(0).uniform(0, 500, (25, 2)), np.ones(25)]
    wrong = tmp_path / 'wrong_keypoints.json'
    wrong.write_text(json.dumps({'people': [{'pose_keypoints_2d': points.ravel().tolist()}]}))
    with pytest.raises(ProjectError, match='no person found.*no body explains the keypoints'):
        demo('--img', ASTRONAUT, '--openpose', wrong)


@there
def test_keypoints_of_another_program_replace_the_estimators(demo, tmp_path):
    """An AlphaPose list with COCO's 17 joints for two pictures: each picture gets its person at the file's place."""
    pictures = []
    for name in ('a', 'b'):
        pictures.append(tmp_path / f'{name}.png')
        cv2.imwrite(str(pictures[-1]), np.full((500, 400, 3), 90, np.uint8))
    rows = [{'image_id': path.name, 'keypoints': np.c_[STANDING + (shift, 0), np.ones(17)].ravel().tolist(),
             'score': 0.9, 'category_id': 1} for path, shift in zip(pictures, (0, 60))]
    file = tmp_path / 'alphapose.json'
    file.write_text(json.dumps(rows))
    recordings = demo('--img', *pictures, '--keypoint_file', file, '--no_render')
    for recording, shift in zip(recordings, (0, 60)):
        person, = recording.people
        for joint, place in (('left_ankle', (230, 450)), ('right_wrist', (130, 245)), ('left_shoulder', (240, 110))):
            assert np.linalg.norm(person.keypoints_2d[0, ROW(joint)] - np.add(place, (shift, 0))) < 20, joint
    with pytest.raises(BadConfig, match='keypoint_model'):
        demo('--img', *pictures, '--keypoints', 'rtmpose')


def test_who_is_drawn_is_not_counted_as_left_out(free_assets):
    """A network fails on two people. The one with keypoints is drawn, and the other is counted once."""
    class Blind:
        body, regressor, left_out = BodyModel(free_assets), Regressor, Counter()

        def __call__(self, people, focus):
            self.left_out['failed'] += len(people)
            return [None] * len(people)
    points = np.zeros((49, 3))
    points[[ROW(name) for name in COCO_JOINTS]] = np.c_[STANDING, np.ones(17)]
    box = square_box(120, 40, 160, 430, person_id=0)
    people = [box.with_keypoints(PersonKeypoints(box.box, 1.0, points)), box.with_id(1)]
    frame = Frame(0, 0.0, np.zeros((500, 400, 3), np.uint8))
    cfg = load_config(None, ['PATHS.DATA_DIR', str(free_assets)])
    for video in (False, True):
        estimator = FittingEstimator(cfg, Blind(), None, video)
        drawn, missing = estimator([(frame, person) for person in people], lambda frame: 640.0)
        assert drawn is not None and missing is None and estimator.left_out == {BEHIND_CAMERA: 1}


def test_without_keypoints_the_network_stands_alone_and_says_so(demo, free_assets, tmp_path, monkeypatch, caplog):
    """Without BlazePose's files a line says so. Without a network too, it is an error that names the command."""
    monkeypatch.setattr('models.keypoints.files.FOLDER', tmp_path / 'nothing')
    checkpoint = write_checkpoint(tmp_path / 'hmr.pt', free_assets)
    [recording] = demo('--img', ASTRONAUT, '--checkpoint', checkpoint, '--no_render')
    assert len(recording.people) == 1 and "from the network alone" in caplog.text
    assert 'rendered people only' not in caplog.text
    with pytest.raises(MissingFile, match='models.keypoints.fetch'):
        demo('--img', ASTRONAUT, '--checkpoint', 'none')


def test_wrong_values_of_fit_and_keypoints_are_named(demo, without_own_weights):
    with pytest.raises(BadConfig, match='--fit'):
        demo('--img', ASTRONAUT, '--fit', 'always')
    with pytest.raises(BadConfig, match='blazepose'):
        demo('--img', ASTRONAUT, '--keypoints', 'blazepos')
    with pytest.raises(MissingFile, match='make train'):
        demo('--img', ASTRONAUT, '--fit', 'none')

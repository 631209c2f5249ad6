"""demo.py and the Python API find the same people, with and without a fit. What replaces the search."""
import cv2
import numpy as np
import pytest

from core.api import BodyEstimator
from core.demo.options import parse_options
from core.demo.run import run_demo
from tests.blazepose import there
from tests.demo_data import networks_are_read_once, write_checkpoint, write_json  # noqa: F401
from tests.public_photographs import PHOTOGRAPHS
from utils.errors import BadConfig, ProjectError
from utils.video_writer import VideoWriter

pytestmark = pytest.mark.usefixtures('networks_are_read_once')
NOWHERE = 'models.keypoints.files.FOLDER'


@pytest.fixture(scope='module')
def checkpoint(free_assets, tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('people') / 'hmr.pt', free_assets)


@pytest.fixture
def couple(tmp_path):
    """A picture of Grace Hopper, grey, and Grace Hopper: 256 columns each, BGR."""
    photograph = cv2.resize(cv2.imread(str(PHOTOGRAPHS['grace_hopper'])), (256, 300), interpolation=cv2.INTER_AREA)
    picture = np.hstack([photograph, np.full_like(photograph, 128), photograph])
    path = tmp_path / 'couple.png'
    cv2.imwrite(str(path), picture)
    return path


def demo(tmp_path, *arguments):
    return run_demo(*parse_options([*map(str, arguments), '--no_render', '--output_folder', str(tmp_path / 'o')]))


def boxes(recording):
    """Boxes [T,4] by person."""
    return [person.boxes for person in recording.people]


@there
def test_without_a_fit_a_pictures_people_are_the_same(couple, tmp_path):
    [fitted], [alone] = (demo(tmp_path, '--img', couple, '--fit', fit) for fit in ('auto', 'none'))
    first, second = sorted(box[0].tolist() for box in boxes(alone))
    # Each person is in a third of the picture, the left and the right one.
    assert first[2] < 300 and second[0] > 460 and second[2] < 768
    np.testing.assert_array_equal(boxes(alone), boxes(fitted))
    poses = [np.stack([person.pose for person in recording.people]) for recording in (fitted, alone)]
    assert np.abs(poses[0] - poses[1]).max() > 0.05  # only one of them is fitted


@there
def test_without_a_fit_a_videos_people_are_the_same(couple, tmp_path):
    picture = np.ascontiguousarray(cv2.imread(str(couple))[..., ::-1])
    with VideoWriter(tmp_path / 'clip.mp4', picture.shape[1], picture.shape[0], 10) as writer:
        for frame in range(4):
            writer.write(np.roll(picture, 4 * frame, axis=1), frame / 10)
    [fitted], [alone] = (demo(tmp_path, '--vid_file', tmp_path / 'clip.mp4', '--fit', fit) for fit in ('auto', 'none'))
    assert [person.person_id for person in alone.people] == [0, 1] and len(alone.people[0]) == 4
    np.testing.assert_array_equal(boxes(alone), boxes(fitted))


@there
def test_a_picture_of_nobody_is_an_error_and_one_of_several_is_named(couple, checkpoint, tmp_path, log):
    wall = tmp_path / 'wall.png'
    cv2.imwrite(str(wall), np.full((200, 300, 3), 180, np.uint8))
    line = ['--checkpoint', checkpoint, '--fit', 'none', '--img']
    with pytest.raises(ProjectError, match=r'wall\.png: no person found.*; --bbox FILE says where') as error:
        demo(tmp_path, *line, wall)
    assert '\n' not in str(error.value)
    nobody, found = demo(tmp_path, *line, wall, couple)
    assert not nobody.people and len(found.people) == 2
    assert 'wall.png: no person found' in log.text and 'couple.png: no person' not in log.text


@pytest.mark.parametrize('given', ['bbox', 'detections', 'detector'])
def test_boxes_and_detectors_of_the_user_replace_the_search(given, couple, checkpoint, tmp_path, monkeypatch):
    def search(*_):
        raise AssertionError('people are searched')

    monkeypatch.setattr('core.demo.keypoints.build_pose_estimator', search)
    box = [20, 10, 100, 200]
    line = {'bbox': lambda: ['--bbox', write_json(tmp_path / 'b.json', {'bbox': box})],
            'detections': lambda: ['--detections', write_json(tmp_path / 'd.json', [
                {'image_id': 'couple.png', 'bbox': box}])],
            'detector': lambda: ['--detector', 'full_frame']}[given]()
    [recording] = demo(tmp_path, '--checkpoint', checkpoint, '--fit', 'none', '--img', couple, *line)
    wanted = [0, 0, 768, 300] if given == 'detector' else [20, 10, 120, 210]
    assert boxes(recording)[0].tolist() == [wanted]


@pytest.mark.parametrize('fit', ['auto', 'none'])
def test_a_whole_picture_is_never_a_person_silently(fit, couple, checkpoint, tmp_path, monkeypatch, log):
    """Without BlazePose's files, a line names the command that fetches them and what is done instead."""
    monkeypatch.setattr(NOWHERE, tmp_path / 'nothing')
    [recording] = demo(tmp_path, '--checkpoint', checkpoint, '--fit', fit, '--img', couple)
    assert boxes(recording)[0].tolist() == [[0, 0, 768, 300]]
    lines = [record.getMessage() for record in log.records if 'whole picture is taken as one person' in record.message]
    assert len(lines) == 1 and 'models.keypoints.fetch' in lines[0] and '\n' not in lines[0]


def test_neither_a_network_nor_a_fit_is_one_line(couple, tmp_path):
    with pytest.raises(BadConfig, match='nothing to estimate bodies with: --fit none needs a network') as error:
        demo(tmp_path, '--checkpoint', 'none', '--fit', 'none', '--img', couple)
    assert '\n' not in str(error.value) and 'make train' not in str(error.value)
    with pytest.raises(BadConfig, match='nothing to estimate bodies with'):
        BodyEstimator('none', config=['DEMO.FIT', 'none'])


def test_a_wrong_estimator_is_named_before_the_network_is_loaded(couple, checkpoint, tmp_path, monkeypatch):
    def load(*_):
        raise AssertionError('a network is loaded')

    monkeypatch.setattr('core.demo.run.load_regressor', load)
    for flag, value in (('--keypoints', 'blazepos'), ('--fit', 'always')):
        with pytest.raises(BadConfig, match=value):
            demo(tmp_path, '--checkpoint', checkpoint, '--img', couple, flag, value)


@there
@pytest.mark.parametrize('fit', ['auto', 'none'])
def test_the_api_gives_the_demos_bodies(fit, couple, tmp_path):
    """With the defaults of both, and with the network alone."""
    [recording] = demo(tmp_path, '--img', couple, '--fit', fit)
    bodies = BodyEstimator(config=['DEMO.FIT', fit])(couple)
    assert len(bodies) == len(recording.people) == 2
    for row, person in enumerate(recording.people):
        for name in ('pose', 'betas', 'translation', 'keypoints_2d'):
            np.testing.assert_allclose(getattr(bodies, name)[row], getattr(person, name)[0], atol=1e-4, err_msg=name)
        np.testing.assert_allclose(bodies.joints[row], person.joints[0] + person.translation[0], atol=1e-5)
        np.testing.assert_array_equal(bodies.boxes[row], person.boxes[0])


@there
def test_without_a_network_the_api_gives_the_demos_bodies_too(couple, tmp_path):
    [recording] = demo(tmp_path, '--img', couple, '--checkpoint', 'none')
    bodies = BodyEstimator('none')(couple)
    np.testing.assert_allclose(bodies.pose, np.stack([person.pose[0] for person in recording.people]), atol=1e-4)

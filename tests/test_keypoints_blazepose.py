"""BlazePose on real pictures. Tests that need its weights are skipped where these have not been fetched."""
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage

from benchmarks import real_people
from datasets.annotations import Annotations
from models.keypoints import build_pose_estimator
from models.keypoints.blazepose.detector import anchor_centers, tiles_of
from models.keypoints.blazepose.landmarks import Landmarks
from models.keypoints.blazepose.region import Region
from models.keypoints.files import has_weights
from tests.blazepose import there
from utils.errors import BadConfig, BadFile, MissingFile
from utils.keypoints import JOINT_NAMES, NUM_OPENPOSE

REAL = Path(__file__).resolve().parents[2] / 'shared/real'
SKIMAGE = Path(skimage.__file__).parent / 'data'
ROW = JOINT_NAMES.index
LIMBS = slice(NUM_OPENPOSE, NUM_OPENPOSE + 12)
real = pytest.mark.skipif(not REAL.exists(), reason='../shared is not here')


def picture(path):
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


@pytest.fixture(scope='module')
def full():
    return build_pose_estimator('blazepose', model='full')


@pytest.fixture(scope='module')
def astronaut():
    """Eileen Collins, NASA: 512 x 512, visible to the hips, the head at the middle of the top."""
    return picture(SKIMAGE / 'astronaut.png')


def test_a_region_goes_to_the_picture_and_back():
    # The hips are at (50, 40) and the far end is 20 px to their right: a quarter turn clockwise from upright.
    region = Region.about_person(np.array([50.0, 40]), np.array([70.0, 40]))
    assert region.side == pytest.approx(2 * 1.25 * 20) and region.angle == pytest.approx(np.pi / 2)
    np.testing.assert_allclose(region.to_picture([[0.5, 0.5], [0.5, 0.1], [0.9, 0.5]]), [[50, 40], [70, 40], [50, 60]])


@pytest.mark.parametrize('side', [32, 64, 192])
def test_a_crop_keeps_half_pixels(side):
    """On a ramp whose values are x, each pixel of a crop has the x of its centre."""
    image = np.tile((np.arange(250, dtype=np.uint8))[None, :, None], (250, 1, 3))
    crop = Region(np.array([120.0, 100]), side).crop(image, 32)
    middles = 120 - side / 2 + (np.arange(32) + 0.5) * side / 32
    # A pixel's value belongs to its centre, so value x lies at x + 0.5.
    assert np.abs(crop[..., 0] - (middles - 0.5)).max() <= 0.6


def test_a_crop_is_black_outside_of_the_picture():
    crop = Region(np.array([0.0, 0.0]), 400).crop(np.full((50, 60, 3), 200, np.uint8), 64)
    assert not crop[:31].any() and not crop[:, :31].any() and (crop[33:39, 33:41] == 200).all()
    assert not Region(np.array([9000.0, 9000]), 4000).crop(np.full((50, 60, 3), 200, np.uint8), 64).any()


def test_anchors_are_as_many_as_published():
    anchors = anchor_centers()
    assert anchors.shape == (2254, 2)
    # The first are those of 28 x 28 cells of 8 pixels, two anchors each, row by row.
    np.testing.assert_allclose(anchors[[0, 1, 2, 56]] * 224, [[4, 4], [4, 4], [12, 4], [4, 12]])


def test_tiles_cover_the_picture():
    for width, height in ((640, 480), (218, 1200), (4000, 3000)):
        seen = np.zeros((height // 4, width // 4), int)
        for tile in tiles_of(width, height)[1:]:
            low, high = (tile.center - tile.side / 2) / 4, (tile.center + tile.side / 2) / 4
            seen[max(int(low[1]), 0):int(np.ceil(high[1])), max(int(low[0]), 0):int(np.ceil(high[0]))] += 1
        assert seen.min() >= 2


@pytest.mark.parametrize('score, shift, growth, followed', [
    (0.6, 0.2, 1.0, True), (0.4, 0.2, 1.0, False), (0.6, 0.6, 1.0, False), (0.6, 0, 0.3, False), (0.6, 0, 2.3, False)])
def test_when_a_person_can_be_followed(score, shift, growth, followed):
    region = Region(np.array([100.0, 100]), 80)
    following = Region(np.array([100 + 80 * shift, 100]), 80 * growth)
    landmarks = Landmarks(region, np.zeros((33, 2)), np.zeros((33, 3)), np.ones(33), np.ones(33), score, following)
    assert landmarks.can_be_followed() is followed


@there
def test_the_astronaut_is_found_once_with_head_and_shoulders(full, astronaut):
    person, = full(astronaut)
    points = person.keypoints
    # Her left is on the picture's right. The box holds head and shoulders.
    for joint in ('eye', 'shoulder', 'elbow'):
        assert points[ROW(f'left_{joint}'), 0] > points[ROW(f'right_{joint}'), 0] + 20
    assert 100 < points[ROW('nose'), 1] < 150 and 190 < points[ROW('nose'), 0] < 250
    assert person.box[1] < 40 and person.box[3] > 480 and 0.5 < person.score <= 1
    # The picture does not show her legs, so their confidence is low.
    assert points[[ROW('left_knee'), ROW('right_ankle'), ROW('openpose_left_heel')], 2].max() < 0.1
    # 3D joints are relative to the hips: her left is on the camera's right, shoulders are a torso's length above.
    shoulder = person.joints_3d[ROW('left_shoulder')]
    assert shoulder[0] > person.joints_3d[ROW('right_shoulder'), 0] + 0.2 and -0.7 < shoulder[1] < -0.3


@there
def test_a_rotated_picture_gives_rotated_joints(full, astronaut):
    """A quarter turn clockwise maps x, y to 512 - y, x in pixels and to -y, x in 3D, the other one to y, 512 - x and
    y, -x. Which one is close enough to upright for the detector depends on the release of OpenCV."""
    upright, = full(astronaut)
    found = 0
    for turns, sign in ((-1, 1), (1, -1)):
        for turned in full(np.ascontiguousarray(np.rot90(astronaut, turns))):
            found += 1
            seen = (upright.keypoints[:, 2] > 0.9) & (turned.keypoints[:, 2] > 0.9)
            assert seen.sum() >= 6
            x, y = upright.keypoints[seen, :2].T - 256
            assert np.abs(turned.keypoints[seen, :2] - 256 - np.stack([-sign * y, sign * x], 1)).max() < 40
            x, y = upright.joints_3d[seen, :2].T
            assert np.abs(turned.joints_3d[seen, :2] - np.stack([-sign * y, sign * x], 1)).max() < 0.12
    assert found


def test_a_folder_of_real_people_that_is_not_there_is_named(tmp_path):
    Annotations.blank(['a.jpg'], np.full((1, 2), 50), np.ones(1)).save(tmp_path / 'people.npz')
    with pytest.raises(MissingFile, match='--images .*nowhere: no such folder'):
        real_people.read_people(tmp_path / 'people.npz', tmp_path / 'nowhere')


@there
def test_no_joint_is_both_openposes_and_annotated(full, astronaut):
    person, = full(astronaut)
    filled = [JOINT_NAMES[i].removeprefix('openpose_') for i in np.flatnonzero(person.keypoints[:, 2] > 0)]
    assert len(filled) == len(set(filled)) and not person.keypoints[person.keypoints[:, 2] == 0].any()


@there
@pytest.mark.parametrize('name', ['coffee.png', 'chelsea.png', 'rocket.jpg', 'gravel.png', 'moon.png', 'page.png'])
def test_nobody_is_found_in_pictures_without_people(full, name):
    assert full(picture(SKIMAGE / name)) == []


@there
def test_odd_pictures_and_boxes(full, astronaut):
    for image in (np.zeros((1, 1, 3), np.uint8), np.full((3, 900, 3), 255, np.uint8),
                  np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8), astronaut[330:420, 60:160]):
        assert full(image) == []
        assert full.video()(image) == []
    boxes = [[0, 0, 0, 0], [np.nan, 0, 5, 5], [-900, -900, -800, -800], [20, 20, 10, 10], [400, 5, 430, 60]]
    assert full(astronaut, boxes) == [None] * 5
    assert full(astronaut, np.zeros((0, 4))) == []


@there
def test_two_people_a_metre_apart(full, astronaut):
    """A box gives the joints of its person, also where another person stands beside."""
    half = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)
    both = np.concatenate([half, half[:, ::-1]], 1)
    left, right = np.array([10, 5, 190, 256]), np.array([322, 5, 502, 256])
    for boxes in ([left], [right], [left, right], [left + [0, 0, 60, 0], right - [60, 0, 0, 0]]):
        for box, person in zip(boxes, full(both, boxes)):
            seen = person.keypoints[person.keypoints[:, 2] > 0.3, :2]
            assert len(seen) >= 6 and (np.abs(seen[:, 0] - (box[0] + box[2]) / 2) < 130).all()
            assert ((seen[:, 0] < 256) == (box[0] < 256)).all()
    assert len(full(both)) == 2


@there
def test_twenty_people(full, astronaut):
    small = cv2.resize(astronaut, (160, 160), interpolation=cv2.INTER_AREA)
    people = full(np.tile(small, (4, 5, 1)))
    middles = np.array([(person.box[:2] + person.box[2:]) / 2 for person in people]) // 160
    assert 0 < len(people) <= 20 and len(np.unique(middles, axis=0)) == len(people)


@there
def test_a_person_of_30_pixels(full, astronaut):
    scene = np.full((480, 640, 3), 120, np.uint8)
    scene[200:230, 300:330] = cv2.resize(astronaut, (30, 30), interpolation=cv2.INTER_AREA)
    people = full(scene)
    assert len(people) <= 1 and all(abs(person.box[0] - 300) < 60 for person in people)


@there
def test_a_video_keeps_numbers_and_needs_no_later_frames(full, astronaut):
    def frames():
        for i in range(12):
            moved = np.float32([[1, 0, 4 * i - 24], [0, 1, 0]])
            shown = cv2.warpAffine(astronaut, moved, (512, 512))
            yield np.zeros_like(shown) if i in (6, 7) else shown

    whole = [[(p.track, p.keypoints) for p in people] for people in map(full.video(), frames())]
    tracks = [[track for track, _ in people] for people in whole]
    assert tracks[:8] == [[0]] * 6 + [[]] * 2 and tracks[-1] == [0]
    tracker = full.video()
    for i, frame in enumerate(frames()):
        if i < 4:
            (_, points), = whole[i]
            np.testing.assert_array_equal(tracker(frame)[0].keypoints, points)
    nose = [people[0][1][ROW('nose'), 0] for people in whole[:6]]
    assert nose[-1] - nose[0] == pytest.approx(20, abs=8)  # the face is 110 px high


@there
@real
@pytest.mark.parametrize('model, error, pck, pa', [('full', 0.051, 0.90, 66), ('heavy', 0.037, 0.97, 79)])
def test_ten_real_people(model, error, pck, pa):
    """Figures of an independent run of BlazePose on these people. Ours are in docs/keypoints.md."""
    if not has_weights(f'pose_landmark_{model}.tflite'):
        pytest.skip('that model is not here')
    people, pictures = real_people.read_people(REAL / 'people/people.npz', REAL / 'people/images')
    score = real_people.score(model, people, real_people.keypoints(people, pictures, model))
    assert score.limbs.mean() < error + 0.002 and (score.limbs <= 0.1).mean() > pck - 0.01
    assert score.pa.mean() == pytest.approx(pa, abs=8)


@there
@real
@pytest.mark.parametrize('name, count', [('people/images/mpii_052475643.jpg', 2), ('people/images/jhmdb_1.png', 1),
                                         ('pictures/COCO_val2014_000000000328.jpg', 3),
                                         ('pictures/COCO_val2014_000000000536.jpg', 3),
                                         ('pictures/COCO_val2014_000000000589.jpg', 1)])
def test_people_of_a_picture_are_found_once(full, name, count):
    assert len(full(picture(REAL / name))) == count


def test_wrong_options_and_files_are_named(tmp_path):
    with pytest.raises(BadConfig, match='heavy, full or auto'):
        build_pose_estimator('blazepose', model='huge')
    with pytest.raises(MissingFile, match='models.keypoints.fetch'):
        build_pose_estimator('blazepose', folder=tmp_path)
    (tmp_path / 'pose_landmark_full.tflite').write_bytes(b'something else')
    with pytest.raises(BadFile, match='SHA-256'):
        build_pose_estimator('blazepose', folder=tmp_path)

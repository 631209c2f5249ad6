"""Joint orders of keypoint files, compared with the published lists by name, and left and right by geometry."""
import json
from pathlib import Path

import numpy as np
import pytest

from datasets.preprocess.openpose import read_people
from models.keypoints import read_keypoints
from models.keypoints.formats import FORMATS
from utils.errors import BadConfig, BadFile
from utils.keypoints import JOINT_NAMES

REAL = Path(__file__).resolve().parents[2] / 'shared/real'
ROW = JOINT_NAMES.index
# From poseParameters.cpp (OpenPose), doc/output.md of AlphaPose, dataset_info of mmpose, pose_landmarker's page.
PUBLISHED = {
    'body25': 'Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist MidHip RHip RKnee RAnkle LHip LKnee LAnkle '
              'REye LEye REar LEar LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel',
    'coco18': 'Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist RHip RKnee RAnkle LHip LKnee LAnkle REye LEye '
              'REar LEar',
    'coco17': 'Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee RKnee LAnkle '
              'RAnkle',
    'halpe26': 'Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee RKnee LAnkle '
               'RAnkle Head Neck Hip LBigToe RBigToe LSmallToe RSmallToe LHeel RHeel',
    'wholebody133': 'Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee RKnee '
                    'LAnkle RAnkle LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel',
    'blazepose33': 'Nose LEyeInner LEye LEyeOuter REyeInner REye REyeOuter LEar REar LMouth RMouth LShoulder RShoulder '
                   'LElbow RElbow LWrist RWrist LPinky RPinky LIndex RIndex LThumb RThumb LHip RHip LKnee RKnee LAnkle '
                   'RAnkle LHeel RHeel LFootIndex RFootIndex',
    'h36m17': 'Root RHip RKnee RFoot LHip LKnee LFoot Spine Thorax NeckBase Head LShoulder LElbow LWrist RShoulder '
              'RElbow RWrist'}
COUNT = {'wholebody133': 133}
# Published names whose joint has another name among the 49.
OTHER_NAMES = {'halpe26': {'Head': 'head_top', 'Neck': 'openpose_neck', 'Hip': 'openpose_mid_hip'},
               'blazepose33': {'LFootIndex': 'openpose_left_big_toe', 'RFootIndex': 'openpose_right_big_toe'},
               'h36m17': {'Root': 'pelvis_mpii', 'RFoot': 'right_ankle', 'LFoot': 'left_ankle', 'Spine': 'spine_h36m',
                          'Thorax': 'neck', 'NeckBase': 'jaw_h36m', 'Head': 'head_h36m'}}
FEET = ('BigToe', 'SmallToe', 'Heel')


def wanted(form, name):
    """The name among the 49 joints of a published joint, or None."""
    if name in OTHER_NAMES.get(form, {}):
        return OTHER_NAMES[form][name]
    side = {'L': 'left_', 'R': 'right_'}.get(name[0], '') if name[1].isupper() else ''
    plain = name[1:] if side else name
    words = side + ''.join(f'_{letter.lower()}' if letter.isupper() and i else letter.lower()
                           for i, letter in enumerate(plain))
    if form in ('body25', 'coco18') or plain in FEET:
        return f'openpose_{words}'
    return words if words in JOINT_NAMES else None


@pytest.mark.parametrize('form', PUBLISHED)
def test_each_published_joint_is_in_its_row(form):
    names = PUBLISHED[form].split()
    points = np.zeros((COUNT.get(form, len(names)), 3))
    points[:, 0], points[:, 2] = np.arange(len(points)) + 1000, 0.9
    keypoints = FORMATS[form].keypoints(points)
    shift = 0.0 if form in ('body25', 'coco18', 'blazepose33') else 0.5
    expected = {wanted(form, name): 1000 + i + shift for i, name in enumerate(names) if wanted(form, name)}
    assert {JOINT_NAMES[row]: x for row, (x, _, sure) in enumerate(keypoints) if sure} == pytest.approx(expected)
    assert len(FORMATS[form].names) == len(points)


@pytest.mark.parametrize('form', PUBLISHED)
def test_no_joint_is_both_openposes_and_annotated(form):
    filled = [JOINT_NAMES[row].removeprefix('openpose_') for row in FORMATS[form].rows.values()]
    assert len(set(filled)) == len(filled)


def test_points_without_finite_values_or_confidence_are_zeros():
    points = np.ones((17, 3))
    points[3], points[5, 0], points[7, 2] = (4, 4, 0), np.nan, 7
    keypoints = FORMATS['coco17'].keypoints(points)
    assert not keypoints[[ROW('left_ear'), ROW('left_shoulder')]].any() and keypoints[ROW('left_elbow'), 2] == 1


@pytest.mark.skipif(not REAL.exists(), reason='../shared is not here')
def test_openpose_file_is_read_as_datasets_read_it():
    path = REAL / 'spin_example/im1010_openpose.json'
    person, = read_keypoints(path)['']
    np.testing.assert_array_equal(person.keypoints[:25], read_people(path)[0])
    assert not person.keypoints[25:].any()
    # In the picture the man walks to the left, with his left leg behind.
    left, right = person.keypoints[[ROW('openpose_left_ankle'), ROW('openpose_right_ankle')], 0]
    assert right < 60 < left


@pytest.mark.skipif(not REAL.exists(), reason='../shared is not here')
def test_coco_annotations():
    pictures = read_keypoints(REAL / 'coco/person_keypoints_sample.json')
    skier, = pictures['000000000785.jpg']
    raw = next(row for row in json.loads((REAL / 'coco/person_keypoints_sample.json').read_text())['annotations']
               if row['image_id'] == 785)
    assert skier.keypoints[ROW('left_wrist'), :2] == pytest.approx(np.array(raw['keypoints'][27:29]) + 0.5)
    # She moves towards the camera, so her left is on the picture's right.
    for joint in ('shoulder', 'hip', 'knee', 'ankle'):
        assert skier.keypoints[ROW(f'left_{joint}'), 0] > skier.keypoints[ROW(f'right_{joint}'), 0]
    assert len(pictures['000000196141.jpg']) >= 4


def test_alphapose_list_and_its_variants(tmp_path):
    points = np.arange(51, dtype=float).reshape(17, 3) + 1
    points[:, 2] = 0.5
    rows = [{'image_id': 'a.jpg', 'category_id': 1, 'keypoints': points.ravel().tolist(), 'score': 2.5,
             'box': [1, 2, 30, 40], 'idx': 7},
            {'image_id': 'b.jpg', 'category_id': 1, 'keypoints': points.ravel().tolist(), 'score': 1.5}]
    file = tmp_path / 'alphapose-results.json'
    file.write_text(json.dumps(rows))
    pictures = read_keypoints(file)
    first, = pictures['a.jpg']
    assert list(first.box) == [1, 2, 31, 42] and first.track == 7 and first.score == 2.5
    assert first.keypoints[ROW('right_ankle')] == pytest.approx([49.5, 50.5, 0.5])
    assert list(pictures['b.jpg'][0].box) == pytest.approx([1.5, 2.5, 49.5, 50.5])
    body = np.ones((18, 3)).ravel().tolist()
    for content in ({'a.jpg': {'people': [{'pose_keypoints_2d': body}]}}, {'a.jpg': {'bodies': [{'joints': body}]}}):
        file.write_text(json.dumps(content))
        assert read_keypoints(file)['a.jpg'][0].keypoints[ROW('openpose_left_ear'), 2] == 1


def test_arrays(tmp_path):
    landmarks = np.zeros((1, 33, 5))
    landmarks[0, :, :2], landmarks[0, :, 3] = 3, 0.25
    np.save(tmp_path / 'landmarks.npy', landmarks)
    person, = read_keypoints(tmp_path / 'landmarks.npy')['']
    assert person.keypoints[ROW('nose')] == pytest.approx([3, 3, 0.25])
    (tmp_path / 'h36m.json').write_text(json.dumps(np.ones((2, 17, 2)).tolist()))
    assert read_keypoints(tmp_path / 'h36m.json', 'h36m17')[''][1].keypoints[ROW('jaw_h36m'), 2] == 1


@pytest.mark.parametrize('content', ['[1, 2]', '{"people": 3}', '[{"keypoints": [1, 2, 3], "image_id": 1}]', '{"a": 1}',
                                     '[{"keypoints": "x", "image_id": 1}]', '{"annotations": [], "images": 5}', '3'])
def test_other_files_are_one_line(tmp_path, content):
    file = tmp_path / 'keypoints.json'
    file.write_text(content)
    with pytest.raises(BadFile, match='keypoints.json'):
        read_keypoints(file)
    with pytest.raises(BadConfig, match='coco17'):
        read_keypoints(file, 'coco71')

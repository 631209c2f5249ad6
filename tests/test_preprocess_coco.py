"""datasets.preprocess with COCO and OpenPose files."""
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from datasets.annotations import Annotations
from datasets.preprocess.coco import convert_coco
from datasets.preprocess.openpose import LIMBS, match_person, read_people
from utils.errors import BadConfig, BadFile, MissingFile, ProjectError
from utils.keypoints import COCO_JOINTS, COMMON_JOINTS, OPENPOSE_JOINTS


def person(image_id, seed=0, missing=(), **changes):
    keypoints = np.random.default_rng(seed).integers(20, 80, (17, 3))
    keypoints[:, 2] = 1 + np.arange(17) % 2  # hidden and visible
    keypoints[list(missing)] = 0
    return {'id': seed, 'image_id': image_id, 'keypoints': keypoints.ravel().tolist(), 'bbox': [10.5, 20, 60, 70],
            'iscrowd': 0, **changes}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'images').mkdir()
    for name in ('1.jpg', '2.jpg'):
        cv2.imwrite(str(tmp_path / 'images' / name), np.zeros((100, 100, 3), np.uint8))
    return tmp_path


def write(folder, people, images=('1.jpg', '2.jpg', 'gone.jpg')):
    content = {'images': [{'id': i + 1, 'file_name': name} for i, name in enumerate(images)], 'annotations': people}
    (folder / 'a.json').write_text(json.dumps(content))


def convert(folder, **options):
    convert_coco(folder / 'images', folder / 'a.json', folder / 'out.npz', progress=False, **options)
    return Annotations.load(folder / 'out.npz')


def test_people_joints_and_boxes(folder):
    write(folder, [person(1, 0), person(2, 1, missing=[0, 1, 4])])
    a = convert(folder)
    assert a.imgname.tolist() == ['1.jpg', '2.jpg']
    assert np.allclose(a.center, [[40.5, 55]] * 2) and np.allclose(a.scale, 1.2 * 70 / 200)
    raw = np.array(person(1, 0)['keypoints']).reshape(17, 3)
    for name, point in zip(COCO_JOINTS, raw):
        x, y, confidence = a.keypoints_2d[0, 25 + COMMON_JOINTS.index(name)]
        assert (x, y, confidence) == (point[0] + .5, point[1] + .5, 1)  # COCO counts pixels from 0
    assert (a.keypoints_2d[..., 2] > 0).sum(1).tolist() == [17, 14]
    assert not a.has_smpl.any() and not a.has_joints_3d.any()


def test_who_is_left_out(folder, caplog):
    people = [person(1, 0), person(1, 1, missing=[7]), person(1, 2, iscrowd=1), person(1, 3, bbox=[1, 1, 0, 5]),
              person(3, 4), person(2, 5, missing=[5, 6, 7, 8, 9, 10])]
    write(folder, people)
    assert len(convert(folder)) == 1
    assert len(convert(folder, min_keypoints=11)) == 2
    assert len(convert(folder, min_keypoints=6)) == 3
    write(folder, people[1:])
    with pytest.raises(BadFile, match=r'a\.json: no usable person \(2 with fewer than 12 limb joints, 1 crowds'):
        convert(folder)
    assert len(Annotations.load(folder / 'out.npz')) == 3  # the last good file is still there


def test_prefix(folder):
    write(folder, [person(1)])
    assert convert(folder, prefix='train2014').imgname.tolist() == ['train2014/1.jpg']


def detections(*people):
    return {'people': [{'pose_keypoints_2d': np.asarray(p, float).ravel().tolist()} for p in people]}


def test_openpose_is_merged(folder):
    write(folder, [person(1, 0), person(2, 1)])
    common = convert(folder).keypoints_2d[0, 25:]
    near = np.zeros((25, 3))
    for i, name in enumerate(OPENPOSE_JOINTS):
        if name in COMMON_JOINTS:
            near[i] = [*(common[COMMON_JOINTS.index(name), :2] + 2), 0.5]
    far = near + [60, 60, 0.3]
    incomplete = near.copy()
    incomplete[LIMBS[3]] = 0
    (folder / 'op').mkdir()
    (folder / 'op/1_keypoints.json').write_text(json.dumps(detections(far, incomplete, near)))
    a = convert(folder, openpose=folder / 'op')
    assert np.allclose(a.keypoints_2d[0, :25], near) and not a.keypoints_2d[1, :25].any()
    (folder / 'op/1_keypoints.json').write_text(json.dumps(detections(far, incomplete)))
    assert not convert(folder, openpose=folder / 'op').keypoints_2d[:, :25].any()
    (folder / 'op/1_keypoints.json').write_text(json.dumps({'people': []}))
    assert not convert(folder, openpose=folder / 'op').keypoints_2d[:, :25].any()


def test_match_uses_the_annotated_limbs_only():
    common = np.zeros((24, 3), np.float32)
    common[:6] = np.random.default_rng(0).uniform(0, 100, (6, 3)) + [0, 0, 1]
    found = np.zeros((1, 25, 3), np.float32)
    found[0, LIMBS[:6]] = common[:6]
    assert np.array_equal(match_person(found, common), found[0])
    assert not match_person(found, np.zeros((24, 3), np.float32)).any()
    assert not match_person(found[:0], common).any()


@pytest.mark.parametrize('content', [[], {}, {'people': 3}, {'people': [{}]}, {'people': [{'pose_keypoints_2d': [1]}]},
                                     {'people': [{'pose_keypoints_2d': ['x'] * 75}]}, {'people': [None]}])
def test_wrong_openpose_file_is_named(tmp_path, content):
    (tmp_path / 'o.json').write_text(json.dumps(content))
    with pytest.raises(BadFile, match=r'o\.json'):
        read_people(tmp_path / 'o.json')


@pytest.mark.parametrize('content', [
    [], {}, {'images': 3, 'annotations': []}, {'images': [{}], 'annotations': []}, {'images': [], 'annotations': None},
    {'images': [], 'annotations': [3]}, {'images': [], 'annotations': [person(1)]},
    *({'images': [{'id': 1, 'file_name': '1.jpg'}], 'annotations': [{**person(1), **change}]} for change in (
        {'keypoints': None}, {'keypoints': [1, 2]}, {'keypoints': ['x'] * 51}, {'bbox': 'x'}, {'bbox': []},
        {'image_id': [1]}, {'bbox': [float('nan')] * 4}))])
def test_wrong_coco_file_is_named(folder, content):
    (folder / 'a.json').write_text(json.dumps(content))
    with pytest.raises(ProjectError, match=r'a\.json') as caught:
        convert(folder)
    assert '\n' not in str(caught.value) and not (folder / 'out.npz').exists()


def test_missing_inputs(folder):
    write(folder, [person(1)])
    with pytest.raises(MissingFile, match='nowhere'):
        convert_coco(folder / 'nowhere', folder / 'a.json', folder / 'out.npz')
    with pytest.raises(MissingFile, match=r'b\.json'):
        convert_coco(folder / 'images', folder / 'b.json', folder / 'out.npz')
    with pytest.raises(BadConfig, match=r'\.npz'):
        convert_coco(folder / 'images', folder / 'a.json', folder / 'out.txt')


def test_command(folder):
    write(folder, [person(1)])

    def run(annotations):
        return subprocess.run([sys.executable, '-m', 'datasets.preprocess.coco', '--images', folder / 'images',
                               '--annotations', folder / annotations, '--out', folder / 'out.npz'],
                              capture_output=True, text=True)
    done = run('a.json')
    assert done.returncode == 0, done.stderr
    assert len(Annotations.load(folder / 'out.npz')) == 1
    failed = run('b.json')
    assert failed.returncode == 2 and failed.stderr.startswith('error: ') and 'b.json' in failed.stderr

"""RTMPose and YOLOX on generated ONNX files, and Keypoint R-CNN with random weights."""
import numpy as np
import pytest
import torch

from models.keypoints import build_pose_estimator
from models.keypoints.keypointrcnn import people_of
from models.keypoints.matching import matched_to_boxes
from models.keypoints.person import PersonKeypoints
from models.keypoints.rtmpose import crop_matrix
from models.keypoints.tracked import TrackedByOverlap
from utils.errors import BadConfig, BadFile, MissingFile
from utils.keypoints import JOINT_NAMES

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
ROW = JOINT_NAMES.index
WIDTH, HEIGHT = 48, 64


def write_onnx(path, outputs, size, nodes=()):
    """An ONNX network with an input of size (width, height). It returns the arrays, or the outputs of `nodes`."""
    helper = onnx.helper
    shape = [1, 3, size[1], size[0]]
    made = [helper.make_node('Constant', [], [f'c{i}'], value=onnx.numpy_helper.from_array(array))
            for i, array in enumerate(outputs)]
    # onnxruntime drops an input that nothing reads.
    made += [helper.make_node('ReduceMean', ['x'], ['m'], keepdims=0),
             helper.make_node('Sub', ['m', 'm'], ['zero'])]
    made += [helper.make_node('Add', [f'c{i}', 'zero'], [f'y{i}']) for i in range(len(outputs))]
    graph = helper.make_graph(
        list(nodes) or made, 'made', [helper.make_tensor_value_info('x', 1, shape)],
        [helper.make_tensor_value_info(f'y{i}', 1, array.shape) for i, array in enumerate(outputs)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    model.ir_version = 9
    onnx.save(model, path)
    return str(path)


def simcc(joints, bins):
    """SimCC distributions with maxima of 0.8 in x and 0.9 in y at the bins [J,2]."""
    columns, rows = np.zeros((1, joints, 2 * WIDTH), np.float32), np.zeros((1, joints, 2 * HEIGHT), np.float32)
    for joint, (x, y) in enumerate(bins):
        columns[0, joint, x], rows[0, joint, y] = 0.8, 0.9
    return columns, rows


def test_simcc_goes_back_to_the_picture(tmp_path):
    # Joints are at the input's column 11.5 and row 20 (two bins a pixel: 23 and 40), except the shoulders.
    bins = np.tile([23, 40], (17, 1))
    bins[5], bins[6] = (60, 20), (20, 20)
    path = write_onnx(tmp_path / 'pose.onnx', simcc(17, bins), (WIDTH, HEIGHT))
    estimator = build_pose_estimator('rtmpose', pose=path)
    # The box is 24 x 32; the crop is 30 x 40 about its middle, (112, 216), so 0.625 picture pixels an input pixel.
    person, = estimator(np.zeros((300, 300, 3), np.uint8), [[100, 200, 124, 232]])
    # Column 11.5 counts from the first pixel's centre, so it is 12 from the crop's left edge, 112 - 15 = 97.
    assert person.keypoints[ROW('nose')] == pytest.approx([97 + 12 * 0.625, 196 + 20.5 * 0.625, 0.8])
    assert person.keypoints[ROW('left_shoulder'), 0] == pytest.approx(97 + 30.5 * 0.625)
    assert person.keypoints[ROW('right_shoulder'), 0] == pytest.approx(97 + 10.5 * 0.625)
    assert person.joints_3d is None and not person.keypoints[:25].any()


def test_the_crop_shows_the_box(tmp_path):
    """A network that returns the brightest column and row finds a painted dot."""
    helper = onnx.helper
    nodes = [helper.make_node('ReduceMax', ['x'], ['columns'], axes=[1, 2], keepdims=0),
             helper.make_node('ReduceMax', ['x'], ['rows'], axes=[1, 3], keepdims=0),
             helper.make_node('Constant', [], ['columns_shape'],
                              value=onnx.numpy_helper.from_array(np.array([1, 1, WIDTH]))),
             helper.make_node('Constant', [], ['rows_shape'],
                              value=onnx.numpy_helper.from_array(np.array([1, 1, HEIGHT]))),
             helper.make_node('Reshape', ['columns', 'columns_shape'], ['one_column']),
             helper.make_node('Reshape', ['rows', 'rows_shape'], ['one_row']),
             helper.make_node('Concat', ['one_column'] * 17, ['y0'], axis=1),
             helper.make_node('Concat', ['one_row'] * 17, ['y1'], axis=1)]
    shapes = [np.zeros((1, 17, WIDTH), np.float32), np.zeros((1, 17, HEIGHT), np.float32)]
    path = write_onnx(tmp_path / 'pose.onnx', shapes, (WIDTH, HEIGHT), nodes)
    image = np.zeros((400, 400, 3), np.uint8)
    image[205:211, 107:113] = 255
    estimator = build_pose_estimator('rtmpose', pose=path)
    box = np.array([90, 180, 130, 230.0])
    matrix = crop_matrix(box, (WIDTH, HEIGHT))
    seen, run = [], estimator._run
    estimator._run = lambda values: seen.append(run(values)) or seen[-1]
    estimator(image, [box])
    (columns, rows), = seen
    found = matrix[:, :2] @ [columns[0].argmax() + 0.5, rows[0].argmax() + 0.5] + matrix[:, 2]
    assert np.abs(found - [110, 208]).max() < 3.5


def test_yolox_raw_and_suppressed(tmp_path):
    pose = write_onnx(tmp_path / 'pose.onnx', simcc(17, np.stack([np.arange(17) * 5, np.arange(17) * 7], 1)),
                      (WIDTH, HEIGHT))
    image = np.zeros((96, 192, 3), np.uint8)  # half of the network's 64 x 64 is padding; a zoom of 1 / 3
    # 84 cells: 8 x 8 of stride 8, 4 x 4 of 16, 2 x 2 of 32. A person in cell (2, 1) of 8: centre (20, 12), sides 16.
    raw = np.full((1, 84, 85), -9.0, np.float32)
    raw[..., 4:] = 0
    raw[0, 1 * 8 + 2, :6] = 0.5, 0.5, np.log(2), np.log(2), 0.9, 1.0
    raw[0, 1 * 8 + 3, :6] = -0.5, 0.5, np.log(2), np.log(2), 0.8, 1.0  # the same person
    raw[0, 40, :7] = 0, 0, 1, 1, 0.9, 0, 1.0  # a bicycle
    detected = np.array([[[12, 4, 28, 20, 0.9], [40, 4, 56, 20, 0.2]]], np.float32)
    for name, outputs in (('raw', [raw]), ('nms', [detected])):
        detector = write_onnx(tmp_path / f'{name}.onnx', outputs, (64, 64))
        people = build_pose_estimator('rtmpose', pose=pose, detector=detector)(image)
        assert [person.box.tolist() for person in people] == [pytest.approx([36, 12, 84, 60], abs=1e-3)], name


@pytest.mark.parametrize('joints, row', [(26, 'openpose_right_heel'), (133, 'openpose_left_small_toe')])
def test_other_joint_sets(tmp_path, joints, row):
    bins = np.stack([np.arange(joints) * 7 % 90 + 2, np.arange(joints) * 11 % 120 + 2], 1)
    path = write_onnx(tmp_path / 'pose.onnx', simcc(joints, bins), (WIDTH, HEIGHT))
    person, = build_pose_estimator('rtmpose', pose=path)(np.zeros((99, 99, 3), np.uint8), [[20, 20, 70, 80]])
    assert person.keypoints[ROW(row), 2] > 0


def test_wrong_options_and_files_are_named(tmp_path):
    with pytest.raises(BadConfig, match='pose=FILE'):
        build_pose_estimator('rtmpose')
    with pytest.raises(BadConfig, match='blazepose, keypointrcnn, rtmpose'):
        build_pose_estimator('openpose')
    with pytest.raises(BadConfig, match='speed'):
        build_pose_estimator('rtmpose', speed=1)
    with pytest.raises(MissingFile, match='none.onnx'):
        build_pose_estimator('rtmpose', pose=str(tmp_path / 'none.onnx'))
    (tmp_path / 'bad.onnx').write_bytes(b'no network')
    with pytest.raises(BadFile, match='bad.onnx'):
        build_pose_estimator('rtmpose', pose=str(tmp_path / 'bad.onnx'))
    path = write_onnx(tmp_path / 'pose.onnx', [np.zeros((1, 17, 9), np.float32)], (WIDTH, HEIGHT))
    with pytest.raises(BadFile, match='two outputs'):
        build_pose_estimator('rtmpose', pose=path)(np.zeros((99, 99, 3), np.uint8), [[20, 20, 70, 80]])
    with pytest.raises(BadConfig, match='detector=FILE'):
        build_pose_estimator('rtmpose', pose=path)(np.zeros((99, 99, 3), np.uint8))


def test_keypointrcnn_runs_and_orders_its_joints():
    torch.manual_seed(0)
    estimator = build_pose_estimator('keypointrcnn', weights=False, size=64, min_score=0.0)
    image = np.random.default_rng(0).integers(0, 255, (80, 60, 3), np.uint8)
    assert all(isinstance(person, PersonKeypoints) for person in estimator(image))
    assert estimator(image, [[-500, -500, -400, -400]]) == [None]
    found = {'labels': torch.tensor([1, 2, 1]), 'scores': torch.tensor([0.9, 0.9, 0.1]), 'boxes': torch.zeros(3, 4),
             'keypoints': torch.arange(17.0).view(1, 17, 1).expand(3, 17, 3).clone(),
             'keypoints_scores': torch.zeros(3, 17)}
    person, = people_of(found, 0.7)
    # In torchvision's coco_person_keypoint_names, left_shoulder is sixth and right_ankle last.
    assert person.keypoints[ROW('left_shoulder')] == pytest.approx([5.5, 5.5, 0.5])
    assert person.keypoints[ROW('right_ankle')] == pytest.approx([16.5, 16.5, 0.5])


def person_at(left):
    return PersonKeypoints([left, 0, left + 10, 20], 1.0, np.ones((49, 3)))


def test_nobody_is_in_two_boxes():
    people = [person_at(0), person_at(100)]
    matched = matched_to_boxes(people, [[1, 0, 11, 20], [2, 0, 12, 20], [101, 0, 111, 20], [50, 0, 60, 20]])
    assert [person and person.box[0] for person in matched] == [1, None, 101, None]


def test_tracks_keep_their_numbers_and_end_after_a_while():
    frames = [[0, 100], [104, 3], [105], [7, 106], *[[107]] * 40, [9, 108]]
    seen = iter(frames)
    tracker = TrackedByOverlap(lambda image: [person_at(left) for left in next(seen)])
    numbers = [[person.track for person in tracker(None)] for _ in frames]
    assert numbers[:4] == [[0, 1], [1, 0], [1], [0, 1]] and numbers[-1] == [2, 1]
    assert len(tracker._known) <= 3

"""The demo's parts on their own: camera, tracker, smoothing, detectors, threads, renderers."""
import os
import time
import urllib.error

import numpy as np
import pytest
import torch
import torchvision

from core.config import load_config
from core.demo.boxes import Detections, PersonBox, box_from_json, full_frame, square_box
from core.demo.camera import Focus, crop_to_picture, place_in_picture, project_to_picture
from core.demo.detectors import SHORT_NAMES, TorchvisionDetector, weights_file
from core.demo.draw import build_renderer
from core.demo.estimate import Estimate, crop_person
from core.demo.smoothing import Smoother, rotation_filter, vector_filter
from core.demo.threads import Ahead, Behind
from core.demo.tracking import PersonTracker
from datasets.video import Frame
from models.body import BodyModel
from tests.demo_data import write_json
from utils.errors import BadConfig, BadFile, MissingFile, ProjectError
from utils.full_camera import ray_rotation
from utils.geometry import axis_angle_to_rotmat, project
from utils.torch_io import save_torch


@pytest.fixture(scope='module')
def body(free_assets):
    return BodyModel(free_assets)


def people(body, count=40, width=1920, height=1080, seed=0):
    """Joints in varied poses, crop cameras, and crops all over a picture."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, .3, (count, 72)).astype(np.float32)
    pose[:, :3] = rng.normal(0, .5, (count, 3)) + [np.pi, 0, 0]
    with torch.no_grad():
        out = body(torch.zeros(count, 10), pose=torch.from_numpy(pose))
    camera = torch.tensor(np.stack([rng.uniform(.7, 1, count), *rng.uniform(-.1, .1, (2, count))], -1)).float()
    center = torch.tensor(rng.uniform([.1 * width, .3 * height], [.9 * width, .7 * height], (count, 2))).float()
    side = torch.tensor(rng.uniform(.3, 1, count) * height).float()
    return out.joints, out.smpl_joints[:, :1], camera, center, side


def test_the_pictures_camera_sees_joints_where_the_crops_did(body):
    joints, pivot, camera, center, side = people(body)
    middle = torch.tensor([[960.0, 540.0]])
    wanted = crop_to_picture(project(joints, camera), center, side)
    errors, unturned = [], []
    for i in range(len(joints)):
        one = slice(i, i + 1)
        focal_length = 5000 / 224 * max(960.0, float(side[i]))
        turn = ray_rotation((center[one] - middle) / focal_length)
        turned = (joints[one] - pivot[one]) @ turn.transpose(1, 2) + pivot[one]
        for points, found in ((turned, errors), (joints[one], unturned)):
            moved = place_in_picture(points, wanted[one], focal_length, middle)
            found.append((project_to_picture(points, moved, focal_length, middle) - wanted[one]).norm(dim=-1))
    errors, unturned = torch.cat(errors), torch.cat(unturned)
    assert errors.mean() < .15 and errors.square().mean().sqrt() < .25
    assert unturned.mean() > 3 * errors.mean()


def test_a_ray_rotation_turns_straight_ahead_to_the_ray():
    center, middle = torch.tensor([[1700.0, 200.0], [960.0, 540.0]]), torch.tensor([[960.0, 540.0]])
    rays = ray_rotation((center - middle) / 1500.0) @ torch.tensor([0.0, 0.0, 1.0])
    wanted = torch.nn.functional.normalize(torch.tensor([[740.0, -340.0, 1500.0], [0, 0, 1500.0]]), dim=1)
    assert torch.allclose(rays, wanted, atol=1e-6)


def test_the_focal_length_is_the_users_else_the_files_else_the_diagonal():
    image = np.zeros((480, 640, 3), np.uint8)
    frame, photo = Frame(0, 0, image), Frame(0, 0, image, focal_length=512.5)
    # 640 and 480 are 4 and 3 times 160: the diagonal is 5 times 160.
    assert (Focus(0.0)(frame), Focus(0.0)(photo), Focus(1500.0)(photo)) == (800, 512.5, 1500)
    for impossible in (-3.0, float('nan'), float('inf')):
        with pytest.raises(BadConfig, match='pixels above 0'):
            Focus(impossible)


@pytest.mark.parametrize('legacy', ['', 'pil_bicubic'])
def test_the_crop_is_the_square_it_says(legacy):
    image = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    person = PersonBox(np.array([100, 50, 228, 178.0]), np.array([164.3, 114.6]), 128.9)
    crop, center, side = crop_person(image, person, 128, legacy)
    if not legacy:
        assert np.array_equal(center, person.center) and side == person.side
    else:
        left, top = (center - side / 2).astype(int)
        assert (center - side / 2 == [left, top]).all() and side == int(side)
        assert abs(center - person.center).max() <= 1 and abs(side - person.side) <= 1
        window = image[top:top + int(side), left:left + int(side)]
        assert abs(crop.mean() - window.mean()) < 1
    assert crop.shape == (128, 128, 3)


def test_people_who_cross_and_vanish_keep_their_numbers():
    tracker, seen = PersonTracker(max_gap=20), {}
    for f in range(90):
        boxes = [square_box(10 + 5 * f, 50, 60, 160), square_box(450 - 5 * f, 70, 50, 150)]
        boxes = boxes[1:] if 20 <= f < 32 else [] if 60 <= f < 66 else boxes
        for box in tracker.update(boxes):
            which = 'right' if abs(box.box[0] - (10 + 5 * f)) < 1 and box.box[1] == 50 else 'left'
            seen.setdefault(which, set()).add(box.person_id)
    assert seen == {'right': {0}, 'left': {1}}
    for _ in range(60):
        tracker.update([])
    assert [box.person_id for box in tracker.update([square_box(10, 50, 60, 160)])] == [2]


def test_the_rotation_filter_calms_noise_and_follows_motion():
    generator, step = torch.Generator().manual_seed(0), 1 / 30
    still = axis_angle_to_rotmat(torch.randn(200, 24, 3, generator=generator) * .05)
    quiet = rotation_filter(2.0, 2.0)
    filtered = torch.stack([quiet(rotmat, step) for rotmat in still])
    angle = torch.arccos(((torch.einsum('tjii->tj', filtered[20:]) - 1) / 2).clamp(-1, 1))
    raw = torch.arccos(((torch.einsum('tjii->tj', still[20:]) - 1) / 2).clamp(-1, 1))
    assert angle.mean() < .7 * raw.mean()
    assert torch.allclose(torch.linalg.det(filtered), torch.ones(200, 24), atol=1e-4)
    # A steady turn through more than half a circle, 2 rad/s, is followed with a small lag.
    follow = rotation_filter(2.0, 2.0)
    turns = [axis_angle_to_rotmat(torch.tensor([[0.0, 2 * f * step, 0.0]])) for f in range(90)]
    late = [torch.linalg.norm(follow(turn, step) - turn) for turn in turns]
    assert late[-1] < .12
    speed = vector_filter(1.0, 0.0)
    assert speed(torch.zeros(3), step).equal(torch.zeros(3)) and 0 < float(speed(torch.ones(3), step)[0]) < .5


def test_smoothing_rebuilds_the_body_and_forgets_after_a_gap(body):
    cfg = load_config(None, [])
    smoother, rng = Smoother(cfg, body), np.random.default_rng(0)
    image = np.zeros((480, 640, 3), np.uint8)
    steps = []
    for f, at in enumerate([*np.arange(10) / 25, 5.0]):
        noisy = axis_angle_to_rotmat(torch.tensor(rng.normal(0, .1, (24, 3)), dtype=torch.float32)).numpy()
        translation = np.array([.3, .1, 5 + .1 * rng.normal()], np.float32)
        estimate = Estimate(4, np.array([100, 100, 200, 400.0]), noisy, np.ones(10, np.float32), np.ones(3),
                            translation, np.zeros((49, 3)), np.zeros((49, 2)), np.zeros((body.num_vertices, 3)))
        smoother([Frame(f, at, image)], [[estimate]], lambda frame: 800.0)
        steps.append(np.abs(estimate.rotmat - noisy).max())
        rebuilt = body(torch.tensor(estimate.betas)[None], torch.tensor(estimate.rotmat)[None])
        assert np.abs(rebuilt.vertices[0].numpy() - estimate.vertices).max() < 1e-5
        seen = estimate.joints + estimate.translation
        assert np.abs(seen[:, :2] / seen[:, 2:] * 800 + [320, 240] - estimate.keypoints_2d).max() < .01
    assert steps[0] < 1e-5 and min(steps[1:10]) > .01 and steps[10] < 1e-5


def test_detections_in_cocos_format(tmp_path):
    frame = Frame(3, .1, np.zeros((4, 4, 3), np.uint8))
    rows = [{'image_id': 3, 'bbox': [0, 0, 20, 40], 'track_id': 9}]
    tracked = Detections(write_json(tmp_path / 'a.json', rows), .5, 1.2)
    [box] = tracked(frame)
    assert tracked.tracked and box.person_id == 9 and box.side == pytest.approx(48)
    assert tracked(Frame(4, 0, None)) == []
    for rows in ({}, [{'image_id': 1}], [{'image_id': 1, 'bbox': [1, 2, 3]}], [3], [{'image_id': [], 'bbox': [0] * 4}],
                 [{'image_id': 1, 'bbox': [0] * 4, 'track_id': 1}, {'image_id': 1, 'bbox': [0] * 4}]):
        with pytest.raises(BadFile):
            Detections(write_json(tmp_path / 'b.json', rows), .5, 1.2)
    assert box_from_json(write_json(tmp_path / 'c.json', {'bbox': [10, 20, 30, 60]})).side == 60
    assert full_frame(201, 100).center.tolist() == [100, 50]


def test_a_torchvision_detector_reads_its_file_and_gives_people(tmp_path):
    name = 'ssdlite320_mobilenet_v3_large'
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    weights = torchvision.models.get_model_weights(name).DEFAULT
    save_torch(tmp_path / weights.url.split('/')[-1], network.state_dict())
    detector = TorchvisionDetector(name, tmp_path, 'cpu', size=0, min_score=.6, margin=1.2)
    picture = np.zeros((90, 120, 3), np.uint8)
    found = {'labels': torch.tensor([1, 18, 1]), 'scores': torch.tensor([.9, .9, .3]),
             'boxes': torch.tensor([[10.0, 20, 40, 80], [0, 0, 9, 9], [0, 0, 9, 9]])}
    detector._network = lambda batch: [found for image in batch if image.shape == (3, 90, 120)]
    [[box]] = detector([picture])
    assert box.box.tolist() == [10, 20, 40, 80] and box.side == pytest.approx(72) and box.person_id is None


def test_detector_weights_that_cannot_be_had(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError('no network')
    monkeypatch.setattr(torch.hub, 'download_url_to_file', refuse)
    with pytest.raises(MissingFile, match='no network.*--detections FILE.*full_frame') as error:
        TorchvisionDetector('fasterrcnn', tmp_path / 'pretrained_model', 'cpu')
    assert '\n' not in str(error.value)
    with pytest.raises(BadConfig, match='full_frame, fasterrcnn'):
        TorchvisionDetector('rcnn', tmp_path, 'cpu')
    fetched = []
    monkeypatch.setattr(torch.hub, 'download_url_to_file', lambda url, path, **more: fetched.append((url, path, more)))
    weights = torchvision.models.get_model_weights(SHORT_NAMES['fasterrcnn']).DEFAULT
    path = weights_file(weights, tmp_path)
    assert fetched[0][:2] == (weights.url, str(path)) and weights.url.endswith(f'-{fetched[0][2]["hash_prefix"]}.pth')


def test_work_ahead_is_bounded_and_its_errors_arrive():
    made = []

    def items():
        for i in range(100):
            made.append(i)
            yield i
        raise ProjectError('the end')

    ahead = Ahead(items(), 3)
    stream = iter(ahead)
    assert next(stream) == 0
    time.sleep(.3)
    assert len(made) <= 6
    with pytest.raises(ProjectError, match='the end'):
        list(stream)
    stopped = Ahead(iter(range(10 ** 9)), 2)
    stopped.end()
    assert not stopped._thread.is_alive()


def test_work_behind_is_done_in_order_and_its_errors_arrive():
    done = []
    behind = Behind(done.append, 2)
    for i in range(20):
        behind(i)
    behind.wait()
    assert done == list(range(20))

    def fail(item):
        raise ProjectError('the disk is full')

    behind = Behind(fail, 1)
    with pytest.raises(ProjectError, match='the disk is full'):
        for i in range(100):
            behind(i)
    behind.end()


def test_pyrender_draws_where_the_own_renderer_does_or_says_why_not(body, monkeypatch):
    if 'DISPLAY' not in os.environ and 'PYOPENGL_PLATFORM' not in os.environ:
        monkeypatch.setenv('PYOPENGL_PLATFORM', 'egl')  # Mesa draws without a screen
    image = np.zeros((120, 160, 3), np.uint8)
    with torch.no_grad():
        pose = torch.tensor([[np.pi] + [0] * 71], dtype=torch.float32)
        vertices = body(torch.zeros(1, 10), pose=pose).vertices.numpy()
    arguments = (image, vertices, np.array([[.2, .1, 6.0]]), 300.0, np.array([[.6, .7, .9]]))
    own = build_renderer('own', body.faces).overlay(*arguments).max(-1) > 20
    assert own.sum() > 500
    try:
        other = build_renderer('pyrender', body.faces)
    except BadConfig as error:
        assert '--renderer own' in str(error)
        pytest.skip(str(error))
    drawn = other.overlay(*arguments).max(-1) > 20
    assert (own & drawn).sum() / (own | drawn).sum() > .95
    views = [build_renderer(name, body.faces).side(120, 160, *arguments[1:], 0.0).max(-1) > 20
             for name in ('own', 'pyrender')]
    assert (views[0] & views[1]).sum() / (views[0] | views[1]).sum() > .9

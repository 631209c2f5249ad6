"""Boxes, cuts to body parts and label filters of training crops, on a stick figure with numbers written out."""
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.config import load_config
from core.demo.boxes import square_box
from datasets.annotations import Annotations
from datasets.augmentation import Augmentation, draw_augmentation
from datasets.body_samples import read_body_samples
from datasets.framing import framed, part_box, widening
from datasets.image_dataset import ImageDataset
from datasets.label_filters import has_enough_keypoints, trusted
from models.adversary import discriminator_loss
from tests.tiny_data import write_tiny_dataset
from utils.errors import BadFile
from utils.keypoints import JOINT_NAMES

# x, y in pixels of somebody who faces us: the right side is at smaller x.
FIGURE = {'head_top': (100, 0), 'nose': (100, 20), 'neck': (100, 40), 'right_shoulder': (80, 50),
          'left_shoulder': (120, 50), 'right_elbow': (60, 90), 'left_elbow': (140, 90), 'right_wrist': (50, 130),
          'left_wrist': (150, 130), 'mid_hip': (100, 150), 'right_hip': (90, 150), 'left_hip': (110, 150),
          'right_knee': (90, 220), 'left_knee': (110, 220), 'right_ankle': (90, 300), 'left_ankle': (110, 300),
          'right_heel': (88, 310), 'left_heel': (112, 310)}


def figure(*absent):
    points = np.zeros((49, 3), np.float32)
    for number, name in enumerate(JOINT_NAMES):
        name = name.removeprefix('openpose_')
        if name in FIGURE and name not in absent:
            points[number] = (*FIGURE[name], 1)
    return points


def person(keypoints, **labels):
    return replace(Annotations.blank(['a.jpg'], [[100, 155]], [1.55], keypoints_2d=keypoints[None]).person(0), **labels)


@pytest.mark.parametrize('chance, middle, longest, margin', [
    (0.05, (100, 75), 150, 1.1), (0.15, (100, 75), 150, 1.1),  # to the hips: head to hips, 0 to 150
    (0.25, (100, 25), 50, 1.2), (0.35, (100, 25), 50, 1.3),  # shoulders, head: 0 to 50
    (0.45, (100, 95), 110, 1.1),  # torso: neck to hips, 40 to 150
    (0.55, (65, 90), 80, 1.1), (0.65, (135, 90), 80, 1.1),  # the arms: shoulder to wrist
    (0.75, (100, 230), 160, 1.1), (0.85, (89, 230), 160, 1.1), (0.95, (111, 230), 160, 1.1)])  # legs: hip to heel
def test_parts_of_a_whole_person(chance, middle, longest, margin):
    center, side = part_box(figure(), chance)
    assert np.allclose(center, middle) and side == pytest.approx(1.2 * margin * longest)


def test_who_is_cut():
    legs = [f'{side}_{joint}' for side in ('left', 'right') for joint in ('knee', 'ankle', 'heel')]
    upper = figure(*legs)
    assert np.allclose(part_box(upper, 0.1)[0], (100, 25))  # to the shoulders
    assert np.allclose(part_box(upper, 0.7)[0], (65, 90))  # the right arm
    assert part_box(figure('left_knee'), 0.1) is None  # neither whole nor cut off at the hips
    assert part_box(np.zeros((49, 3), np.float32), 0.1) is None
    tiny = figure() * (0.03, 0.03, 1)
    assert part_box(tiny, 0.35) is None and part_box(tiny, 0.05) is not None  # 2.3 and 5.9 pixels


def test_box_is_widened_to_a_shape():
    """100 wide and 310 tall fits into 192:256; lying, the longer side is the width, and 256 / 192 of it is needed."""
    assert widening(100, 310, 256 / 192) == 1 and widening(310, 100, 256 / 192) == pytest.approx(256 / 192)
    assert widening(310, 310, 256 / 192) == pytest.approx(256 / 192) and widening(310, 100, 1.0) == 1
    assert widening(279, 310, 256 / 192) == pytest.approx(0.9 * 256 / 192)


def test_shape_is_the_labels_else_in_training_the_keypoints():
    standing, lying = figure(), figure()[:, [1, 0, 2]]

    def scale(someone, **options):
        return framed(someone, Augmentation(), 4 / 3, **options).scale / 1.55
    assert scale(person(lying)) == scale(person(standing), by_keypoints=True) == 1
    assert scale(person(lying), by_keypoints=True) == pytest.approx(4 / 3)
    nobody = np.zeros((49, 3), np.float32)
    assert scale(person(nobody), by_keypoints=True) == 1
    for keypoints in (standing, lying, nobody):
        known = person(keypoints, bbox_size=np.array([90.0, 100.0]))
        assert scale(known) == scale(known, by_keypoints=True) == pytest.approx(1.2)
    someone = framed(person(lying), Augmentation(shift=(0.1, -0.2)), 4 / 3, by_keypoints=True)
    assert someone.scale == pytest.approx(1.55 * 4 / 3)
    assert np.allclose(someone.center, np.array([100, 155]) + 200 * someone.scale * np.array([0.1, -0.2]))
    cut = framed(person(lying), Augmentation(part=0.25), 4 / 3)  # a part's box is as it is
    assert np.allclose(cut.center, (25, 100)) and cut.scale == pytest.approx(1.2 * 1.2 * 50 / 200)


def test_demo_boxes_are_widened_too():
    assert square_box(0, 0, 90, 100, 1.2).side == pytest.approx(120)
    assert square_box(0, 0, 90, 100, aspect=4 / 3).side == pytest.approx(120)
    assert square_box(0, 0, 60, 100, 1.5, aspect=4 / 3).side == pytest.approx(150)


def test_what_is_drawn():
    cfg = load_config(None, ['DATA.SHIFT_FACTOR', 0.02, 'DATA.EXTREME_CROP', 0.25])
    drawn = [draw_augmentation(np.random.default_rng(i), cfg) for i in range(2000)]
    plain = [draw_augmentation(np.random.default_rng(i), load_config(None)) for i in range(20)]
    for with_more, without in zip(drawn, plain):
        assert replace(with_more, shift=(0.0, 0.0), part=None) == without
    shifts = np.array([augmentation.shift for augmentation in drawn])
    assert np.abs(shifts).max() == 0.02 and abs(shifts.mean()) < 1e-3
    assert abs((np.abs(shifts) == 0.02).mean() - 0.3173) < 0.02  # beyond one deviation
    parts = [augmentation.part for augmentation in drawn if augmentation.part is not None]
    assert abs(len(parts) / 2000 - 0.25) < 0.04 and abs(np.mean(parts) - 0.5) < 0.05
    assert all(augmentation.box_factor == 0 for augmentation in drawn if augmentation.part is not None)


def test_labels_that_are_not_trusted():
    points = figure()
    points[[2, 30], 2] = 0.29
    data = load_config(None, ['DATA.MIN_CONFIDENCE', 0.3, 'DATA.MAX_BETAS', 3.0, 'DATA.MIN_KEYPOINTS', 5]).DATA
    betas = np.zeros(10, np.float32)
    betas[7] = -3.01
    someone = trusted(person(points, betas=betas, has_smpl=True), data)
    assert not someone.has_smpl and not someone.keypoints_2d[[2, 30]].any()
    assert (someone.keypoints_2d[:, 2] > 0).sum() == (points[:, 2] > 0.3).sum() and points[2, 2] == np.float32(0.29)
    betas[7] = -2.99
    assert trusted(person(points, betas=betas, has_smpl=True), data).has_smpl
    assert trusted(person(points), load_config(None).DATA).keypoints_2d is not None
    few = np.zeros((49, 3), np.float32)
    few[[0, 1, 2, 3, 45, 46], 2] = 1  # two of them are of the last five, which come twice
    assert not has_enough_keypoints(person(few), data)
    few[10, 2] = 0.2
    assert not has_enough_keypoints(person(few), data)
    few[10, 2] = 0.3
    assert has_enough_keypoints(person(few), data)


def test_people_with_few_keypoints_are_passed_over_in_training(standin_assets):
    path = write_tiny_dataset(standin_assets, 'few', 'train', count=4)
    arrays = dict(np.load(path))
    arrays['part'][1:3, :, 2], arrays['openpose'][1:3, :, 2] = 0, 0
    np.savez(path, **arrays)
    np.savez(path.with_name('few_val.npz'), **arrays)
    overrides = ['PATHS.DATA_DIR', str(standin_assets), 'DATA.IMG_RES', 32]
    cfg = load_config(None, [*overrides, 'DATA.MIN_KEYPOINTS', 5])
    assert [int(ImageDataset(cfg, 'few')[i]['sample_index']) for i in range(4)] == [0, 3, 3, 3]
    assert [int(ImageDataset(load_config(None, overrides), 'few')[i]['sample_index']) for i in range(4)] == [0, 1, 2, 3]
    arrays['part'][..., 2], arrays['openpose'][..., 2] = 0, 0
    np.savez(path, **arrays)
    with pytest.raises(BadFile, match='DATA.MIN_KEYPOINTS'):
        ImageDataset(cfg, 'few')[0]


def test_a_cut_shows_the_part_at_full_resolution(standin_assets):
    """The crop's box in the batch is the part's, and keypoints of the whole figure go beyond [-1, 1]."""
    write_tiny_dataset(standin_assets, 'cut', 'train', count=4)
    cfg = load_config(None, ['PATHS.DATA_DIR', str(standin_assets), 'DATA.IMG_RES', 32, 'DATA.EXTREME_CROP', 1.0,
                             'DATA.SCALE_FACTOR', 0.0])
    data = ImageDataset(cfg, 'cut')
    samples = [data.sample(0, 0, np.random.default_rng(i)) for i in range(6)]
    whole = 200 * data.annotations.scale[0]
    assert all(200 * float(sample['scale']) < whole for sample in samples)
    assert len({round(float(sample['scale']), 4) for sample in samples}) > 2


def test_real_bodies_weigh_by_their_number(tmp_path):
    """Two real bodies an estimate: (0.5^2 + 0.5^2) * 25 over one estimate, and 0.2^2 * 25 of that."""
    loss = discriminator_loss(torch.full((2, 25), 0.5), torch.full((1, 25), 0.2))
    assert float(loss) == pytest.approx(25 * (0.25 + 0.25) + 25 * 0.04)
    pose = np.arange(3 * 72, dtype=np.float64).reshape(3, 72)
    np.savez(tmp_path / 'cmu_mocap.npz', body_pose=pose, betas=np.zeros((3, 10)))
    assert np.array_equal(read_body_samples(tmp_path / 'cmu_mocap.npz')[0], pose[:, 3:])  # the root comes first

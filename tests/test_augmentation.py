"""Crops and augmentation: image, 2D, 3D and pose stay consistent; the legacy crops equal the published ones."""
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from datasets.annotations import Annotations
from datasets.augmentation import (
    Augmentation,
    crop_transform,
    draw_augmentation,
    flip_keypoints,
    flip_pose,
    rotate_points,
    rotate_pose,
    to_network_input,
    transform_points,
    warp_crop,
)
from datasets.image_io import Picture
from datasets.legacy_crop import legacy_crop, legacy_transform_points
from datasets.sample import make_sample
from utils.errors import BadConfig, BadFile
from utils.keypoints import IMAGE_MEAN, IMAGE_STD, J24_FLIP, J49_FLIP, SMPL_FLIP, SMPL_PARENTS

REFERENCE = Path(__file__).parent / 'reference/pymaf_ops.npz'


@pytest.fixture(scope='module')
def reference():
    return np.load(REFERENCE)


@pytest.fixture
def cfg():
    return SimpleNamespace(MODEL=SimpleNamespace(CAMERA='crop'), DATA=SimpleNamespace(
        IMG_RES=224, FLIP=True, ROT_FACTOR=30.0, ROT_PROB=0.4, NOISE_FACTOR=0.4, SCALE_FACTOR=0.25, SHIFT_FACTOR=0.0,
        EXTREME_CROP=0.0))


def test_legacy_crop_is_the_published_one(reference):
    image = np.kron(np.random.RandomState(77).randint(0, 256, (24, 20, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    height, width = image.shape[:2]
    whole = legacy_crop(image, (width / 2, height / 2), max(height, width) / 200, 224)
    turned = legacy_crop(image, (0.4 * width, 0.6 * height), 0.7, 224, 25)
    assert np.array_equal(whole[::4, ::4], reference['crop_c0'])
    assert np.array_equal(turned[::4, ::4], reference['crop_c1'])


@pytest.fixture
def grey_squares():
    """A picture with values 40 to 180, and the boxes and rotations of tests/reference/spin_crops.npz.

    SPIN's and DaNet's published `crop` with scipy 1.0.0's `imresize` and `imrotate` computed crop_s0 to crop_s2 of that
    file; Multi-SPIN's published `crop` computed crop_m0 and crop_m1. It holds every 4th row and column.
    """
    image = np.kron(np.random.RandomState(77).randint(40, 181, (24, 20, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    return image, [((80, 96), 192 / 200, 0), ((0.4 * 160, 0.6 * 192), 0.3, 0), ((0.4 * 160, 0.6 * 192), 0.7, 25)]


@pytest.mark.parametrize('number', range(3))
def test_crop_of_spin_and_danet_is_the_published_one(grey_squares, number):
    image, boxes = grey_squares
    published = np.load(REFERENCE.with_name('spin_crops.npz'))[f'crop_s{number}']
    center, scale, rotation = boxes[number]
    assert np.array_equal(legacy_crop(image, center, scale, 224, rotation, 'imresize_bilinear')[::4, ::4], published)
    assert np.abs(legacy_crop(image, center, scale, 224, rotation)[::4, ::4] - published.astype(float)).mean() > 8


def test_crop_of_spin_and_danet_by_hand():
    """Contrast is stretched over the box, including black outside the picture. Then Pillow resizes bilinearly."""
    image = np.random.default_rng(0).integers(50, 151, (90, 90, 3)).astype(np.uint8)
    window = image[15:75, 15:75].astype(float)
    low, high = window.min(), window.max()
    scale = 255 / (high - low)  # bytescale: (data - cmin) * scale + 0.5, cut to whole numbers
    stretched = np.floor((window - low) * scale + 0.5).astype(np.uint8)
    wanted = np.array(Image.fromarray(stretched).resize((32, 32), Image.BILINEAR))
    assert np.array_equal(legacy_crop(image, (45, 45), 0.3, 32, resize='imresize_bilinear'), wanted)
    beyond = legacy_crop(np.full((40, 40, 3), 100, np.uint8), (0, 20), 0.2, 40, resize='imresize_bilinear')
    assert not beyond[:, :19].any() and (beyond[:, 21:] == 255).all()  # 100 is the box's largest value
    assert not legacy_crop(np.full((40, 40, 3), 100, np.uint8), (20, 20), 0.1, 40, resize='imresize_bilinear').any()


@pytest.mark.parametrize('number', range(2))
def test_crop_of_multi_spin_is_the_published_one(grey_squares, number):
    image, boxes = grey_squares
    published = np.load(REFERENCE.with_name('spin_crops.npz'))[f'crop_m{number}']
    ours = legacy_crop(image, *boxes[number][:2], 224, resize='skimage_bilinear')
    assert np.abs(ours[::4, ::4] - published).max() <= 0.51  # whole grey levels


def test_unknown_resizing():
    with pytest.raises(BadConfig, match="DATA.LEGACY_CROP_RESIZE is 'bilinear'; use one of pil_bicubic, "):
        legacy_crop(np.zeros((4, 4, 3), np.uint8), (2, 2), 0.02, 4, resize='bilinear')


def test_legacy_crop_at_the_edges():
    image = np.full((40, 50, 3), 200, np.uint8)
    assert not legacy_crop(image, (500, 500), 0.2, 64).any()
    half = legacy_crop(image, (0, 20), 0.2, 64)
    assert not half[:, :30].any() and (half[:, 34:] == 200).all()
    assert legacy_crop(image, (20, 20), 0.001, 64).shape == (64, 64, 3)
    assert legacy_crop(image, (20, 20), 0.01, 64, rotation=10).shape == (64, 64, 3)
    with pytest.raises(BadFile, match='box'):
        legacy_crop(image, (20, 20), 1e4, 64)


@pytest.mark.parametrize('rotation', [0, 25])
def test_both_crops_show_the_same_place(rotation):
    image = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (300, 260, 3)).astype(np.float32), (0, 0), 4)
    image = np.clip((image - 127) * 5 + 127, 0, 255).astype(np.uint8)
    center, scale = (140, 152), 0.8  # corners at whole pixels, which the published crop does not round
    legacy = legacy_crop(image, center, scale, 160, rotation).astype(float)
    ours = warp_crop(image, crop_transform(center, scale, 160, rotation), 160).astype(float)
    shifted = np.roll(ours, 1, axis=1)
    assert np.abs(legacy - ours)[8:-8, 8:-8].mean() < 2 < np.abs(legacy - shifted)[8:-8, 8:-8].mean()
    points = np.random.default_rng(2).uniform(100, 180, (9, 2))
    moved = legacy_transform_points(points, center, scale, 160, rotation)
    assert np.abs(moved - 0.5 - transform_points(points, crop_transform(center, scale, 160, rotation))).max() <= 0.5


def test_flips_and_rotations_are_the_published_ones(reference):
    assert np.allclose(flip_pose(reference['flip_pose_in']), reference['flip_pose_out'], atol=1e-12)
    assert np.allclose(flip_keypoints(reference['flip_kp_in'], J49_FLIP), reference['flip_kp_out'], atol=1e-12)
    assert np.allclose(rotate_pose(reference['rot_aa_in'], 30), reference['rot_aa_30'], atol=1e-12)


def dotted_picture(points, colours, shape, radius):
    image = np.zeros((*shape, 3), np.uint8)
    for (x, y), colour in zip(points, colours):
        # cv2 draws about pixel centres; our coordinates count from the corner of the first pixel.
        cv2.circle(image, (int(round((x - 0.5) * 256)), int(round((y - 0.5) * 256))), radius * 256, colour, -1,
                   cv2.LINE_AA, shift=8)
    return image


def dot_near(crop, point):
    """(colour at a point, centre of the dot around it)."""
    column, row = np.floor(point).astype(int)
    window = crop[row - 9:row + 10, column - 9:column + 10].sum(-1)
    y, x = np.mgrid[-9:10, -9:10]
    middle = np.array([(window * x).sum(), (window * y).sum()]) / window.sum()
    return crop[row, column], middle + (column + 0.5, row + 0.5)


@pytest.mark.parametrize('seed', range(12))
@pytest.mark.parametrize('reduced', [1, 2])
def test_keypoints_stay_on_their_dots(cfg, seed, reduced):
    rng = np.random.default_rng(seed)
    cells = rng.permutation(49)
    points = np.stack([60 + 40 * (cells % 7), 90 + 40 * (cells // 7)], 1) + rng.uniform(-5, 5, (49, 2))
    colours = [(40 + 36 * (i % 6), 40 + 36 * (i // 6 % 6), 90 + 100 * (i // 36)) for i in range(49)]
    keypoints = np.concatenate([points, np.ones((49, 1))], 1)[None].astype(np.float32)
    person = Annotations.blank(['a'], [[185.3, 205.9]], [1.5], keypoints_2d=keypoints).person(0)
    image = dotted_picture(points, colours, (440, 380), 7)
    if reduced > 1:
        image = cv2.resize(image, (190, 220), interpolation=cv2.INTER_AREA)
    augmentation = Augmentation(flip=bool(seed % 2), rotation=float(rng.uniform(-60, 60)),
                                scale=float(rng.uniform(0.75, 1.25)))
    sample = make_sample(Picture(image, 440, 380, reduced), person, augmentation, cfg)
    picture = sample['img'].numpy() * np.array(IMAGE_STD)[:, None, None] + np.array(IMAGE_MEAN)[:, None, None]
    crop = np.rint(picture * 255).transpose(1, 2, 0)[..., ::-1]
    crop_points = (sample['keypoints'].numpy()[:, :2] + 1) * 112
    # After a flip, entry i lies on the dot that was drawn for the joint of the other side.
    drawn_for = J49_FLIP if augmentation.flip else np.arange(49)
    errors = []
    for point, joint in zip(crop_points, drawn_for):
        if (point > 12).all() and (point < 212).all():
            colour, middle = dot_near(crop, point)
            assert np.abs(colour - colours[joint]).max() <= 8
            errors.append(np.linalg.norm(middle - point))
    assert len(errors) > 15 and max(errors) < 0.3


def test_large_pictures_are_averaged_down():
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 255  # any point sampling would give stripes of 0 and 255
    crop = warp_crop(stripes, crop_transform((512, 512), 1024 / 200, 100), 100)
    assert crop.std() < 20 and abs(crop.mean() - 127.5) < 4


@pytest.mark.parametrize('value', [200, 255])
@pytest.mark.parametrize('seed', range(40))
def test_a_crop_shows_nothing_but_the_picture(value, seed):
    """A one-colour picture's crop has that colour at pixels whose centre lies in the picture, and black elsewhere."""
    rng = np.random.default_rng(seed)
    width, height = 2 * rng.integers(2, 500, 2) + 1
    res, rotation, flip = 64, (0.0, 23.0)[seed % 4 == 3], seed % 3 == 1
    whole = seed % 2 == 0
    center = np.array([width, height]) * (0.5 if whole else rng.uniform(0, 1, 2))
    side = max(width, height) * (1.0 if whole else rng.uniform(0.3, 1.6))
    crop = warp_crop(np.full((height, width, 3), value, np.uint8),
                     crop_transform(center, side / 200, res, rotation, flip), res)
    column, row = np.meshgrid(np.arange(res) + 0.5, np.arange(res) + 0.5)
    x, y = (column - res / 2) * (-1 if flip else 1), row - res / 2
    cos, sin = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    x, y = (cos * x - sin * y) * side / res + center[0], (sin * x + cos * y) * side / res + center[1]
    nearest = np.min([x, width - x, y, height - y], axis=0)  # distance to the picture's edge, positive inside
    assert (nearest > 0).any() and (crop[nearest > 1e-6] == value).all() and not crop[nearest < -1e-6].any()


@pytest.mark.parametrize('shrink', [2.5, 3.7, 6.0])
def test_a_picture_that_shrinks_stays_in_place(shrink):
    """A ramp from 0 to 250 whose size is no multiple of the averaged blocks keeps its values at their places."""
    size = int(64 * shrink) + 1
    slope = np.linspace(0, 250, size)[None, :, None] * np.ones((size, 1, 3))
    crop = warp_crop(np.rint(slope).astype(np.uint8), crop_transform((size / 2, size / 2), size / 200, 64), 64)
    column = (np.arange(64) + 0.5) * size / 64 - 0.5
    assert np.abs(crop[:, 1:-1].astype(float) - (column / (size - 1) * 250)[None, 1:-1, None]).max() < 2


@pytest.mark.parametrize('center,scale', [((-1e9, 5), 1), ((1e300, 1e300), 1), ((5, 5), 1e-250), ((5, 5), 1e250),
                                          ((5, 5), 1e-6), ((5, 5), 1e6), ((1e5, 1e5), 1e3)])
@pytest.mark.parametrize('rotation', [0, 33])
def test_absurd_boxes_give_a_picture(center, scale, rotation):
    for shape in ((1, 1, 3), (1, 50, 3), (60, 40, 3)):
        crop = warp_crop(np.full(shape, 9, np.uint8), crop_transform(center, scale, 32, rotation), 32)
        assert crop.shape == (32, 32, 3)


def test_colour_and_normalization_in_one_table():
    crop = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    gains = (0.6, 1.0, 1.4)
    wanted = np.clip(crop[..., ::-1] * np.array(gains), 0, 255) / 255
    wanted = ((wanted - IMAGE_MEAN) / IMAGE_STD).transpose(2, 0, 1)
    assert np.allclose(to_network_input(crop, gains), wanted, atol=1e-5)
    assert np.allclose(to_network_input(crop[..., ::-1].copy(), gains, is_rgb=True), wanted, atol=1e-5)


def test_draws_have_the_published_distribution(cfg):
    rng = np.random.default_rng(0)
    drawn = [draw_augmentation(rng, cfg) for _ in range(4000)]
    rotations = np.array([a.rotation for a in drawn])
    scales = np.array([a.scale for a in drawn])
    gains = np.array([a.gains for a in drawn])
    assert abs(np.mean([a.flip for a in drawn]) - 0.5) < 0.03
    assert abs((rotations != 0).mean() - 0.4) < 0.03 and np.abs(rotations).max() == 60
    assert abs(rotations[rotations != 0].std() - 28.6) < 1.5  # a normal of 30, cut at 60
    assert scales.min() == 0.75 and scales.max() == 1.25 and abs(scales.mean() - 1) < 0.02
    assert gains.min() >= 0.6 and gains.max() <= 1.4 and np.abs(gains.mean(0) - 1).max() < 0.02
    cfg.DATA.FLIP, cfg.DATA.ROT_FACTOR, cfg.DATA.SCALE_FACTOR, cfg.DATA.NOISE_FACTOR = False, 0.0, 0.0, 0.0
    assert all(draw_augmentation(rng, cfg) == Augmentation() for _ in range(20))


def test_flipping_twice_changes_nothing():
    rng = np.random.default_rng(3)
    pose, points = rng.normal(size=72), rng.normal(size=(49, 3))
    assert np.allclose(flip_pose(flip_pose(pose)), pose)
    assert np.allclose(flip_keypoints(flip_keypoints(points, J49_FLIP), J49_FLIP), points)
    image = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    box = ((32, 32), 0.32, 64)
    once = warp_crop(image, crop_transform(*box, flip=True), 64)
    assert np.array_equal(once, image[:, ::-1])
    assert np.array_equal(warp_crop(once, crop_transform(*box, flip=True), 64), image)


def skeleton(pose, rest):
    """Joints [24,3] of a chain of bones turned by an axis-angle pose [72], the pelvis at the origin."""
    turns = Rotation.from_rotvec(pose.reshape(24, 3)).as_matrix()
    world, joints = [turns[0]], [np.zeros(3)]
    for joint in range(1, 24):
        parent = SMPL_PARENTS[joint]
        joints.append(joints[parent] + world[parent] @ (rest[joint] - rest[parent]))
        world.append(world[parent] @ turns[joint])
    return np.array(joints)


def test_pose_and_3d_joints_turn_and_flip_alike():
    rng = np.random.default_rng(4)
    rest = rng.normal(size=(24, 3))
    rest = (rest + rest[SMPL_FLIP] * [-1, 1, 1]) / 2  # a symmetric body
    pose = rng.normal(0, 0.6, 72)
    joints = skeleton(pose, rest)
    assert np.allclose(skeleton(rotate_pose(pose, 37), rest), rotate_points(joints, 37))
    assert np.allclose(skeleton(flip_pose(pose), rest), flip_keypoints(joints, SMPL_FLIP))


def test_2d_and_3d_turn_alike(cfg):
    """Under a weak-perspective camera, augmented 3D joints project onto the augmented 2D joints."""
    rng = np.random.default_rng(5)
    joints = rng.normal(0, 0.4, (24, 3))
    joints_3d = np.concatenate([joints, np.ones((24, 1))], 1)[None].astype(np.float32)
    keypoints = np.zeros((1, 49, 3), np.float32)
    keypoints[0, 25:] = np.concatenate([100 * joints[:, :2] + 150, np.ones((24, 1))], 1)
    person = Annotations.blank(['a'], [[150, 150]], [1.2], keypoints_2d=keypoints, joints_3d=joints_3d,
                               has_joints_3d=np.ones(1, bool)).person(0)
    sample = make_sample(Picture(np.zeros((300, 300, 3), np.uint8), 300, 300), person,
                         Augmentation(True, -41.0, 1.0), cfg)
    projected = sample['joints_3d'][:, :2].numpy() * 100 / 120
    assert np.allclose(projected, sample['keypoints'][25:, :2].numpy(), atol=1e-5)
    assert np.allclose(sample['joints_3d'][:, 2], joints[J24_FLIP, 2], atol=1e-6)


def test_absent_points_are_zeros(cfg):
    keypoints = np.full((1, 49, 3), 77, np.float32)
    keypoints[0, ::2, 2] = 0
    person = Annotations.blank(['a'], [[50, 50]], [0.5], keypoints_2d=keypoints).person(0)
    sample = make_sample(Picture(np.zeros((100, 100, 3), np.uint8), 100, 100), person, Augmentation(), cfg)
    assert not sample['keypoints'][::2].any() and sample['keypoints'][1::2].all()
    assert not sample['smpl_keypoints_2d'].any() and not sample['joints_3d'].any()

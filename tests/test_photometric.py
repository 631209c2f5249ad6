"""Photometric augmentation: the effect of each transform on a known picture, and repeatable random draws."""
import cv2
import numpy as np
import pytest
import torch

from core.config import load_config
from datasets.image_dataset import ImageDataset
from datasets.photometric import PROBABILITIES, change, is_on
from datasets.stream_dataset import StreamDataset
from tests.tiny_data import write_tiny_dataset
from utils.errors import BadConfig


def section(**values):
    keys = [entry for name, value in values.items() for entry in (f'DATA.PHOTOMETRIC.{name}', value)]
    return load_config(None, keys).DATA.PHOTOMETRIC


def changed(picture, seed=0, is_rgb=True, **values):
    return change(picture, section(**values), seed, is_rgb)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)


def test_off_by_default(noise):
    assert not is_on(section())
    assert np.array_equal(changed(noise), noise) and np.array_equal(changed(noise, is_rgb=False), noise)


@pytest.mark.parametrize('name', PROBABILITIES)
def test_a_seed_gives_one_picture_and_leaves_torch_alone(name, noise):
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    first = changed(noise, **{name: 1.0})
    assert torch.equal(torch.rand(4), wanted)
    assert np.array_equal(changed(noise, **{name: 1.0}), first)
    assert (first != noise).any() and first.dtype == np.uint8 and first.shape == noise.shape
    if name != 'GRAYSCALE':
        assert any((changed(noise, seed, **{name: 1.0}) != first).any() for seed in range(1, 9))


@pytest.mark.parametrize('name', PROBABILITIES)
def test_the_order_of_channels_does_not_matter(name, noise):
    reverse = np.ascontiguousarray(noise[..., ::-1])
    assert np.array_equal(changed(reverse, is_rgb=False, **{name: 1.0})[..., ::-1], changed(noise, **{name: 1.0}))


def test_grayscale_weighs_channels_as_luma():
    """ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B."""
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    assert np.abs(changed(red, GRAYSCALE=1.0).astype(int) - 60).max() <= 1  # 0.299 * 200 = 59.8


def test_blur_equals_opencvs():
    point = np.zeros((33, 33, 3), np.uint8)
    point[15:18, 15:18] = 255
    blurred = changed(point, BLUR=1.0, BLUR_SIGMA=[2.0, 2.0]).astype(float)
    wanted = cv2.GaussianBlur(point.astype(float), (25, 25), 2.0)
    assert np.abs(blurred - wanted).max() <= 1.5


def test_noise_has_its_deviation():
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = changed(grey, NOISE=1.0, NOISE_SIGMA=[0.05, 0.05]).astype(float)
    assert noisy.std() == pytest.approx(0.05 * 255, rel=0.05) and abs(noisy.mean() - 128) < 1


def test_jpeg_equals_opencvs(noise):
    """At quality 40, a smooth picture equals OpenCV's JPEG up to the rounding of two decoders."""
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    _, file = cv2.imencode('.jpg', smooth[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 40])
    wanted = cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1]
    ours = changed(smooth, JPEG=1.0, JPEG_QUALITY=[40, 40])
    assert np.abs(ours.astype(int) - wanted).mean() < 1 < np.abs(ours.astype(int) - smooth).mean()


def test_low_resolution_loses_fine_stripes_and_keeps_their_mean():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    flat = changed(stripes, LOW_RES=1.0, LOW_RES_SHARE=[0.25, 0.25]).astype(int)
    assert np.abs(flat - 100).max() <= 8


def test_cutout_has_its_area(noise):
    for seed in range(10):
        hidden = (changed(noise, seed, CUTOUT=1.0, CUTOUT_AREA=[0.1, 0.1]) != noise).any(-1)
        rows, columns = hidden.any(1).sum(), hidden.any(0).sum()
        assert rows * columns / 64 ** 2 == pytest.approx(0.1, abs=0.02)
        assert hidden.sum() >= 0.98 * rows * columns  # noise may have that grey by chance


def test_colour_jitter_stays_within_its_strength():
    grey = np.full((8, 8, 3), 100, np.uint8)
    levels = [changed(grey, seed, COLOR_JITTER=1.0, COLOR_STRENGTH=0.2).mean() for seed in range(50)]
    assert 77 <= min(levels) < 90 and 110 < max(levels) <= 123  # 80 to 120, rounded in four steps


def test_probabilities_are_shares(noise):
    same = [np.array_equal(changed(noise, seed, GRAYSCALE=0.3), noise) for seed in range(400)]
    assert np.mean(same) == pytest.approx(0.7, abs=0.07)


@pytest.mark.parametrize('key, value', [('BLUR', 1.5), ('JPEG_QUALITY', [0, 50]), ('JPEG_QUALITY', [20.5, 50]),
                                        ('BLUR_SIGMA', [2.0, 1.0]), ('LOW_RES_SHARE', [0.5]), ('NOISE', -0.1)])
def test_wrong_values_are_told(key, value):
    with pytest.raises(BadConfig, match=f'DATA.PHOTOMETRIC.{key}'):
        section(**{key: value})


class Stream:
    """A source of one grey picture with a person."""

    def __len__(self):
        return 4

    def samples(self, keys):
        return [(np.full((96, 96, 3), 120, np.uint8), {'center': [48.0, 48.0], 'scale': 0.4}) for _ in keys]


def configured(assets, **values):
    keys = [entry for name, value in values.items() for entry in (f'DATA.PHOTOMETRIC.{name}', value)]
    return load_config(None, ['PATHS.DATA_DIR', str(assets), 'DATA.IMG_RES', 64, *keys])


def test_files_and_streams_alike_and_training_alone(standin_assets):
    write_tiny_dataset(standin_assets, 'tiny', 'train')
    write_tiny_dataset(standin_assets, 'tiny', 'val')
    plain, noisy = configured(standin_assets), configured(standin_assets, NOISE=1.0)

    def all_sets(cfg):
        return ImageDataset(cfg, 'tiny', 'train'), StreamDataset(cfg, Stream())

    for before, after in zip(all_sets(plain), all_sets(noisy)):
        first, second = before[1, 2], after[1, 2]
        assert not torch.equal(first['img'], second['img'])
        assert torch.equal(second['img'], after[1, 2]['img']) and not torch.equal(second['img'], after[2, 2]['img'])
        for key in ('keypoints', 'pose', 'rot_angle', 'scale'):  # drawn as without noise
            assert torch.equal(first[key], second[key])
    kept = [ImageDataset(cfg, 'tiny', 'val')[1]['img'] for cfg in (plain, noisy)]
    assert torch.equal(*kept)

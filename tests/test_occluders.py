"""Synthetic occlusion: cut-outs cover the right pixels of the crop, and nothing else changes."""
import cv2
import numpy as np
import pytest
import torch

from core.config import load_config
from datasets.augmentation import Augmentation, crop_transform
from datasets.image_dataset import ImageDataset
from datasets.occluders import Occluder, Occluders, load_occluders
from tests.tiny_data import write_tiny_dataset
from utils.errors import BadFile, MissingFile


def square(side, colour, opacity=255):
    return np.dstack([np.full((side, side, 3), colour, np.uint8), np.full((side, side), opacity, np.uint8)])


def test_a_cutout_covers_what_it_would_cover_in_the_picture():
    """A cut-out pasted over a picture of 512 x 256 covers the same pixels of the crop, by arithmetic."""
    cutout = Occluders([square(64, (200, 100, 0))])
    # Half of 64 pixels is 32 pixels about (256, 64): x 240 to 272 and y 48 to 80.
    place = (Occluder(0, 0.5, 0.25, 0.5),)
    crop = np.zeros((128, 128, 3), np.uint8)
    matrix = crop_transform((256, 64), 128 / 200, 128)  # one pixel of the crop is one of the picture
    cutout.paste(crop, place, matrix, 512, 256, is_rgb=True)
    assert (crop[48:80, 48:80] == (200, 100, 0)).all() and crop.sum() == 32 * 32 * 300
    bgr = np.zeros((128, 128, 3), np.uint8)
    cutout.paste(bgr, place, matrix, 512, 256, is_rgb=False)
    assert (bgr == crop[..., ::-1]).all()
    mirrored = np.zeros((128, 128, 3), np.uint8)
    cutout.paste(mirrored, (Occluder(0, 0.52, 0.25, 0.5),), crop_transform((256, 64), 128 / 200, 128, flip=True), 512,
                 256, is_rgb=True)
    assert mirrored.any(0).any(-1).nonzero()[0].mean() == pytest.approx(63.5 - 0.02 * 512, abs=0.6)


def test_opacity_blends_and_cutouts_outside_change_nothing():
    crop = np.full((64, 64, 3), 100, np.uint8)
    matrix = crop_transform((32, 32), 64 / 200, 64)
    half = Occluders([square(16, (200, 200, 200), opacity=128)])
    half.paste(crop, (Occluder(0, 0.0, 0.0, 1.0), Occluder(0, 9.0, 9.0, 1.0)), matrix, 256, 256, is_rgb=True)
    assert (crop[:8, :8] == 150).all() and (crop[8:] == 100).all() and (crop[:, 8:] == 100).all()


def test_one_to_seven_cutouts_of_all_sizes_are_drawn():
    drawn = [Occluders([None] * 5).draw(np.random.default_rng(seed)) for seed in range(300)]
    assert {len(row) for row in drawn} == set(range(1, 8))
    sizes = np.array([occluder.size for row in drawn for occluder in row])
    assert 0.2 <= sizes.min() < 0.22 and 0.98 < sizes.max() < 1
    assert {occluder.cutout for row in drawn for occluder in row} == set(range(5))


def test_files(tmp_path):
    cutouts = np.empty(2, object)
    cutouts[:] = [square(5, (1, 2, 3)), square(7, (4, 5, 6), 9)]
    np.save(tmp_path / 'cutouts.npy', cutouts)  # the layout of pascal_occluders.npy
    read = load_occluders(str(tmp_path / 'cutouts.npy')).cutouts
    assert all(np.array_equal(*pair) for pair in zip(read, cutouts))
    (tmp_path / 'pictures').mkdir()
    cv2.imwrite(str(tmp_path / 'pictures/a.png'), cutouts[0][..., [2, 1, 0, 3]])
    assert np.array_equal(load_occluders(str(tmp_path / 'pictures')).cutouts[0], cutouts[0])
    with pytest.raises(MissingFile, match='DATA.OCCLUDERS'):
        load_occluders(str(tmp_path / 'no.npy'))
    np.save(tmp_path / 'grey.npy', np.zeros((2, 5, 5), np.uint8))
    with pytest.raises(BadFile, match=r'cut-out 0 has shape \[5, 5\]'):
        load_occluders(str(tmp_path / 'grey.npy'))


def test_only_training_pictures_are_covered_and_other_augmentation_stays(standin_assets):
    write_tiny_dataset(standin_assets, 'tiny', 'train')
    write_tiny_dataset(standin_assets, 'tiny', 'val', count=6, seed=1)

    def samples(occluders, split):
        dataset = ImageDataset(load_config(None, [
            'PATHS.DATA_DIR', str(standin_assets), 'DATA.IMG_RES', 64, 'DATA.OCCLUDERS', occluders]), 'tiny', split)
        return [dataset[(0, row)] for row in range(4)]
    plain, covered = samples('', 'train'), samples('shapes', 'train')
    for one, other in zip(plain, covered):
        assert not torch.equal(one['img'], other['img'])
        assert all(torch.equal(one[key], other[key]) for key in ('keypoints', 'pose', 'joints_3d', 'scale'))
    assert all(torch.equal(one['img'], other['img'])
               for one, other in zip(samples('', 'val'), samples('shapes', 'val')))
    assert Augmentation().occluders == ()

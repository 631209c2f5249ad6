"""4D-Humans' crops, against its recipe written out: skimage's gaussian over the whole picture, OpenCV's warp."""
import cv2
import numpy as np
import pytest
import torch
from skimage.data import astronaut
from skimage.filters import gaussian

from core.config import load_config
from core.demo.boxes import square_box
from core.demo.estimate import crop_person
from datasets.augmentation import to_network_input
from datasets.image_dataset import ImageDataset
from datasets.legacy_crop import legacy_crop

RES = 64
# Centre and side; reductions of 0.5, 1.6, 2.3 (just blurred), 7, and beyond the picture's edges.
BOXES = [((250.3, 120.6), 32.0), ((200.0, 210.0), 101.7), ((260.4, 200.2), 147.0), ((255.1, 260.9), 448.0),
         ((20.0, 500.0), 300.0), ((900.0, 100.0), 200.0)]  # the last one outside it


def published(picture, center, side, blurs):
    """generate_image_patch_cv2 of three points; before it, of the demo, a blur by half the reduction less one."""
    factor = side / RES / 2
    if blurs and factor > 1.1:
        picture = gaussian(picture, sigma=(factor - 1) / 2, channel_axis=2, preserve_range=True)
    (x, y), half = center, side / 2
    source = np.float32([[x, y], [x, y + half], [x + half, y]])
    target = np.float32([[RES / 2, RES / 2], [RES / 2, RES], [RES, RES / 2]])
    return cv2.warpAffine(picture, cv2.getAffineTransform(source, target), (RES, RES), flags=cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_CONSTANT)


@pytest.mark.parametrize('center, side', BOXES)
def test_crops_are_the_published_ones(center, side):
    picture = astronaut()
    crop = legacy_crop(picture, center, side / 200, RES, resize='cv2_bilinear')
    assert np.array_equal(crop, published(picture, center, side, blurs=False))
    shown = legacy_crop(picture, center, side / 200, RES, resize='cv2_bilinear', of_demo=True)
    wanted = published(picture, center, side, blurs=True)
    assert np.abs(shown - wanted.astype(np.float64)).max() <= 0.5 + 1e-6
    assert np.array_equal(shown, crop) == (side / RES < 2.2 or center[0] > 800)


def test_evaluation_and_demo_take_them(tmp_path, standin_assets):
    """A keypoint of a pixel's middle lies in the crop where the warp puts the pixel; it comes back by the square."""
    picture = astronaut()
    cv2.imwrite(str(tmp_path / 'a.png'), picture[..., ::-1])
    x, y = 300, 180  # the pixel, whose middle is at (300.5, 180.5)
    keypoints = np.zeros((1, 24, 3))
    keypoints[0, 5] = (x + .5, y + .5, 1)
    np.savez(tmp_path / 'one.npz', imgname=['a.png'], center=[[250.0, 200.0]], scale=[1.2], part=keypoints)
    cfg = load_config(None, ['PATHS.DATA_DIR', str(standin_assets), 'PATHS.IMAGE_DIRS', [f'one={tmp_path}'],
                             'DATA.IMG_RES', RES, 'DATA.LEGACY_CROP_EVAL', True, 'DATA.LEGACY_CROP_RESIZE',
                             'cv2_bilinear'])
    dataset = ImageDataset(cfg, str(tmp_path / 'one.npz'), 'eval')
    sample = dataset[0]
    wanted = published(picture, (250, 200), 240.0, blurs=False)
    assert torch.equal(sample['img'], torch.from_numpy(to_network_input(wanted, is_rgb=True)))
    in_crop = (np.array([x, y]) - (250, 200)) * RES / 240 + RES / 2  # as its training labels are made
    assert np.allclose(sample['keypoints'][30, :2], in_crop / RES * 2 - 1, atol=1e-5)
    centers, scales = dataset.crop_squares([0])
    assert np.allclose(centers[0] + (in_crop / RES * 2 - 1) * 100 * scales[0], (x + .5, y + .5))
    assert np.allclose(sample['center'], centers[0])
    crop, center, side = crop_person(picture, square_box(130, 80, 240, 240), RES, 'cv2_bilinear')
    assert np.abs(crop - published(picture, (250, 200), 240.0, blurs=True)).max() <= 0.5 + 1e-6
    assert np.allclose(center, centers[0]) and side == 240

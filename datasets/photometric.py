"""Photometric augmentation: colours, blur, noise, low resolution, compression and cut-outs.

Rendered training pictures lack these effects of photographs. All transforms are torchvision's. `cfg.DATA.PHOTOMETRIC`
has the keys and their units.
"""
from contextlib import contextmanager

import torch
from torchvision.transforms import v2

from utils.keypoints import IMAGE_MEAN

PROBABILITIES = ('CUTOUT', 'COLOR_JITTER', 'GRAYSCALE', 'BLUR', 'LOW_RES', 'NOISE', 'JPEG')
_GREY = [255 * level for level in IMAGE_MEAN]  # of a cut-out; zero after normalization
_HUE = 0.25  # hue over COLOR_STRENGTH; a hue of 1 is the whole circle
_SMALLEST_KERNEL = 3


def is_on(photometric):
    """Whether any transform of `cfg.DATA.PHOTOMETRIC` has a probability above 0."""
    return any(photometric[name] > 0 for name in PROBABILITIES)


def change(crop, photometric, seed, is_rgb):
    """Apply the transforms to a crop [R,R,3] uint8. The same seed gives the same result.

    photometric: `cfg.DATA.PHOTOMETRIC`. is_rgb: order of the crop's channels, which does not change.
    """
    order = (2, 1, 0)
    pixels = torch.from_numpy(crop if is_rgb else crop[..., order].copy()).permute(2, 0, 1)
    with _generator_seeded(seed):
        for probability, transform in _transforms(photometric, crop.shape[0]):
            if torch.rand(1) < probability:
                pixels = transform(pixels)
    out = pixels.permute(1, 2, 0).contiguous().numpy()
    return out if is_rgb else out[..., order].copy()


def _transforms(photometric, res):
    """Yield (probability, transform of uint8 [3,res,res]) in their physical order, from the scene to the file."""
    strength = photometric.COLOR_STRENGTH
    sigma, share = photometric.BLUR_SIGMA, photometric.LOW_RES_SHARE
    yield photometric.CUTOUT, v2.RandomErasing(1.0, photometric.CUTOUT_AREA, value=_GREY)
    yield photometric.COLOR_JITTER, v2.ColorJitter(strength, strength, strength, min(0.5, _HUE * strength))
    yield photometric.GRAYSCALE, v2.Grayscale(3)
    # The kernel extends three standard deviations to each side.
    yield photometric.BLUR, v2.GaussianBlur(max(_SMALLEST_KERNEL, 2 * round(3 * sigma[1]) + 1), sigma)
    smaller = [max(1, round(part * res)) for part in share]
    yield photometric.LOW_RES, v2.Compose([v2.RandomResize(smaller[0], smaller[1] + 1), v2.Resize([res, res])])
    yield photometric.NOISE, _noise(photometric.NOISE_SIGMA)
    yield photometric.JPEG, v2.JPEG(photometric.JPEG_QUALITY)


def _noise(sigma):
    """Gaussian noise. Its standard deviation, relative to white, is drawn from `sigma` (lowest, highest)."""
    def noise(pixels):
        drawn = float(torch.empty(1).uniform_(*sigma))
        return v2.functional.gaussian_noise(pixels, sigma=drawn)
    return noise


@contextmanager
def _generator_seeded(seed):
    """Seed torch's CPU generator, which torchvision uses, and restore it afterwards.

    `torch.manual_seed` would also seed the generators of the GPUs.
    """
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(state)

"""A panorama with its light: its view from a camera, and the lighting of a person in it."""
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from datasets.synthetic.lighting import Lighting
from utils.errors import BadFile

_KEPT_WIDTH = 1024
# Radiance above this multiple of the mean belongs to the sun or a lamp and casts shadows.
_LAMP = 6.0
# Mean of the picture in linear light after exposure.
_EXPOSURE = 0.33
# Distance in pixels between the points at which a view's mapping is computed.
_STEP = 8


@dataclass(frozen=True)
class Panorama:
    """picture [H,2H,3] uint8 sRGB, with the horizon in its middle row; lighting: Lighting in the panorama's own frame,
    in which the middle column is the direction -z (in which a camera looks)."""
    picture: np.ndarray
    lighting: Lighting

    @property
    def nbytes(self):
        """Size in memory in bytes, as of an array."""
        return self.picture.nbytes

    @classmethod
    def read(cls, file):
        """Read a Radiance HDR file. Raises BadFile."""
        radiance = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if radiance is None or radiance.dtype != np.float32 or radiance.shape[1] != 2 * radiance.shape[0]:
            raise BadFile(f'{file}: not an equirectangular panorama in Radiance HDR form, twice as wide as high')
        return cls.of(np.ascontiguousarray(radiance[..., ::-1]))

    @classmethod
    def of(cls, radiance):
        """The Panorama of linear radiance [H,2H,3]."""
        small = cv2.resize(radiance, (128, 64), interpolation=cv2.INTER_AREA)
        mean = float(np.minimum(small, np.quantile(small, .95)).mean())
        radiance, small = (a * np.float32(_EXPOSURE / max(mean, 1e-6)) for a in (radiance, small))
        width = min(radiance.shape[1], _KEPT_WIDTH)
        radiance = cv2.resize(radiance, (width, width // 2), interpolation=cv2.INTER_AREA)
        picture = (np.clip(radiance, 0, 1) ** (1 / 2.2) * 255 + .5).astype(np.uint8)
        return cls(picture, _lighting_of(small))

    def seen_by(self, camera, view, heading):
        """The view of a camera: [height, width, 3] float32 sRGB in [0, 1]. view [3,3]: world to camera; heading:
        rotation of the panorama about the vertical in radians."""
        columns = np.linspace(.5, camera.width - .5, -(-camera.width // _STEP) + 1, dtype=np.float32)
        rows = np.linspace(.5, camera.height - .5, -(-camera.height // _STEP) + 1, dtype=np.float32)
        x, y = np.meshgrid((columns - camera.center[0]) / camera.focal, (rows - camera.center[1]) / camera.focal)
        world = np.stack([x, y, np.ones_like(x)], -1) @ view
        world /= np.linalg.norm(world, axis=-1, keepdims=True)
        azimuth = np.arctan2(world[..., 0], -world[..., 2])
        middle = azimuth[len(azimuth) // 2, azimuth.shape[1] // 2]
        azimuth = (azimuth - middle + np.pi) % (2 * np.pi) - np.pi  # no seam inside of the view
        height, width = self.picture.shape[:2]
        shift = int((middle + heading) / (2 * np.pi) * width)
        coarse = ((azimuth / (2 * np.pi) + .5) * width - .5, (.5 - np.arcsin(world[..., 1]) / np.pi) * height - .5)
        # The coarse points are at the centres of the first and last pixels, so corners are aligned.
        maps = F.interpolate(torch.from_numpy(np.stack(coarse)[None].astype(np.float32)),
                             (camera.height, camera.width), mode='bilinear', align_corners=True)[0].numpy()
        turned = np.roll(self.picture, -shift, axis=1)
        seen = cv2.remap(turned, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return seen.astype(np.float32) / 255

    def lighting_at(self, heading):
        """Lighting in the world of a camera, with the panorama rotated by `heading`."""
        return self.lighting.turned(heading)


def _lighting_of(radiance):
    """Spherical harmonics of order zero and one of the irradiance, and the brightest lamp as a direction.

    The radiance of a white surface is its irradiance over pi: the mean radiance, plus twice the mean of radiance times
    direction along the normal (Ramamoorthi and Hanrahan, SIGGRAPH 2001). A lamp of solid angle w and radiance L adds
    L w / pi times the cosine.
    """
    height, width = radiance.shape[:2]
    polar = (np.arange(height) + .5) / height * np.pi
    azimuth = ((np.arange(width) + .5) / width - .5) * 2 * np.pi
    along = np.stack(np.broadcast_arrays(np.sin(polar)[:, None] * np.sin(azimuth), np.cos(polar)[:, None],
                                         -np.sin(polar)[:, None] * np.cos(azimuth)), -1)
    solid = np.sin(polar)[:, None] * np.ones(width) * (np.pi / height) * (2 * np.pi / width)
    grey = radiance.mean(-1)
    # Share of a bright pixel's light that exceeds the surrounding sky's.
    beyond = np.clip(1 - _LAMP * _EXPOSURE / np.maximum(grey, 1e-6), 0, 1)
    lamp = radiance * beyond[..., None]
    soft = radiance - lamp
    strength = (lamp.mean(-1) * solid)[..., None]
    towards = (along * strength).sum((0, 1))
    length = np.linalg.norm(towards)
    colour = (lamp * solid[..., None]).sum((0, 1)) / np.pi * (length / max(float(strength.sum()), 1e-9))
    total = 4 * np.pi
    ambient = (soft * solid[..., None]).sum((0, 1)) / total
    gradient = 2 * np.einsum('hwa,hwc,hw->ac', along, soft, solid) / total
    return Lighting(towards / length if length > 1e-9 else np.array([0., 1, 0]), colour, ambient, gradient,
                    np.array([0., 1, 0]), np.zeros(3))

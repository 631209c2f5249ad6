"""Light of a scene: ambient light and a sun or lamp."""
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from datasets.synthetic.anatomy import rotation_about


@dataclass(frozen=True)
class Lighting:
    """Light of a scene in the world frame (y up). towards [3]: direction to the lamp or sun; colour, ambient, second:
    linear [3]; gradient [3,3]: change of the ambient light along each axis, one colour per row; axis [3]."""
    towards: np.ndarray
    colour: np.ndarray
    ambient: np.ndarray
    gradient: np.ndarray
    axis: np.ndarray
    second: np.ndarray

    def turned(self, radians):
        """The same light for a world that is rotated the other way about the vertical."""
        turn = rotation_about(1, radians)
        return Lighting(turn @ self.towards, self.colour, self.ambient, turn @ self.gradient, turn @ self.axis,
                        self.second)

    def seen_from(self, view):
        """The light in a camera's frame; view [3,3]: world to camera -> the attributes of a shading.Light."""
        gradient_x, gradient_y, gradient_z = view @ self.gradient
        return SimpleNamespace(direction=view @ self.towards, axis=view @ self.axis, colour=self.colour,
                               ambient=self.ambient, second=self.second, gradient_x=gradient_x, gradient_y=gradient_y,
                               gradient_z=gradient_z)


def sample_lighting(rng):
    """Sample ambient light, brighter from above, and a sun or lamp -> Lighting."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(8, 80))
    towards = np.array([np.cos(elevation) * np.cos(azimuth), np.sin(elevation), np.cos(elevation) * np.sin(azimuth)])
    strength = rng.uniform(0, 1.1)
    colour = strength * (1 + rng.normal(0, .06, 3)) * (1 + rng.uniform(-.1, .1) * np.array([1, 0, -1]))
    ambient = rng.uniform(.35, .8) * (1.15 - .5 * strength) * (1 + rng.normal(0, .05, 3))
    gradient = np.array([0, rng.uniform(.05, .45), 0]) + rng.normal(0, .16, 3)
    axis = rng.standard_normal(3)
    return Lighting(towards, colour, ambient, gradient[:, None] * ambient * (1 + rng.normal(0, .08, (3, 3))),
                    axis / np.linalg.norm(axis), ambient * rng.normal(0, .15))

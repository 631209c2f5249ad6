"""Shadows that people cast on themselves and on each other, and how open to their surroundings their pixels are."""
import cv2
import numpy as np
import torch
import warp as wp

from datasets.synthetic.extents import extent
from utils.rasterizer import EMPTY, draw_zbuffer

_SIDE = 160  # pixels of the shadow map
_MARGIN = 0.05  # of its extent, on either side
# Metres: added to depths, which must be positive.
_NEAREST = 10.0
# Openness: metres around a pixel that are looked at, metres below their mean at which it is least open, and that least.
_RADIUS, _DEPTH, _LEAST = 0.13, 0.12, 0.5

_EMPTY = wp.constant(wp.int64(EMPTY))
_BIAS = wp.constant(0.03)  # metres: a surface that little below the one that the lamp sees is still lit

wp.set_module_options({'enable_backward': False})


@wp.struct
class ShadowMap:
    """Where a point of the camera frame lies in the lamp's picture; size 0: nothing casts a shadow."""
    across: wp.vec3   # pixels a metre along the picture's rows
    down: wp.vec3     # and columns
    towards: wp.vec3  # the lamp, of unit length
    corner: wp.vec3   # added to the three products: pixels, pixels, metres
    size: wp.int32


@wp.func
def sunlit(place: wp.vec3, shadow: ShadowMap, zbuffer: wp.array2d(dtype=wp.int64)):
    """Share of the lamp's light that reaches a point, over three by three pixels of its picture."""
    if shadow.size == 0:
        return 1.0
    column = int(wp.dot(place, shadow.across) + shadow.corner[0])
    row = int(wp.dot(place, shadow.down) + shadow.corner[1])
    depth = shadow.corner[2] - wp.dot(place, shadow.towards)
    lit = float(0.0)  # noqa: UP018 - a literal would be a constant to warp
    for step in range(9):
        y = wp.clamp(row + step // 3 - 1, 0, shadow.size - 1)
        x = wp.clamp(column + step % 3 - 1, 0, shadow.size - 1)
        key = zbuffer[y, x]
        if key == _EMPTY or depth < wp.cast(wp.int32(key >> wp.int64(32)), wp.float32) + _BIAS:
            lit += 1.0
    return lit / 9.0


def shadow_map(places, faces, towards):
    """The lamp's picture of a mesh: (ShadowMap, warp array [S,S] of depth keys) for `shading.shade`.

    places [N,3]: metres in the camera frame; faces [F,3] int32; towards [3]: unit vector to the lamp.
    """
    helper = np.eye(3)[np.abs(towards).argmin()]
    across = np.cross(helper, towards)
    across /= np.linalg.norm(across)
    frame = np.stack([across, np.cross(across, towards), towards]).astype(np.float32)
    seen = places @ frame.T
    low, high = extent(seen)
    scale = _SIDE / ((high - low)[:2].max() * (1 + 2 * _MARGIN))
    corner = np.array([_SIDE / 2 - scale * (low[0] + high[0]) / 2, _SIDE / 2 - scale * (low[1] + high[1]) / 2,
                       high[2] + _NEAREST])
    pixels = np.stack([scale * seen[:, 0] + corner[0], scale * seen[:, 1] + corner[1], corner[2] - seen[:, 2]], 1)
    # x right, y down and depth are of one hand, as in a camera: culling leaves the faces that the lamp sees.
    zbuffer = draw_zbuffer(torch.from_numpy(pixels[None].astype(np.float32)), torch.from_numpy(faces), _SIDE, _SIDE,
                           True)
    shadow = ShadowMap()
    shadow.across, shadow.down, shadow.towards, shadow.corner = (
        wp.vec3(*map(float, v)) for v in (scale * frame[0], scale * frame[1], frame[2], corner))
    shadow.size = _SIDE
    return shadow, wp.from_torch(zbuffer[0])


def no_shadow():
    """What `shadow_map` gives where nothing casts a shadow."""
    shadow = ShadowMap()
    shadow.size = 0
    return shadow, wp.zeros((1, 1), dtype=wp.int64, device='cpu')


def openness(depth, focal):
    """Share of the surrounding light that reaches each pixel of a depth map [H,W] (metres; 0: nothing): [H,W] float32.

    A pixel that lies deeper than the mean of those around it is less open. A rough measure at the cost of two blurs.
    """
    drawn = (depth > 0).astype(np.float32)
    if not drawn.any():
        return np.ones_like(depth)
    radius = max(int(focal * _RADIUS / np.median(depth[depth > 0])), 1)
    window = (2 * radius + 1, 2 * radius + 1)
    around = cv2.blur(depth, window) / np.maximum(cv2.blur(drawn, window), 1e-6)
    return np.where(depth > 0, 1 - (1 - _LEAST) * np.clip((depth - around) / _DEPTH, 0, 1), 1).astype(np.float32)

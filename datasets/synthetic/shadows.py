"""Shadows that people cast on themselves and each other, and the openness of their pixels to ambient light."""
import cv2
import numpy as np
import torch
import warp as wp

from datasets.synthetic.extents import extent
from utils.rasterizer import EMPTY, draw_zbuffer

_SIDE = 160  # side of the shadow map in pixels
_MARGIN = 0.05  # margin over its extent, on either side
# Metres, added to depths to make them positive.
_NEAREST = 10.0
# Openness: radius of the neighbourhood in metres, depth below its mean of the least openness, and that openness.
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
    """Shadow map of a mesh: (ShadowMap, warp array [S,S] of depth keys) for `shading.shade`.

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
    # x right, y down and depth form a frame of a camera's handedness, so culling keeps the faces towards the lamp.
    zbuffer = draw_zbuffer(torch.from_numpy(pixels[None].astype(np.float32)), torch.from_numpy(faces), _SIDE, _SIDE,
                           True)
    shadow = ShadowMap()
    shadow.across, shadow.down, shadow.towards, shadow.corner = (
        wp.vec3(*map(float, v)) for v in (scale * frame[0], scale * frame[1], frame[2], corner))
    shadow.size = _SIDE
    return shadow, wp.from_torch(zbuffer[0])


def no_shadow():
    """The result of `shadow_map` if nothing casts a shadow."""
    shadow = ShadowMap()
    shadow.size = 0
    return shadow, wp.zeros((1, 1), dtype=wp.int64, device='cpu')


def openness(depth, focal):
    """Share [H,W] float32 of the ambient light that reaches each pixel of a depth map [H,W] (metres; 0: nothing).

    A pixel that is deeper than the mean around it is less open. This is an approximation at the cost of two blurs.
    """
    drawn = (depth > 0).astype(np.float32)
    if not drawn.any():
        return np.ones_like(depth)
    radius = max(int(focal * _RADIUS / np.median(depth[depth > 0])), 1)
    window = (2 * radius + 1, 2 * radius + 1)
    around = cv2.blur(depth, window) / np.maximum(cv2.blur(drawn, window), 1e-6)
    return np.where(depth > 0, 1 - (1 - _LEAST) * np.clip((depth - around) / _DEPTH, 0, 1), 1).astype(np.float32)

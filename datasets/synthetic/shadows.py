"""Shadows that people cast on themselves and each other, and the openness of their pixels to ambient light."""
import numpy as np
import torch
import warp as wp

from datasets.synthetic.warp_arrays import blank_rows, to_warp
from utils.rasterizer import EMPTY, draw_meshes, launch

_SIDE = 160  # side of the shadow map in pixels
_MARGIN = 0.05  # margin over its extent, on either side
# Openness: radius of the neighbourhood in metres, depth below its mean of the least openness, and that openness.
_RADIUS, _DEPTH, _LEAST = 0.13, 0.12, 0.5

_EMPTY = wp.constant(wp.int64(EMPTY))
_BIAS = wp.constant(0.03)  # metres: a surface that little below the one that the lamp sees is still lit
_NEAREST = wp.constant(10.0)  # metres, added to depths to make them positive
_MAP_SIDE = wp.constant(_SIDE)
_MAP_FILLED = wp.constant(1.0 + 2.0 * _MARGIN)
_OPEN_DEPTH = wp.constant(_DEPTH)
_LOST = wp.constant(1.0 - _LEAST)

wp.set_module_options({'enable_backward': False})


@wp.struct
class Lamp:
    """Axes of a lamp's picture in the camera frame, of unit length."""
    across: wp.vec3
    down: wp.vec3
    towards: wp.vec3  # the lamp
    shines: wp.int32  # 0: nothing casts a shadow


@wp.struct
class ShadowMap:
    """Where a point of the camera frame lies in the lamp's picture; size 0: nothing casts a shadow."""
    across: wp.vec3   # pixels a metre along the picture's rows
    down: wp.vec3     # and columns
    towards: wp.vec3  # the lamp, of unit length
    corner: wp.vec3   # added to the three products: pixels, pixels, metres
    size: wp.int32


@wp.func
def depth_of(key: wp.int64):
    """Depth in a key of the z-buffer."""
    return wp.cast(wp.int32(key >> wp.int64(32)), wp.float32)


@wp.func
def sunlit(place: wp.vec3, shadow: ShadowMap, zbuffer: wp.array3d(dtype=wp.int64), scene: wp.int32):
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
        key = zbuffer[scene, y, x]
        if key == _EMPTY or depth < depth_of(key) + _BIAS:
            lit += 1.0
    return lit / 9.0


@wp.kernel
def _find_extents(places: wp.array(dtype=wp.vec3), scene: wp.array(dtype=wp.int32), lamps: wp.array(dtype=Lamp),
                  extents: wp.array2d(dtype=wp.float32)):
    """extents [B,5], first all -inf: largest coordinate along each axis of the lamp, and of the first two reversed."""
    i = wp.tid()
    number = scene[i]
    lamp = lamps[number]
    if lamp.shines == 0:
        return
    x = wp.dot(places[i], lamp.across)
    y = wp.dot(places[i], lamp.down)
    wp.atomic_max(extents, number, 0, x)
    wp.atomic_max(extents, number, 1, y)
    wp.atomic_max(extents, number, 2, wp.dot(places[i], lamp.towards))
    wp.atomic_max(extents, number, 3, -x)
    wp.atomic_max(extents, number, 4, -y)


@wp.kernel
def _fit_maps(lamps: wp.array(dtype=Lamp), extents: wp.array2d(dtype=wp.float32), maps: wp.array(dtype=ShadowMap)):
    number = wp.tid()
    lamp = lamps[number]
    shadow = ShadowMap()
    if lamp.shines != 0:
        x = extents[number, 0]
        y = extents[number, 1]
        left = -extents[number, 3]
        top = -extents[number, 4]
        scale = float(_MAP_SIDE) / (wp.max(x - left, y - top) * _MAP_FILLED)
        middle = 0.5 * float(_MAP_SIDE)
        shadow.across = scale * lamp.across
        shadow.down = scale * lamp.down
        shadow.towards = lamp.towards
        shadow.corner = wp.vec3(middle - 0.5 * scale * (left + x), middle - 0.5 * scale * (top + y),
                                extents[number, 2] + _NEAREST)
        shadow.size = _MAP_SIDE
    maps[number] = shadow


@wp.kernel
def _see_from_lamp(places: wp.array(dtype=wp.vec3), scene: wp.array(dtype=wp.int32), maps: wp.array(dtype=ShadowMap),
                   pixels: wp.array(dtype=wp.vec3)):
    i = wp.tid()
    shadow = maps[scene[i]]
    place = places[i]
    pixels[i] = wp.vec3(wp.dot(place, shadow.across) + shadow.corner[0], wp.dot(place, shadow.down) + shadow.corner[1],
                        shadow.corner[2] - wp.dot(place, shadow.towards))


def lamp(towards):
    """Lamp for a unit vector [3] towards it in the camera frame; None: nothing casts a shadow."""
    row = blank_rows(Lamp, ())
    if towards is not None:
        helper = np.eye(3)[np.abs(towards).argmin()]
        across = np.cross(helper, towards)
        across /= np.linalg.norm(across)
        row['across'], row['down'], row['towards'] = across, np.cross(across, towards), towards
        row['shines'] = 1
    return row


def shadow_maps(places, scene, faces, face_scene, two_sided, lamps):
    """Shadow maps of some scenes: ShadowMaps as a warp array [B], and depth keys [B,S,S] int64. The keys are not read
    where nothing casts a shadow.

    places [N,3] float32: metres in the camera frame; scene [N] int32; faces [F,3] int32; face_scene [F] int32;
    two_sided [F] bool: tensors on one device; lamps: one of `lamp` each.
    """
    device = places.device
    if not any(row['shines'] for row in lamps):
        return (to_warp(blank_rows(ShadowMap, len(lamps)), ShadowMap, device),
                torch.empty(len(lamps), 1, 1, dtype=torch.int64, device=device))
    extents = torch.full((len(lamps), 5), -torch.inf, device=device)
    rows, maps = to_warp(np.array(lamps), Lamp, device), to_warp(blank_rows(ShadowMap, len(lamps)), ShadowMap, device)
    pixels = torch.empty_like(places)
    launch(_find_extents, len(places), device, places, scene, rows, extents)
    launch(_fit_maps, len(lamps), device, rows, extents, maps)
    launch(_see_from_lamp, len(places), device, places, scene, maps, pixels)
    sides = torch.tensor([[_SIDE * int(row['shines'])] * 2 for row in lamps], dtype=torch.int32).to(device)
    zbuffer = torch.full((len(lamps), _SIDE, _SIDE), EMPTY, dtype=torch.int64, device=device)
    # x right, y down and depth form a frame of a camera's handedness, so culling keeps the faces towards the lamp.
    draw_meshes(pixels, faces, face_scene, two_sided, sides, zbuffer)
    return maps, zbuffer


@wp.func
def _mirrored(place: int, low: int, high: int):
    """A place outside of [low, high) mirrored at its first or last element, which is not repeated."""
    at = place
    while (at < low or at >= high) and high - low > 1:
        if at < low:
            at = 2 * low - at
        else:
            at = 2 * high - 2 - at
    return wp.clamp(at, low, high - 1)


@wp.kernel
def _sum_rows(depth: wp.array3d(dtype=wp.float32), bounds: wp.array(dtype=wp.vec4i),
              radius: wp.array(dtype=wp.int32), sums: wp.array3d(dtype=wp.vec2)):
    """Sums of depth, and of drawn pixels, over a window that moves along a row inside of the bounds."""
    scene, row = wp.tid()
    bound = bounds[scene]
    reach = radius[scene]
    if reach == 0 or row < bound[1] or row >= bound[3]:
        return
    total = wp.vec2d(wp.float64(0.0), wp.float64(0.0))
    for column in range(bound[0] - reach, bound[0] + reach + 1):
        total += _counted(depth[scene, row, _mirrored(column, bound[0], bound[2])])
    for column in range(bound[0], bound[2]):
        sums[scene, row, column] = wp.vec2(float(total[0]), float(total[1]))
        total += _counted(depth[scene, row, _mirrored(column + reach + 1, bound[0], bound[2])])
        total -= _counted(depth[scene, row, _mirrored(column - reach, bound[0], bound[2])])


@wp.func
def _counted(depth: float):
    return wp.vec2d(wp.float64(depth), wp.float64(wp.where(depth > 0.0, 1.0, 0.0)))


@wp.func
def _doubled(pair: wp.vec2):
    return wp.vec2d(wp.float64(pair[0]), wp.float64(pair[1]))


@wp.kernel
def _open_columns(depth: wp.array3d(dtype=wp.float32), bounds: wp.array(dtype=wp.vec4i),
                  radius: wp.array(dtype=wp.int32), sums: wp.array3d(dtype=wp.vec2),
                  openness: wp.array3d(dtype=wp.float32)):
    """Openness from the mean depth over a window: sums of `_sum_rows` along a column."""
    scene, column = wp.tid()
    bound = bounds[scene]
    reach = radius[scene]
    if reach == 0 or column < bound[0] or column >= bound[2]:
        return
    total = wp.vec2d(wp.float64(0.0), wp.float64(0.0))
    for row in range(bound[1] - reach, bound[1] + reach + 1):
        total += _doubled(sums[scene, _mirrored(row, bound[1], bound[3]), column])
    for row in range(bound[1], bound[3]):
        own = depth[scene, row, column]
        if own > 0.0:
            around = float(total[0] / total[1])
            openness[scene, row, column] = 1.0 - _LOST * wp.clamp((own - around) / _OPEN_DEPTH, 0.0, 1.0)
        total += _doubled(sums[scene, _mirrored(row + reach + 1, bound[1], bound[3]), column])
        total -= _doubled(sums[scene, _mirrored(row - reach, bound[1], bound[3]), column])


def openness(depth, bounds, focal):
    """Share [B,H,W] float32 of the ambient light that reaches each pixel of depth maps [B,H,W] (metres; 0: nothing).

    bounds [B,4] int32: first and last column and row with content, the last one excluded; focal [B] float32: pixels, 0
    where all is open. A pixel that is deeper than the mean around it is less open. This is an approximation at the cost
    of two blurs.
    """
    count, height, width = depth.shape
    middle = torch.where(depth > 0, depth, torch.nan).flatten(1).nanmedian(1).values
    radius = torch.nan_to_num(focal * _RADIUS / middle, 0.0, 0.0, 0.0).int().clamp(1, max(height, width))
    radius = torch.where((focal > 0) & middle.isfinite(), radius, 0).int()
    opened, sums = torch.ones_like(depth), torch.empty(count, height, width, 2, device=depth.device)
    launch(_sum_rows, (count, height), depth.device, depth, bounds, radius, sums)
    launch(_open_columns, (count, width), depth.device, depth, bounds, radius, sums, opened)
    return opened

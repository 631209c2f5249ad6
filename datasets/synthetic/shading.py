"""Colours of people's pixels: the region of a skin point, its pattern, folds and light.

Garments are regions of the template's T pose (sleeves end at some |x|, trousers at some height), so one formula in the
template's coordinates dresses every shape and pose. It is evaluated per pixel in warp kernels, so borders stay sharp.
"""
from types import SimpleNamespace

import numpy as np
import torch
import warp as wp

from datasets.synthetic.shadows import ShadowMap, sunlit
from datasets.synthetic.warp_arrays import as_rows, blank_rows, to_warp
from utils.rasterizer import EMPTY, barycentrics_at, cross_at, launch, start_warp, to_double

REGIONS = ('skin', 'hair', 'top', 'bottom', 'shoe', 'sole', 'sock', 'glove', 'eye', 'lip')
SKIN, HAIR, TOP, BOTTOM, SHOE, SOLE, SOCK, GLOVE, EYE, LIP = range(len(REGIONS))
PATTERNS = ('plain', 'rings', 'stripes', 'checks', 'camouflage', 'gradient', 'print', 'dots', 'photo')
_PHOTO = len(PATTERNS) - 1

_EMPTY = wp.constant(wp.int64(EMPTY))
_PHOTO_PATTERN = wp.constant(_PHOTO)
_BOTTOM = wp.constant(BOTTOM)
_REGIONS = wp.constant(len(REGIONS))
_STRIP = wp.constant(8)  # pixels

wp.set_module_options({'enable_backward': False})


@wp.struct
class Cut:
    """Where garments end, in metres of the template's T pose."""
    neck: wp.vec3        # centre of the neckline
    collar: wp.vec3      # half axes of the ellipsoid that the neckline cuts out
    head: wp.vec3        # centre of the head, between the ears
    left_eye: wp.vec3
    right_eye: wp.vec3
    mouth: wp.vec3
    sleeve: float        # |x| where sleeves end
    wrist: float         # |x| where gloves begin
    hem: float           # y where the top ends
    waist: float         # y where the bottom begins
    leg: float           # y where the bottom ends
    sock: float          # y where socks end
    shoe: float          # y where shoes end
    sole: float          # y where soles end
    hairline: float      # y above the head's centre of the hairline over the ears
    hair_slope: float    # how much higher the hairline is in front
    hair_length: float   # y to which long hair falls at the back
    beard: float         # 1: bearded
    brow: float          # 1: visible eyebrows
    phase: float         # of the irregular borders
    wobble: float        # metres by which borders are irregular


@wp.struct
class Light:
    """Light of a scene in the camera frame; colours are linear."""
    direction: wp.vec3   # towards the light
    colour: wp.vec3
    ambient: wp.vec3
    gradient_x: wp.vec3  # how the surrounding light changes along each axis: spherical harmonics of first order
    gradient_y: wp.vec3
    gradient_z: wp.vec3
    axis: wp.vec3        # the one harmonic of second order that is kept: light from both ends of an axis
    second: wp.vec3


@wp.func
def _wave(x: float):
    """A wave of period 2 pi made of parabolas: to the eye a sine, at a fraction of its cost."""
    t = 0.15915494 * x
    t -= wp.floor(t + 0.5)
    return 8.0 * t * (1.0 - 2.0 * wp.abs(t))


@wp.func
def _waves(p: wp.vec3, phase: float):
    return 0.5 * _wave(47.0 * p[0] + 31.0 * p[2] + phase) + 0.3 * _wave(83.0 * p[1] - 67.0 * p[2] + 2.0 * phase) \
        + 0.2 * _wave(151.0 * (p[0] + p[1] + p[2]) + 3.0 * phase)


@wp.func
def _inside(p: wp.vec3, centre: wp.vec3, half: wp.vec3):
    d = wp.cw_div(p - centre, half)
    return wp.dot(d, d) < 1.0


@wp.func
def _face_region(p: wp.vec3, cut: Cut):
    """Eyes, brows, lips and beard; SKIN elsewhere."""
    iris = wp.vec3(0.011, 0.008, 0.03)
    if _inside(p, cut.left_eye, iris) or _inside(p, cut.right_eye, iris):
        return EYE
    if cut.brow > 0.5:
        up = wp.vec3(0.0, 0.021, 0.0)
        brow = wp.vec3(0.021, 0.0055, 0.03)
        if _inside(p, cut.left_eye + up, brow) or _inside(p, cut.right_eye + up, brow):
            return HAIR
    if _inside(p, cut.mouth, wp.vec3(0.023, 0.0085, 0.03)):
        return LIP
    if cut.beard > 0.5 and p[1] < cut.mouth[1] + 0.018 and p[2] > cut.head[2] and p[1] > cut.mouth[1] - 0.075:
        return HAIR
    return SKIN


@wp.func
def _region(point: wp.vec3, cut: Cut):
    """Region of a point of the template."""
    p = point + wp.vec3(1.0, 1.0, 0.0) * (cut.wobble * _waves(point, cut.phase))
    side = wp.abs(p[0])
    # Head and neck.
    if p[1] > cut.neck[1] - 0.01 and side < 0.13:
        hair = cut.head[1] + cut.hairline + cut.hair_slope * (p[2] - cut.head[2])
        if p[1] > hair:
            return HAIR
    if p[2] < cut.head[2] - 0.03 and p[1] > cut.hair_length and side < 0.11:
        return HAIR
    if p[1] > cut.mouth[1] - 0.09 and side < 0.13:
        return _face_region(point, cut)
    if p[1] < cut.shoe:
        if p[1] < cut.sole:
            return SOLE
        return SHOE
    below_neck = p[1] < cut.neck[1] + 0.02 or side > 0.1
    if p[1] > cut.hem and side < cut.sleeve and below_neck and not _inside(p, cut.neck, cut.collar):
        return TOP
    if p[1] < cut.waist and p[1] > cut.leg:
        return BOTTOM
    if p[1] < cut.sock:
        return SOCK
    if side > cut.wrist:
        return GLOVE
    return SKIN


@wp.func
def _pattern(kind: int, p: wp.vec3, arm: float, frequency: float, phase: float):
    """Share of the second colour at a point; arm: |x| beyond which rings go around the arm."""
    along = p[1]
    across = p[0]
    if wp.abs(p[0]) > arm:
        along = wp.abs(p[0])
        across = p[2]
    if kind == 1:
        return wp.where(_wave(frequency * along + phase) > 0.0, 1.0, 0.0)
    if kind == 2:
        return wp.where(_wave(frequency * (across + 0.7 * p[2]) + phase) > 0.3, 1.0, 0.0)
    if kind == 3:
        rings = wp.where(_wave(frequency * along + phase) > 0.0, 0.5, 0.0)
        return rings + wp.where(_wave(frequency * (across + 0.7 * p[2])) > 0.0, 0.5, 0.0)
    if kind == 4:
        q = 0.25 * frequency * p
        state = wp.rand_init(int(phase * 1000.0))
        return wp.where(wp.noise(state, q) + 0.5 * wp.noise(state, 2.3 * q) > 0.05, 1.0, 0.0)
    if kind == 5:
        return wp.clamp(0.5 + 1.6 * along + 0.3 * _wave(phase), 0.0, 1.0)
    if kind == 6:
        d = wp.vec3(p[0], 1.3 * (p[1] - 0.22), 0.0)
        ring = 0.06 + 0.03 * _wave(4.0 * wp.atan2(d[1], d[0]) + phase)
        return wp.where(p[2] > 0.0 and wp.length(d) < ring and p[1] > 0.0, 1.0, 0.0)
    if kind == 7:
        s = _wave(frequency * along) * _wave(frequency * (across + 0.7 * p[2]) + phase)
        return wp.where(s > 0.55, 1.0, 0.0)
    return 0.0


@wp.func
def _lit(n: wp.vec3, light: Light, gloss: float, lamp: float, surroundings: float):
    """Linear light that leaves a surface of white colour with normal n (camera frame, towards the viewer is -z).

    lamp, surroundings: share of the lamp's and of the other light that arrives.
    """
    along = wp.dot(n, light.axis)
    around = light.ambient + n[0] * light.gradient_x + n[1] * light.gradient_y + n[2] * light.gradient_z \
        + (along * along - 1.0 / 3.0) * light.second
    around = wp.max(around, 0.15 * light.ambient)
    direct = wp.max(wp.dot(n, light.direction), 0.0)
    half = wp.normalize(light.direction + wp.vec3(0.0, 0.0, -1.0))
    cosine = wp.max(wp.dot(n, half), 0.0)
    squared = cosine * cosine
    eighth = squared * squared * squared * squared
    return surroundings * around + (lamp * (direct + gloss * eighth * eighth * eighth)) * light.colour


@wp.kernel
def _thicken(points: wp.array(dtype=wp.vec3), normals: wp.array(dtype=wp.vec3), cuts: wp.array(dtype=Cut),
             thickness: wp.array2d(dtype=wp.float32), offsets: wp.array2d(dtype=wp.vec3)):
    look, i = wp.tid()
    offsets[look, i] = thickness[look, _region(points[i], cuts[look])] * normals[i]


@wp.func
def _mirrored(t: float, side: int):
    """Pixel of a texture of `side` pixels, repeated in mirror images, at a place t, 1 a repeat."""
    folded = t - 2.0 * wp.floor(0.5 * t)
    if folded > 1.0:
        folded = 2.0 - folded
    return wp.min(int(folded * float(side)), side - 1)


@wp.func
def _photo(p: wp.vec3, piece: int, cloth: wp.array4d(dtype=wp.float32), arm: float, frequency: float):
    """Linear colour of a piece of cloth that was cut from a photograph."""
    along = p[1]
    across = p[0] + 0.7 * p[2]
    if wp.abs(p[0]) > arm:
        along = wp.abs(p[0])
        across = p[2] + 0.7 * p[1]
    row = _mirrored(0.05 * frequency * along, cloth.shape[1])
    column = _mirrored(0.05 * frequency * across, cloth.shape[2])
    return wp.vec3(cloth[piece, row, column, 0], cloth[piece, row, column, 1], cloth[piece, row, column, 2])


@wp.func
def _light_on(p: wp.vec3, normal: wp.vec3, texture: wp.vec4, light: Light, lamp: float, surroundings: float):
    """Light that leaves a point of cloth or skin: folds turn the normal, grain makes it uneven."""
    phase = texture[1]
    fold = texture[2] * (_wave(38.0 * p[1] + 9.0 * p[0] + phase) * _wave(21.0 * p[0] + 13.0 * p[2] + 2.0 * phase)
                         + 0.6 * _wave(74.0 * p[0] - 33.0 * p[1] + 3.0 * phase))
    n = wp.normalize(wp.normalize(normal) + wp.vec3(0.7 * fold, fold, 0.0))
    grain = 1.0 + 0.05 * _waves(3.0 * p, phase) + 0.3 * texture[2] * fold
    return grain * _lit(n, light, texture[3], lamp, surroundings)


@wp.func
def _to_srgb(linear: float):
    return wp.pow(wp.clamp(linear, 0.0, 1.0), 1.0 / 2.2)


@wp.struct
class Looks:
    """What people and things look like; tables have len(REGIONS) rows a look. cloth_of: where a look's two pieces of
    `cloth`, top and bottom, begin."""
    cut: wp.array(dtype=Cut)
    first: wp.array(dtype=wp.vec3)
    second: wp.array(dtype=wp.vec3)
    pattern: wp.array(dtype=wp.int32)
    texture: wp.array(dtype=wp.vec4)
    arm: wp.array(dtype=wp.float32)
    cloth: wp.array4d(dtype=wp.float32)
    cloth_of: wp.array(dtype=wp.int32)


@wp.struct
class Mesh:
    """All that is drawn, as one mesh. points: of the template, metres; places: in the camera frame; piece: of each
    face; look, region: of each piece, the region -1 where the point decides."""
    faces: wp.array(dtype=wp.vec3i)
    points: wp.array(dtype=wp.vec3)
    places: wp.array(dtype=wp.vec3)
    normals: wp.array(dtype=wp.vec3)
    pixels: wp.array(dtype=wp.vec3)
    piece: wp.array(dtype=wp.int32)
    look: wp.array(dtype=wp.int32)
    region: wp.array(dtype=wp.int32)


@wp.func
def _albedo(p: wp.vec3, look: int, region: int, looks: Looks):
    row = look * _REGIONS + region
    if looks.pattern[row] == _PHOTO_PATTERN:
        return _photo(p, looks.cloth_of[look] + wp.where(region == _BOTTOM, 1, 0), looks.cloth, looks.arm[look],
                      looks.texture[row][0])
    share = _pattern(looks.pattern[row], p, looks.arm[look], looks.texture[row][0], looks.texture[row][1])
    return (1.0 - share) * looks.first[row] + share * looks.second[row]


@wp.kernel
def _shade_pixels(zbuffer: wp.array3d(dtype=wp.int64), bounds: wp.array(dtype=wp.vec4i), mesh: Mesh, looks: Looks,
                  lights: wp.array(dtype=Light), shadows: wp.array(dtype=ShadowMap),
                  lamp_zbuffer: wp.array3d(dtype=wp.int64), openness: wp.array3d(dtype=wp.float32),
                  canvas: wp.array3d(dtype=wp.vec3), owner: wp.array3d(dtype=wp.int32)):
    scene, row, strip = wp.tid()
    bound = bounds[scene]
    if row < bound[1] or row >= bound[3]:
        return
    # Several pixels a thread: on a CPU, a thread first copies all arguments.
    for column in range(wp.max(strip * _STRIP, bound[0]), wp.min((strip + 1) * _STRIP, bound[2])):
        covered = float(0.0)  # noqa: UP018 - a literal would be a constant to warp
        alike = float(0.0)  # noqa: UP018
        albedo = wp.vec3(0.0, 0.0, 0.0)
        middle = wp.vec3(0.0, 0.0, 0.0)
        place = wp.vec3(0.0, 0.0, 0.0)
        normal = wp.vec3(0.0, 0.0, 0.0)
        region = int(0)  # noqa: UP018
        shown = int(-1)  # noqa: UP018
        # Colour is averaged over four samples. Light varies slowly and is computed once, for the first sample's look.
        for sample in range(4):
            y = 2 * row + sample // 2
            x = 2 * column + sample % 2
            key = zbuffer[scene, y, x]
            if key != _EMPTY:
                f = wp.int32(key & wp.int64(0x7fffffff))
                face = mesh.faces[f]
                piece = mesh.piece[f]
                look = mesh.look[piece]
                a = to_double(mesh.pixels[face[0]])
                b = to_double(mesh.pixels[face[1]])
                c = to_double(mesh.pixels[face[2]])
                exact = barycentrics_at(a, b, c, wp.float64(x) + wp.float64(0.5), wp.float64(y) + wp.float64(0.5))
                w = wp.vec3(float(exact[0]), float(exact[1]), float(exact[2]))
                p = w[0] * mesh.points[face[0]] + w[1] * mesh.points[face[1]] + w[2] * mesh.points[face[2]]
                part = mesh.region[piece]
                if part < 0:
                    part = _region(p, looks.cut[look])
                covered += 1.0
                albedo += _albedo(p, look, part, looks)
                if shown < 0:
                    shown = look
                    region = part
                if look == shown:
                    alike += 1.0
                    middle += p
                    place += w[0] * mesh.places[face[0]] + w[1] * mesh.places[face[1]] + w[2] * mesh.places[face[2]]
                    n = w[0] * mesh.normals[face[0]] + w[1] * mesh.normals[face[1]] + w[2] * mesh.normals[face[2]]
                    # A face that is seen from inside is lit from there.
                    normal += wp.where(cross_at(b, c, a[0], a[1]) > wp.float64(0.0), -n, n)
        if covered > 0.0:
            if covered > 2.0:
                owner[scene, row, column] = shown
            direct = sunlit(place / alike, shadows[scene], lamp_zbuffer, scene)
            received = _light_on(middle / alike, normal, looks.texture[shown * _REGIONS + region], lights[scene],
                                 direct, openness[scene, row, column])
            linear = wp.cw_mul(albedo / covered, received)
            colour = wp.vec3(_to_srgb(linear[0]), _to_srgb(linear[1]), _to_srgb(linear[2]))
            behind = canvas[scene, row, column]
            canvas[scene, row, column] = behind + 0.25 * covered * (colour - behind)


_BLANK_CUT = {name: np.zeros(*kind.shape).tolist() if kind.shape else 0.0 for name, (kind, _) in
              blank_rows(Cut, ()).dtype.fields.items()}


def blank_cut():
    """A Cut for `as_rows` with all numbers zero: floats, and for vectors sequences of three."""
    return SimpleNamespace(**_BLANK_CUT)


def cloth_offsets(points, normals, cuts, thickness):
    """Offsets [L,N,3] in metres along unit normals [N,3] of points [N,3] of the template, by the thickness [L,R] of the
    regions of each look. cuts: attributes of a Cut, one object a look; arrays: float32."""
    start_warp()
    offsets = torch.empty(len(cuts), len(points), 3)
    launch(_thicken, offsets.shape[:2], offsets.device, torch.from_numpy(points), torch.from_numpy(normals),
           to_warp(as_rows(Cut, cuts), Cut, offsets.device), torch.from_numpy(thickness), offsets)
    return offsets.numpy()


def shade(canvas, zbuffer, bounds, mesh, looks, lights, shadows, openness):
    """Paint what a z-buffer shows over a canvas [B,H,W,3] float32 sRGB, in place, from four samples a pixel.

    zbuffer [B,2H,2W] int64: of the mesh's pixels at twice the size; bounds [B,4] int32: first and last column and row
    that may show something, the last one excluded; mesh: Mesh; looks: of `look_tables`; lights: Light's attributes, one
    object a scene; shadows: what `shadows.shadow_maps` gives; openness [B,H,W]: share of the surrounding light that
    arrives. All tensors are on one device. Returns the look [B,H,W] int32 that covers more than half of each pixel, or
    -1.
    """
    device = canvas.device
    owner = torch.full(canvas.shape[:3], -1, dtype=torch.int32, device=device)
    maps, lamp_zbuffer = shadows
    count, height, width = owner.shape
    launch(_shade_pixels, (count, height, -(-width // _STRIP)), device, zbuffer, bounds, mesh, looks,
           to_warp(as_rows(Light, lights), Light, device), maps, lamp_zbuffer, openness, canvas, owner)
    return owner


def look_tables(looks, device):
    """`appearance.Look`s as a Looks on a device."""
    tables, pieces, first = Looks(), [np.zeros((1, 1, 1, 3), np.float32)], []
    for look in looks:
        first.append(sum(map(len, pieces)))
        if look.cloth is not None:
            pieces.append(look.cloth)
    side = max(piece.shape[1] for piece in pieces)
    pieces[0] = np.zeros((1, side, side, 3), np.float32)
    tables.cut = to_warp(as_rows(Cut, [look.cut for look in looks]), Cut, device)
    for name, dtype in (('first', wp.vec3), ('second', wp.vec3), ('pattern', wp.int32), ('texture', wp.vec4)):
        setattr(tables, name, to_warp(np.concatenate([getattr(look, name) for look in looks]), dtype, device))
    tables.arm = to_warp(np.array([look.arm for look in looks], np.float32), wp.float32, device)
    tables.cloth, tables.cloth_of = (to_warp(values, kind, device) for values, kind in
                                     ((np.concatenate(pieces), wp.float32), (np.array(first, np.int32), wp.int32)))
    return tables

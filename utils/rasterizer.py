"""Triangle rasterizer in warp: one source for CPU and CUDA, batched, with differentiable barycentrics.

Visibility is a z-buffer of 64-bit keys, depth bits above and face index below, updated with atomic minimum. The result
does not depend on the order of the threads, and of two faces at equal depth the lower index wins. Edges are float64
lines through float32 corners. The two faces at an edge get lines that are exact negatives of each other, and edges are
inclusive, so there are no holes between faces.
"""
import atexit
import contextlib
import logging
import os
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

import torch
import warp as wp

from utils.errors import ProjectError
from utils.neural_renderer_backend import rasterize_front_faces

# Metres. Faces with a corner at or before this depth are not drawn. There is no clipping.
NEAR = 1e-6
EMPTY = 2 ** 63 - 1
_EMPTY = wp.constant(wp.int64(EMPTY))
_NEAR = wp.constant(wp.float32(NEAR))

wp.set_module_options({'enable_backward': False})


@wp.func
def cross_at(a: wp.vec3d, b: wp.vec3d, x: wp.float64, y: wp.float64):
    """Twice the signed area of the triangle (p, a, b) with p = (x, y)."""
    return (a[0] - x) * (b[1] - y) - (a[1] - y) * (b[0] - x)


@wp.func
def edge_line(a: wp.vec3d, b: wp.vec3d):
    """(l0, l1, l2) with l0 x + l1 y + l2 = cross_at(a, b, x, y); the line of (b, a) is its exact negative."""
    return wp.vec3d(a[1] - b[1], b[0] - a[0], a[0] * b[1] - a[1] * b[0])


@wp.func
def to_double(v: wp.vec3f):
    return wp.vec3d(wp.float64(v[0]), wp.float64(v[1]), wp.float64(v[2]))


@wp.func
def barycentrics_at(a: wp.vec3d, b: wp.vec3d, c: wp.vec3d, x: wp.float64, y: wp.float64):
    """Perspective-correct barycentrics of a pixel position in a face that covers it."""
    # Each area over its corner's depth, all times the product of the depths: one division instead of six.
    w = wp.vec3d(cross_at(b, c, x, y) * b[2] * c[2], cross_at(c, a, x, y) * c[2] * a[2],
                 cross_at(a, b, x, y) * a[2] * b[2])
    return w * (wp.float64(1.0) / (w[0] + w[1] + w[2]))


@wp.func
def _draw_face(va: wp.vec3f, vb: wp.vec3f, vc: wp.vec3f, f: wp.int32, cull_backfaces: wp.bool, image: wp.int32,
               height: wp.int32, width: wp.int32, zbuffer: wp.array3d(dtype=wp.int64)):
    """Draw face number f into the first `height` rows and `width` columns of an image of the z-buffer."""
    a = to_double(va)
    b = to_double(vb)
    c = to_double(vc)
    # First, because half of a body's faces are turned away.
    area = cross_at(b, c, a[0], a[1])
    zero = wp.float64(0.0)
    if area == zero or (cull_backfaces and area > zero):
        return
    x_min = wp.min(va[0], wp.min(vb[0], vc[0]))
    x_max = wp.max(va[0], wp.max(vb[0], vc[0]))
    y_min = wp.min(va[1], wp.min(vb[1], vc[1]))
    y_max = wp.max(va[1], wp.max(vb[1], vc[1]))
    # Clamped as floats, because a distant corner would overflow an integer.
    x_first = int(wp.clamp(wp.ceil(x_min - 0.5), 0.0, float(width)))
    x_last = int(wp.clamp(wp.floor(x_max - 0.5), -1.0, float(width - 1)))
    y_first = int(wp.clamp(wp.ceil(y_min - 0.5), 0.0, float(height)))
    y_last = int(wp.clamp(wp.floor(y_max - 0.5), -1.0, float(height - 1)))
    if x_first > x_last or y_first > y_last:
        return
    if not wp.isfinite(va[0] + va[1] + va[2] + vb[0] + vb[1] + vb[2] + vc[0] + vc[1] + vc[2]):
        return
    if wp.min(va[2], wp.min(vb[2], vc[2])) <= _NEAR:
        return

    sign = wp.float64(1.0)
    if area < zero:
        sign = wp.float64(-1.0)
    opposite_a = sign * edge_line(b, c)
    opposite_b = sign * edge_line(c, a)
    opposite_c = sign * edge_line(a, b)
    # 1 / depth is linear in screen space: the corners' values weighted by their areas over the face's area.
    one = wp.float64(1.0)
    inverse_depth = (opposite_a * (one / a[2]) + opposite_b * (one / b[2]) + opposite_c * (one / c[2])) \
        * (one / (sign * area))
    for row in range(y_first, y_last + 1):
        y = wp.float64(row) + wp.float64(0.5)
        row_a = opposite_a[2] + opposite_a[1] * y
        row_b = opposite_b[2] + opposite_b[1] * y
        row_c = opposite_c[2] + opposite_c[1] * y
        row_inverse = inverse_depth[2] + inverse_depth[1] * y
        entered = wp.bool(False)
        for column in range(x_first, x_last + 1):
            x = wp.float64(column) + wp.float64(0.5)
            if (row_a + opposite_a[0] * x >= zero and row_b + opposite_b[0] * x >= zero
                    and row_c + opposite_c[0] * x >= zero):
                depth = wp.float32(wp.float64(1.0) / (row_inverse + inverse_depth[0] * x))
                key = (wp.int64(wp.cast(depth, wp.int32)) << wp.int64(32)) | wp.int64(f)
                wp.atomic_min(zbuffer, image, row, column, key)
                entered = wp.bool(True)
            elif entered:
                break


@wp.kernel
def _draw_faces(verts: wp.array2d(dtype=wp.vec3f), faces: wp.array(dtype=wp.vec3i), cull_backfaces: wp.bool,
                height: wp.int32, width: wp.int32, zbuffer: wp.array3d(dtype=wp.int64)):
    image, f = wp.tid()
    face = faces[f]
    if wp.min(face) < 0 or wp.max(face) >= verts.shape[1]:
        return
    _draw_face(verts[image, face[0]], verts[image, face[1]], verts[image, face[2]], f, cull_backfaces, image, height,
               width, zbuffer)


@wp.kernel
def _draw_meshes(verts: wp.array(dtype=wp.vec3f), faces: wp.array(dtype=wp.vec3i), image: wp.array(dtype=wp.int32),
                 two_sided: wp.array(dtype=wp.bool), sizes: wp.array(dtype=wp.vec2i),
                 zbuffer: wp.array3d(dtype=wp.int64)):
    f = wp.tid()
    face = faces[f]
    picture = image[f]
    size = sizes[picture]
    _draw_face(verts[face[0]], verts[face[1]], verts[face[2]], f, not two_sided[f], picture, size[1], size[0], zbuffer)


@wp.kernel
def _resolve(verts: wp.array2d(dtype=wp.vec3f), faces: wp.array(dtype=wp.vec3i), height: wp.int32, width: wp.int32,
             zbuffer: wp.array(dtype=wp.int64), face_index: wp.array(dtype=wp.int64),
             barycentric: wp.array(dtype=wp.vec3f), depth: wp.array(dtype=wp.float32)):
    # One flat index over batch, rows and columns, because most pixels are empty and need no coordinates.
    pixel = wp.tid()
    key = zbuffer[pixel]
    if key == _EMPTY:
        face_index[pixel] = wp.int64(-1)
        barycentric[pixel] = wp.vec3f(0.0, 0.0, 0.0)
        depth[pixel] = 0.0
        return
    line = pixel // width
    image = line // height
    f = wp.int32(key & wp.int64(0x7fffffff))
    face = faces[f]
    a = to_double(verts[image, face[0]])
    b = to_double(verts[image, face[1]])
    c = to_double(verts[image, face[2]])
    x = wp.float64(pixel - line * width) + wp.float64(0.5)
    y = wp.float64(line - image * height) + wp.float64(0.5)
    w = barycentrics_at(a, b, c, x, y)
    face_index[pixel] = wp.int64(f)
    barycentric[pixel] = wp.vec3f(wp.float32(w[0]), wp.float32(w[1]), wp.float32(w[2]))
    depth[pixel] = wp.cast(wp.int32(key >> wp.int64(32)), wp.float32)


def rasterize(verts_pix, faces, height, width, backend='auto', cull_backfaces=False):
    """Find the nearest face at every pixel centre, and the centre's barycentric coordinates in it.

    verts_pix: [B,V,3], x and y in pixels (the first pixel's centre is at 0.5, 0.5) and depth z > 0 in metres.
    faces: [F,3] integers.
    backend: 'auto' (warp), 'warp', or 'neural_renderer' (CUDA, square pictures of front faces only).
    cull_backfaces: draw front faces only. A front face is counter-clockwise as seen from the camera (x right, y down,
    z forward), like the faces of a body seen from outside: its signed area in pixel coordinates is negative.

    Returns face_index [B,H,W] int64 (-1: none), perspective-correct barycentric [B,H,W,3] and depth [B,H,W] in metres
    (zero without a face), on the device of `verts_pix`; float32, or float64 for float64 vertices. Barycentrics and
    depth are differentiable with respect to `verts_pix`. Visibility is not; it is computed in float32. Faces with a
    corner at z <= NEAR, with a corner that is not finite, or without area are not drawn.

    Raises ValueError for wrong shapes or a vertex index out of range (on CUDA, where the check would synchronize, such
    faces are not drawn), ProjectError for a backend that is unknown or does not support the arguments.
    """
    _check_arguments(verts_pix, faces, height, width)
    faces = faces.to(device=verts_pix.device, dtype=torch.int32).contiguous()
    visible = verts_pix.detach().to(torch.float32).contiguous()
    if backend == 'neural_renderer':
        if height != width or not cull_backfaces:
            raise ProjectError("backend 'neural_renderer' draws square pictures of front faces only; use 'warp'")
        face_index, barycentric, depth = rasterize_front_faces(visible, faces, height, NEAR)
    elif backend in ('auto', 'warp'):
        face_index, barycentric, depth = _rasterize_warp(visible, faces, height, width, cull_backfaces)
    else:
        raise ProjectError(f"unknown rasterizer {backend!r}: use 'auto', 'warp' or 'neural_renderer'")
    exact = verts_pix.dtype == torch.float64
    if exact or (verts_pix.requires_grad and torch.is_grad_enabled()):
        barycentric, depth = barycentrics_of(verts_pix if exact else verts_pix.float(), faces, face_index)
    return face_index, barycentric, depth


def barycentrics_of(verts_pix, faces, face_index):
    """Perspective-correct barycentrics and depth of pixel centres in given faces, differentiable in torch.

    verts_pix [B,V,3], faces [F,3], face_index [B,H,W] (-1: none). Returns [B,H,W,3] and [B,H,W], zero without a face.
    """
    batch, height, width = face_index.shape
    if faces.shape[0] == 0:
        return verts_pix.new_zeros(batch, height, width, 3), verts_pix.new_zeros(batch, height, width)
    drawn = face_index >= 0
    corner_index = faces.long()[face_index.clamp(min=0)].view(batch, -1, 1).expand(-1, -1, 3)
    corners = verts_pix.gather(1, corner_index).view(batch, height, width, 3, 3)
    # Background pixels get a harmless triangle, because 0 * NaN would spoil the gradients of face 0.
    harmless = verts_pix.new_tensor([[0, 0, 1], [1, 0, 1], [0, 1, 1]])
    corners = torch.where(drawn[..., None, None], corners, harmless)
    rows = torch.arange(height, device=verts_pix.device, dtype=verts_pix.dtype) + 0.5
    columns = torch.arange(width, device=verts_pix.device, dtype=verts_pix.dtype) + 0.5
    dx, dy = corners[..., 0] - columns[:, None], corners[..., 1] - rows[:, None, None]
    following, last = [1, 2, 0], [2, 0, 1]
    area = dx[..., following] * dy[..., last] - dy[..., following] * dx[..., last]
    area = torch.where(drawn[..., None], area, 1)
    over_depth = area / corners[..., 2]
    inverse = over_depth.sum(-1)
    barycentric = torch.where(drawn[..., None], over_depth / inverse[..., None], 0)
    depth = torch.where(drawn, area.sum(-1) / inverse, 0)
    return barycentric, depth


def interpolate(attributes, faces, face_index, barycentric):
    """Interpolate vertex attributes at every pixel: [B,V,C] or [V,C] -> [B,H,W,C], zero without a face."""
    batch, height, width = face_index.shape
    corner_index = faces.long()[face_index.clamp(min=0)]
    if attributes.dim() == 2:
        corners = attributes[corner_index]
    else:
        index = corner_index.view(batch, -1, 1).expand(-1, -1, attributes.shape[-1])
        corners = attributes.gather(1, index).view(batch, height, width, 3, -1)
    blended = (corners * barycentric[..., None]).sum(-2)
    return torch.where((face_index >= 0)[..., None], blended, 0)


def _check_arguments(verts_pix, faces, height, width):
    if verts_pix.dim() != 3 or verts_pix.shape[-1] != 3:
        raise ValueError(f'verts_pix must be [B,V,3], not {list(verts_pix.shape)}')
    if faces.dim() != 2 or faces.shape[-1] != 3:
        raise ValueError(f'faces must be [F,3], not {list(faces.shape)}')
    if height < 1 or width < 1:
        raise ValueError(f'image size must be positive, not {height} x {width}')
    if faces.numel() and not faces.is_cuda:
        low, high = (int(bound) for bound in faces.aminmax())
        if low < 0 or high >= verts_pix.shape[1]:
            raise ValueError(f'faces name vertices {low} to {high}, but there are {verts_pix.shape[1]}')


def draw_zbuffer(verts_pix, faces, height, width, cull_backfaces):
    """Visibility only: [B,H,W] int64, EMPTY or the depth's bits in the upper half and the face index in the lower.

    verts_pix: float32 [B,V,3], faces: int32 [F,3], both contiguous and on one device.
    On the CPU a kernel runs in the calling thread only. Threads over slices of the batch gained less than 15 % on two
    cores and are not used.
    """
    start_warp()
    zbuffer = torch.full((verts_pix.shape[0], height, width), EMPTY, dtype=torch.int64, device=verts_pix.device)
    if verts_pix.shape[0] and faces.shape[0]:
        launch(_draw_faces, (verts_pix.shape[0], faces.shape[0]), verts_pix.device, verts_pix, faces, cull_backfaces,
               height, width, zbuffer)
    return zbuffer


def draw_meshes(verts_pix, faces, image, two_sided, sizes, zbuffer):
    """`draw_zbuffer` for pictures of different meshes and sizes, in one launch.

    verts_pix: float32 [N,3]; faces: int32 [F,3] into them; image: int32 [F], each face's picture; two_sided: bool [F],
    whether a face is drawn as a back face too; sizes: int32 [B,2], each picture's width and height. zbuffer: int64
    [B,H,W], filled with EMPTY, H and W not below any size; it is drawn into. All are contiguous and on one device.
    Indices are not checked.
    """
    start_warp()
    launch(_draw_meshes, faces.shape[0], verts_pix.device, verts_pix, faces, image, two_sided, sizes, zbuffer)


def launch(kernel, dim, device, *inputs):
    """Launch a warp kernel on a torch device, on CUDA in torch's current stream.

    inputs: a torch tensor becomes an array of the type that the kernel declares; its last dimension holds a vector's.
    """
    inputs = [wp.from_torch(value, dtype=argument.type.dtype, return_ctype=True) if isinstance(value, torch.Tensor)
              else value for value, argument in zip(inputs, kernel.adj.args)]
    stream = wp.stream_from_torch(torch.cuda.current_stream(device)) if device.type == 'cuda' else None
    wp.launch(kernel, dim=dim, inputs=inputs, device=wp.device_from_torch(device), stream=stream)


def _rasterize_warp(verts, faces, height, width, cull_backfaces):
    """`rasterize` for float32 vertices [B,V,3] and int32 faces [F,3] on one device."""
    zbuffer = draw_zbuffer(verts, faces, height, width, cull_backfaces)
    face_index = torch.empty_like(zbuffer)
    barycentric = torch.empty(*zbuffer.shape, 3, device=verts.device)
    depth = torch.empty(zbuffer.shape, device=verts.device)
    if zbuffer.numel():
        launch(_resolve, zbuffer.numel(), verts.device, verts, faces, height, width, zbuffer.view(-1),
               face_index.view(-1), barycentric.view(-1, 3), depth.view(-1))
    return face_index, barycentric, depth


@lru_cache(maxsize=1)
def start_warp():
    """Start warp without its banner and with a writable kernel cache. Everything with kernels must call it first.

    If the user's cache folder is not writable, each process compiles kernels into a temporary folder. A permanent
    folder in a shared place could contain code that others put there.
    """
    if hasattr(wp.config, 'log_level'):
        wp.config.log_level = logging.ERROR
    else:  # older versions of warp
        wp.config.quiet = True
    if not wp.config.kernel_cache_dir and 'WARP_CACHE_PATH' not in os.environ and not _can_write(_user_cache_folder()):
        wp.config.kernel_cache_dir = tempfile.mkdtemp(prefix='warp-')
        atexit.register(shutil.rmtree, wp.config.kernel_cache_dir, ignore_errors=True)
    with contextlib.nullcontext() if torch.cuda.is_available() else _native_stderr_closed():
        wp.init()


def _user_cache_folder():
    return Path(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'))


def _can_write(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _native_stderr_closed():
    """Suppress output of C code: warp's library warns at every start on a machine without a CUDA driver."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

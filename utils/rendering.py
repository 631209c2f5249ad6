"""Shaded bodies over pictures with the project's rasterizer, without OpenGL.

Bodies are lit per vertex (key, fill and sky light, in the camera frame: x right, y down, z forward), drawn into one
z-buffer with several samples per pixel, and blended over the picture inside of their bounding box.
"""
import colorsys
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import warp as wp

from utils.iuv import project_to_crop
from utils.iuv_maps import NUM_PARTS
from utils.keypoints import COCO_JOINTS, COMMON_JOINTS, JOINT_NAMES, OPENPOSE_JOINTS
from utils.rasterizer import EMPTY, barycentrics_at, draw_zbuffer, launch, to_double

# Directions towards the lights. The strengths add up to about 1 for a surface that faces the key light.
_KEY_LIGHT, _KEY_STRENGTH = (-0.45, -0.55, -0.7), 0.62
_FILL_LIGHT, _FILL_STRENGTH = (0.8, -0.1, -0.6), 0.2
_SKY_STRENGTH, _GROUND_STRENGTH = 0.38, 0.2
_EMPTY = wp.constant(wp.int64(EMPTY))
_NAMES_BY_COUNT = {len(names): names for names in (OPENPOSE_JOINTS, COMMON_JOINTS, JOINT_NAMES, COCO_JOINTS)}
# Limbs by joint name. A limb is drawn if the joint set has both of its joints.
_SIDE_LIMBS = (('shoulder', 'elbow'), ('elbow', 'wrist'), ('hip', 'knee'), ('knee', 'ankle'), ('eye', 'ear'),
               ('ankle', 'big_toe'), ('big_toe', 'small_toe'), ('ankle', 'heel'), ('shoulder', 'hip'))
_LIMBS = (('right_shoulder', 'left_shoulder'), ('right_hip', 'left_hip'), ('nose', 'neck'), ('neck', 'head_top'),
          ('neck', 'mid_hip'), ('neck', 'pelvis_mpii')) + tuple(
    limb for side in ('right_', 'left_') for limb in (
        *((side + a, side + b) for a, b in _SIDE_LIMBS), ('neck', f'{side}shoulder'), ('mid_hip', f'{side}hip'),
        ('pelvis_mpii', f'{side}hip'), ('nose', f'{side}eye')))

wp.set_module_options({'enable_backward': False})


@wp.kernel
def _composite(verts: wp.array2d(dtype=wp.vec3f), colors: wp.array2d(dtype=wp.vec3f), faces: wp.array(dtype=wp.vec3i),
               zbuffer: wp.array3d(dtype=wp.int64), samples: wp.int32, full: wp.float32, rounding: wp.float32,
               image: wp.array4d(dtype=Any)):
    # A thread processes a row and finds its covered part first, because most pixels are empty.
    index, row = wp.tid()
    first = image.shape[2] * samples
    last_sample = wp.int32(-1)
    for i in range(samples):
        sample = wp.int32(0)
        while sample < first and zbuffer[index, row * samples + i, sample] == _EMPTY:
            sample += 1
        first = wp.min(first, sample)
        sample = image.shape[2] * samples - 1
        while sample > last_sample and zbuffer[index, row * samples + i, sample] == _EMPTY:
            sample -= 1
        last_sample = wp.max(last_sample, sample)
    share = 1.0 / float(samples * samples)
    for column in range(first // samples, last_sample // samples + 1):
        total = wp.vec3f(0.0, 0.0, 0.0)
        color = wp.vec3f(0.0, 0.0, 0.0)
        covered = wp.int32(0)
        last = wp.int32(-1)
        for i in range(samples):
            for j in range(samples):
                key = zbuffer[index, row * samples + i, column * samples + j]
                if key != _EMPTY:
                    f = wp.int32(key & wp.int64(0x7fffffff))
                    # A face is shaded once per pixel, which is invisible and much faster.
                    if f != last:
                        face = faces[f]
                        a = to_double(verts[index, face[0]])
                        b = to_double(verts[index, face[1]])
                        c = to_double(verts[index, face[2]])
                        x = wp.float64(column * samples + j) + wp.float64(0.5)
                        y = wp.float64(row * samples + i) + wp.float64(0.5)
                        w = barycentrics_at(a, b, c, x, y)
                        color = (wp.float32(w[0]) * colors[index, face[0]] + wp.float32(w[1]) * colors[index, face[1]]
                                 + wp.float32(w[2]) * colors[index, face[2]])
                        last = f
                    total += color
                    covered += 1
        if covered > 0:
            behind = 1.0 - float(covered) * share
            for channel in range(3):
                blended = float(image[index, row, column, channel]) * behind + total[channel] * share * full
                image[index, row, column, channel] = image.dtype(blended + rounding)


def composite_meshes(images, verts_pix, faces, colors, samples=2):
    """Draw coloured front faces over images, in place, with `samples` x `samples` samples per pixel.

    images [B,H,W,3] uint8, or float32 in [0, 1], with any strides; verts_pix [B,V,3]: x, y in pixels, depth in metres
    (`rasterize`); faces [F,3]; colors [B,V,3] in [0, 1].
    """
    scale = verts_pix.new_tensor([samples, samples, 1])
    verts = (verts_pix.detach() * scale).float().contiguous()
    colors = colors.detach().float().contiguous()
    faces = faces.to(device=verts.device, dtype=torch.int32).contiguous()
    batch, height, width, _ = images.shape
    zbuffer = draw_zbuffer(verts, faces, height * samples, width * samples, cull_backfaces=True)
    if zbuffer.numel():
        full, rounding = (255.0, 0.5) if images.dtype == torch.uint8 else (1.0, 0.0)
        launch(_composite, (batch, height), verts.device, wp.from_torch(verts, dtype=wp.vec3f),
               wp.from_torch(colors, dtype=wp.vec3f), wp.from_torch(faces, dtype=wp.vec3i), wp.from_torch(zbuffer),
               samples, full, rounding, wp.from_torch(images))


def vertex_normals(vertices, faces):
    """Area-weighted unit normals [B,V,3], outward if faces are counter-clockwise seen from outside."""
    faces = faces.long()
    # Vertices first, because index_add_ is several times faster along the first dimension.
    vertices = vertices.transpose(0, 1).contiguous()
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normal = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for i in range(3):
        total.index_add_(0, faces[:, i], normal)
    return F.normalize(total, dim=-1).transpose(0, 1)


def light_vertices(vertices, faces, colors):
    """Lit colours [B,V,3] of bodies in the camera frame: vertices [B,V,3], base colours [B,1 or V,3] in [0, 1]."""
    normal = vertex_normals(vertices, faces)

    def from_direction(direction):
        return (normal @ F.normalize(normal.new_tensor(direction), dim=0)).clamp(min=0)

    up = (1 - normal[..., 1]) / 2
    light = (_KEY_STRENGTH * from_direction(_KEY_LIGHT) + _FILL_STRENGTH * from_direction(_FILL_LIGHT)
             + _GROUND_STRENGTH + (_SKY_STRENGTH - _GROUND_STRENGTH) * up)
    return (colors * light[..., None]).clamp(0, 1)


def person_color(index):
    """RGB in [0, 1] of a person's number. The first colours differ clearly, and none repeats soon."""
    hue = (0.58 + index * 0.618034) % 1
    return np.array(colorsys.hsv_to_rgb(hue, 0.38, 0.97), np.float32)


def render_overlay(image, vertices, faces, focal_length, camera_center=None, translations=None, colors=None,
                   anti_alias=2):
    """Draw bodies over a picture in full perspective. Nearer bodies hide farther ones.

    image: [H,W,3] uint8, or float32 in [0, 1]. vertices: [N,V,3] metres in the camera frame, N >= 0; translations
    [N,3] are added if given. faces: [F,3]. focal_length and camera_center (default: the picture's middle) in pixels.
    colors: [N,3] in [0, 1]; default `person_color`. anti_alias: samples per pixel along each side. Arrays may be
    numpy's or torch's. Returns a new numpy array with the image's shape and type.
    """
    result = np.array(image)
    vertices, faces, colors = _scene(vertices, faces, translations, colors)
    height, width = result.shape[:2]
    if not len(vertices):
        return result
    center = torch.tensor([width / 2, height / 2]) if camera_center is None else torch.as_tensor(camera_center).float()
    xy = vertices[..., :2] / vertices[..., 2:] * focal_length + center
    box = _bounding_box(xy[vertices[..., 2] > 0], height, width)
    if box is None:
        return result
    left, top, right, bottom = box
    lit = light_vertices(vertices, faces, colors[:, None])
    pixels = torch.cat([xy - xy.new_tensor([left, top]), vertices[..., 2:]], -1)
    count = vertices.shape[1]
    all_faces = (faces[None] + count * torch.arange(len(vertices), dtype=torch.int32)[:, None, None]).flatten(0, 1)
    region = torch.from_numpy(result)[None, top:bottom, left:right]
    composite_meshes(region, pixels.view(1, -1, 3), all_faces, lit.reshape(1, -1, 3), anti_alias)
    return result


def render_side_view(vertices, faces, focal_length, height, width, camera_center=None, translations=None, colors=None,
                     angle=90.0, background=1.0, anti_alias=2):
    """Draw bodies, each rotated by `angle` degrees about the vertical axis through its own centre.

    At 90 degrees the side that was nearest to the camera is on the right. background: grey or RGB in [0, 1]; other
    arguments as in `render_overlay`. Returns [height,width,3] uint8.
    """
    vertices, faces, colors = _scene(vertices, faces, translations, colors)
    if len(vertices):
        centre = (vertices.amin(1, keepdim=True) + vertices.amax(1, keepdim=True)) / 2
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        turn = torch.tensor([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], dtype=torch.float32)
        vertices = (vertices - centre) @ turn.T + centre
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = np.round(np.asarray(background, np.float32) * 255)
    return render_overlay(canvas, vertices, faces, focal_length, camera_center, colors=colors, anti_alias=anti_alias)


def overlay_batch(images, vertices, camera, faces, color=None, anti_alias=2, full_camera=None):
    """Draw one body over each square crop, on the images' device.

    images [B,3,S,S] in [0, 1]; vertices [B,V,3] metres before the camera translation; camera [B,3] weak perspective in
    the crop; faces [F,3]; color [3] in [0, 1]; full_camera: FullCamera, if bodies are in the pictures' own cameras.
    Returns [B,3,S,S].
    """
    size = images.shape[-1]
    vertices = vertices.detach().float()
    color = vertices.new_tensor(person_color(0) if color is None else color)
    pixels = project_to_crop(vertices, camera.detach().float(), size, full_camera=full_camera)
    panels = images.detach().float().clone()
    composite_meshes(panels.movedim(1, -1), pixels, faces, light_vertices(vertices, faces, color), anti_alias)
    return panels


def _scene(vertices, faces, translations, colors):
    """All as float32 (faces int32) tensors on the CPU: vertices [N,V,3], faces [F,3], colors [N,3]."""
    vertices = torch.as_tensor(vertices).detach().float().cpu()
    if translations is not None:
        vertices = vertices + torch.as_tensor(translations).detach().float().cpu()[:, None]
    if colors is None:
        colors = np.stack([person_color(i) for i in range(max(1, len(vertices)))])
    return vertices, torch.as_tensor(np.asarray(faces, np.int32)), torch.as_tensor(colors).float()


def _bounding_box(xy, height, width):
    """Left, top, right, bottom of the box around points [...,2], clipped to the picture, or None."""
    xy = xy[torch.isfinite(xy).all(-1)]
    if not len(xy):
        return None
    limits = xy.new_tensor([width, height])
    low = xy.amin(0).floor().clamp(min=0).minimum(limits).long().tolist()
    high = xy.amax(0).ceil().clamp(min=0).minimum(limits).long().tolist()
    return (*low, *high) if low[0] < high[0] and low[1] < high[1] else None


def colorize_iuv(iuv):
    """IUV images [B,3,h,w] -> RGB [B,3,h,w] in [0, 1]: hue by part, paler with U, brighter with V, background black."""
    part = (iuv[:, 0] * NUM_PARTS).round()
    u, v = iuv[:, 1].clamp(0, 1), iuv[:, 2].clamp(0, 1)
    hue = (part * 0.618034) % 1
    saturation, value = 0.9 - 0.6 * u, 0.45 + 0.55 * v
    # HSV to RGB: each channel is a trapezoid over the hue circle.
    sector = torch.stack([(hue * 6 + shift) % 6 for shift in (5, 3, 1)], 1)
    ramp = torch.minimum(sector, 4 - sector).clamp(0, 1)
    return value[:, None] * (1 - saturation[:, None] * ramp) * (part > 0)[:, None]


def draw_keypoints(image, keypoints, names=None, min_confidence=0.1):
    """Draw 2D joints and limbs on a picture: right side orange, left side blue, others green.

    image: [H,W,3] uint8 or float in [0, 1]; keypoints: [K,2], or [K,3] with confidence, in pixels. names: K joint names
    (`utils.keypoints`); default by number: 25 OpenPose, 24 common, 49 both, 17 COCO. Joints below `min_confidence` or
    not finite are left out. Returns a new array with the image's shape and type.
    """
    result, keypoints = np.array(image), np.asarray(keypoints, np.float64)
    if names is None:
        names = _NAMES_BY_COUNT.get(len(keypoints))
        if names is None:
            raise ValueError(f'{len(keypoints)} keypoints: give their names')
    canvas = result if result.dtype == np.uint8 else np.round(result * 255).astype(np.uint8)
    thickness = max(1, round(min(canvas.shape[:2]) / 200))
    visible = np.isfinite(keypoints).all(1) & (np.abs(keypoints[:, :2]) < 1e5).all(1)
    if keypoints.shape[1] > 2:
        visible &= keypoints[:, 2] >= min_confidence
    # Fixed point with 4 fractional bits. OpenCV's pixel centres have integer coordinates.
    points = {name: np.round((xy - 0.5) * 16).astype(int).tolist()
              for name, xy, shown in zip(names, keypoints[:, :2], visible) if shown}
    for start, end in _LIMBS:
        for prefix in ('', 'openpose_'):
            a, b = points.get(prefix + start), points.get(prefix + end)
            if a and b:
                cv2.line(canvas, a, b, _side_color(start + end), thickness, cv2.LINE_AA, 4)
    for name, point in points.items():
        cv2.circle(canvas, point, 16 * (thickness + 1), _side_color(name), -1, cv2.LINE_AA, 4)
    return canvas if result.dtype == np.uint8 else (canvas / 255).astype(result.dtype)


def _side_color(names):
    """Colour of a joint by its name, or of a limb by its two joints' names joined."""
    right, left = 'right' in names, 'left' in names
    if right == left:
        return 90, 220, 110
    return (255, 140, 40) if right else (60, 140, 255)

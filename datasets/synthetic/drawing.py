"""Draws the people of several scenes at once, with one launch a kernel: on the CPU or, from the same source, on CUDA.

People are drawn at twice the picture's resolution and averaged down for smooth outlines.
"""
from dataclasses import dataclass

import numpy as np
import torch
import warp as wp

from datasets.synthetic.shading import Mesh, look_tables, shade
from datasets.synthetic.shadows import lamp, openness, shadow_maps
from datasets.synthetic.stage import set_stage
from datasets.synthetic.warp_arrays import blank_rows, to_warp
from utils.rasterizer import EMPTY, draw_meshes, launch, start_warp

_SUPERSAMPLING = 2  # as in `shade`
_MARGIN = wp.constant(2)  # pixels around what is drawn

wp.set_module_options({'enable_backward': False})


@wp.struct
class View:
    """A pinhole camera: pixels, for twice the picture's resolution; width and height of the picture itself."""
    focal: wp.float64
    x: wp.float64
    y: wp.float64
    width: wp.int32
    height: wp.int32


@dataclass(frozen=True)
class Drawn:
    """What `draw_people` gives of one scene, numpy. canvas [H,W,3] float32; depth [H,W] metres, infinite where nobody
    is; subject [H,W] bool: visible pixels of the scene's person."""
    canvas: np.ndarray
    depth: np.ndarray
    subject: np.ndarray


@wp.kernel
def _project(places: wp.array(dtype=wp.vec3), scene: wp.array(dtype=wp.int32), views: wp.array(dtype=View),
             pixels: wp.array(dtype=wp.vec3), bounds: wp.array2d(dtype=wp.int32)):
    """Pixels of places, and the bounds [B,4] of the scenes: first and last column and row, the last one excluded."""
    i = wp.tid()
    number = scene[i]
    view = views[number]
    depth = wp.float64(places[i][2])
    zoom = view.focal / depth
    x = zoom * wp.float64(places[i][0]) + view.x
    y = zoom * wp.float64(places[i][1]) + view.y
    pixels[i] = wp.vec3(float(x), float(y), places[i][2])
    if depth > wp.float64(0.0):
        half = wp.float64(0.5)
        # Clamped as floats, because a distant point would overflow an integer.
        column = wp.clamp(float(half * x), -1.0e6, 1.0e6)
        row = wp.clamp(float(half * y), -1.0e6, 1.0e6)
        wp.atomic_min(bounds, number, 0, wp.max(int(wp.floor(column)) - _MARGIN, 0))
        wp.atomic_min(bounds, number, 1, wp.max(int(wp.floor(row)) - _MARGIN, 0))
        wp.atomic_max(bounds, number, 2, wp.min(int(wp.ceil(column)) + _MARGIN, view.width))
        wp.atomic_max(bounds, number, 3, wp.min(int(wp.ceil(row)) + _MARGIN, view.height))


@wp.kernel
def _add_normals(faces: wp.array(dtype=wp.vec3i), piece: wp.array(dtype=wp.int32), smooth: wp.array(dtype=wp.int32),
                 places: wp.array(dtype=wp.vec3), normals: wp.array(dtype=wp.vec3)):
    """Add the normals of the faces of smooth pieces, of the length of twice their areas, to those of their corners."""
    f = wp.tid()
    if smooth[piece[f]] == 0:
        return
    face = faces[f]
    a = places[face[0]]
    across = wp.cross(places[face[1]] - a, places[face[2]] - a)
    wp.atomic_add(normals, face[0], across)
    wp.atomic_add(normals, face[1], across)
    wp.atomic_add(normals, face[2], across)


@wp.kernel
def _normalize(normals: wp.array(dtype=wp.vec3)):
    i = wp.tid()
    normals[i] = wp.normalize(normals[i])


def draw_people(scenes, canvases, device='cpu'):
    """Draw all people of scenes, and the objects they use, over backgrounds -> one Drawn a scene.

    scenes: scene.Scene; canvases: their backgrounds [H,W,3] float32 sRGB, which stay as they are; device: of torch.
    """
    start_warp()
    device = torch.device(device)
    stage = set_stage([scene.groups() for scene in scenes])
    height, width = (max(canvas.shape[axis] for canvas in canvases) for axis in range(2))
    places, scene_of, *faces = (torch.from_numpy(array).to(device) for array in (
        stage.places, stage.scene, stage.faces, stage.face_scene, stage.two_sided))
    mesh = _mesh_on(device, stage, places, faces[0])
    pixels, bounds, zbuffer = _rasterized(scenes, places, scene_of, faces, height, width)
    mesh.pixels = wp.from_torch(pixels, dtype=wp.vec3)
    # The upper half of a key is the depth's bits, of EMPTY those of a NaN.
    depth = (zbuffer[:, ::2, ::2] >> 32).int().view(torch.float32).nan_to_num_(0.0)
    canvas = torch.from_numpy(_padded(canvases, height, width)).to(device)
    owner = shade(canvas, zbuffer, bounds, mesh, look_tables(stage.looks, device),
                  [scene.lighting.seen_from(scene.view) for scene in scenes],
                  *_light_received(scenes, places, scene_of, faces, depth, bounds))
    canvas, depth, owner = (tensor.cpu().numpy() for tensor in (canvas, depth, owner))
    drawn = []
    for number, (background, subject) in enumerate(zip(canvases, stage.subjects)):
        rows, columns = (slice(length) for length in background.shape[:2])
        near = depth[number, rows, columns]
        drawn.append(Drawn(canvas[number, rows, columns], np.where(near > 0, near, np.float32(np.inf)),
                           owner[number, rows, columns] == subject))
    return drawn


def _padded(canvases, height, width):
    padded = np.empty((len(canvases), height, width, 3), np.float32)
    for onto, canvas in zip(padded, canvases):
        onto[:canvas.shape[0], :canvas.shape[1]] = canvas
    return padded


def _mesh_on(device, stage, places, faces):
    """shading.Mesh of a Stage without its pixels. Normals of smooth surfaces are computed."""
    mesh = Mesh()
    mesh.faces, mesh.places = wp.from_torch(faces, dtype=wp.vec3i), wp.from_torch(places, dtype=wp.vec3)
    for name, dtype in (('points', wp.vec3), ('normals', wp.vec3), ('piece', wp.int32), ('look', wp.int32),
                        ('region', wp.int32)):
        setattr(mesh, name, to_warp(getattr(stage, name), dtype, device))
    launch(_add_normals, len(faces), device, mesh.faces, mesh.piece, to_warp(stage.smooth, wp.int32, device),
           mesh.places, mesh.normals)
    launch(_normalize, len(places), device, mesh.normals)
    return mesh


def _rasterized(scenes, places, scene_of, faces, height, width):
    """Pixels [N,3] of places, bounds [B,4] of what they show, and the z-buffer [B,2H,2W]. faces: as in `draw_meshes`,
    with their scenes and whether they are two-sided."""
    device, count = places.device, len(scenes)
    views = blank_rows(View, count)
    for view, camera in zip(views, (scene.camera for scene in scenes)):
        view['focal'] = _SUPERSAMPLING * camera.focal
        view['x'], view['y'] = (_SUPERSAMPLING * middle for middle in camera.center)
        view['width'], view['height'] = camera.width, camera.height
    pixels = torch.empty_like(places)
    bounds = torch.tensor([width, height, 0, 0], dtype=torch.int32).repeat(count, 1).to(device)
    launch(_project, len(places), device, places, scene_of, to_warp(views, View, device), pixels, bounds)
    sizes = _SUPERSAMPLING * torch.tensor([[scene.camera.width, scene.camera.height] for scene in scenes],
                                          dtype=torch.int32).to(device)
    zbuffer = torch.full((count, _SUPERSAMPLING * height, _SUPERSAMPLING * width), EMPTY, dtype=torch.int64,
                         device=device)
    draw_meshes(pixels, *faces, sizes, zbuffer)
    return pixels, bounds, zbuffer


def _light_received(scenes, places, scene_of, faces, depth, bounds):
    """Shadow maps of the scenes that have them, and openness [B,H,W]."""
    shadowed = [('shadows' in scene.realism) for scene in scenes]
    lamps = [lamp(scene.view @ scene.lighting.towards if dark else None) for scene, dark in zip(scenes, shadowed)]
    focal = torch.tensor([scene.camera.focal * dark for scene, dark in zip(scenes, shadowed)], dtype=torch.float32)
    opened = openness(depth, bounds, focal.to(depth.device)) if any(shadowed) else torch.ones_like(depth)
    return shadow_maps(places, scene_of, *faces, lamps), opened

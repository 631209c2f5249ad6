"""Measures the speed of the rasterizer, of IUV images and of overlays: `python -m benchmarks.rasterizer`.

Draws the free body if `data/free` is complete, else an ellipsoid with about as many faces. Figures are medians in
milliseconds, with the targets for 2 CPU cores. On CUDA, Neural Renderer is timed too, if it is installed.
"""
import statistics
import time
from pathlib import Path

import numpy as np
import torch
import trimesh

from utils.assets import is_complete_free_folder
from utils.errors import ProjectError
from utils.iuv import IUVRenderer, project_to_crop
from utils.neural_renderer_backend import load_extension
from utils.rasterizer import rasterize
from utils.rendering import overlay_batch, render_overlay
from utils.safe_io import load_npz

FREE = Path('data/free')
CAMERA = (0.9, 0.0, 0.0)
REPEATS = 21


def median_ms(function, device):
    """Median milliseconds of a call, after two warm-up calls. Waits for the device."""
    def once():
        start = time.perf_counter()
        function()
        if device.type == 'cuda':
            torch.cuda.synchronize()
        return (time.perf_counter() - start) * 1e3

    once(), once()
    return statistics.median(once() for _ in range(REPEATS))


def load_body():
    """Vertices [V,3] of a body that faces the camera, faces [F,3], and its name."""
    if is_complete_free_folder(FREE):
        body = load_npz(FREE / 'smpl' / 'SMPL_NEUTRAL.npz')
        return body['v_template'] * [1, -1, -1], body['f'].astype(np.int64), 'free body'
    ball = trimesh.creation.uv_sphere(0.9, count=[60, 60])
    return ball.vertices * [0.4, 1, 0.3], ball.faces, 'ellipsoid'


def measure(device):
    """Yield (name, number of images, milliseconds of all, target on 2 cores or None)."""
    vertices, faces, _ = load_body()
    faces = torch.tensor(faces, dtype=torch.int32, device=device)

    def batch(count):
        body = torch.tensor(vertices, dtype=torch.float32, device=device).expand(count, -1, -1)
        return body, torch.tensor(CAMERA, device=device).expand(count, -1)

    backends = ['warp'] + (['neural_renderer'] if device.type == 'cuda' and _has_neural_renderer() else [])
    for count, size, limit in ((64, 56, 60), (8, 224, 15)):
        pixels = project_to_crop(*batch(count), size)
        for backend in backends:
            yield (f'rasterize {count} at {size} px, {backend}', count, median_ms(
                lambda p=pixels, s=size, b=backend: rasterize(p, faces, s, s, b, cull_backfaces=True), device), limit)
    if is_complete_free_folder(FREE):
        for backend in backends:
            renderer = IUVRenderer(FREE / 'UV_data' / 'UV_Processed.mat', backend=backend).to(device)
            yield f'IUV of 64 at 56 px, {backend}', 64, median_ms(lambda r=renderer: r(*batch(64)), device), None
    images = torch.rand(8, 3, 224, 224, device=device)
    yield '8 overlay panels at 224 px', 8, median_ms(lambda: overlay_batch(images, *batch(8), faces), device), None
    if device.type == 'cpu':
        picture = np.full((1080, 1920, 3), 128, np.uint8)
        body = vertices[None] + [0, 0, 3]
        yield ('overlay of one person at 1080p', 1,
               median_ms(lambda: render_overlay(picture, body, faces, 1500.0), device), 25)


def _has_neural_renderer():
    try:
        load_extension()
    except ProjectError:
        return False
    return True


def main():
    vertices, faces, name = load_body()
    print(f'{name}: {len(vertices)} vertices, {len(faces)} faces; {torch.get_num_threads()} threads')
    for device in ['cpu'] + ['cuda'] * torch.cuda.is_available():
        for what, _, took, limit in measure(torch.device(device)):
            reach = f'   (target: {limit})' if limit and device == 'cpu' else ''
            print(f'{device:5} {what:45} {took:8.2f} ms{reach}')


if __name__ == '__main__':
    main()

"""Draws the charts of a body: `python -m datasets.synthetic.body.chart_picture [--data data] [--out charts.png]`."""
import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from utils.assets import find_assets
from utils.body_file import read_body_file
from utils.errors import run_main
from utils.iuv import load_charts
from utils.rasterizer import rasterize

_VIEW, _TILE, _SQUARES, _SAMPLES = 900, 225, 10, 2
_LIGHT = np.array([0.35, 0.5, 0.8]) / np.linalg.norm([0.35, 0.5, 0.8])


def draw_charts(vertices, faces, part, corner_uv):
    """RGB picture [H,W,3] uint8 of the body's front and back and of the 24 charts, with a chequer in U and V."""
    front = _draw_body(vertices, faces, part, corner_uv)
    back = _draw_body(vertices * [-1, 1, -1], faces, part, corner_uv)
    tiles = [_draw_chart(part, corner_uv, number) for number in range(1, 25)]
    sheet = np.concatenate([np.concatenate(tiles[i:i + 8], 1) for i in range(0, 24, 8)])
    return np.concatenate([np.concatenate([front, back], 1), sheet])


def _draw_body(vertices, faces, part, corner_uv):
    size = _VIEW * _SAMPLES
    centre = (vertices.max(0) + vertices.min(0)) / 2
    scale = 0.97 * size / np.ptp(vertices, axis=0)[:2].max()
    pixels = np.stack([(vertices[:, 0] - centre[0]) * scale + size / 2, (centre[1] - vertices[:, 1]) * scale + size / 2,
                       10 - vertices[:, 2]], -1)
    shown = torch.from_numpy(pixels[None].astype(np.float32))
    index, barycentric, _ = rasterize(shown, torch.from_numpy(faces), size, size)
    index, barycentric = index[0].numpy(), barycentric[0].numpy()
    a, b, c = vertices[faces].swapaxes(0, 1)
    normals = np.cross(b - a, c - a)
    shade = 0.45 + 0.55 * np.clip(normals @ _LIGHT / np.linalg.norm(normals, axis=1), 0, 1)
    uv = np.einsum('hwk,hwkc->hwc', barycentric, corner_uv[index])
    color = _chequer(part[index], uv) * shade[index][..., None]
    return _shrink(np.where((index >= 0)[..., None], color, 255.0))


def _draw_chart(part, corner_uv, number):
    size = _TILE * _SAMPLES
    triangles = corner_uv[part == number].reshape(-1, 2)
    margin = 0.05 * size
    place = np.stack([margin + triangles[:, 0] * 0.9 * size, size - margin - triangles[:, 1] * 0.9 * size,
                      np.ones(len(triangles))], -1)
    faces = np.arange(len(triangles), dtype=np.int32).reshape(-1, 3)
    index, barycentric, _ = rasterize(torch.from_numpy(place[None].astype(np.float32)), torch.from_numpy(faces),
                                      size, size)
    index, barycentric = index[0].numpy(), barycentric[0].numpy()
    uv = np.einsum('hwk,hwkc->hwc', barycentric, corner_uv[part == number][index])
    picture = np.where((index >= 0)[..., None], _chequer(np.full(index.shape, number), uv), 255.0)
    picture = np.ascontiguousarray(picture.astype(np.uint8))
    edges = (place.reshape(-1, 3, 3)[..., :2] * 16).astype(np.int32)
    cv2.polylines(picture, list(edges), True, (60, 60, 60), 1, cv2.LINE_AA, 4)
    cv2.putText(picture, str(number), (4, 26), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2, cv2.LINE_AA)
    return _shrink(picture.astype(float))


def _chequer(part, uv):
    """The part's colour [...,3], darker on every other square of a grid over U and V."""
    hue = (part * 67 % 180).astype(np.uint8)
    hsv = np.stack([hue, np.full_like(hue, 120), np.full_like(hue, 250)], -1)
    rgb = cv2.cvtColor(hsv.reshape(-1, 1, 3), cv2.COLOR_HSV2RGB).reshape(*part.shape, 3)
    dark = np.floor(uv * _SQUARES).sum(-1) % 2
    return rgb * (1 - 0.35 * dark)[..., None]


def _shrink(picture):
    size = (picture.shape[1] // _SAMPLES, picture.shape[0] // _SAMPLES)
    return cv2.resize(picture.astype(np.uint8), size, interpolation=cv2.INTER_AREA)


def main(arguments=None):
    parser = argparse.ArgumentParser(description='Draw the charts of a body.')
    parser.add_argument('--data', default='data', help='asset folder (default: data)')
    parser.add_argument('--out', default='docs/images/charts.png', help='picture to write')
    options = parser.parse_args(arguments)
    assets = find_assets(options.data)
    faces, part, corner_uv, _ = load_charts(assets.file('UV_data/UV_Processed.mat'))
    vertices = read_body_file(assets.body_file())['v_template']
    Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(options.out, draw_charts(vertices.astype(float), faces, part, corner_uv)[..., ::-1])
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))

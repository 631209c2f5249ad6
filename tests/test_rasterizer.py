"""The rasterizer against a brute-force one in numpy, and its edges: ties, culling, gradients, processes, noise."""
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from utils.errors import ProjectError
from utils.rasterizer import NEAR, barycentrics_of, interpolate, rasterize

HEIGHT, WIDTH = 40, 48


def random_scene(seed, count, extent):
    """`count` separate triangles of about `extent` pixels, every tenth one of a kind that must not be drawn."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform([-5, -5], [WIDTH + 5, HEIGHT + 5], (count, 1, 2))
    xy = centre + rng.normal(0, extent, (count, 3, 2))
    verts = np.concatenate([xy, rng.uniform(0.5, 8, (count, 3, 1))], -1).astype(np.float32)
    for i in range(0, count, 10):
        kind = (i // 10) % 6
        if kind == 0:
            verts[i, 2] = verts[i, 0]
        elif kind == 1:
            verts[i, 2] = 2 * verts[i, 1] - verts[i, 0]
        elif kind == 2:
            verts[i, rng.integers(3), 2] = -rng.uniform(0, 3)
        elif kind == 3:
            verts[i, rng.integers(3), 2] = 0
        elif kind == 4:
            verts[i, rng.integers(3), rng.integers(3)] = np.nan
        else:
            verts[i, rng.integers(3), rng.integers(3)] = rng.choice([np.inf, -np.inf])
    return verts.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3)


def brute_force(verts, faces, cull_backfaces=False):
    """Each face against each pixel in float64, barycentrics by Cramer's rule about the first corner.

    Returns face index, barycentrics, depth, and `unsure`: pixels that lie within 1e-4 of an edge (in barycentrics or
    in pixels) of a face that could be the nearest, or where the two nearest depths agree to 1e-6.
    """
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    best = np.full((HEIGHT, WIDTH), np.inf)
    second = best.copy()
    near_edge = best.copy()
    index = np.full((HEIGHT, WIDTH), -1)
    weights = np.zeros((HEIGHT, WIDTH, 3))
    for f, (a, b, c) in enumerate(verts[faces].astype(np.float64)):
        if not np.isfinite([a, b, c]).all() or min(a[2], b[2], c[2]) <= NEAR:
            continue
        (ux, uy), (vx, vy) = (b - a)[:2], (c - a)[:2]
        determinant = ux * vy - uy * vx
        if abs(determinant) < 1e-9 or (cull_backfaces and determinant > 0):
            continue
        s = ((x - a[0]) * vy - (y - a[1]) * vx) / determinant
        t = ((y - a[1]) * ux - (x - a[0]) * uy) / determinant
        screen = np.stack([1 - s - t, s, t], -1)
        lengths = [np.hypot(*(p - q)[:2]) for p, q in ((b, c), (c, a), (a, b))]
        heights = abs(determinant) / np.maximum(lengths, 1e-12)
        with np.errstate(divide='ignore', invalid='ignore'):
            over = screen / [a[2], b[2], c[2]]
            depth = 1 / over.sum(-1)
        inside = (screen >= 0).all(-1)
        margin = np.minimum(screen, screen * heights).min(-1)
        touching = (margin > -1e-4) & (margin < 1e-4) & (depth > 0)
        near_edge[touching] = np.minimum(near_edge[touching], depth[touching])
        closer = inside & (depth < best)
        second = np.where(closer, best, np.where(inside, np.minimum(second, depth), second))
        best[closer] = depth[closer]
        index[closer] = f
        weights[closer] = (over * depth[..., None])[closer]
    with np.errstate(invalid='ignore'):
        unsure = (near_edge <= best * (1 + 1e-5)) & np.isfinite(near_edge) | (second - best < 1e-6 * best)
    return index, weights, np.where(index >= 0, best, 0), unsure


@pytest.mark.parametrize('extent, count', [(12, 400), (1.5, 1500), (60, 60)])
@pytest.mark.parametrize('cull', [False, True])
def test_agrees_with_brute_force(extent, count, cull):
    """Outside the unsure pixels (at most 0.2 %; none of those differed either when this was written) all is equal."""
    scenes = [random_scene(seed, count, extent) for seed in range(2)]
    verts, faces = np.stack([s[0] for s in scenes]), scenes[0][1]
    index, barycentric, depth = (t.numpy() for t in rasterize(torch.tensor(verts), torch.tensor(faces),
                                                               HEIGHT, WIDTH, cull_backfaces=cull))
    assert np.isfinite(barycentric).all() and np.isfinite(depth).all()
    for i in range(len(scenes)):
        expected, weights, distance, unsure = brute_force(verts[i], faces, cull)
        assert unsure.mean() < 0.002
        assert (expected >= 0).mean() > 0.3
        sure = ~unsure
        np.testing.assert_array_equal(index[i][sure], expected[sure])
        np.testing.assert_allclose(barycentric[i][sure], weights[sure], atol=2e-5)
        np.testing.assert_allclose(depth[i][sure], distance[sure], rtol=2e-6)


def test_undrawable_faces_leave_the_picture_empty():
    verts, faces = random_scene(0, 600, 20)
    undrawable = torch.tensor(faces[::10])
    index, barycentric, depth = rasterize(torch.tensor(verts)[None], undrawable, HEIGHT, WIDTH)
    assert (index == -1).all() and (barycentric == 0).all() and (depth == 0).all()


def test_shared_edges_leave_no_holes():
    """A jittered grid whose corners often lie exactly on pixel centres covers every pixel."""
    rng = np.random.default_rng(0)
    n = 24
    gy, gx = np.meshgrid(np.linspace(-4, HEIGHT + 4, n), np.linspace(-4, WIDTH + 4, n), indexing='ij')
    jitter = rng.uniform(-0.5, 0.5, (2, n, n))
    snap = rng.random((n, n)) < 0.5
    x, y = (np.where(snap, np.round(g) + 0.5, g + j) for g, j in zip((gx, gy), jitter))
    verts = np.stack([x, y, rng.uniform(1, 3, (n, n))], -1).reshape(1, -1, 3)
    corner = np.arange(n * n).reshape(n, n)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    faces = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    index, barycentric, _ = rasterize(torch.tensor(verts, dtype=torch.float32), torch.tensor(faces), HEIGHT, WIDTH)
    assert (index >= 0).all()
    torch.testing.assert_close(barycentric.sum(-1), torch.ones(1, HEIGHT, WIDTH))


def test_ties_go_to_the_lower_face():
    verts, faces = random_scene(3, 50, 12)
    verts = torch.tensor(verts)[None]
    once = torch.tensor(faces)
    index, _, _ = rasterize(verts, once, HEIGHT, WIDTH)
    twice, _, _ = rasterize(verts, torch.cat([once, once]), HEIGHT, WIDTH)
    assert torch.equal(index, twice)


def test_front_is_counter_clockwise_seen_from_the_camera():
    # Pixel y grows downwards: up the left side, then right, is clockwise for the eye.
    corners = torch.tensor([[[2., 12, 1], [2, 2, 1], [12, 2, 1]]])
    clockwise, counter = torch.tensor([[0, 1, 2]]), torch.tensor([[0, 2, 1]])
    for faces, drawn in ((clockwise, False), (counter, True)):
        index, _, _ = rasterize(corners, faces, 16, 16, cull_backfaces=True)
        assert (index >= 0).any().item() is drawn
        assert (rasterize(corners, faces, 16, 16)[0] >= 0).any()


def test_perspective_correct_barycentrics():
    """The blended corners of a tilted triangle, projected, land on the pixel centre."""
    camera_space = torch.tensor([[[-1., -1, 2], [-0.5, 1.4, 2.5], [1.4, 0.2, 6]]], dtype=torch.float64)
    focal, centre = 30.0, torch.tensor([WIDTH / 2, HEIGHT / 2], dtype=torch.float64)
    pixels = torch.cat([camera_space[..., :2] / camera_space[..., 2:] * focal + centre, camera_space[..., 2:]], -1)
    faces = torch.tensor([[0, 1, 2]])
    index, barycentric, depth = rasterize(pixels, faces, HEIGHT, WIDTH)
    points = interpolate(camera_space, faces, index, barycentric)
    row, column = torch.nonzero(index[0] >= 0, as_tuple=True)
    point = points[0, row, column]
    assert len(row) > 100
    torch.testing.assert_close(point[:, 2], depth[0, row, column])
    pixel_centre = torch.stack([column, row], -1).double() + 0.5
    torch.testing.assert_close(point[:, :2] / point[:, 2:] * focal + centre, pixel_centre)


def test_gradients():
    verts, faces = random_scene(5, 30, 9)
    faces = torch.tensor(faces)
    verts = torch.tensor(verts, dtype=torch.float64)[None]
    index, _, _ = rasterize(verts, faces, 12, 12)
    assert (index >= 0).any() and (index < 0).any()
    used = faces[index[index >= 0].unique()].unique()

    def pixels(moving):
        return barycentrics_of(verts.index_copy(1, used, moving), faces, index)

    assert torch.autograd.gradcheck(pixels, verts[:, used].requires_grad_(), eps=1e-6, atol=1e-5)


def test_gradients_reach_the_vertices_and_stay_finite():
    """Faces with NaN and infinite corners are in the scene, face 0 is degenerate and most pixels are background."""
    verts, faces = random_scene(6, 40, 3)
    verts, faces = torch.tensor(verts)[None].requires_grad_(), torch.tensor(faces)
    index, barycentric, depth = rasterize(verts, faces, HEIGHT, WIDTH)
    (barycentric[..., 0].sum() + depth.sum()).backward()
    assert torch.isfinite(verts.grad).all()
    drawn = faces[index[index >= 0].unique()].flatten()
    assert (verts.grad[0, drawn].abs().sum(-1) > 0).float().mean() > 0.9
    with torch.no_grad():
        plain = rasterize(verts, faces, HEIGHT, WIDTH)
    torch.testing.assert_close(barycentric.detach(), plain[1], atol=2e-4, rtol=0)
    torch.testing.assert_close(depth.detach(), plain[2], atol=0, rtol=1e-4)


def test_float64_and_half():
    verts, faces = random_scene(7, 100, 10)
    verts, faces = torch.tensor(verts)[None], torch.tensor(faces)
    single, double = (rasterize(verts.to(dtype), faces, HEIGHT, WIDTH) for dtype in (torch.float32, torch.float64))
    assert torch.equal(single[0], double[0]) and double[1].dtype == double[2].dtype == torch.float64
    torch.testing.assert_close(single[1].double(), double[1], atol=1e-5, rtol=0)
    assert rasterize(verts.half(), faces, HEIGHT, WIDTH)[1].dtype == torch.float32


def test_interpolate_shares_or_splits_attributes():
    verts, faces = random_scene(8, 60, 10)
    verts, faces = torch.tensor(np.nan_to_num(verts))[None].repeat(2, 1, 1), torch.tensor(faces)
    index, barycentric, _ = rasterize(verts, faces, HEIGHT, WIDTH)
    colours = torch.rand(verts.shape[1], 4)
    shared = interpolate(colours, faces, index, barycentric)
    torch.testing.assert_close(shared, interpolate(colours.expand(2, -1, -1), faces, index, barycentric))
    assert (shared[index < 0] == 0).all() and (shared[index >= 0] > 0).all()


def test_nothing_to_draw():
    none = torch.zeros(0, 3, dtype=torch.long)
    index, barycentric, depth = rasterize(torch.rand(2, 5, 3), none, 4, 6)
    assert (index == -1).all() and barycentric.shape == (2, 4, 6, 3) and depth.shape == (2, 4, 6)
    assert rasterize(torch.rand(2, 5, 3, dtype=torch.float64), none, 4, 6)[1].shape == (2, 4, 6, 3)
    assert rasterize(torch.rand(0, 5, 3), torch.tensor([[0, 1, 2]]), 4, 6)[0].shape == (0, 4, 6)


@pytest.mark.parametrize('verts, faces, size', [
    (torch.rand(5, 3), torch.tensor([[0, 1, 2]]), 8), (torch.rand(1, 5, 2), torch.tensor([[0, 1, 2]]), 8),
    (torch.rand(1, 5, 3), torch.tensor([[0, 1]]), 8), (torch.rand(1, 5, 3), torch.tensor([[0, 1, 5]]), 8),
    (torch.rand(1, 5, 3), torch.tensor([[0, -1, 2]]), 8), (torch.rand(1, 5, 3), torch.tensor([[0, 1, 2]]), 0)])
def test_wrong_arguments(verts, faces, size):
    with pytest.raises(ValueError):
        rasterize(verts, faces, size, size)


def test_unknown_backend():
    with pytest.raises(ProjectError, match='opengl'):
        rasterize(torch.rand(1, 3, 3), torch.tensor([[0, 1, 2]]), 8, 8, backend='opengl')


class _Scenes(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, seed):
        verts, faces = random_scene(seed, 50, 10)
        return rasterize(torch.tensor(verts)[None], torch.tensor(faces), HEIGHT, WIDTH)[0][0]


def test_workers_forked_after_use():
    here = torch.stack([_Scenes()[i] for i in range(6)])
    there = torch.cat(list(DataLoader(_Scenes(), batch_size=3, num_workers=2, multiprocessing_context='fork')))
    assert torch.equal(here, there)


@pytest.mark.parametrize('home', [None, '/proc/no-such-home'])
def test_quiet_with_and_without_a_home(home):
    """Importing and drawing print nothing, also where the kernel cache cannot lie in the home folder."""
    environment = {k: v for k, v in os.environ.items() if k not in ('XDG_CACHE_HOME', 'WARP_CACHE_PATH')}
    script = ('import torch; from utils.rasterizer import rasterize; '
              'i = rasterize(torch.tensor([[[0., 0, 1], [9, 0, 1], [0, 9, 1]]]), torch.tensor([[0, 1, 2]]), 4, 4)[0]; '
              'assert (i == 0).all()')
    done = subprocess.run([sys.executable, '-c', script], env=environment | ({'HOME': home} if home else {}),
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


@pytest.mark.cuda
def test_cuda_agrees_with_cpu():
    scenes = [random_scene(seed, 1500, 4) for seed in range(8)]
    verts, faces = torch.tensor(np.stack([s[0] for s in scenes])), torch.tensor(scenes[0][1])
    here = rasterize(verts, faces, HEIGHT, WIDTH)
    there = rasterize(verts.cuda(), faces.cuda(), HEIGHT, WIDTH)
    assert (here[0] == there[0].cpu()).float().mean() > 0.9999
    same = here[0] == there[0].cpu()
    torch.testing.assert_close(here[1][same], there[1].cpu()[same], atol=1e-5, rtol=0)

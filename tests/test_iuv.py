"""IUV pictures: orientation, shading, chart files; part maps and losses, compared with the published values."""
import numpy as np
import pytest
import torch
import trimesh

from tests.reference.compare import load, relative_error
from utils.errors import BadConfig, BadFile, MissingFile, ProjectError, WrongBody
from utils.iuv import IUVRenderer, crop_camera_translation, load_charts, project_to_crop
from utils.iuv_maps import SEGMENTS, dense_iuv_losses, iuv_to_maps, maps_to_iuv
from utils.safe_io import load_npz, save_mat

SPHERE = trimesh.creation.icosphere(subdivisions=4)
CAMERA = torch.tensor([[0.8, 0.0, 0.0]])


def sphere_charts():
    """Charts of a sphere: part 3 at x < 0 and part 20 elsewhere; U and V are x and y, mapped to [0, 1].

    The vertices are listed twice and in reverse, because DensePose lists vertices on seams several times.
    """
    count = len(SPHERE.vertices)
    body_vertex = np.concatenate([np.arange(count), np.arange(count)])[::-1]
    corner = 2 * count - 1 - SPHERE.faces
    corner[::2] -= count
    uv = (SPHERE.vertices[body_vertex, :2] + 1) / 2
    part = np.where(SPHERE.triangles_center[:, 0] < 0, 3, 20)
    return {'All_Faces': corner + 1, 'All_FaceIndices': part[:, None], 'All_U_norm': uv[:, :1], 'All_V_norm': uv[:, 1:],
            'All_vertices': body_vertex[None] + 1}


@pytest.fixture(scope='module')
def charts(tmp_path_factory):
    path = tmp_path_factory.mktemp('charts') / 'UV_Processed.mat'
    save_mat(path, sphere_charts() | {'body_digest': 'feedfacefeedface'})
    return path


@pytest.fixture(scope='module')
def vertices():
    return torch.tensor(SPHERE.vertices, dtype=torch.float32)[None]


def test_charts_fit_the_body(charts):
    faces, part, corner_uv, digest = load_charts(charts)
    np.testing.assert_array_equal(faces, SPHERE.faces)
    np.testing.assert_allclose(corner_uv, (SPHERE.vertices[SPHERE.faces][..., :2] + 1) / 2, atol=1e-7)
    assert digest == 'feedfacefeedface' and set(part) == {3, 20}


def test_published_layout_reads(standin_assets):
    renderer = IUVRenderer(standin_assets / 'UV_data' / 'UV_Processed.mat')
    assert renderer.faces.shape == (13774, 3) and renderer.body_digest is None
    assert not renderer.state_dict()


def test_upright_and_not_mirrored(charts, vertices):
    """Part, U and V at every pixel are those of the sphere's visible point."""
    size = 64
    iuv = IUVRenderer(charts, size=size)(vertices, CAMERA)[0]
    centres = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(centres / CAMERA[0, 0], centres / CAMERA[0, 0], indexing='ij')
    inside = x ** 2 + y ** 2 < 0.95
    torch.testing.assert_close(iuv[1][inside], (x[inside] + 1) / 2, atol=0.01, rtol=0)
    torch.testing.assert_close(iuv[2][inside], (y[inside] + 1) / 2, atol=0.01, rtol=0)
    assert (iuv[0][inside & (x < -0.1)] == 3 / 24).all() and (iuv[0][inside & (x > 0.1)] == 20 / 24).all()
    assert (iuv[:, x ** 2 + y ** 2 > 1.02] == 0).all()


def test_camera_moves_the_picture(charts, vertices):
    size, camera = 56, torch.tensor([[0.3, 0.9, -1.2]])
    iuv = IUVRenderer(charts, size=size)(vertices, camera)[0]
    row, column = torch.nonzero(iuv[0], as_tuple=True)
    centre = (camera[0, 0] * camera[0, 1:] + 1) / 2 * size
    torch.testing.assert_close(torch.stack([column, row]).float().mean(1) + 0.5, centre, atol=0.3, rtol=0)
    area = np.pi * (0.3 * size / 2) ** 2
    assert abs(len(row) - area) < 0.05 * area


def test_projection_agrees_with_the_weak_camera_far_away(vertices):
    camera = torch.tensor([[0.9, 0.1, 0.2]])
    pixels = project_to_crop(vertices, camera, 224)
    weak = (vertices[..., :2] + camera[:, None, 1:]) * camera[:, :1, None]
    torch.testing.assert_close(pixels[..., :2] / 112 - 1, weak, atol=0.03, rtol=0)
    assert crop_camera_translation(camera)[0, 2] == pytest.approx(2 * 5000 / (224 * 0.9))


def test_flat_paints_each_face_with_one_colour(charts, vertices):
    flat = IUVRenderer(charts, size=112, shading='flat')(vertices, CAMERA)[0]
    smooth = IUVRenderer(charts, size=112)(vertices, CAMERA)[0]
    assert torch.equal(flat[0], smooth[0])
    _, part, corner_uv, _ = load_charts(charts)
    colours = np.concatenate([part[:, None] / 24, corner_uv.mean(1)], 1).astype(np.float32)
    drawn = flat[:, flat[0] > 0].T.numpy()
    nearest = np.abs(drawn[:, None] - colours[None]).max(-1).min(-1)
    assert nearest.max() < 1e-6
    assert len(np.unique(smooth[1:, flat[0] > 0].T.numpy(), axis=0)) > 2 * len(np.unique(drawn, axis=0))


def test_back_faces_are_not_drawn(tmp_path):
    charts = sphere_charts()
    near_half = SPHERE.triangles_center[:, 2] < 0  # towards the camera
    for half, is_drawn in ((near_half, True), (~near_half, False)):
        save_mat(tmp_path / 'half.mat', charts | {k: charts[k][half] for k in ('All_Faces', 'All_FaceIndices')})
        iuv = IUVRenderer(tmp_path / 'half.mat')(torch.tensor(SPHERE.vertices)[None], CAMERA)
        assert ((iuv[0, 0] > 0).float().mean() > 0.3).item() is is_drawn


def test_types_and_degenerate_cameras(charts, vertices):
    renderer = IUVRenderer(charts)
    drawn = renderer(vertices.double(), CAMERA.double())
    assert drawn.dtype == torch.float32 and drawn.shape == (1, 3, 56, 56)
    cameras = torch.tensor([[0.0, 0, 0], [-0.8, 0, 0], [torch.nan, 0, 0], [0.8, 0, 0]])
    batch = renderer(vertices.expand(4, -1, -1), cameras)
    assert torch.isfinite(batch).all()
    assert [bool(image.any()) for image in batch] == [False, False, False, True]


def test_gradients_of_smooth_shading(charts, vertices):
    moving = vertices.clone().requires_grad_()
    IUVRenderer(charts)(moving, CAMERA)[:, 1].sum().backward()
    assert torch.isfinite(moving.grad).all() and moving.grad.abs().sum() > 0


@pytest.mark.parametrize('key, change', [
    ('All_Faces', lambda a: a[:, :2]), ('All_Faces', lambda a: a * 0), ('All_Faces', lambda a: a + 10 ** 6),
    ('All_Faces', lambda a: a + 0.5), ('All_FaceIndices', lambda a: a + 5), ('All_FaceIndices', lambda a: a[:-1]),
    ('All_U_norm', lambda a: a * 2), ('All_V_norm', lambda a: a[1:]), ('All_U_norm', lambda a: a * np.nan),
    ('All_vertices', lambda a: a - 1), ('All_vertices', lambda a: 'text'), ('All_V_norm', None)])
def test_bad_charts_name_key_and_file(tmp_path, key, change):
    charts = sphere_charts()
    if change is None:
        del charts[key]
    else:
        charts[key] = change(charts[key])
    save_mat(tmp_path / 'broken.mat', charts)
    with pytest.raises(BadFile, match='broken.mat.*All_') as error:
        IUVRenderer(tmp_path / 'broken.mat')
    assert '\n' not in str(error.value)
    assert key in str(error.value) or key == 'All_vertices'


def test_user_errors(charts, vertices, tmp_path):
    with pytest.raises(MissingFile):
        IUVRenderer(tmp_path / 'absent.mat')
    with pytest.raises(BadConfig, match='gouraud'):
        IUVRenderer(charts, shading='gouraud')
    with pytest.raises(WrongBody, match='2561'):
        IUVRenderer(charts)(vertices[:, :100], CAMERA)
    with pytest.raises(ProjectError, match='CUDA'):
        IUVRenderer(charts, backend='neural_renderer')(vertices, CAMERA)


def test_free_body_seen_from_the_front(free_assets):
    """The body faces the camera: its left hand (part 4) is on the right of the picture, its head (23, 24) on top."""
    body = load_npz(free_assets / 'smpl' / 'SMPL_NEUTRAL.npz')['v_template']
    facing = torch.tensor(body * [1, -1, -1], dtype=torch.float32)[None]
    iuv = IUVRenderer(free_assets / 'UV_data' / 'UV_Processed.mat', size=112)(facing, CAMERA)[0]
    part = (iuv[0] * 24).round()
    row, column = torch.meshgrid(torch.arange(112.), torch.arange(112.), indexing='ij')
    head, right_hand, left_hand = (part >= 23), part == 3, part == 4
    assert 10 < right_hand.sum() < 300 and 10 < left_hand.sum() < 300
    assert column[right_hand].max() < 56 < column[left_hand].min()
    feet = (part == 5) | (part == 6)
    assert row[head].max() < 56 < row[feet].min()


def published_iuv():
    reference = load('pymaf_ops')
    part = torch.from_numpy(reference['iuv_index']).float()[:, None] / 24
    return torch.cat([part, torch.from_numpy(reference['iuv_uv'])], 1), reference


def predictions(dtype=torch.float32):
    """u, v, index, ann, seeded as for the reference values."""
    return [torch.randn(4, channels, 56, 56, generator=torch.Generator().manual_seed(seed)).to(dtype)
            for seed, channels in ((5, 25), (6, 25), (7, 25), (8, 15))]


def test_maps_equal_the_published_ones():
    iuv, reference = published_iuv()
    for name, map_ in zip(('U', 'V', 'I', 'Ann'), iuv_to_maps(iuv)):
        assert relative_error(map_.sum((0, 2, 3)), reference[f'map_{name}_sum']) < 1e-6


def test_losses_equal_the_published_ones():
    """The published U and V losses include PyMAF's weight of 0.5."""
    iuv, reference = published_iuv()
    u, v, index, ann = predictions()
    losses = dense_iuv_losses(index, u, v, ann, iuv, torch.from_numpy(reference['has_smpl']))
    for name, published, weight in (('u', 'U', 0.5), ('v', 'V', 0.5), ('index', 'index', 1), ('part', 'ann', 1)):
        assert relative_error(weight * losses[name], reference[f'loss_{published}']) < 1e-6


def test_maps_and_back():
    iuv, _ = published_iuv()
    maps = iuv_to_maps(iuv)
    assert (maps.index.sum(1) == 1).all() and (maps.ann.sum(1) == 1).all()
    torch.testing.assert_close(maps_to_iuv(maps.index, maps.u, maps.v, maps.ann)[:, 0], iuv[:, 0])
    foreground = iuv[:, :1] > 0
    torch.testing.assert_close(maps_to_iuv(maps.index, maps.u, maps.v) * foreground, iuv * foreground)
    for segment, parts in enumerate(SEGMENTS):
        assert torch.equal(maps.ann[:, segment], maps.index[:, list(parts)].sum(1))


def test_segments_mask_the_parts():
    u, v, index, ann = predictions()
    iuv = maps_to_iuv(index, u, v, ann)
    background = ann.argmax(1) == 0
    assert background.any() and (iuv[:, 0][background] == 0).all()
    torch.testing.assert_close(iuv[:, 1][background], u[:, 0][background])


def test_no_valid_image_gives_zeros():
    iuv, _ = published_iuv()
    maps = [m.requires_grad_() for m in predictions()]
    losses = dense_iuv_losses(maps[2], maps[0], maps[1], maps[3], iuv, torch.zeros(4, dtype=torch.bool))
    assert all(loss == 0 for loss in losses.values())
    sum(losses.values()).backward()
    assert all((m.grad == 0).all() for m in maps)


def test_invalid_images_do_not_count():
    iuv, _ = published_iuv()
    u, v, index, ann = predictions()
    valid = torch.tensor([True, False, True, True])
    spoiled = iuv.clone()
    spoiled[1] = torch.nan
    index.requires_grad_()
    losses = dense_iuv_losses(index, u, v, ann, spoiled, valid)
    for name, loss in dense_iuv_losses(index, u, v, ann, iuv, valid).items():
        assert losses[name] == loss
    kept = dense_iuv_losses(index[valid], u[valid], v[valid], None, iuv[valid], torch.ones(3, dtype=torch.bool))
    assert set(kept) == {'index', 'u', 'v'}
    torch.testing.assert_close(losses['index'], kept['index'])
    torch.testing.assert_close(losses['u'], kept['u'] * 3 / 4)
    losses['index'].backward()
    assert (index.grad[1] == 0).all() and index.grad[0].abs().sum() > 0


def test_losses_of_another_resolution_and_precision():
    iuv, _ = published_iuv()
    valid = torch.ones(4, dtype=torch.bool)
    u, v, index, ann = predictions()
    large = iuv.repeat_interleave(2, -1).repeat_interleave(2, -2)
    wanted = dense_iuv_losses(index, u, v, ann, iuv, valid)
    for name, loss in dense_iuv_losses(index, u, v, ann, large, valid).items():
        torch.testing.assert_close(loss, wanted[name])
    u, v, index, ann = predictions(torch.bfloat16)
    for name, loss in dense_iuv_losses(index, u, v, ann, iuv, valid).items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, wanted[name], rtol=0.01, atol=0)


@pytest.mark.cuda
def test_backends_agree_on_cuda(charts):
    """With flat shading 99 % of the pixels are equal. The rest lie on the edge of two faces."""
    pytest.importorskip('neural_renderer', reason='run `make neural-renderer`')
    rng = np.random.default_rng(0)
    vertices = torch.tensor(SPHERE.vertices * rng.uniform(0.3, 1, (8, 1, 3)), dtype=torch.float32).cuda()
    camera = torch.tensor(rng.uniform([0.6, -0.3, -0.3], [1.1, 0.3, 0.3], (8, 3)), dtype=torch.float32).cuda()
    ours, theirs = (IUVRenderer(charts, shading='flat', backend=backend).cuda()(vertices, camera)
                    for backend in ('warp', 'neural_renderer'))
    same = (ours - theirs).abs().amax(1) < 1e-5
    assert same.float().mean() > 0.99
    assert ((ours[:, 0] > 0) == (theirs[:, 0] > 0)).float().mean() > 0.995

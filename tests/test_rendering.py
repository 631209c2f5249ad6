"""Overlays, side views and panels: places of bodies, occlusion between bodies, and edges."""
import numpy as np
import pytest
import torch
import trimesh

from utils.keypoints import COCO_JOINTS, COMMON_JOINTS, OPENPOSE_JOINTS
from utils.rendering import (
    colorize_iuv,
    draw_keypoints,
    light_vertices,
    overlay_batch,
    person_color,
    render_overlay,
    render_side_view,
    vertex_normals,
)

BALL = trimesh.creation.icosphere(subdivisions=3, radius=0.4)
HEIGHT, WIDTH, FOCAL = 120, 200, 150.0
GREY = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


def drawn(picture, backdrop=GREY):
    return (picture != backdrop).any(-1)


def ball_mask(position, margin=0.0):
    """Pixels whose rays pass within the ball's radius plus `margin` of its centre."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    rays = np.stack([(x - WIDTH / 2) / FOCAL, (y - HEIGHT / 2) / FOCAL, np.ones_like(x)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return np.linalg.norm(np.cross(rays, position), axis=-1) < 0.4 + margin


@pytest.mark.parametrize('position', [(0.9, -0.4, 3), (-1.2, 0.5, 4), (1.3, 0, 2)])
def test_body_lands_where_the_camera_puts_it(position):
    """Off the axis, where a ball's outline is an ellipse, and partly outside the picture."""
    mask = drawn(render_overlay(GREY, BALL.vertices[None], BALL.faces, FOCAL, translations=[position]))
    assert mask[ball_mask(position, -0.03)].all()
    assert not mask[~ball_mask(position, 0.03)].any()


def test_the_picture_is_not_mirrored():
    """A flag's long side points right and its short side down."""
    flag = np.array([[0, 0, 3], [1.0, 0, 3], [0, 0.3, 3]])
    mask = drawn(render_overlay(GREY, flag[None], np.array([[0, 2, 1]]), FOCAL)) | \
        drawn(render_overlay(GREY, flag[None], np.array([[0, 1, 2]]), FOCAL))
    rows, columns = np.nonzero(mask)
    assert columns.min() >= WIDTH / 2 - 1 and rows.min() >= HEIGHT / 2 - 1
    assert np.ptp(columns) > 2 * np.ptp(rows)


def test_camera_center_and_types():
    position, center = np.array([[0.2, 0.1, 3.0]]), (60, 40)
    moved = drawn(render_overlay(GREY, BALL.vertices[None], BALL.faces, FOCAL, center, position))
    placed = drawn(render_overlay(GREY, BALL.vertices[None], BALL.faces, FOCAL, None, position))
    np.testing.assert_array_equal(moved, np.roll(placed, (-20, -40), (0, 1)))
    single = render_overlay(GREY.astype(np.float32) / 255, torch.tensor(BALL.vertices, dtype=torch.float32)[None],
                            torch.tensor(BALL.faces), FOCAL, translations=torch.tensor(position))
    whole = render_overlay(GREY, BALL.vertices[None], BALL.faces, FOCAL, None, position)
    assert single.dtype == np.float32 and whole.dtype == np.uint8
    np.testing.assert_allclose(single * 255, whole, atol=0.51)


def test_nearer_people_hide_farther_ones():
    red, blue = (1, 0, 0), (0, 0, 1)
    overlap = (slice(55, 65), slice(95, 105))
    for depths in ((3, 4), (4, 3)):
        places = np.array([[0.05, 0, depths[0]], [-0.05, 0, depths[1]]])
        picture = render_overlay(GREY, np.stack([BALL.vertices] * 2), BALL.faces, FOCAL, translations=places,
                                 colors=[red, blue])
        channel = 0 if depths[0] < depths[1] else 2
        assert (picture[overlap][..., channel] > 60).all() and (picture[overlap][..., 2 - channel] == 0).all()


def test_edges_are_smooth_with_anti_aliasing():
    """A black ball on white: with anti-aliasing, edge pixels have values in between."""
    white = np.full_like(GREY, 255)
    arguments = (white, BALL.vertices[None], BALL.faces, FOCAL, None, [[0, 0, 3]], [(0, 0, 0)])
    hard = np.unique(render_overlay(*arguments, anti_alias=1))
    soft = np.unique(render_overlay(*arguments, anti_alias=2))
    np.testing.assert_array_equal(hard, [0, 255])
    np.testing.assert_array_equal(soft, [0, 64, 128, 191, 255])


def test_light_comes_from_above():
    picture = render_overlay(GREY, BALL.vertices[None], BALL.faces, FOCAL, translations=[[0, 0, 2]])
    column = picture[:, WIDTH // 2].sum(-1).astype(int)
    inside = np.flatnonzero(ball_mask((0, 0, 2), -0.06)[:, WIDTH // 2])
    assert column[inside[0]] > 1.5 * column[inside[-1]]


def test_normals_point_outward():
    vertices = torch.tensor(BALL.vertices, dtype=torch.float32)[None]
    normals = vertex_normals(vertices, torch.tensor(BALL.faces))
    torch.testing.assert_close(normals, vertices / 0.4, atol=0.02, rtol=0)
    lit = light_vertices(vertices, torch.tensor(BALL.faces), torch.ones(1, 1, 3))
    assert lit.min() >= 0.15 and lit.max() <= 1


def test_side_view_turns_each_body_about_its_own_axis():
    """Two bars that point at the camera are horizontal in the side view, with their near ends on the right."""
    bar = trimesh.creation.box((0.1, 0.1, 1.0)).subdivide().subdivide()
    colors = np.array([[1, 0, 0], [0, 0, 1]])
    bars = np.stack([bar.vertices + [-0.9, 0, 5], bar.vertices + [0.9, 0, 5]])
    bars[..., 1] += np.where(bars[..., 2] < 5, 0.2, 0)  # the near ends hang lower
    view = render_side_view(bars, bar.faces, FOCAL, HEIGHT, WIDTH, colors=colors)
    assert view.shape == (HEIGHT, WIDTH, 3) and view.dtype == np.uint8
    mask = drawn(view, np.full_like(view, 255))
    for half in (mask[:, :WIDTH // 2], mask[:, WIDTH // 2:]):
        rows, columns = np.nonzero(half)
        assert 26 <= np.ptp(columns) <= 36
        right_end = columns > columns.mean()
        assert rows[right_end].mean() > rows[~right_end].mean() + 2
    from_front = drawn(render_overlay(GREY, bars, bar.faces, FOCAL, colors=colors))
    assert mask.sum() > 2 * from_front.sum()


def test_no_person_and_nobody_in_sight():
    picture = render_overlay(GREY, np.zeros((0, 5, 3)), BALL.faces[:0], FOCAL)
    assert picture is not GREY and np.array_equal(picture, GREY)
    for place in ((0, 0, -3), (100, 0, 3), (np.nan, 0, 3)):
        assert np.array_equal(render_overlay(GREY, BALL.vertices[None], BALL.faces, FOCAL, translations=[place]), GREY)


def test_overlay_batch_draws_each_crop():
    camera = torch.tensor([[1.0, 0.5, 0], [0.5, -0.8, 0.8]])
    images = torch.full((2, 3, 64, 64), 0.3)
    vertices = torch.tensor(BALL.vertices, dtype=torch.float32).expand(2, -1, -1)
    panels = overlay_batch(images, vertices, camera, torch.tensor(BALL.faces), color=(1, 0.5, 0.2))
    assert panels.shape == images.shape and panels.min() >= 0 and panels.max() <= 1
    for panel, (s, tx, ty) in zip(panels, camera):
        row, column = torch.nonzero((panel != 0.3).any(0), as_tuple=True)
        centre = torch.stack([s * tx, s * ty]) * 32 + 32
        torch.testing.assert_close(torch.stack([column, row]).float().mean(1) + 0.5, centre, atol=0.4, rtol=0)
        assert len(row) == pytest.approx(np.pi * (0.4 * float(s) * 32) ** 2, rel=0.1)


def test_people_have_different_colors():
    colors = np.array([person_color(i) for i in range(8)])
    distance = np.abs(colors[:, None] - colors).max(-1)
    assert distance[np.triu_indices(8, 1)].min() > 0.05


def test_iuv_colors_tell_parts_apart():
    parts = torch.arange(25.)
    iuv = torch.stack([parts / 24, torch.full((25,), 0.5), torch.full((25,), 0.5)])[None, :, None]
    rgb = colorize_iuv(iuv)
    assert rgb.shape == (1, 3, 1, 25) and rgb.min() >= 0 and rgb.max() <= 1
    assert (rgb[..., 0] == 0).all()
    distance = (rgb[0, :, 0, :, None] - rgb[0, :, 0, None]).abs().amax(0) + torch.eye(25)
    assert distance.min() > 0.02
    brighter, paler = iuv.clone(), iuv.clone()
    brighter[:, 2], paler[:, 1] = 1, 1
    assert (colorize_iuv(brighter)[..., 1:].amax(1) > rgb[..., 1:].amax(1)).all()
    assert (colorize_iuv(paler)[..., 1:].amin(1) > rgb[..., 1:].amin(1)).all()


@pytest.mark.parametrize('names', [OPENPOSE_JOINTS, COMMON_JOINTS, COCO_JOINTS])
def test_keypoints_are_drawn_where_they_are(names):
    rng = np.random.default_rng(0)
    keypoints = np.concatenate([rng.uniform(10, 110, (len(names), 2)), np.ones((len(names), 1))], 1)
    picture = draw_keypoints(GREY, keypoints)
    x, y = keypoints[:, :2].astype(int).T
    assert drawn(picture)[y, x].all()
    side = picture[y, x].astype(int)
    elbow = names.index('right_elbow')
    assert side[elbow, 0] > side[elbow, 2]
    assert not np.shares_memory(picture, GREY) and not drawn(GREY).any()


def test_absent_keypoints_are_left_out():
    keypoints = np.zeros((17, 3))
    keypoints[:, :2] = 50
    keypoints[0] = [np.nan, 50, 1]
    keypoints[1] = [1e9, 50, 1]
    assert not drawn(draw_keypoints(GREY, keypoints)).any()
    with pytest.raises(ValueError, match='names'):
        draw_keypoints(GREY, np.zeros((5, 2)))
    assert drawn(draw_keypoints(GREY, [[30, 30], [90, 90]], names=('left_hip', 'left_knee')))[60, 60]

"""Hidden faces and sliding patches: their places and the maps of errors."""
import numpy as np
import pytest
import torch

from core.evaluation.occlusion import FaceOccluder, draw_maps, face_box, patch_positions
from utils.errors import BadConfig
from utils.keypoints import IMAGE_MEAN, IMAGE_STD, JOINT_NAMES


def keypoints(**places):
    points = np.zeros((49, 3), np.float32)
    for name, (x, y) in places.items():
        points[JOINT_NAMES.index(name)] = x, y, 1
    return points


FACE = {'nose': (0, -.5), 'left_eye': (.05, -.55), 'right_eye': (-.05, -.55), 'left_ear': (.1, -.53),
        'right_ear': (-.1, -.53)}


def test_the_box_covers_the_face_and_not_the_chest():
    left, top, right, bottom = face_box(keypoints(**FACE, neck=(0, -.3)), 224)
    for x, y in FACE.values():
        assert left < (x + 1) * 112 < right and top < (y + 1) * 112 < bottom
    assert bottom < (-.3 + 1) * 112 and right - left < 60


def test_profile_hidden_and_missing_faces():
    profile = {'nose': (.02, -.5), 'right_eye': (0, -.52)}
    left, _, right, _ = face_box(keypoints(**profile, neck=(0, -.25)), 224)
    assert right - left == pytest.approx(1.3 * .26 * 112, abs=3)  # from nose and neck; eye and nose are too close
    assert face_box(keypoints(jaw_h36m=(0, -.4), head_h36m=(0, -.7)), 224) is not None
    assert face_box(keypoints(left_ankle=(0, .5), nose=(0, -.5)), 224) is None
    assert face_box(keypoints(nose=(0, -3), left_eye=(.1, -3)), 224) is None
    assert face_box(keypoints(nose=(.95, 0), left_eye=(.9, 0), neck=(.9, .3)), 224)[2] == 224


@pytest.mark.parametrize('views', [(), (2,)])
def test_occluder_blacks_out_copies(views):
    points = np.stack([keypoints(**FACE), keypoints(left_ankle=(0, .5))])
    images = torch.randn(2, *views, 3, 64, 64)
    stacked = torch.from_numpy(points)
    if views:
        stacked = stacked[:, None].expand(2, 2, 49, 3)
    occluder = FaceOccluder()
    out = occluder(images, {'keypoints': stacked})
    count = 2 * (views[0] if views else 1)
    assert (occluder.seen, occluder.hidden) == (count, count // 2)
    left, top, right, bottom = face_box(points[0], 64)
    patch = out[0, ..., top:bottom, left:right] * torch.tensor(IMAGE_STD).view(3, 1, 1)
    assert torch.allclose(patch + torch.tensor(IMAGE_MEAN).view(3, 1, 1), torch.zeros(()), atol=1e-6)
    assert torch.equal(out[1], images[1]) and not torch.equal(out[0], images[0])
    changed = (out[0] != images[0]).sum()
    assert changed == 3 * (bottom - top) * (right - left) * (count // 2)


def test_positions_cover_the_crop():
    assert patch_positions(224, 40, 40) == [0, 40, 80, 120, 160, 184]
    assert patch_positions(64, 32, 16) == [0, 16, 32]
    assert patch_positions(64, 64, 5) == [0]
    with pytest.raises(BadConfig, match='larger than the crop'):
        patch_positions(64, 65, 5)


def test_maps_share_one_scale():
    maps = np.full((3, 3, 14), 50.0) + 10 * np.arange(14)
    maps[1, 1, 4] = 150
    picture = draw_maps(maps, [f'joint{i}' for i in range(14)])
    assert picture.dtype == np.uint8 and picture.shape[0] == 3 * 168
    panel = picture[168 * 1 + 24:168 * 2 - 4, 4:164]  # joint4 is the sixth panel, the first of the second row
    assert panel[70, 80].sum() > panel[10, 10].sum() + 200
    assert np.array_equal(panel[10, 10], picture[34, 168 * 2 + 10])

"""DensePose-COCO: its JSON, samples that are cropped and mirrored with the picture, and the point losses."""
import json

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from datasets.annotations import Annotations
from datasets.augmentation import Augmentation
from datasets.dense_points import SYMMETRY_FILE, UNKNOWN, DenseLabels, UVSymmetry
from datasets.preprocess.dp_coco import convert_dp_coco, smpl_joints_of
from models.danet.losses import dense_point_losses
from models.output import DenseOutput
from utils.assets import Assets
from utils.errors import BadFile
from utils.keypoints import COCO_JOINTS, SMPL_JOINTS
from utils.safe_io import save_mat

BOX = [20.0, 10.0, 40.0, 80.0]


def run_length(mask):
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': code['size'], 'counts': code['counts'].decode()}


def annotation():
    """A person with three points. Segment 2 (right hand) fills the box's left half, segment 14 (head) the right one."""
    left = np.zeros((256, 256))
    left[:, :128] = 1
    masks = [[]] * 14
    masks[1], masks[13] = run_length(left), run_length(1 - left)
    keypoints = np.zeros((17, 3))
    keypoints[[5, 6, 11, 12]] = [[50, 20, 2], [30, 20, 2], [48, 60, 1], [32, 60, 2]]
    return {'id': 7, 'image_id': 3, 'bbox': BOX, 'keypoints': keypoints.flatten().tolist(), 'dp_masks': masks,
            'dp_x': [0.0, 127.5, 255.0], 'dp_y': [0.0, 127.5, 255.0], 'dp_I': [3.0, 23.0, 1.0],
            'dp_U': [0.25, 0.5, 1.0], 'dp_V': [0.75, 0.5, 0.0]}


@pytest.fixture
def converted(tmp_path):
    """(Annotations of the converted file, assets with symmetry tables that mirror U and keep V)."""
    cv2.imwrite(str(tmp_path / 'a.jpg'), np.zeros((120, 100, 3), np.uint8))
    bare = {'id': 8, 'image_id': 3, 'bbox': BOX, 'keypoints': [0] * 51}
    content = {'images': [{'id': 3, 'file_name': 'a.jpg'}], 'annotations': [annotation(), bare]}
    (tmp_path / 'dense.json').write_text(json.dumps(content))
    convert_dp_coco(tmp_path, tmp_path / 'dense.json', tmp_path / 'out.npz', progress=False)
    line = np.arange(256) / 255
    cells = {'U_transforms': np.empty((1, 24), object), 'V_transforms': np.empty((1, 24), object)}
    for part in range(24):
        cells['U_transforms'][0, part] = np.tile(1 - line, (256, 1))
        cells['V_transforms'][0, part] = np.tile(line[:, None], (1, 256))
    (tmp_path / 'UV_data').mkdir()
    save_mat(tmp_path / SYMMETRY_FILE, cells)
    return Annotations.load(tmp_path / 'out.npz'), Assets(tmp_path, False)


def sample(converted, augmentation=None, res=96, size=24):
    annotations, assets = converted
    labels = DenseLabels(size).read(annotations, assets, 'out.npz')
    out = labels.sample(0, annotations.person(0), augmentation or Augmentation(), res)
    return out['dense_points'].numpy(), out['dense_segments'].numpy()


def test_conversion_keeps_people_with_points(converted):
    annotations, _ = converted
    assert len(annotations) == 1 and annotations.scale[0] == pytest.approx(1.2 * 80 / 200)
    points = annotations.extra['dense_points'][0]
    assert np.allclose(points[:3], [[20, 10, 3, .25, .75], [40, 50, 23, .5, .5], [60, 90, 1, 1, 0]])
    assert not points[3:].any()
    assert annotations.smpl_keypoints_2d[0, SMPL_JOINTS.index('pelvis')].tolist() == [40.5, 60.5, 0.5]
    assert annotations.smpl_keypoints_2d[0, SMPL_JOINTS.index('left_foot')].tolist() == [0, 0, 0]


def test_points_and_segments_are_cut_with_the_picture(converted):
    """The box is 96 pixels around (40, 50); the crop is of the same size."""
    points, segments = sample(converted)
    assert np.allclose(points[1], [0, 0, 23, .5, .5], atol=1e-5)
    assert np.allclose(points[0, :2], [2 * 28 / 96 - 1, 2 * 8 / 96 - 1], atol=1e-5)
    # A map pixel is four picture pixels, so the box spans columns 7 to 17 and rows 2 to 22.
    assert (segments[2:22, 7:12] == 2).all() and (segments[2:22, 12:17] == 14).all()
    assert not segments[:2].any() and not segments[:, :7].any() and not segments[:, 17:].any()


def test_a_flip_swaps_sides_and_mirrors_uv_by_the_charts_symmetry(converted):
    points, segments = sample(converted)
    flipped, mirrored = sample(converted, Augmentation(flip=True))
    assert np.allclose(flipped[:3, 0], -points[:3, 0], atol=1e-5) and np.allclose(flipped[:3, 1], points[:3, 1])
    assert flipped[:3, 2].tolist() == [4, 24, 1]  # the torso has no other side
    assert np.allclose(flipped[:3, 3], 1 - points[:3, 3], atol=1 / 128)
    assert np.allclose(flipped[:3, 4], points[:3, 4], atol=1 / 128)
    assert (mirrored[2:22, 12:17] == 3).all() and (mirrored[2:22, 7:12] == 14).all()


def test_a_rotation_moves_points_and_segments_together(converted):
    """Places of the picture about the box's centre (40, 50), rotated by -40 degrees, in half sides of 96 * 1.3 / 2."""
    points, segments = sample(converted, Augmentation(rotation=40.0, scale=1.3), size=48)
    cos, sin = np.cos(np.deg2rad(40)), np.sin(np.deg2rad(40))

    def in_crop(x, y):
        return np.array([cos * (x - 40) + sin * (y - 50), cos * (y - 50) - sin * (x - 40)]) / (96 * 1.3 / 2)
    assert np.allclose(points[:3, :2], [in_crop(20, 10), in_crop(40, 50), in_crop(60, 90)], atol=1e-4)
    # Places in the box's left and right half, and one beside the box.
    for place, segment in (((25, 20), 2), ((35, 80), 2), ((45, 20), 14), ((55, 80), 14), ((12, 50), 0)):
        column, row = (24 * (in_crop(*place) + 1)).astype(int)
        assert segments[row, column] == segment, place


def test_points_outside_the_crop_are_gone(converted):
    points, _ = sample(converted, Augmentation(scale=0.5))
    assert points[1, 2] == 23 and not points[[0, 2]].any()


def test_rows_without_dense_labels_give_empty_ones(tmp_path):
    plain = Annotations.blank(['a.jpg'], [[1, 1]], [1])
    out = DenseLabels(8).read(plain, Assets(tmp_path, False), 'x.npz').sample(0, plain.person(0), Augmentation(), 64)
    assert not out['dense_points'].any() and (out['dense_segments'] == UNKNOWN).all()


def test_published_file_is_read(converted):
    """DaNet's file holds COCO's entries unchanged."""
    annotations, assets = converted
    entries = np.empty(1, object)
    entries[0] = annotation()
    raw = Annotations.blank(annotations.imgname, annotations.center, annotations.scale, extra={'dp_annot': entries})
    ours, theirs = (DenseLabels(16).read(labels, assets, 'x.npz') for labels in (annotations, raw))
    assert np.array_equal(ours.points, theirs.points) and np.array_equal(ours.segments, theirs.segments)
    assert ours.points.shape == (3, 5) and ours.starts.tolist() == [0, 3]


def test_rows_keep_their_own_points(converted):
    """Rows with three, no and two points: each sample has its row's points at the JSON's places."""
    _, assets = converted
    entries = np.empty(3, object)
    entries[:] = [annotation(), annotation(), annotation()]
    for key in 'xyIUV':
        entries[1][f'dp_{key}'], entries[2][f'dp_{key}'] = [], entries[2][f'dp_{key}'][1:]
    rows = Annotations.blank(['a.jpg'] * 3, [[40, 50]] * 3, [0.48] * 3, extra={'dp_annot': entries})
    labels = DenseLabels(24).read(rows, assets, 'x.npz')
    samples = [labels.sample(row, rows.person(row), Augmentation(), 96)['dense_points'].numpy() for row in range(3)]
    assert [int((points[:, 2] > 0).sum()) for points in samples] == [3, 0, 2]
    assert np.allclose(samples[2][:2], samples[0][1:3]) and samples[2][:2, 2].tolist() == [23, 1]


@pytest.mark.parametrize('wanted', [True, False])
def test_no_python_objects_stay_in_memory(converted, wanted):
    """Loader processes would copy them. DaNet's file has a dictionary of lists for each person."""
    import gc

    from core.config import load_config
    from datasets.image_dataset import ImageDataset
    annotations, assets = converted
    entries = np.empty(300, object)
    entries[:] = [annotation() for _ in range(300)]
    for folder in ('smpl', 'dataset_extras', 'datasets/coco'):
        (assets.root / folder).mkdir(parents=True)
    (assets.root / 'smpl/SMPL_NEUTRAL.npz').write_bytes(b'')
    np.savez(assets.root / 'dataset_extras/dp_coco_2014_train.npz', imgname=['a.jpg'] * 300,
             center=np.ones((300, 2)), scale=np.ones(300), dp_annot=entries)
    del entries
    cfg = load_config(None, ['PATHS.DATA_DIR', str(assets.root), 'DATA.DENSE_POINTS', wanted])  # imports the regressors
    gc.collect()
    before = len(gc.get_objects())
    data = ImageDataset(cfg, 'dp_coco')
    gc.collect()
    assert len(gc.get_objects()) - before < 300
    assert len(data) == 300 and (data.dense is not None) == wanted


def test_bad_files_name_what_is_wrong(converted, tmp_path):
    (tmp_path / 'other.json').write_text('{"images": 3}')
    with pytest.raises(BadFile, match="other.json: not a DensePose-COCO file"):
        convert_dp_coco(tmp_path, tmp_path / 'other.json', tmp_path / 'o.npz', progress=False)
    broken = {**annotation(), 'dp_U': [1.0]}
    content = {'images': [{'id': 3, 'file_name': 'a.jpg'}], 'annotations': [broken]}
    (tmp_path / 'broken.json').write_text(json.dumps(content))
    with pytest.raises(BadFile, match='broken.json: annotation 7: .*dp_U'):
        convert_dp_coco(tmp_path, tmp_path / 'broken.json', tmp_path / 'o.npz', progress=False)
    annotations, assets = converted
    annotations.extra['dense_box'] = np.zeros((1, 3))
    with pytest.raises(BadFile, match="x.npz: key 'dense_box' has shape"):
        DenseLabels(16).read(annotations, assets, 'x.npz')
    save_mat(tmp_path / 'no.mat', {'U_transforms': np.zeros((1, 3))})
    with pytest.raises(BadFile, match="'U_transforms' must have 24 tables"):
        UVSymmetry(tmp_path / 'no.mat')


def test_smpl_joints_from_coco():
    keypoints = np.zeros((17, 3), np.float32)
    for name in ('left_shoulder', 'right_shoulder', 'nose'):
        keypoints[COCO_JOINTS.index(name)] = [10 if name.startswith('left') else 20, 30, 1]
    keypoints[COCO_JOINTS.index('nose')] = [15, 10, 1]
    joints = smpl_joints_of(keypoints)
    assert joints[SMPL_JOINTS.index('neck')].tolist() == [15, 30, 0.5]
    assert joints[SMPL_JOINTS.index('head')].tolist() == [15, 20, 0.5]
    assert not joints[SMPL_JOINTS.index('pelvis')].any() and not joints[SMPL_JOINTS.index('spine3')].any()


def test_point_losses_read_the_maps_where_the_points_are():
    """A map that holds x at pixel centres gives x back. Points without a part have no loss."""
    size = 8
    centres = (torch.arange(size) + 0.5) * 2 / size - 1
    u = centres.expand(1, 25, size, size).clone().requires_grad_()
    v = centres[:, None].expand(1, 25, size, size)
    index = torch.zeros(1, 25, size, size)
    index[:, 3] = 50
    points = torch.zeros(1, 196, 5)
    points[0, 0] = torch.tensor([0.3, -0.6, 3, 0.3, -0.6])
    segments = torch.full((1, size, size), -1)
    losses = dense_point_losses(DenseOutput(index, u, v, torch.zeros(1, 15, size, size)), points, segments)
    assert all(value < 1e-9 for value in losses.values())
    points[0, 0, 3] = 1.3
    losses = dense_point_losses(DenseOutput(index, u, v, torch.zeros(1, 15, size, size)), points, segments)
    assert losses['u'].item() == pytest.approx(0.5)
    losses['u'].backward()
    assert u.grad[0, 3].abs().sum() > 0 and not u.grad[0, 4].any()
    segments[0, 0] = 1
    losses = dense_point_losses(DenseOutput(index, u, v, torch.zeros(1, 15, size, size)), points, segments)
    assert losses['segment'].item() == pytest.approx(np.log(15), abs=1e-5)

"""Width and height of a person's box, from the annotation files to the crop. Sides of the crops by arithmetic:
widened to 192:256, a box of 90 x 100 pixels needs 120, one of 60 x 100 needs 100, and one of 100 x 60 needs 133 1/3."""
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from core.config import load_config
from core.evaluation.coco_evaluator import run_coco
from datasets.annotations import Annotations
from datasets.coco_keypoints import CocoKeypoints
from datasets.humandata import write_humandata
from datasets.image_dataset import ImageDataset
from datasets.preprocess.coco import convert_coco
from datasets.registered import DATASETS, RegisteredDataset, register_dataset
from datasets.shard_dataset import ShardDataset
from datasets.shard_format import ShardWriter
from tests.conftest import ROOT
from tests.test_coco_evaluation import person, write_coco
from utils.errors import BadFile

REAL = ROOT.parent / 'shared/real'
SIZES = np.array([[90.0, 100.0], [60.0, 100.0], [100.0, 60.0]])
SIDES = [120.0, 100.0, 400 / 3]
CENTERS = [[100.0, 110.0], [90.0, 100.0], [80.0, 70.0]]


@pytest.fixture
def folder(tmp_path):
    for row in range(3):
        noise = np.random.default_rng(row).integers(0, 255, (200, 220, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'{row}.png'), noise)
    return tmp_path


def config(folder, assets, *overrides):
    return load_config(None, ['PATHS.DATA_DIR', str(assets), 'PATHS.IMAGE_DIRS', [f'people={folder}'],
                              'DATA.BOX_ASPECT', 256 / 192, 'DATA.IMG_RES', 32, 'TRAIN.NUM_WORKERS', 0, *overrides])


def people(**arrays):
    return {'imgname': ['0.png', '1.png', '2.png'], 'center': CENTERS, 'scale': np.full(3, 0.5), **arrays}


def crops(folder, assets, split='eval'):
    dataset = ImageDataset(config(folder, assets), str(folder / 'people.npz'), split)
    centers, scales = dataset.crop_squares([0, 1, 2])
    assert np.allclose(centers, CENTERS)
    return 200 * scales


KEYPOINTS_19 = np.random.default_rng(0).uniform(60, 120, (3, 19, 3))


@pytest.mark.parametrize('arrays', [
    {'bbox_size': SIZES}, {'bbox_size': 0.7 * SIZES},  # only its shape counts; `scale` gives the size
    {'bbox': np.concatenate([CENTERS - SIZES / 2.4, SIZES / 1.2], 1)},  # left, top, width, height without margin
    {'scale': SIZES / 200},  # 4D-Humans' shards
    {'scale': SIZES, 'extra_keypoints_2d': KEYPOINTS_19}])  # 4D-Humans' evaluation files, in pixels
def test_crop_is_the_published_one_of_a_files_boxes(folder, standin_assets, arrays):
    np.savez(folder / 'people.npz', **people(**arrays))
    assert np.allclose(crops(folder, standin_assets), SIDES)
    annotations = Annotations.load(folder / 'people.npz')
    annotations.save(folder / 'people.npz')
    assert np.allclose(crops(folder, standin_assets), SIDES)
    (folder / 'people.npz').unlink()
    write_humandata(annotations, folder / 'people.npz')
    with np.load(folder / 'people.npz') as file:
        assert np.allclose(file['bbox_xywh'][:, 2:4], SIZES) and np.allclose(
            file['bbox_xywh'][:, :2], CENTERS - SIZES / 2)
    assert np.allclose(crops(folder, standin_assets), SIDES)
    joined = Annotations.concatenate([annotations.subset([2]), Annotations.blank(['a'], [[5, 5]], [1])])
    assert joined.has_box_shape().tolist() == [True, False] and joined.person(1).bbox_size is None


@pytest.mark.parametrize('arrays', [
    {}, {'bbox_size': np.array([[np.nan, 4], [0, 3], [-1, 2]])}, {'scale': np.full((3, 2), 0.5)},
    {'bbox': np.concatenate([CENTERS - SIZES / 2, CENTERS + SIZES / 2], 1)}])  # corners are no width and height
def test_without_a_shape_evaluation_takes_the_square_and_says_so(folder, standin_assets, arrays, caplog):
    np.savez(folder / 'people.npz', **people(part=np.random.default_rng(1).uniform(50, 150, (3, 24, 3)), **arrays))
    assert np.allclose(crops(folder, standin_assets), 100)
    assert "3 of 3 rows have no width and height of the box" in caplog.text
    assert np.allclose(crops(folder, standin_assets, 'val'), 100)


def test_crop_of_evaluation_does_not_follow_the_keypoints(folder, standin_assets):
    """Other 2D keypoints do not move the crop. In training they do, where the file has no box shape."""
    rng = np.random.default_rng(0)
    for part in (rng.uniform(0, 1, (3, 24, 3)) * (20, 190, 1), rng.uniform(0, 1, (3, 24, 3)) * (190, 20, 1)):
        np.savez(folder / f'{len(list(folder.glob("*.npz")))}.npz', **people(part=part))
    overrides = ['DATA.FLIP', False, 'DATA.ROT_PROB', 0.0, 'DATA.SCALE_FACTOR', 0.0, 'DATA.NOISE_FACTOR', 0.0,
                 'PATHS.IMAGE_DIRS', [f'0={folder}', f'1={folder}']]
    cfg = config(folder, standin_assets, *overrides)
    for split, same in (('eval', True), ('val', True), ('train', False)):
        one, other = (ImageDataset(cfg, str(folder / f'{number}.npz'), split)[0] for number in (0, 1))
        for key in ('img', 'center', 'scale', 'bbox_info'):
            assert torch.equal(one[key], other[key]) == (same or key == 'center'), (split, key)


def test_evaluation_files_of_4d_humans(tmp_path):
    """The keys that its dataset class reads: 25 + 19 keypoints, bodies with masks, boxes in pixels."""
    rng = np.random.default_rng(0)
    arrays = {'imgname': np.array(['a.jpg', 'b.jpg']), 'center': np.array([[50.0, 60], [70, 80]]),
              'scale': np.array([[30.0, 80], [60, 20]]), 'body_pose': rng.normal(size=(2, 72)),
              'has_body_pose': np.array([1.0, 1]), 'betas': rng.normal(size=(2, 10)), 'has_betas': np.array([1.0, 0]),
              'body_keypoints_2d': rng.uniform(1, 9, (2, 25, 3)), 'extra_keypoints_2d': rng.uniform(1, 9, (2, 19, 3)),
              'part': rng.uniform(1, 9, (2, 17, 3))}
    np.savez(tmp_path / 'a.npz', **arrays)
    read = Annotations.load(tmp_path / 'a.npz')
    assert np.allclose(read.scale, [0.4, 0.3]) and np.allclose(read.bbox_size, arrays['scale'])
    assert np.allclose(read.keypoints_2d[:, :25], arrays['body_keypoints_2d'])
    assert np.allclose(read.keypoints_2d[:, 25:44], arrays['extra_keypoints_2d'])
    assert not read.keypoints_2d[:, 44:].any()
    assert read.has_smpl.tolist() == [True, False] and np.allclose(read.pose[0], arrays['body_pose'][0])
    np.savez(tmp_path / 'e.npz', **{key: value for key, value in arrays.items() if key != 'has_betas'})
    assert not Annotations.load(tmp_path / 'e.npz').has_smpl.any()  # its loader ignores a label without a mask
    solid = rng.uniform(0.1, 1, (2, 19, 4))
    np.savez(tmp_path / 'b.npz', **arrays, extra_keypoints_3d=solid)
    read = Annotations.load(tmp_path / 'b.npz')  # without a gender, its evaluation takes the joints, not the body
    assert not read.has_smpl.any() and read.has_joints_3d.all() and np.allclose(read.joints_3d[:, :19], solid)
    np.savez(tmp_path / 'c.npz', **arrays, extra_keypoints_3d=solid, gender=['m', 'f'])
    assert Annotations.load(tmp_path / 'c.npz').has_smpl.tolist() == [True, False]
    np.savez(tmp_path / 'd.npz', **{**arrays, 'extra_keypoints_2d': np.zeros((2, 14, 3))})
    with pytest.raises(BadFile, match=r"'extra_keypoints_2d' has shape \[2, 14, 3\], but must be \[2, 19, 3\]"):
        Annotations.load(tmp_path / 'd.npz')


@pytest.mark.skipif(not REAL.exists(), reason='../shared is not here')
@pytest.mark.parametrize('name', ['coco_2014_train', 'mpii_train', 'h36m_train', 'mpi_inf_3dhp_test'])
def test_boxes_of_mmhuman3ds_files(name):
    path = REAL / f'assets/mmhuman3d/sample_{name}.npz'
    width, height = np.load(path)['bbox_xywh'][0, 2:4]
    found = Annotations.load(path).person(0).bbox_size
    assert found is None if width == height else np.allclose(found, (width, height))


def test_shape_of_a_registered_person(standin_assets):
    DATASETS._entries.pop('boxes', None)
    image = np.zeros((60, 50, 3), np.uint8)
    register_dataset('boxes')(lambda cfg, split: [
        {'image': image, 'bbox': (10, 10, 20, 40), 'gender': 'm'}, {'image': image, 'bbox': (10, 10, 40, 40)},
        {'image': image, 'center': (9, 9), 'scale': 0.2, 'bbox_size': (36, 40)},
        {'image': image, 'center': (9, 9), 'scale': 0.2}])
    dataset = RegisteredDataset(load_config(None, ['DATA.IMG_RES', 32, 'DATA.BOX_ASPECT', 256 / 192]), 'boxes', 'eval')
    sides = [200 * float(dataset[row]['scale']) for row in range(4)]
    assert np.allclose(sides, [1.2 * 40, 1.2 * 40 * 4 / 3, 1.2 * 40, 40])


def test_shards_hold_it(folder, standin_assets):
    np.savez(folder / 'people.npz', **people(bbox_size=[[90, 100], [50, 50], [0, 0]]))
    annotations = Annotations.load(folder / 'people.npz')
    path = ShardWriter(annotations, folder, folder / 'shards', 'people').write()
    rows = ShardDataset(config(folder, standin_assets), str(path))
    sizes = [rows._read_row(row, 1.0)[1].bbox_size for row in range(3)]
    assert np.allclose(sizes[:2], [[90, 100], [50, 50]]) and sizes[2] is None


def test_boxes_of_coco(tmp_path, standin_assets, monkeypatch):
    write_coco(tmp_path, [person(1, 1, 1, bbox=[10, 10, 60, 50])])
    (tmp_path / 'found.json').write_text(json.dumps([
        {'image_id': 1, 'category_id': 1, 'bbox': [10, 20, 27, 30], 'score': 0.9},
        {'image_id': 1, 'category_id': 1, 'bbox': [10, 20, 10, 60], 'score': 0.8}]))
    cfg = config(tmp_path, standin_assets, 'TEST.COCO_ANNOTATIONS', str(tmp_path / 'coco.json'), 'TEST.COCO_IMAGES',
                 str(tmp_path / 'images'), 'DEVICE', 'cpu')
    annotated = CocoKeypoints(cfg)  # one pixel narrower, as HRNet cuts it
    assert np.allclose(200 * annotated.crop_squares([0])[1], 1.25 * 59 * 4 / 3)
    found = ['TEST.COCO_DETECTIONS', str(tmp_path / 'found.json')]
    cfg = load_config(None, [part for pair in (('PATHS.DATA_DIR', str(standin_assets)), ('DEVICE', 'cpu'),
                                               ('TEST.COCO_ANNOTATIONS', str(tmp_path / 'coco.json')),
                                               ('TEST.COCO_IMAGES', str(tmp_path / 'images')), found,
                                               ('DATA.BOX_ASPECT', 4 / 3)) for part in pair])
    detected = CocoKeypoints(cfg)
    assert np.allclose(200 * detected.crop_squares([0, 1])[1], [1.25 * 36, 1.25 * 60])
    convert_coco(tmp_path / 'images', tmp_path / 'coco.json', tmp_path / 'out.npz', progress=False)
    assert np.allclose(Annotations.load(tmp_path / 'out.npz').bbox_size, [[60, 50]])


@pytest.mark.parametrize('regressor, factor', [('hmr', 1.25), ('hmr2', 1.0), ('cliff', 1.1)])
def test_coco_crops_have_the_regressors_margin(tmp_path, standin_assets, monkeypatch, regressor, factor):
    """CLIFF: 1.1 x max(4/3 w, h); HMR2.0: the box itself; others: 1.25 x, as HRNet's evaluation."""
    write_coco(tmp_path, [person(1, 1, 1)])
    (tmp_path / 'found.json').write_text(json.dumps([
        {'image_id': 1, 'category_id': 1, 'bbox': [10, 20, 27, 30], 'score': 0.9}]))
    cfg = load_config(f'{regressor}.yaml', [
        'PATHS.DATA_DIR', str(standin_assets), 'DEVICE', 'cpu', 'TEST.COCO_ANNOTATIONS', str(tmp_path / 'coco.json'),
        'TEST.COCO_IMAGES', str(tmp_path / 'images'), 'TEST.COCO_DETECTIONS', str(tmp_path / 'found.json')])
    asked = []

    def stop(cfg, checkpoint, device):
        raise KeyboardInterrupt
    monkeypatch.setattr('core.evaluation.coco_evaluator.load_regressor', stop)
    monkeypatch.setattr('core.evaluation.coco_evaluator.CocoKeypoints',
                        lambda *given: asked.append(CocoKeypoints(*given)) or asked[0])
    with pytest.raises(KeyboardInterrupt):
        run_coco(cfg, tmp_path / 'x.pt')
    side = 30 if regressor == 'hmr' else max(4 / 3 * 27, 30)
    assert 200 * asked[0].crop_squares([0])[1][0] == pytest.approx(factor * side)


def test_a_box_without_shape_stays_without(folder):
    """`replace` of another field keeps bbox_size None."""
    someone = Annotations.blank(['a'], [[5, 5]], [1], bbox_size=np.array([[0.0, 3.0]])).person(0)
    assert someone.bbox_size is None and replace(someone, scale=2).bbox_size is None

"""DensePose-COCO in training: points under augmentation, and their losses in both of DaNet's stages."""
import json

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import default_collate

from core.config import load_config
from core.training.trainer import Trainer
from datasets.annotations import Annotations
from datasets.dense_points import SYMMETRY_FILE
from datasets.image_dataset import ImageDataset
from datasets.preprocess.dp_coco import convert_dp_coco
from models.body import BodyModel
from models.targets import Targets
from tests.test_danet import training_config
from tests.tiny_data import write_tiny_dataset
from utils.geometry import project
from utils.iuv import IUVRenderer
from utils.safe_io import save_mat


def write_dense_dataset(assets):
    """A dp_coco file of 8 noise pictures without bodies, converted from DensePose's JSON, and symmetry tables."""
    rng = np.random.default_rng(0)
    pictures = assets / 'datasets/coco/train2014'
    pictures.mkdir(parents=True)
    segment = coco_mask.encode(np.asfortranarray(np.ones((256, 256), np.uint8)))
    people = []
    for number in range(8):
        cv2.imwrite(str(pictures / f'{number}.jpg'), rng.integers(0, 255, (96, 96, 3), dtype=np.uint8))
        keypoints = np.column_stack([rng.uniform(20, 70, (17, 2)), np.full(17, 2)])
        people.append({'id': number, 'image_id': number, 'bbox': [10, 10, 70, 70],
                       'keypoints': keypoints.ravel().tolist(), 'dp_x': rng.uniform(0, 255, 50).tolist(),
                       'dp_y': rng.uniform(0, 255, 50).tolist(), 'dp_I': rng.integers(1, 25, 50).tolist(),
                       'dp_U': rng.uniform(0, 1, 50).tolist(), 'dp_V': rng.uniform(0, 1, 50).tolist(),
                       'dp_masks': [{'size': segment['size'], 'counts': segment['counts'].decode()}, *[[]] * 13]})
    content = {'images': [{'id': n, 'file_name': f'{n}.jpg'} for n in range(8)], 'annotations': people}
    (assets / 'dense.json').write_text(json.dumps(content))
    convert_dp_coco(pictures, assets / 'dense.json', assets / 'dataset_extras/dp_coco_2014_train.npz', 'train2014',
                    progress=False)
    cells = {f'{axis}_transforms': np.empty((1, 24), object) for axis in 'UV'}
    for tables in cells.values():
        tables[0] = [np.full((256, 256), .5)] * 24
    save_mat(assets / SYMMETRY_FILE, cells)


def test_dense_points_supervise_both_stages(standin_assets, tmp_path, without_panels):
    """With dp_coco and a dataset without points in the mixture, both stages have point losses. Where rows have no body,
    the point losses alone train the dense prediction."""
    write_tiny_dataset(standin_assets, 'danet', 'train')
    write_tiny_dataset(standin_assets, 'danet', 'val', count=4, seed=1)
    write_dense_dataset(standin_assets)
    trainer = Trainer(training_config(standin_assets, tmp_path, 'DATA.MIXTURE', ['danet:0.5', 'dp_coco:0.5'],
                                      'DATA.EPOCH_LENGTH', 8))
    trainer.fit()
    logged = EventAccumulator(str(tmp_path / 'run' / 'tensorboard')).Reload()
    for name in ('index', 'u', 'v', 'segment'):
        values = [event.value for event in logged.Scalars(f'losses/points_{name}')]
        assert len(values) == 2 and np.isfinite(values).all() and max(values) > 0
    dataset = ImageDataset(trainer.cfg, 'dp_coco')
    batch = default_collate([dataset[0, i] for i in range(4)])
    assert batch['dense_points'].shape == (4, 196, 5) and not batch['has_smpl'].any()
    regressor = trainer.regressor.cpu().train()
    losses = regressor.auxiliary_losses(regressor(batch['img']), Targets.of_batch(
        batch, regressor.body.cpu(), trainer.iuv_renderer))
    assert losses['iuv_index'] == losses['part_iuv_index'] == 0 and losses['points_index'] > 0
    regressor.zero_grad()
    losses['points_index'].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in regressor.estimator.global_head.parameters())


def test_dense_points_stay_on_the_body_under_augmentation(free_assets, tmp_path):
    """Points come from the rendered IUV of bodies. Mirrored and rotated with the picture, they agree with the rendered
    IUV of the mirrored and rotated body."""
    cfg = load_config('free/danet_quick.yaml', [
        'PATHS.DATA_DIR', str(free_assets), 'IUV.SIZE', 112, 'DATA.IMG_RES', 112, 'DATA.ROT_FACTOR', 30.0,
        'DATA.ROT_PROB', 1.0, 'DATA.SCALE_FACTOR', 0.0, 'PATHS.IMAGE_DIRS', [f'people={tmp_path}']])
    body = BodyModel(free_assets)
    renderer = IUVRenderer(free_assets / 'UV_data/UV_Processed.mat', size=112)
    write_bodies(body, tmp_path, 4)
    plain = Annotations.load(tmp_path / 'people.npz')
    iuv = iuv_of(ImageDataset(cfg, str(tmp_path / 'people.npz'), 'eval'), [0, 1, 2, 3], body, renderer)
    plain.extra = dense_labels_of(plain, iuv)
    plain.save(tmp_path / 'people.npz')
    dataset = ImageDataset(cfg, str(tmp_path / 'people.npz'))
    samples = [dataset[epoch, row] for epoch in range(3) for row in range(4)]
    assert {bool(sample['is_flipped']) for sample in samples} == {True, False}
    assert all(sample['rot_angle'] != 0 for sample in samples)
    shown = iuv_of(samples, range(12), body, renderer)
    right, error = [], []
    for sample, picture in zip(samples, shown):
        points = sample['dense_points'].numpy()
        points = points[points[:, 2] > 0]
        assert len(points) > 50
        column, row = ((points[:, :2] + 1) * 56).astype(int).T
        there = picture[:, row.clip(0, 111), column.clip(0, 111)]
        same = np.round(there[0] * 24) == points[:, 2]
        right.append(same.mean())
        error.append(np.abs(there[1:].T - points[:, 3:])[same].mean())
    # The rest lie at the seams of charts.
    assert np.min(right) > .8 and np.mean(right) > .9 and np.mean(error) < .03


def write_bodies(body, folder, count):
    """Write people.npz: random upright bodies in the middle of grey pictures, with exact keypoints."""
    rng = np.random.default_rng(3)
    pose = rng.normal(0, .15, (count, 72)).astype(np.float32)
    pose[:, :3] = [[np.pi, 0, 0]] * count
    pose[:, :3] += rng.normal(0, .3, (count, 3))
    with torch.no_grad():
        flat = project(body(torch.zeros(count, 10), pose=torch.from_numpy(pose)).joints,
                       torch.tensor([[.8, 0, .2]]).expand(count, -1)).numpy()
    keypoints = np.concatenate([(flat + 1) * 100, np.ones((count, 49, 1))], -1).astype(np.float32)
    for number in range(count):
        cv2.imwrite(str(folder / f'{number}.jpg'), np.full((200, 200, 3), 128, np.uint8))
    Annotations.blank([f'{n}.jpg' for n in range(count)], np.full((count, 2), 100.), np.ones(count),
                      keypoints_2d=keypoints, pose=pose, has_smpl=np.ones(count, bool),
                      body_digest=body.digest).save(folder / 'people.npz')


def iuv_of(dataset, rows, body, renderer):
    """IUV images [N,3,112,112] of the labelled bodies of samples."""
    return Targets.of_batch(default_collate([dataset[row] for row in rows]), body, renderer).iuv.numpy()


def dense_labels_of(people, iuv):
    """Dense entries of an annotation file, with points at pixels of IUV images [N,3,112,112] of its boxes."""
    rng = np.random.default_rng(0)
    points = np.zeros((len(people), 196, 5), np.float32)
    for row, picture in enumerate(iuv):
        places = rng.permutation(np.argwhere(picture[0] > 0))[:150]
        labels = picture[:, places[:, 0], places[:, 1]].T
        points[row, :150, :2] = (places[:, ::-1] + .5) * 200 / 112
        points[row, :150, 2:] = np.column_stack([np.round(labels[:, 0] * 24), labels[:, 1:]])
    return {'dense_points': points, 'dense_segments': np.zeros((len(people), 64, 64), np.uint8),
            'dense_box': np.tile(np.float32([0, 0, 200, 200]), (len(people), 1))}

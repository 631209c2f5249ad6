"""eval.py's result file: its joints, projected with its camera, are where the network sees them."""
import numpy as np
import pytest
import torch

from core.config import load_config
from core.evaluation.evaluator import Evaluator
from core.evaluation.results import ResultWriter
from datasets.image_dataset import ImageDataset
from models import build_regressor
from tests.tiny_data import write_tiny_dataset
from utils.geometry import project
from utils.safe_io import load_npz

SMALL = {'hmr': ['MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.HMR.HIDDEN', 32],
         'cliff': ['MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.CLIFF.HIDDEN', 32],
         'hmr2': ['MODEL.BACKBONE.NAME', 'vit_t', 'MODEL.HMR2.DEPTH', 1, 'MODEL.HMR2.SMALL_START', True]}


@pytest.fixture(scope='module')
def assets(standin_assets):
    """People with boxes off the middle. One row has a focal length, and two have a camera matrix."""
    path = write_tiny_dataset(standin_assets, 'placed', 'val', count=4)
    arrays = dict(np.load(path))
    arrays['center'] = np.array([[48.0, 48.0], [20.0, 60.0], [80.0, 30.0], [60.0, 50.0]])
    arrays['scale'] = np.array([0.4, 0.3, 0.25, 0.5])
    matrix = np.array([[150.0, 0, 40], [0, 150, 55], [0, 0, 1]])
    np.savez(path, **arrays, focal=[0, 200.0, 0, 0], cam_K=[np.zeros((3, 3)), np.zeros((3, 3)), matrix, matrix])
    return standin_assets


@pytest.mark.parametrize('name, frame, tolerance', [('cliff', 'picture', 0.002), ('hmr', 'crop', 0.06),
                                                    ('hmr', 'picture', 0.06), ('hmr2', 'picture', 0.06)])
def test_written_joints_are_seen_where_the_network_sees_them(assets, tmp_path, name, frame, tolerance):
    """Tolerances are in box sides. CLIFF's camera is the picture's. Others have a distant camera of the crop, which
    shows less perspective than a near body has."""
    cfg = load_config(f'{name}.yaml', ['PATHS.DATA_DIR', str(assets), 'MODEL.CAMERA', frame, 'DATA.IMG_RES', 64,
                                       'DEVICE', 'cpu', 'TRAIN.NUM_WORKERS', 0, 'TEST.BATCH_SIZE', 3, *SMALL[name]])
    torch.manual_seed(0)
    network, dataset = build_regressor(cfg), ImageDataset(cfg, 'placed', 'val')
    evaluator, pixels = Evaluator(cfg, network.body), []

    def see(observed):
        final, batch = observed.out.final, observed.batch
        flat = project(observed.joints, final.camera, final.full_camera)
        pixels.append(batch['center'][:, None] + flat * 100 * batch['scale'][:, None, None])
    writer = ResultWriter(tmp_path / 'out.npz', len(dataset), dataset.source.images)
    evaluator.evaluate(network, dataset, 'placed', torch.device('cpu'), progress=False, observers=[writer, see])
    writer.save()
    stored, seen = load_npz(tmp_path / 'out.npz'), torch.cat(pixels).numpy()
    assert np.allclose(stored['focal_length'], [np.hypot(96, 96), 200, 150, 150])
    assert np.allclose(stored['camera_center'], [[48, 48], [48, 48], [40, 55], [40, 55]], atol=1e-4)
    points = stored['pred_joints'] + stored['translation'][:, None]
    drawn = stored['focal_length'][:, None, None] * points[..., :2] / points[..., 2:] + stored['camera_center'][:, None]
    off = np.linalg.norm(drawn - seen, axis=-1).mean(1) / (200 * dataset.annotations.scale)
    assert (points[..., 2] > 0).all() and off.max() < tolerance, off

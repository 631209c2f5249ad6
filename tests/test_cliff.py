"""CLIFF: the published module's numbers and names, its files, training, fits, ONNX."""
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import load_config
from core.evaluation.options import parse_pose_options
from core.export import onnx as onnx_export
from core.training.fitting import FitsInTheLoop
from core.training.trainer import Trainer
from datasets.annotations import Annotations
from datasets.framing import framed
from datasets.sample import NO_AUGMENTATION
from models import build_regressor
from models.output import RegressorOutput, Stage
from models.weights import checkpoint_regressor, load_weights, published_config
from tests.reference.compare import published_weights, relative_error
from tests.reference.standin import seeded_weights, smooth_image
from tests.tiny_data import write_tiny_dataset
from utils.errors import BadConfig, BadFile
from utils.full_camera import FullCamera
from utils.geometry import axis_angle_to_rotmat

SHARED = Path(__file__).resolve().parents[2] / 'shared' / 'reference'
# Sorted lines 'name [shape]' of the published modules' state dicts (models/cliff_res50, models/cliff_hr48), hashed.
ENTRIES = {'resnet50': (331, 'beffd0273ec1c398a2ef7d77c50649081d4d196cd7c42da3c7dcddc4a8a29903'),
           'hrnet_w48_cls': (1967, 'befd754766c7a470161ef18fdbbdd86efc4731a02ab0dea1986fd196971cd620')}
# Output of the published HRNet-W48 module in float32, with weights, mean parameters and images as in tests/reference:
# the cameras, and for the first picture the betas and every 256th feature.
BBOX_INFO = torch.tensor([[0.31, -0.12, 0.85], [-0.55, 0.2, -0.4]])
HR48 = {
    'camera': [[10874.8555, -2213.6147, -13787.6992],
               [10276.4727, -2187.1841, -12841.2598]],
    'betas': [-11978.6133, -2453.0249, 10883.166, 1183.2134, 10727.3105, 3102.7371, 18172.7148, 13345.8203, 15964.9062,
              -15668.4023],
    'features': [35.8442, 0.0, 3008.8499, 1105.7957, 0.0, 0.0, 614.6027, 9690.8076]}


def build(assets, *overrides):
    return build_regressor(load_config('cliff.yaml', ['PATHS.DATA_DIR', str(assets), *overrides])).eval()


def published_state(network):
    """(shapes, state dict) of our network's entries under the published names, with values seeded by the names."""
    shapes = {name.replace('backbone.', 'encoder.').removeprefix('head.'): list(value.shape)
              for name, value in network.state_dict().items() if not name.startswith(('body.', 'mean.'))}
    shapes.update(init_pose=[1, 144], init_shape=[1, 10], init_cam=[1, 3])
    drawn = seeded_weights({name: shape for name, shape in shapes.items() if not name.startswith('init_')})
    return shapes, {name: torch.from_numpy(np.asarray(value)) for name, value in drawn.items()}


@pytest.mark.parametrize('backbone', ENTRIES)
def test_entries_are_the_published_modules(standin_assets, tmp_path, backbone):
    network = build(standin_assets, 'MODEL.BACKBONE.NAME', backbone)
    shapes, state = published_state(network)
    lines = '\n'.join(f'{name} {shape}' for name, shape in sorted(shapes.items()))
    assert (len(shapes), hashlib.sha256(lines.encode()).hexdigest()) == ENTRIES[backbone]
    torch.save({'model': {f'module.{name}': value for name, value in state.items()}}, tmp_path / 'x.pt')
    report = load_weights(network, tmp_path / 'x.pt')
    assert report.source == 'cliff' and not report.missing and not report.unexpected
    assert checkpoint_regressor(tmp_path / 'x.pt') == ('cliff', None)
    assert published_config(tmp_path / 'x.pt')['MODEL.BACKBONE.NAME'] == backbone
    if backbone == 'hrnet_w48_cls':
        with torch.no_grad():
            images = smooth_image(1, res=256)
            final = network(images, BBOX_INFO).final
            features = network.backbone(images[:1, ..., 32:224]).mean((2, 3))
        for name, value in (('camera', final.camera), ('betas', final.betas[0]), ('features', features[0, ::256])):
            assert relative_error(value, np.array(HR48[name], np.float32)) < 1e-4, name


@pytest.mark.skipif(not SHARED.exists(), reason='../shared is not here')
def test_resnet50_gives_the_published_numbers(standin_assets):
    network = build(standin_assets)
    shapes = json.loads((SHARED / 'keys/cliff_res50_keys.json').read_text())
    drawn = seeded_weights({name: shape for name, shape in shapes.items() if not name.startswith('init_')})
    report = load_weights(network, {'model': {name: torch.from_numpy(np.asarray(v)) for name, v in drawn.items()}})
    assert report.source == 'cliff' and not report.missing and not report.unexpected
    with np.load(SHARED / 'cliff_res50.npz') as file:
        wanted = dict(file)
    with torch.no_grad():
        final = network(smooth_image(1, res=256), torch.from_numpy(wanted['bbox_info'])).final
    for name in ('rotmat', 'betas', 'camera'):
        assert relative_error(getattr(final, name), wanted[name]) < 1e-4, name


def test_mmhuman3ds_layout_is_told_from_hmrs_by_what_fc1_reads(standin_assets):
    """mmhuman3d's HMR has the same names; CLIFF's fc1 reads three more numbers."""
    spin = published_weights('spin_hmr', ('init_',))
    state = {('head.' if key.startswith(('fc', 'dec')) else 'backbone.') + key: value for key, value in spin.items()}
    state.update({'body_model_train.betas': torch.zeros(1, 10), 'head.init_pose': torch.zeros(1, 144)})
    cliff = build(standin_assets)
    hmr = build_regressor(load_config('hmr.yaml', ['PATHS.DATA_DIR', str(standin_assets)]))
    assert load_weights(hmr, {'meta': {}, 'state_dict': state}).source == 'mmhuman3d'
    wider = {**state, 'head.fc1.weight': torch.rand(1024, 2208)}
    report = load_weights(cliff, {'meta': {}, 'state_dict': wider})
    assert report.source == 'cliff' and not report.missing and not report.unexpected
    assert torch.equal(cliff.head.fc1.weight, wider['head.fc1.weight'])
    with pytest.raises(BadFile, match='a checkpoint of CLIFF, not of HMR; use --regressor cliff'):
        load_weights(hmr, {'meta': {}, 'state_dict': wider})
    with pytest.raises(BadFile, match='not of CLIFF; use --regressor hmr'):
        load_weights(cliff, {'meta': {}, 'state_dict': state})


def test_mmhuman3ds_weights_see_its_crops(standin_assets, tmp_path):
    """mmhuman3d makes the box a square of side max(w, h). MeshAffine shows that side in the 192 columns, so 4/3 of it
    in the 256 rows. GetBboxInfo and cam_crop2full use the side itself."""
    state = {f'{"head" if name.startswith(("fc", "dec")) else "backbone"}.{name}': torch.zeros(2, 2)
             for name in ('conv1.weight', 'fc1.bias', 'deccam.weight')}
    torch.save({'state_dict': {**state, 'head.fc1.weight': torch.zeros(1024, 2208)}}, tmp_path / 'x.pth')
    for options in ([], ['--cfg_file', 'cliff.yaml']):
        cfg = parse_pose_options(['--checkpoint', str(tmp_path / 'x.pth'), *options, '--misc', 'PATHS.DATA_DIR',
                                  str(standin_assets), 'MODEL.BACKBONE.NAME', 'resnet18'])[0]
        person = Annotations.blank(['a'], [[300, 200]], [0.5], bbox_size=np.array([[80.0, 100.0]])).person(0)
        assert 200 * framed(person, NO_AUGMENTATION, cfg.DATA.BOX_ASPECT, margin=cfg.DATA.BOX_MARGIN).scale == (
            pytest.approx(100 * 256 / 192))
    torch.manual_seed(0)
    network = build_regressor(cfg).eval()
    plain = build(standin_assets, 'MODEL.BACKBONE.NAME', 'resnet18')
    plain.load_state_dict(network.state_dict())
    width, height, center, side = 640.0, 480.0, (300.0, 200.0), 100.0
    focal = (width ** 2 + height ** 2) ** 0.5

    def told(side):
        return torch.tensor([[(center[0] - width / 2) / focal * 2.8, (center[1] - height / 2) / focal * 2.8,
                              (side - 0.24 * focal) / (0.06 * focal)]])
    images = smooth_image(1, res=256)[:1]
    with torch.no_grad():
        final, raw = network(images, told(side * 4 / 3)).final, plain(images, told(side)).final
        scale, x, y = raw.camera[0].tolist()
        depth = 2 * focal / (side * scale + 1e-9)
        middle = [x + 2 * (center[0] - width / 2) / (side * scale), y + 2 * (center[1] - height / 2) / (side * scale)]
        points = raw.joints[0] + torch.tensor([*middle, depth])
    wanted = focal * points[:, :2] / points[:, 2:] + torch.tensor([width / 2, height / 2])
    seen = torch.tensor(center) + final.keypoints_2d[0] * side * 4 / 3 / 2
    assert relative_error(final.rotmat, raw.rotmat.numpy()) < 1e-5 and relative_error(seen, wanted.numpy()) < 1e-4
    assert network.box_margin == pytest.approx(1.6) and network.box_aspect == 1 and plain.box_margin == 1.1


def test_it_estimates_in_the_pictures_camera_alone(standin_assets):
    with pytest.raises(BadConfig, match="MODEL.CAMERA is 'crop', but CLIFF estimates in picture"):
        build(standin_assets, 'MODEL.CAMERA', 'crop')


def test_columns_that_are_not_read_change_nothing(standin_assets):
    network = build(standin_assets, 'MODEL.BACKBONE.NAME', 'resnet18')
    images = torch.randn(2, 3, 256, 256)
    other = images.clone()
    other[..., :32], other[..., 224:] = 5.0, -5.0
    with torch.no_grad():
        outs = [network(values, BBOX_INFO).final for values in (images, other)]
        moved = network(images, BBOX_INFO + torch.tensor([0.3, 0, 0])).final
    assert torch.equal(outs[0].rotmat, outs[1].rotmat) and torch.equal(outs[0].keypoints_2d, outs[1].keypoints_2d)
    assert not torch.equal(outs[0].rotmat, moved.rotmat)


def tiny_run(assets, folder, *overrides):
    return Trainer(load_config('free/cliff_quick.yaml', [
        'PATHS.DATA_DIR', str(assets), 'LOG_DIR', str(folder), 'NAME', 'run', 'DEVICE', 'cpu', 'DATA.IMG_RES', 64,
        'MODEL.CLIFF.HIDDEN', 32, 'DATA.MIXTURE', ['tiny:1'], 'DATA.EVAL_DATASET', 'tiny', 'TRAIN.BATCH_SIZE', 4,
        'TRAIN.NUM_EPOCHS', 1, 'TRAIN.NUM_WORKERS', 0, *overrides]))


@pytest.fixture(scope='module')
def assets(standin_assets):
    write_tiny_dataset(standin_assets, 'tiny', 'train', with_body=[0, 1] * 6)
    write_tiny_dataset(standin_assets, 'tiny', 'val', count=6, seed=1)
    return standin_assets


@pytest.mark.parametrize('overrides', [[], ['DATA.OCCLUDERS', 'shapes'],
                                       ['SMPLIFY.RUN', True, 'SMPLIFY.NUM_ITERS', 3, 'SMPLIFY.THRESHOLD', 1e9]])
def test_it_trains(assets, tmp_path, overrides):
    evaluation = tiny_run(assets, tmp_path, *overrides).fit()
    assert torch.isfinite(evaluation.errors['mpjpe']).all()


def test_fits_are_turned_for_a_network_that_knows_its_camera_and_for_no_other(assets):
    """A stored fit is relative to the crop's ray. Where the ray turns 30 degrees, so does the target's orientation."""
    cfg = load_config(None, ['PATHS.DATA_DIR', str(assets), 'SMPLIFY.USE_FITS', True])
    body = build(assets, 'MODEL.BACKBONE.NAME', 'resnet18').body

    class Rows:
        name, annotations = 'tiny', range(2)
    loop = FitsInTheLoop(cfg, body, [Rows])
    loop.store.put(torch.zeros(2, dtype=torch.long), torch.arange(2), torch.zeros(2, 82), torch.zeros(2))
    batch = {'keypoints': torch.ones(2, 49, 3), 'pose': torch.zeros(2, 72), 'betas': torch.zeros(2, 10),
             'has_smpl': torch.zeros(2, dtype=torch.bool), 'smpl_keypoints_2d': torch.zeros(2, 24, 3),
             'joints_3d': torch.zeros(2, 24, 4), 'has_joints_3d': torch.zeros(2, dtype=torch.bool),
             'dataset_index': torch.zeros(2, dtype=torch.long), 'sample_index': torch.arange(2),
             'rot_angle': torch.zeros(2), 'is_flipped': torch.zeros(2, dtype=torch.bool)}
    camera = FullCamera(torch.tensor([5.0, 5.0]), torch.tensor([[5 * np.tan(np.pi / 6), 0], [0, 0]]).float())
    parts = (torch.eye(3).expand(2, 24, 3, 3), torch.zeros(2, 10), torch.tensor([[.9, 0, 0]]).expand(2, 3), body)
    known, unknown = (loop.targets(batch, RegressorOutput([Stage(*parts, full_camera=given)]))
                      for given in (camera, None))
    assert torch.equal(unknown.pose, torch.zeros(2, 72)) and unknown.full_camera is None
    assert torch.allclose(known.pose[0, :3], torch.tensor([0, np.pi / 6, 0]).float(), atol=1e-5)
    assert torch.allclose(known.pose[1], torch.zeros(72), atol=1e-6)
    assert torch.equal(known.pose[:, 3:], unknown.pose[:, 3:])
    # Straight ahead of the crop's camera is along the ray.
    ray = axis_angle_to_rotmat(known.pose[:1, :3])[0] @ torch.tensor([0, 0, 1.0])
    assert torch.allclose(ray.flatten(), torch.tensor([np.sin(np.pi / 6), 0, np.cos(np.pi / 6)]).float(), atol=1e-5)


def test_onnx_takes_the_box_and_projects_by_the_pictures_camera(standin_assets, tmp_path):
    pytest.importorskip('onnxruntime')
    torch.manual_seed(0)
    network = build(standin_assets, 'MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.CLIFF.HIDDEN', 32)
    path, images = tmp_path / 'network.onnx', torch.rand(2, 3, 64, 64)
    gaps = onnx_export.export(network, path, [images, BBOX_INFO])
    file = onnx_export.OnnxRegressor(path, network.body)
    assert max(gaps.values()) < 1e-4 and file.inputs == ('bbox_info',)
    images, boxes = torch.rand(3, 3, 64, 64), torch.rand(3, 3)
    with torch.no_grad():
        wanted = network(images, boxes).final
    found = file(images, boxes).final
    assert torch.allclose(found.keypoints_2d, wanted.keypoints_2d, atol=1e-4)
    # The demo draws the body with the picture's camera.
    torch.testing.assert_close(found.full_camera.focal, wanted.full_camera.focal)
    torch.testing.assert_close(found.full_camera.offset, wanted.full_camera.offset)

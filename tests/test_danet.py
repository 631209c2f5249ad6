"""DaNet: the published values, its graphs and crops, two training stages, losses, and the global-only ablation."""
import pickle

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from core.config import load_config
from core.training.supervision import all_losses
from core.training.trainer import Trainer
from models import build_regressor
from models.backbones import build_backbone
from models.backbones.pretrained import load_pretrained_backbone
from models.body import BodyModel
from models.danet.aggregation import clean_maps, drop_parts
from models.danet.graph import LearnedGraph, ancestor_graph, near_links, neighbour_graph
from models.danet.iuv_estimator import JointHead, PartPrediction
from models.danet.losses import part_iuv_losses
from models.danet.part_crops import RATIO_FILE, PartCrops, crop, expected_positions, rest_pose_ratios
from models.danet.parts import COVER_PARTS, CROP_PARTS, NUM_JOINTS, body_to_crop_parts, crop_to_body_parts
from models.targets import Targets
from models.weights import load_weights
from tests.reference.compare import load, published_weights, relative_error
from tests.reference.standin import smooth_image
from tests.tiny_data import write_tiny_dataset
from utils.assets import Assets
from utils.errors import BadFile
from utils.iuv_maps import part_labels

FROM_ASSETS = ('.smpl.', 'learned_', 'mean_', '.A', 'I_n', 'r2p_A', 'p2r_A')


@pytest.fixture(scope='module')
def published(standin_assets):
    wanted = load('danet')
    weights = published_weights('danet', FROM_ASSETS)
    weights.update({f'img2iuv.learned_{n}': torch.from_numpy(wanted[f'learned_{n}']) for n in ('ratio', 'offset')})
    regressor = build_regressor(load_config('danet.yaml', ['PATHS.DATA_DIR', str(standin_assets)])).eval()
    report = load_weights(regressor, {'model': weights})
    assert report.source == 'danet' and not report.missing and not report.unexpected
    with torch.no_grad():
        return regressor(torch.sigmoid(smooth_image(1))), wanted


def test_published_dense_prediction(published):
    """The stored maps keep only the likeliest part of each pixel."""
    out, wanted = published
    u, v, index = clean_maps(out.iuv.index, out.iuv.u, out.iuv.v).chunk(3, dim=1)
    segment = torch.nn.functional.one_hot(out.iuv.part.argmax(1), 15).movedim(-1, 1).float()
    for name, value in {'iuv_u': u, 'iuv_v': v, 'iuv_index': index, 'iuv_ann': segment}.items():
        assert relative_error(value[:, :, ::7, ::7], wanted[name]) < 1e-4, name
    assert relative_error(out.extras['parts'].iuv[..., ::14, ::14], wanted['part_iuv']) < 1e-3


def test_published_parameters(published):
    out, wanted = published
    final = out.final
    para = torch.cat([final.camera, final.betas, final.rotmat.flatten(1)], dim=1)
    assert relative_error(para, wanted['para']) < 1e-3
    assert relative_error(final.rotmat.flatten(1), wanted['para'][:, 13:]) < 1e-3


# The network's parts

def test_crops_are_cut_where_the_transform_says():
    """A crop of half the size around (0.5, 0). [-1, 1] spans the centres of the first and the last pixel."""
    line = torch.linspace(-1, 1, 41)
    maps = torch.stack(torch.meshgrid(line, line, indexing='ij')[::-1])[None]  # channels hold x and y
    transforms = torch.tensor([[0.5, 0, 0.5], [0, 0.5, 0]]).expand(1, NUM_JOINTS, 2, 3)
    cut = crop(maps, transforms, 11)
    assert cut.shape == (1, NUM_JOINTS, 2, 11, 11)
    wanted = torch.linspace(0, 1, 11)
    assert torch.allclose(cut[0, 7, 0, 3], wanted, atol=1e-6)
    assert torch.allclose(cut[0, 7, 1, :, 3], wanted - 0.5, atol=1e-6)


def test_expected_position_is_the_peak():
    heatmaps = torch.zeros(1, 2, 8, 8)
    heatmaps[0, 0, 2, 5], heatmaps[0, 1, 4, 4] = 50, 50
    assert torch.allclose(expected_positions(heatmaps), torch.tensor([[[0.25, -0.5], [0, 0]]]), atol=1e-5)


def test_a_hidden_joint_gets_a_large_crop(standin_assets):
    crops = quick(standin_assets).estimator.crops.eval()
    centers = torch.rand(1, NUM_JOINTS, 2) * 0.5
    centers[0, 0], centers[0, 1] = torch.tensor([-0.4, -0.8]), torch.tensor([-0.4, 0.8])
    shown = torch.full((1, 32, 32), 15)  # one part everywhere: it covers the left arm only
    half = crops(centers, shown)[0, :, 0, 0]
    covered = torch.tensor([15 in parts for parts in COVER_PARTS])
    covered[0] = True  # the root counts as seen
    assert torch.allclose(half[~covered], torch.tensor(0.64)) and not (half[covered] == 0.64).any()


def test_graphs_follow_the_tree():
    ancestors, neighbours = ancestor_graph(), neighbour_graph()
    assert not ancestors[0].any() and torch.allclose(ancestors[1:].sum(1), torch.ones(23))
    assert ancestors[22].nonzero().flatten().tolist() == [0, 3, 6, 9, 13, 16, 18, 20]
    assert neighbours[9].nonzero().flatten().tolist() == [6, 9, 12, 13, 14]
    links = near_links()
    assert (links == links.T).all() and not links.diagonal().any()
    assert links[4].nonzero().flatten().tolist() == [0, 1, 7, 10]


def test_learned_graph_is_normalized():
    graph = LearnedGraph()
    with torch.no_grad():
        graph.edge_weight.uniform_()
        graph.edge_weight.copy_((graph.edge_weight + graph.edge_weight.transpose(1, 2)) / 2)
        values = torch.linalg.eigvalsh(graph())
    assert values.max().item() == pytest.approx(1, abs=1e-5)


def test_dropped_parts_leave_nothing():
    index, u, v = torch.randn(2, 25, 6, 6), torch.rand(2, 25, 6, 6), torch.rand(2, 25, 6, 6)
    maps = clean_maps(index, u, v)
    dropped = torch.zeros(2, 25, dtype=torch.bool)
    dropped[1, [3, 7]] = True
    kept = drop_parts(maps, dropped, torch.arange(25)).unflatten(1, (3, 25))
    assert (kept[0] == maps[0].unflatten(0, (3, 25))).all()
    assert not kept[1][:, [3, 7]].any()
    others = [i for i in range(25) if i not in (3, 7)]
    assert (kept[1][:, others] == maps[1].unflatten(0, (3, 25))[:, others]).all()


def test_crop_channels_and_parts_agree():
    """Mapping a part of a crop to its channel and back gives the same part."""
    there, back = crop_to_body_parts(), body_to_crop_parts()
    for joint in range(NUM_JOINTS):
        parts = there[joint].unique()
        assert (there[joint][back[joint, parts]] == parts).all()
        assert (back[joint, [p for p in range(25) if p not in parts]] == 0).all()


def test_ratios_come_from_the_file_or_from_the_body(free_assets, tmp_path):
    ratio, offset = rest_pose_ratios(BodyModel(free_assets))
    published = load('danet')
    limbs = [1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21]
    bone = 0.3
    assert np.allclose((ratio * bone + offset)[limbs], (
        published['learned_ratio'] * bone + published['learned_offset'])[limbs], atol=0.1)
    (tmp_path / 'pretrained_model').mkdir()
    path = tmp_path / RATIO_FILE
    path.write_bytes(pickle.dumps({'ratio': np.arange(24, dtype=np.float32), 'offset': np.zeros(24, np.float32)}))
    crops = PartCrops(Assets(tmp_path, False), None, load_config('danet.yaml').MODEL.DANET)
    assert crops.ratio.tolist() == list(range(24))
    path.write_bytes(pickle.dumps({'ratio': np.zeros(23)}))
    with pytest.raises(BadFile, match=r'ratio has shape \[23\]'):
        PartCrops(Assets(tmp_path, False), None, load_config('danet.yaml').MODEL.DANET)


def test_hrnet_takes_published_image_weights(tmp_path):
    """Entries that the network lacks (classifier, other resolutions) are ignored; a missing entry is an error."""
    backbone = build_backbone('hrnet_w18')
    assert backbone(torch.randn(1, 3, 64, 64)).shape == (1, 18, 16, 16)
    state = {name: torch.full_like(value, 2) for name, value in backbone.state_dict().items()}
    torch.save({**state, 'classifier.weight': torch.zeros(1000, 2048),
                'stage4.2.fuse_layers.1.0.0.0.weight': torch.zeros(36, 18, 3, 3)}, tmp_path / 'full.pth')
    load_pretrained_backbone(backbone, str(tmp_path / 'full.pth'), tmp_path)
    assert all((value == 2).all() for value in backbone.state_dict().values())
    del state['stage3.1.branches.0.0.conv1.weight']
    torch.save(state, tmp_path / 'short.pth')
    with pytest.raises(BadFile, match='hrnet_w18: stage3.1'):
        load_pretrained_backbone(backbone, str(tmp_path / 'short.pth'), tmp_path)


# Training

def quick(assets, *overrides):
    """The quick network on smaller pictures."""
    torch.manual_seed(0)
    return build_regressor(load_config('free/danet_quick.yaml', [
        'PATHS.DATA_DIR', str(assets), 'DATA.IMG_RES', 64, 'IUV.SIZE', 16, 'TRAIN.PRETR_STEP', 10, *overrides]))


class PaintedIUV:
    """Replaces the IUV renderer: always the same picture, with two parts side by side."""

    def __call__(self, vertices, camera, full_camera=None):
        image = torch.zeros(len(vertices), 3, 16, 16)
        image[:, 0, 4:12, 4:8], image[:, 0, 4:12, 8:12] = 1 / 24, 15 / 24
        image[:, 1:] = (image[:, :1] > 0) * 0.5
        return image


def targets_for(regressor, count, valid=True):
    torch.manual_seed(1)
    keypoints = torch.rand(count, 49, 3)
    keypoints[..., 2] = 1
    return Targets(keypoints, torch.rand(count, 24, 3), torch.rand(count, 24, 4), torch.ones(count),
                   torch.randn(count, 72) * 0.2, torch.zeros(count, 10), torch.full((count,), valid), regressor.body,
                   PaintedIUV())


def step(regressor, cfg, images, targets):
    """Losses of one training step after backward."""
    return backward(regressor, cfg, regressor(images), targets)


def backward(regressor, cfg, out, targets):
    losses = all_losses(regressor, out, targets, cfg)
    sum(losses.values()).backward()
    return losses


@pytest.mark.parametrize('channels', [18, 32, 48])
def test_heat_maps_of_joints_from_each_hrnet(channels):
    assert JointHead(channels)(torch.randn(2, channels, 8, 8)).shape == (2, 24, 8, 8)


def test_first_stage_trains_the_dense_prediction_alone(standin_assets):
    regressor = quick(standin_assets).train()
    regressor.set_training_progress(9)
    images = torch.randn(2, 3, 64, 64)
    losses = step(regressor, regressor.cfg, images, targets_for(regressor, 2))
    assert set(losses) == {'iuv_index', 'iuv_part', 'iuv_u', 'iuv_v', 'part_iuv_index', 'part_iuv_u', 'part_iuv_v',
                           'part_centers'}
    untrained = {name.split('.')[0] for name, p in regressor.named_parameters() if p.grad is None}
    assert untrained == {'global_branch', 'limb_branch'}
    # Validation shows all stages from the start.
    assert len(regressor.eval()(images).stages) == 3


def test_second_stage_trains_everything(standin_assets):
    regressor = quick(standin_assets, 'MODEL.DANET.ORTHOGONAL_W', 0.1).train()
    regressor.set_training_progress(10)
    out = regressor(torch.randn(2, 3, 64, 64))
    assert [stage.supervised for stage in out.stages] == [False, False, True]
    losses = backward(regressor, regressor.cfg, out, targets_for(regressor, 2))
    assert {'rotation_0', 'joint_position_0', 'joint_position_1', 'orthogonality', 'pose'} <= set(losses)
    assert all(torch.isfinite(value) for value in losses.values())
    assert [name for name, p in regressor.named_parameters() if p.grad is None] == []


def test_gradients_are_finite_in_bfloat16(standin_assets):
    regressor = quick(standin_assets).train()
    regressor.set_training_progress(10)
    for _ in range(2):
        with torch.autocast('cpu', torch.bfloat16):
            out = regressor(torch.randn(2, 3, 64, 64))
        backward(regressor, regressor.cfg, out, targets_for(regressor, 2))
    assert [name for name, p in regressor.named_parameters() if not torch.isfinite(p.grad).all()] == []


def test_losses_are_zero_without_a_body(standin_assets):
    """No row has a target body: losses that need one are 0, losses of keypoints remain, and nothing is NaN."""
    regressor = quick(standin_assets).train()
    regressor.set_training_progress(10)
    losses = step(regressor, regressor.cfg, torch.randn(2, 3, 64, 64), targets_for(regressor, 2, valid=False))
    for name in ('iuv_index', 'iuv_u', 'part_iuv_index', 'part_iuv_v', 'joint_position_0', 'rotation_0', 'pose'):
        assert losses[name] == 0, name
    assert losses['part_centers'] > 0


def test_perfect_part_prediction_costs_nothing(standin_assets):
    """Maps made from the target's crops have no loss; swapped U and V have one."""
    regressor = quick(standin_assets).eval()
    parts = regressor(torch.randn(2, 3, 64, 64)).extras['parts']
    iuv = PaintedIUV()(torch.zeros(2, 1, 3), None)
    iuv[:, 2] *= 0.5
    target = crop(iuv, parts.transforms, parts.iuv.shape[-1], mode='nearest')
    channel = body_to_crop_parts()[torch.arange(24)[:, None, None], part_labels(target.flatten(0, 1)).unflatten(
        0, (2, 24))]
    index = torch.nn.functional.one_hot(channel, 7).movedim(-1, 2) * 100.0
    u, v = ((index > 0) * target[:, :, i:i + 1] * (channel > 0)[:, :, None] for i in (1, 2))
    perfect = PartPrediction(parts.centers, parts.transforms, torch.stack([u, v, index], dim=2))
    losses = part_iuv_losses(perfect, iuv, torch.ones(2))
    assert all(value < 1e-6 for value in losses.values())
    swapped = PartPrediction(parts.centers, parts.transforms, torch.stack([v, u, index], dim=2))
    assert part_iuv_losses(swapped, iuv, torch.ones(2))['u'] > 0.1


def test_global_only_has_no_limbs(standin_assets):
    regressor = quick(standin_assets, 'MODEL.DANET.DECOMPOSED', False).train()
    regressor.set_training_progress(10)
    losses = step(regressor, regressor.cfg, torch.randn(2, 3, 64, 64), targets_for(regressor, 2))
    assert not any(name.startswith(('part_', 'joint_position', 'rotation')) for name in losses)
    assert [name for name, p in regressor.named_parameters() if p.grad is None] == []
    assert regressor.eval().extra_pictures(regressor(torch.randn(1, 3, 64, 64))) == {}


def test_pictures_of_parts(standin_assets):
    regressor = quick(standin_assets).eval()
    out = regressor(torch.randn(2, 3, 64, 64))
    sheet = regressor.extra_pictures(out)['part_iuv']
    assert sheet.shape == (2, 3, 4 * 16, 6 * 16) and sheet.min() >= 0 and sheet.max() <= 1
    images = regressor.part_iuv_images(out)
    shown = part_labels(images[:, 4])
    assert set(shown.unique().tolist()) <= {0, *CROP_PARTS[4]}


def training_config(assets, folder, *overrides):
    return load_config('free/danet_quick.yaml', [
        'PATHS.DATA_DIR', str(assets), 'LOG_DIR', str(folder), 'NAME', 'run', 'DEVICE', 'cpu', 'DATA.IMG_RES', 64,
        'IUV.SIZE', 16, 'DATA.MIXTURE', ['danet:1'], 'DATA.EVAL_DATASET', 'danet', 'TRAIN.BATCH_SIZE', 4,
        'TRAIN.NUM_EPOCHS', 1, 'TRAIN.NUM_WORKERS', 0, 'TRAIN.SUMMARY_STEPS', 1, 'TRAIN.PRETR_STEP', 1,
        'TRAIN.CHANNELS_LAST', False, 'TRAIN.MIXED_PRECISION', 'no', *overrides])  # both round otherwise


def test_both_stages_run_in_the_harness(standin_assets, tmp_path):
    """A run trains both stages. A network that loads its checkpoint gives the same output bit for bit."""
    write_tiny_dataset(standin_assets, 'danet', 'train', count=8)
    write_tiny_dataset(standin_assets, 'danet', 'val', count=4, seed=1)
    cfg = training_config(standin_assets, tmp_path)
    trainer = Trainer(cfg)
    before = {name: value.clone() for name, value in trainer.regressor.state_dict().items()}
    evaluation = trainer.fit()
    assert evaluation.errors['pa_mpjpe'].shape == (4, 3) and torch.isfinite(evaluation.errors['pve']).all()
    learned = {name.split('.')[0] for name, value in trainer.regressor.state_dict().items()
               if not torch.equal(value, before[name])}
    assert learned == {'backbone', 'estimator', 'global_branch', 'limb_branch'}
    again = build_regressor(cfg).eval()
    report = load_weights(again, tmp_path / 'run' / 'checkpoints' / 'latest.pt')
    assert report.source == 'native' and not report.missing and not report.unexpected
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(images).final.rotmat, trainer.regressor.eval()(images).final.rotmat)


def test_fits_in_the_loop_supervise_both_stages(standin_assets, tmp_path, without_panels):
    """Without 3D ground truth, the targets are SMPLify's fits, from the mean pose first and later from estimates."""
    write_tiny_dataset(standin_assets, 'danet', 'train')
    write_tiny_dataset(standin_assets, 'danet', 'val', count=4, seed=1)
    trainer = Trainer(training_config(
        standin_assets, tmp_path, 'DATA.IGNORE_3D', True, 'SMPLIFY.RUN', True, 'SMPLIFY.NUM_ITERS', 3,
        'SMPLIFY.THRESHOLD', 1e9, 'DATA.EPOCH_LENGTH', 8, 'LOSS.OPENPOSE_TRAIN_WEIGHT', 1.0))
    trainer.fit()
    logged = EventAccumulator(str(tmp_path / 'run' / 'tensorboard')).Reload()
    assert [event.value for event in logged.Scalars('losses/iuv_index')][0] > 0
    assert [event.value for event in logged.Scalars('losses/pose')][-1] > 0

"""HMR2.0, compared with timm's and torch's modules, published numbers, the published file layout and arithmetic."""
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.config import load_config
from core.training.trainer import Trainer
from models import build_regressor
from models.backbones import build_backbone
from models.backbones.vit import Block, ViTBackbone
from models.hmr2 import axes_to_rotmat
from models.hmr2_losses import betas_sum, keypoint_2d_sum, keypoint_3d_sum, pose_sums
from models.token_decoder import TokenDecoder
from models.weights import load_weights
from tests.reference.compare import relative_error
from tests.reference.standin import mean_parameters, seeded_weights, smooth_image
from tests.test_training import tiny_config
from utils.errors import BadConfig
from utils.safe_io import load_npz
from utils.torch_io import load_torch

REFERENCE = Path(__file__).resolve().parents[2] / 'shared' / 'reference'
SMALL = ['MODEL.HMR2.DIM', 32, 'MODEL.HMR2.DEPTH', 2, 'MODEL.HMR2.HEADS', 2, 'MODEL.HMR2.HEAD_DIM', 16,
         'MODEL.HMR2.MLP_DIM', 64]


def small(tiny_assets, folder, *overrides, backbone='vit_t'):
    """A small network that reads crops of 64 pixels."""
    return tiny_config(tiny_assets, folder, *SMALL, 'MODEL.BACKBONE.NAME', backbone, 'LOSS.OPENPOSE_TRAIN_WEIGHT', 1.0,
                       'SOLVER.NAME', 'adamw', *overrides, regressor='hmr2')


@pytest.mark.slow
@pytest.mark.skipif(not (REFERENCE / 'hmr2.npz').exists(), reason='../shared is not here')
def test_reference(standin_assets):
    """ViT-H, 503 entries: the published code's numbers on the same weights."""
    shapes = json.loads((REFERENCE / 'keys' / 'hmr2_keys.json').read_text())
    weights = {name: torch.from_numpy(value) for name, value in seeded_weights(
        {name: shape for name, shape in shapes.items() if 'init_' not in name}).items()}
    means = mean_parameters()
    weights.update({f'smpl_head.init_{ours}': torch.from_numpy(means[name])[None]
                    for ours, name in (('body_pose', 'pose'), ('betas', 'shape'), ('cam', 'cam'))})
    assert set(weights) == set(shapes) and len(shapes) == 503
    network = build_regressor(load_config('hmr2.yaml', ['PATHS.DATA_DIR', str(standin_assets)])).eval()
    report = load_weights(network, {'state_dict': weights})
    assert report.source == 'hmr2' and not report.missing and not report.unexpected
    wanted, images = load_npz(REFERENCE / 'hmr2.npz'), smooth_image(1, res=256)
    with torch.no_grad():
        final, features = network(images).final, network.backbone(images[..., 32:224])
    for name in ('rotmat', 'betas', 'camera'):
        assert relative_error(getattr(final, name), wanted[name]) < 1e-4, name
    assert relative_error(features[:, ::40, ::3, ::3], wanted['features']) < 1e-4


def test_blocks_are_timms():
    timm = pytest.importorskip('timm')
    torch.manual_seed(0)
    vit = build_backbone('vit_t').eval()
    nn.init.normal_(vit.pos_embed)
    theirs = [timm.models.vision_transformer.Block(192, 3, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-6))
              for _ in range(2)]
    tokens = torch.randn(3, 20, 192)
    with torch.no_grad():
        for ours, block in zip(vit.blocks, theirs):
            block.load_state_dict(ours.state_dict())
            wanted = block.eval()(tokens)
            assert relative_error(ours(tokens), wanted.numpy()) < 1e-5
            tokens = wanted
        # Around the blocks: patches with a padding of 2, a position each, and the class token's position added to all.
        vit.blocks = vit.blocks[:2]
        images = torch.randn(2, 3, 256, 192)
        patches = F.conv2d(images, vit.patch_embed['proj'].weight, vit.patch_embed['proj'].bias, stride=16, padding=2)
        tokens = patches.flatten(2).transpose(1, 2) + vit.pos_embed[:, 1:] + vit.pos_embed[:, :1]
        for block in theirs:
            tokens = block(tokens)
        wanted = F.layer_norm(tokens, (192,), vit.last_norm.weight, vit.last_norm.bias, 1e-6)
        assert relative_error(vit(images), wanted.transpose(1, 2).reshape(2, 192, 16, 12).numpy()) < 1e-5


def test_decoder_is_torchs():
    """torch's decoder is the same where the heads' size times their number is the tokens' size."""
    torch.manual_seed(0)
    ours = TokenDecoder(32, 32, 2, 4, 8, 64).eval()
    theirs = nn.TransformerDecoder(nn.TransformerDecoderLayer(32, 4, 64, 0.0, 'gelu', batch_first=True,
                                                              norm_first=True), 2).eval()
    for mine, layer in zip(ours.layers, theirs.layers):
        state = {'self_attn.in_proj_weight': mine.self_attention.qkv.weight,
                 'multihead_attn.in_proj_weight': torch.cat([mine.cross_attention.q.weight,
                                                             mine.cross_attention.kv.weight]),
                 'self_attn.in_proj_bias': torch.zeros(96), 'multihead_attn.in_proj_bias': torch.zeros(96)}
        for theirs_name, part in (('self_attn.out_proj', mine.self_attention.proj), ('norm1', mine.norm1),
                                  ('multihead_attn.out_proj', mine.cross_attention.proj), ('norm2', mine.norm2),
                                  ('linear1', mine.mlp.fc1), ('linear2', mine.mlp.fc2), ('norm3', mine.norm3)):
            state.update({f'{theirs_name}.{name}': value for name, value in part.state_dict().items()})
        layer.load_state_dict(state)
    features = torch.randn(3, 10, 32)
    with torch.no_grad():
        token = (ours.embedding.bias + ours.position).expand(3, 1, 32)
        assert relative_error(ours(features), theirs(token, features)[:, 0].numpy()) < 1e-5


def test_middle_columns_alone_are_read_and_everything_learns(tiny_assets, tmp_path):
    torch.manual_seed(0)
    network = build_regressor(small(tiny_assets, tmp_path))
    images = torch.randn(2, 3, 64, 64)
    out = network.eval()(images)
    assert out.final.rotmat.shape == (2, 24, 3, 3) and out.final.keypoints_2d.shape == (2, 49, 2)
    assert network.backbone(images[..., 8:56]).shape == (2, 192, 4, 3)
    outer = images.clone()
    outer[..., :8], outer[..., 56:] = 9.0, -9.0
    assert torch.equal(network(outer).final.camera, out.final.camera)
    inner = images.clone()
    inner[..., 8] = 9.0
    assert not torch.equal(network(inner).final.camera, out.final.camera)
    (out.final.rotmat * torch.randn(24, 3, 3)).sum().add(out.final.betas.sum()).add(out.final.camera.sum()).backward()
    dead = {name for name, value in network.named_parameters() if not value.grad.abs().sum()}
    assert dead == {'decoder.embedding.weight'}  # its input is 0, as published
    queries_and_keys = network.decoder.layers[0].self_attention.qkv.weight.grad[:64]
    assert not queries_and_keys.any()


@pytest.mark.parametrize('backbone', ['vit_t', 'resnet18'])
def test_a_resumed_run_ends_bit_for_bit_like_an_uncut_one(tiny_assets, tmp_path, backbone, request):
    more = ['ADVERSARY.WEIGHT', 1e-3, 'ADVERSARY.SAMPLES', str(tmp_path / 'bodies.npz'), 'DATA.SHIFT_FACTOR', 0.02,
            'DATA.EXTREME_CROP', 0.5, 'DATA.BOX_ASPECT', 4 / 3, 'ADVERSARY.REAL_PER_ESTIMATE', 2]
    rng = np.random.default_rng(0)
    np.savez(tmp_path / 'bodies.npz', body_pose=rng.normal(0, .3, (30, 72)), betas=rng.normal(0, 1, (30, 10)))
    Trainer(small(tiny_assets, tmp_path / 'whole', *more, backbone=backbone)).fit()
    request.getfixturevalue('without_panels')
    Trainer(small(tiny_assets, tmp_path / 'cut', *more, 'TRAIN.MAX_STEPS', 2, backbone=backbone)).fit()
    Trainer(small(tiny_assets, tmp_path / 'cut', *more, 'TRAIN.RESUME', True, backbone=backbone)).fit()
    whole, resumed = (load_torch(tmp_path / name / 'run/checkpoints/latest.pt')['model'] for name in ('whole', 'cut'))
    assert len(whole) > 50 and all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_axes_lie_one_after_the_other(tiny_assets, tmp_path):
    """A quarter turn about z maps x to y and y to -x. These are the columns of its matrix."""
    pose = torch.tensor([[0., 1, 0, -1, 0, 0]]).repeat(1, 24)
    wanted = torch.tensor([[0., -1, 0], [1, 0, 0], [0, 0, 1]])
    assert torch.allclose(axes_to_rotmat(pose), wanted.expand(1, 24, 3, 3))
    network = build_regressor(small(tiny_assets, tmp_path))
    columns = mean_parameters()['pose'].reshape(24, 3, 2)  # as smpl_mean_params.npz has them
    assert np.array_equal(network.mean.pose.reshape(24, 2, 3)[5, 1], columns[5, :, 1])
    first = network.mean.stage(1, network.body).rotmat[0, :, :, 0]
    assert np.allclose(first, columns[..., 0] / np.linalg.norm(columns[..., 0], axis=1, keepdims=True), atol=1e-6)


def published_state(width=192, depth=12, dim=32, inner=32, hidden=64, layers=2):
    """(state dict of random numbers with the published names, other entries of a Lightning file)."""
    def linear(name, out, into, bias=True):
        return {f'{name}.weight': (out, into), **({f'{name}.bias': (out,)} if bias else {})}

    def norm(name, size):
        return {f'{name}.weight': (size,), f'{name}.bias': (size,)}

    shapes = {'backbone.pos_embed': (1, 193, width), 'backbone.patch_embed.proj.weight': (width, 3, 16, 16),
              'backbone.patch_embed.proj.bias': (width,), **norm('backbone.last_norm', width),
              'smpl_head.transformer.pos_embedding': (1, 1, dim),
              **linear('smpl_head.transformer.to_token_embedding', dim, 1), 'smpl_head.init_body_pose': (1, 144),
              'smpl_head.init_betas': (1, 10), 'smpl_head.init_cam': (1, 3)}
    for readout, size in (('decpose', 144), ('decshape', 10), ('deccam', 3)):
        shapes.update(linear(f'smpl_head.{readout}', size, dim))
    for i in range(depth):
        at = f'backbone.blocks.{i}'
        shapes.update({**norm(f'{at}.norm1', width), **linear(f'{at}.attn.qkv', 3 * width, width),
                       **linear(f'{at}.attn.proj', width, width), **norm(f'{at}.norm2', width),
                       **linear(f'{at}.mlp.fc1', 4 * width, width), **linear(f'{at}.mlp.fc2', width, 4 * width)})
    for i in range(layers):
        at = f'smpl_head.transformer.transformer.layers.{i}'
        shapes.update({**norm(f'{at}.0.norm', dim), **linear(f'{at}.0.fn.to_qkv', 3 * inner, dim, False),
                       **linear(f'{at}.0.fn.to_out.0', dim, inner), **norm(f'{at}.1.norm', dim),
                       **linear(f'{at}.1.fn.to_kv', 2 * inner, width, False),
                       **linear(f'{at}.1.fn.to_q', inner, dim, False), **linear(f'{at}.1.fn.to_out.0', dim, inner),
                       **norm(f'{at}.2.norm', dim), **linear(f'{at}.2.fn.net.0', hidden, dim),
                       **linear(f'{at}.2.fn.net.3', dim, hidden)})
    state = {name: torch.from_numpy(value) for name, value in seeded_weights(shapes).items()}
    return state, {'initialized': torch.tensor(False), 'smpl.J_regressor': torch.zeros(24, 9),
                   'discriminator.D_conv1.weight': torch.zeros(32, 9, 1, 1)}


def test_published_file_with_a_config_and_a_bomb_inside(tiny_assets, tmp_path):
    """Lightning's layout. The hyper-parameters are a yacs CfgNode, which is neither imported nor called."""
    from yacs.config import CfgNode as CN

    class Bomb:
        def __reduce__(self):
            import os
            return os.system, (f'touch {tmp_path}/mark',)

    state, beside = published_state()
    torch.save({'epoch': 35, 'global_step': 1_000_000, 'pytorch-lightning_version': '1.8.1',
                'state_dict': {**state, **beside}, 'hyper_parameters': {'cfg': CN({'MODEL': {'IMAGE_SIZE': 256}})},
                'callbacks': Bomb()}, tmp_path / 'epoch=35-step=1000000.ckpt')
    network = build_regressor(small(tiny_assets, tmp_path)).eval()
    report = load_weights(network, tmp_path / 'epoch=35-step=1000000.ckpt')
    assert report.source == 'hmr2' and not report.missing and not report.unexpected
    assert sorted(report.ignored) == sorted(beside) and not (tmp_path / 'mark').exists()
    assert torch.equal(network.mean.pose, state['smpl_head.init_body_pose'])
    layer = 'smpl_head.transformer.transformer.layers.1'
    for name, part in (('0.fn.to_qkv', network.decoder.layers[1].self_attention.qkv),
                       ('1.fn.to_kv', network.decoder.layers[1].cross_attention.kv),
                       ('2.fn.net.3', network.decoder.layers[1].mlp.fc2), ('2.norm', network.decoder.layers[1].norm3)):
        assert torch.equal(part.weight, state[f'{layer}.{name}.weight']), name


def test_vitpose_weights_start_the_backbone(tiny_assets, tmp_path):
    state, _ = published_state()
    torch.save({'state_dict': {name.removeprefix('backbone.'): value for name, value in state.items()
                               if name.startswith('backbone.')}}, tmp_path / 'vitpose_backbone.pth')
    trainer = Trainer(small(tiny_assets, tmp_path, 'MODEL.BACKBONE.PRETRAINED', str(tmp_path / 'vitpose_backbone.pth')))
    assert torch.equal(trainer.regressor.backbone.pos_embed.cpu(), state['backbone.pos_embed'])


def test_losses_are_sums():
    """Two people with one wrong number each."""
    predicted, target = torch.zeros(2, 49, 2), torch.zeros(2, 49, 3)
    target[0, 3], target[1, 30], target[1, 44:] = torch.tensor([.5, 0, .8]), torch.tensor([0, 1., 1]), 1.0
    assert keypoint_2d_sum(predicted, target) == pytest.approx(.8 * .25 + .5)  # crops have side 1; without the last 5
    assert keypoint_2d_sum(predicted, target, openpose_weight=0.0) == pytest.approx(.5)
    joints, wanted = torch.zeros(2, 49, 3), torch.zeros(2, 24, 4)
    wanted[:, [3, 14], 3] = 1
    wanted[0, 3, :3] = torch.tensor([.1, -.2, 0])
    joints[1] += 5.0  # a translation, which the pelvis removes
    joints[1, 28] += 1.0
    assert keypoint_3d_sum(joints, wanted, torch.tensor([True, True])) == pytest.approx(.3 + 3)
    assert keypoint_3d_sum(joints, wanted, torch.tensor([True, False])) == pytest.approx(.3)
    rotmat, truth = torch.zeros(2, 24, 3, 3), torch.zeros(2, 24, 3, 3)
    rotmat[:, 0, 0, 0], rotmat[:, 1:, 1, 1] = 2.0, 1.0
    assert [float(value) for value in pose_sums(rotmat, truth, torch.tensor([True, False]))] == [4.0, 23.0]
    betas, labels = torch.full((2, 10), 2.0), torch.full((2, 10), 1.0)
    assert betas_sum(betas, labels, torch.tensor([True, False])) == 10 * 1 + 10 * 4  # without a label, to the mean


def test_published_camera_has_5000_pixels_where_the_crop_has_256(tiny_assets, tmp_path):
    """A point one metre off the axis and half a metre behind the body, projected by arithmetic."""
    stage = build_regressor(small(tiny_assets, tmp_path))(torch.zeros(1, 3, 64, 64)).final
    stage.camera = torch.tensor([[0.5, 0.1, 0.0]])
    stage.__dict__['joints'] = torch.tensor([[[1.0, 0.0, 0.5]]])
    depth = 2 * 5000 / (256 * 0.5)
    assert stage.keypoints_2d[0, 0, 0] == pytest.approx(2 * (5000 / 256) * 1.1 / (0.5 + depth), rel=1e-6)


def test_learning_rates_decay_from_block_to_block(tiny_assets, tmp_path):
    cfg = small(tiny_assets, tmp_path, 'MODEL.HMR2.LAYER_DECAY', 0.5, 'SOLVER.BASE_LR', 1e-3)
    network = build_regressor(cfg)
    groups = network.param_groups(cfg)
    rates = {id(parameter): group.get('lr', 1e-3) for group in groups for parameter in group['params']}
    assert len(rates) == len(list(network.parameters())) == sum(len(group['params']) for group in groups)
    assert rates[id(network.decpose.weight)] == rates[id(network.backbone.last_norm.bias)] == 1e-3
    assert rates[id(network.backbone.blocks[11].attn.qkv.weight)] == pytest.approx(1e-3 / 2)
    assert rates[id(network.backbone.blocks[0].mlp.fc1.bias)] == pytest.approx(1e-3 / 2 ** 12)
    assert rates[id(network.backbone.pos_embed)] == pytest.approx(1e-3 / 2 ** 13)
    assert len(network.param_groups(small(tiny_assets, tmp_path))) == 1
    with pytest.raises(BadConfig, match='resnet18 is not a ViT'):
        cfg = small(tiny_assets, tmp_path, 'MODEL.HMR2.LAYER_DECAY', 0.5, backbone='resnet18')
        build_regressor(cfg).param_groups(cfg)


def test_checkpointed_blocks_give_the_same_gradient():
    grads = []
    for again in (False, True):
        torch.manual_seed(0)
        vit = ViTBackbone('vit_t', drop_path=0.3, checkpoint_blocks=again).train()
        vit(torch.randn(4, 3, 64, 48)).square().mean().backward()
        grads.append([parameter.grad for parameter in vit.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*grads))


def test_share_of_rows_that_skip_a_block():
    torch.manual_seed(0)
    block, tokens = Block(8, 2, drop_path=0.5).train(), torch.randn(2000, 1, 8)
    same = (block(tokens) == tokens).flatten(1).all(1).float().mean()
    assert abs(same - 0.25) < 0.04  # attention and MLP are skipped, each with probability 1/2
    assert [type(ViTBackbone('vit_t', 0.55).blocks[i].drop_path).__name__ for i in (0, 1)] == ['Identity',
                                                                                            'StochasticDepth']
    assert ViTBackbone('vit_t', 0.55).blocks[-1].drop_path.p == pytest.approx(0.55)


def test_sizes_that_are_no_multiple_of_the_patches_are_named(tiny_assets, tmp_path):
    with pytest.raises(BadConfig, match='DATA.IMG_RES is 96.*multiple of 64'):
        build_regressor(small(tiny_assets, tmp_path, 'DATA.IMG_RES', 96))
    assert build_backbone('vit_t')(torch.zeros(1, 3, 96, 96)).shape == (1, 192, 6, 6)  # other regressors may use it

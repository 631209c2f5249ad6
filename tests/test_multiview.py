"""Several views of one person: the published networks' values, properties of the fusions, and groups of views."""
import pytest
import torch
from torch.utils.data import default_collate

from core.batches import flatten_views
from core.config import load_config
from core.evaluation.options import checkpoint_config
from models import build_regressor
from models.fusion import draw_kept_views
from models.weights import load_weights
from tests.reference.compare import load, published_weights, relative_error
from tests.reference.standin import smooth_image
from utils.errors import BadConfig, BadFile
from utils.torch_io import save_torch

PUBLISHED = {'avg': ('avg', 'resnet50'), 'mlp': ('mlp', 'resnet50'), 'mlp_convnext': ('mlp', 'convnext_tiny'),
             'conv1d': ('conv1d', 'convnext_tiny')}


def build(assets, *overrides):
    return build_regressor(load_config('multi_spin.yaml', ['PATHS.DATA_DIR', str(assets), *overrides])).eval()


def small(assets, fusion, *overrides):
    torch.manual_seed(0)
    return build(assets, 'MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.HMR.HIDDEN', 32, 'MULTIVIEW.FUSION', fusion,
                 *overrides)


def wake(regressor):
    """Draw the weights of the attention's correction, which a new network has as zeros."""
    torch.nn.init.normal_(regressor.fusion.correct.weight, std=.1)
    return regressor


@pytest.mark.parametrize('variant', PUBLISHED)
def test_published_variant(standin_assets, variant):
    fusion, backbone = PUBLISHED[variant]
    regressor = build(standin_assets, 'MULTIVIEW.FUSION', fusion, 'MODEL.BACKBONE.NAME', backbone,
                      'MULTIVIEW.LEGACY_POSE', True)
    report = load_weights(regressor, {'model': published_weights(f'multispin_emb_{variant}', ('init_',))})
    assert report.source == 'multi_spin' and not report.missing and not report.unexpected
    wanted, images = load(f'multispin_emb_{variant}'), torch.stack([smooth_image(1), smooth_image(2)], 1)
    with torch.no_grad():
        view = regressor(images).final.view(0)
    for name in ('rotmat', 'betas', 'camera'):
        assert relative_error(getattr(view, name), wanted[name]) < 1e-4, name


@pytest.mark.parametrize('fusion', ['avg', 'attention', 'mlp', 'conv1d'])
def test_legacy_pose_is_each_views_own(standin_assets, fusion):
    """The switch changes the body pose alone, and only for the fusions that were published with it."""
    images = torch.stack([smooth_image(1, res=64), smooth_image(2, res=64)], 1)
    with torch.no_grad():
        plain, legacy = (small(standin_assets, fusion, 'MULTIVIEW.LEGACY_POSE', switch)(images).final
                         for switch in (False, True))
    same = torch.allclose(plain.rotmat[:, 1:], legacy.rotmat[:, 1:], atol=1e-6)
    assert same == (fusion in ('avg', 'attention'))
    assert torch.equal(legacy.view(0).rotmat[:, 1:], legacy.view(1).rotmat[:, 1:]) == same
    for name in ('betas', 'camera'):
        assert torch.equal(getattr(plain, name), getattr(legacy, name))
    assert torch.equal(plain.rotmat[:, 0], legacy.rotmat[:, 0])


@pytest.mark.parametrize('fusion', ['avg', 'attention'])
@pytest.mark.parametrize('order', [(1, 0), (2, 0, 3, 1)])
def test_permuted_views_permute_the_output(standin_assets, fusion, order):
    regressor = small(standin_assets, fusion)
    if fusion == 'attention':
        wake(regressor)
    images = torch.stack([smooth_image(i, batch=2, res=64) for i in range(len(order))], 1)
    with torch.no_grad():
        before, after = regressor(images).final, regressor(images[:, list(order)]).final
    for i, view in enumerate(order):
        for name in ('rotmat', 'betas', 'camera', 'vertices'):
            torch.testing.assert_close(getattr(after.view(i), name), getattr(before.view(view), name),
                                       atol=1e-5, rtol=0)
    assert not torch.allclose(before.view(0).rotmat[:, 0], before.view(1).rotmat[:, 0], atol=1e-4)


@pytest.mark.parametrize('fusion', ['avg', 'attention', 'mlp', 'conv1d'])
def test_views_share_a_body_and_keep_their_cameras(standin_assets, fusion):
    regressor = small(standin_assets, fusion)
    images = torch.stack([smooth_image(1, res=64), smooth_image(2, res=64)], 1)
    with torch.no_grad():
        out = regressor(images)
    first, second = out.final.view(0), out.final.view(1)
    assert out.final.n_views == 2 and out.final.rotmat.shape == (4, 24, 3, 3) and len(first.betas) == 2
    assert torch.equal(first.betas, second.betas) and torch.equal(first.rotmat[:, 1:], second.rotmat[:, 1:])
    assert not torch.equal(first.camera, second.camera)
    assert [stage.supervised for stage in out.stages] == [False, False, False, True]


def test_one_view_by_averaging_is_hmr(standin_assets):
    regressor = small(standin_assets, 'avg')
    hmr = build_regressor(load_config('hmr.yaml', [
        'PATHS.DATA_DIR', str(standin_assets), 'MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.HMR.HIDDEN', 32])).eval()
    hmr.load_state_dict(regressor.state_dict())
    image = smooth_image(1, res=64)
    with torch.no_grad():
        one, wanted = regressor(image).final, hmr(image).final
    torch.testing.assert_close(one.rotmat, wanted.rotmat, atol=1e-6, rtol=0)
    torch.testing.assert_close(one.camera, wanted.camera, atol=1e-6, rtol=0)


def test_left_out_views_do_not_count(standin_assets):
    fusion = wake(small(standin_assets, 'attention')).fusion
    embeddings, keep = torch.randn(3, 4, 512), torch.tensor([True, False, True, False]).expand(3, 4)
    with torch.no_grad():
        torch.testing.assert_close(fusion(embeddings, keep), fusion(embeddings[:, ::2]), atol=1e-5, rtol=1e-5)


def test_drawn_subsets_of_views_are_never_empty():
    torch.manual_seed(0)
    kept = draw_kept_views(4000, 4, 0.5, 'cpu')
    counts = kept.sum(1)
    assert counts.min() == 1
    # Half of the groups keep all views; the others keep 1 to 4 with equal probability.
    assert abs((counts == 4).float().mean() - 0.625) < 0.03
    assert (kept.float().mean(0) - kept.float().mean()).abs().max() < 0.03


@pytest.mark.parametrize('fusion', ['mlp', 'conv1d'])
def test_a_fixed_fusion_says_how_many_views_it_takes(standin_assets, fusion):
    with pytest.raises(BadConfig, match=r'fuses 2 views \(MULTIVIEW.N_VIEWS\), but was given 3'):
        small(standin_assets, fusion)(torch.zeros(1, 3, 3, 64, 64))


def test_a_file_of_another_variant_says_which(standin_assets):
    state = dict.fromkeys(('encoder.features.0.0.weight', 'mlp.0.weight', 'regressor.fc1.weight'), torch.zeros(1))
    with pytest.raises(BadFile, match='MULTIVIEW.FUSION mlp MODEL.BACKBONE.NAME convnext_tiny'):
        load_weights(small(standin_assets, 'avg'), state)


def test_unknown_fusion(standin_assets):
    with pytest.raises(BadConfig, match='attention'):
        small(standin_assets, 'median')


def test_a_fusion_of_any_size_learns(standin_assets):
    regressor = small(standin_assets, 'attention', 'MULTIVIEW.DROP_VIEWS', 1.0).train()
    final = regressor(torch.randn(2, 3, 3, 64, 64)).final
    (final.joints.square().mean() + final.keypoints_2d.square().mean()).backward()
    assert regressor.fusion.correct.weight.grad.abs().sum() > 0
    assert regressor.backbone.conv1.weight.grad.abs().sum() > 0


def test_a_published_file_configures_the_evaluation(tmp_path):
    names = ('encoder.features.0.0.weight', 'conv1d.0.weight', 'regressor.fc1.weight')
    save_torch(tmp_path / 'file.pt', {'model': dict.fromkeys(names, torch.zeros(1))})
    cfg = checkpoint_config(tmp_path / 'file.pt')
    assert cfg.MODEL.REGRESSOR == 'multi_spin' and cfg.MODEL.BACKBONE.NAME == 'convnext_tiny'
    assert cfg.MULTIVIEW.FUSION == 'conv1d'
    assert checkpoint_config(tmp_path / 'file.pt', ['MULTIVIEW.FUSION', 'mlp']).MULTIVIEW.FUSION == 'mlp'


def test_groups_of_views_need_a_network_that_takes_them(standin_assets):
    with pytest.raises(BadConfig, match='DATA.N_VIEWS is 4, but HMR takes one picture at a time'):
        build(standin_assets, 'MODEL.REGRESSOR', 'hmr').check_views(4, 'DATA.N_VIEWS')
    small(standin_assets, 'avg').check_views(4, 'DATA.N_VIEWS')


def test_names_follow_the_views():
    samples = [{'img': torch.zeros(2, 3, 8, 8), 'imgname': [f'{person}-{view}' for view in 'ab']} for person in '123']
    batch, n_views = flatten_views(default_collate(samples))
    assert n_views == 2 and len(batch['img']) == 6
    assert batch['imgname'] == ['1-a', '1-b', '2-a', '2-b', '3-a', '3-b']

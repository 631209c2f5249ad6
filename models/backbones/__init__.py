"""Image backbones: modules from images [B,3,H,W] to a feature map with `out_channels` channels."""
from models.backbones.convnext import CONVNEXTS, ConvNeXtBackbone
from models.backbones.hrnet import CLASSIFIERS, HRNETS, HRNetBackbone, HRNetClassifier
from models.backbones.resnet import RESNETS, ResNetBackbone
from models.backbones.timm_networks import PREFIX, TimmBackbone
from models.backbones.vit import VITS, ViTBackbone
from utils.errors import BadConfig


def build_backbone(name):
    """Backbone by name, with random weights. Raises BadConfig for an unknown name."""
    if name.startswith(PREFIX):
        return TimmBackbone(name)
    if name in RESNETS:
        return ResNetBackbone(name)
    if name in CONVNEXTS:
        return ConvNeXtBackbone(name)
    if name in HRNETS:
        return HRNetBackbone(name)
    if name in CLASSIFIERS:
        return HRNetClassifier(name)
    if name in VITS:
        return ViTBackbone(name)
    known = ', '.join((*RESNETS, *CONVNEXTS, *HRNETS, *CLASSIFIERS, *VITS))
    raise BadConfig(f'MODEL.BACKBONE.NAME is {name!r}; use one of {known}, or {PREFIX}NAME for a network of timm')

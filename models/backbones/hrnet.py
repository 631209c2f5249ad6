"""HRNet: parallel branches of different resolution that exchange features.

Sun et al., "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019. Parameter names are
those of the published code, so its ImageNet and COCO weights fit.
"""
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

# Channels of the branch of highest resolution. Each following branch has twice the channels at half the resolution.
HRNETS = {'hrnet_w18': 18, 'hrnet_w32': 32, 'hrnet_w48': 48}
CLASSIFIERS = {f'{name}_cls': name for name in HRNETS}
_STEM, _BLOCKS = 64, 4
# Classification head: a quarter of each branch's output channels, and the number of features.
_HEAD_WIDTHS, _HEAD_FEATURES = (32, 64, 128, 256), 2048


class HRNetBackbone(nn.Module):
    """images [B,3,H,W] -> features [B,out_channels,H/4,W/4], the branch of highest resolution."""

    def __init__(self, name, outputs=1):
        super().__init__()
        self.name, self.out_channels = name, HRNETS[name]
        self.widths = widths = [self.out_channels * 2 ** i for i in range(4)]
        self.conv1 = nn.Conv2d(3, _STEM, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.conv2 = nn.Conv2d(_STEM, _STEM, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(_STEM)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = residual_layer(Bottleneck, _STEM, _STEM, _BLOCKS)
        self.transition1 = _transition([_STEM * Bottleneck.expansion], widths[:2])
        self.stage2 = _stage(1, widths[:2])
        self.transition2 = _transition(widths[:2], widths[:3])
        self.stage3 = _stage(4, widths[:3])
        self.transition3 = _transition(widths[:3], widths)
        self.stage4 = _stage(3, widths, outputs)

    def forward(self, images):
        return self.branches(images)[0]

    def branches(self, images):
        """The feature maps that the last stage outputs, from the highest resolution down."""
        stem = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(images))))))
        branches = self.stage2(_branch_out(self.transition1, [self.layer1(stem)]))
        branches = self.stage3(_branch_out(self.transition2, branches))
        return self.stage4(_branch_out(self.transition3, branches))


class HRNetClassifier(HRNetBackbone):
    """images [B,3,H,W] -> features [B,2048,H/32,W/32]: all four branches, combined as in ImageNet classification.

    HRNet's ImageNet weights fit it, except for the classifier.
    """

    def __init__(self, name):
        super().__init__(CLASSIFIERS[name], outputs=4)
        self.name, self.out_channels = name, _HEAD_FEATURES
        wide = [width * Bottleneck.expansion for width in _HEAD_WIDTHS]
        self.incre_modules = nn.ModuleList(residual_layer(Bottleneck, branch, width, 1)
                                           for branch, width in zip(self.widths, _HEAD_WIDTHS))
        self.downsamp_modules = nn.ModuleList(_biased(*pair, 3, stride=2, padding=1) for pair in zip(wide, wide[1:]))
        self.final_layer = _biased(wide[-1], _HEAD_FEATURES, 1)

    def forward(self, images):
        branches = [widen(branch) for widen, branch in zip(self.incre_modules, self.branches(images))]
        joined = branches[0]
        for halve, branch in zip(self.downsamp_modules, branches[1:]):
            joined = branch + halve(joined)
        return self.final_layer(joined)


class ExchangeModule(nn.Module):
    """Residual blocks on every branch. Then each output is the sum of all branches, resampled to its size and width."""

    def __init__(self, widths, outputs):
        super().__init__()
        self.branches = nn.ModuleList(residual_layer(BasicBlock, width, width, _BLOCKS) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resampled(widths, source, target) for source in range(len(widths)))
            for target in range(outputs))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, branches):
        branches = [blocks(branch) for blocks, branch in zip(self.branches, branches)]
        return [self.relu(sum(bring(branch) for bring, branch in zip(row, branches))) for row in self.fuse_layers]


def residual_layer(block, channels_in, channels, count, stride=1):
    """`count` residual blocks of torchvision. The first changes width and resolution where needed."""
    channels_out = channels * block.expansion
    shortcut = None
    if stride != 1 or channels_in != channels_out:
        shortcut = nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False),
                                 nn.BatchNorm2d(channels_out))
    blocks = [block(channels_in, channels, stride, shortcut)]
    blocks += [block(channels_out, channels) for _ in range(count - 1)]
    return nn.Sequential(*blocks)


def _conv(channels_in, channels_out, stride=1, relu=True):
    layers = [nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
              nn.BatchNorm2d(channels_out)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


def _biased(channels_in, channels, size, **options):
    return nn.Sequential(nn.Conv2d(channels_in, channels, size, **options), nn.BatchNorm2d(channels),
                         nn.ReLU(inplace=True))


def _transition(before, after):
    """Layers from the branches of one stage to those of the next stage, which has one branch more."""
    kept = [nn.Identity() if a == b else _conv(a, b) for a, b in zip(before, after)]
    return nn.ModuleList([*kept, nn.Sequential(_conv(before[-1], after[-1], stride=2))])


def _branch_out(transition, branches):
    """Inputs of a stage: the previous branches and a new one, made from the last of them."""
    return [layer(branch) for layer, branch in zip(transition, [*branches, branches[-1]])]


def _stage(count, widths, outputs=None):
    """`count` exchange modules. The last one outputs only the first `outputs` branches."""
    last = outputs or len(widths)
    return nn.Sequential(*(ExchangeModule(widths, last if i == count - 1 else len(widths)) for i in range(count)))


def _resampled(widths, source, target):
    """Resample a branch to the width and resolution of another: upsampling, or strided convolutions."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(nn.Conv2d(widths[source], widths[target], 1, bias=False),
                             nn.BatchNorm2d(widths[target]), nn.Upsample(scale_factor=2 ** (source - target)))
    steps = target - source
    halvings = [_conv(widths[source], widths[source], stride=2) for _ in range(steps - 1)]
    return nn.Sequential(*halvings, _conv(widths[source], widths[target], stride=2, relu=False))

"""ConvNeXts of torchvision, as a feature map or as ImageNet logits. Parameter names are torchvision's."""
import torchvision
from torch import nn

CONVNEXTS = ('convnext_tiny', 'convnext_small', 'convnext_base', 'convnext_large')


class ConvNeXtBackbone(nn.Module):
    """images [B,3,H,W] -> features [B,out_channels,H/32,W/32] (Liu et al., CVPR 2022)."""

    def __init__(self, name):
        super().__init__()
        network = torchvision.models.get_model(name, weights=None)
        self.name, self.out_channels = name, network.classifier[2].in_features
        self.features = network.features

    def forward(self, images):
        return self.features(images)


class ConvNeXtLogits(nn.Module):
    """images [B,3,H,W] -> the classifier's 1,000 logits as a map of one cell [B,1000,1,1].

    The published Multi-SPIN uses these logits as embeddings.
    """

    def __init__(self, name):
        super().__init__()
        network = torchvision.models.get_model(name, weights=None)
        self.name, self.out_channels = name, network.classifier[2].out_features
        self.features, self.classifier = network.features, network.classifier

    def forward(self, images):
        logits = self.classifier(self.features(images).mean((2, 3), keepdim=True))
        return logits[..., None, None]

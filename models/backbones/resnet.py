"""ResNets of torchvision without their classifier. Parameter names are torchvision's."""
import torchvision
from torch import nn

RESNETS = ('resnet18', 'resnet34', 'resnet50', 'resnet101', 'resnet152')


class ResNetBackbone(nn.Module):
    """images [B,3,H,W] -> features [B,out_channels,H/32,W/32] (He et al., CVPR 2016)."""

    def __init__(self, name):
        super().__init__()
        network = torchvision.models.get_model(name, weights=None)
        self.name, self.out_channels = name, network.fc.in_features
        for child in ('conv1', 'bn1', 'relu', 'maxpool', 'layer1', 'layer2', 'layer3', 'layer4'):
            setattr(self, child, getattr(network, child))

    def forward(self, images):
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        return self.layer4(self.layer3(self.layer2(self.layer1(features))))

"""PyMAF: features sampled where the current mesh projects refine the estimate at each level of a feature pyramid.

Zhang et al., "PyMAF: 3D Human Pose and Shape Regression with Pyramidal Mesh Alignment Feedback Loop", ICCV 2021.
"""
import torch
import torch.nn.functional as F
from torch import nn
from yacs.config import CfgNode as CN

from models import Regressor, register
from models.backbones import build_backbone
from models.output import DenseOutput, RegressorOutput, Stage
from models.regressor import MeanParameters, ParameterHead, pose6d_to_rotmat
from utils.errors import BadConfig
from utils.geometry import project
from utils.iuv_maps import dense_iuv_losses
from utils.mesh_sampling import downsampling_matrix

# (padding, output padding) with which a transposed convolution of stride 2 doubles its input, by kernel size.
_DECONV_PADDING = {4: (1, 0), 3: (1, 1), 2: (0, 0)}


@register('pymaf_net')
class PyMAF(Regressor):
    """images [B,3,H,W] -> stages: the mean parameters, then one per pyramid level; and the dense IUV prediction."""
    published_source = 'pymaf'

    @staticmethod
    def add_config(model):
        section = model.PyMAF = CN()
        section.N_ITER = 3  # number of feedback loops and pyramid levels, 1 to 3
        section.MLP_DIM = [256, 128, 64, 5]  # channels of the point-feature reduction; the pyramid gives the first
        section.POINT_ACTIVATION = 'relu'  # 'relu', as published, or 'leaky_relu', which cannot die out
        section.GRID_SIZE = 21  # points on a side of the first level's sampling grid
        section.DECONV_FILTERS = [256, 256, 256]  # channels of the pyramid's levels
        section.DECONV_KERNELS = [4, 4, 4]  # kernel sizes of the pyramid's transposed convolutions
        section.HIDDEN = 1024  # width of the regressors' hidden layers
        section.AUX_SUPV_ON = True  # predict and supervise IUV from the last level

    def __init__(self, cfg):
        super().__init__(cfg)
        options = cfg.MODEL.PyMAF
        self.backbone = build_backbone(cfg.MODEL.BACKBONE.NAME)
        self.mean = MeanParameters(self.assets)
        points = downsampling_matrix(self.assets.file('mesh_downsampling.npz'), self.body.num_vertices)
        self.mesh_points = self.body.vertex_set(points)
        self.register_buffer('grid', sampling_grid(options.GRID_SIZE), persistent=False)

        levels = range(options.N_ITER)
        inputs = [self.backbone.out_channels, *options.DECONV_FILTERS]
        self.deconv = nn.ModuleList(
            deconv_block(inputs[i], inputs[i + 1], options.DECONV_KERNELS[i]) for i in levels)
        self.point_features = nn.ModuleList(
            PointFeatures([options.DECONV_FILTERS[i], *options.MLP_DIM[1:]], options.POINT_ACTIVATION) for i in levels)
        counts = [self.grid.shape[1]] + [points.shape[0]] * (options.N_ITER - 1)
        self.heads = nn.ModuleList(
            ParameterHead(count * options.MLP_DIM[-1], options.HIDDEN, cfg.MODEL.HEAD_DROPOUT) for count in counts)
        self.iuv_head = IUVHead(options.DECONV_FILTERS[options.N_ITER - 1]) if options.AUX_SUPV_ON else None
        self.loss_weights = {'index': cfg.LOSS.INDEX_WEIGHTS, 'part': cfg.LOSS.PART_WEIGHTS,
                             'u': cfg.LOSS.POINT_REGRESSION_WEIGHTS, 'v': cfg.LOSS.POINT_REGRESSION_WEIGHTS}

    def forward(self, images):
        features = self.backbone(images)
        estimate = self.mean.expand(len(images))
        stages = [self.mean.stage(len(images), self.body)]
        for level, (deconv, sample, head) in enumerate(zip(self.deconv, self.point_features, self.heads)):
            features = deconv(features)
            # Each level refines the estimate before it. Gradients do not flow back into earlier estimates.
            estimate = tuple(value.detach() for value in estimate)
            estimate = head(sample(features, self._sample_points(level, stages[-1])), *estimate)
            stages.append(self._stage(estimate))
        return RegressorOutput(stages, self.iuv_head(features) if self.iuv_head else None)

    def auxiliary_losses(self, out, targets):
        """IUV losses against the rendered target body (paper, section 3.3)."""
        if out.iuv is None:
            return {}
        losses = dense_iuv_losses(out.iuv.index, out.iuv.u, out.iuv.v, out.iuv.part, targets.iuv, targets.dense_valid)
        return {f'iuv_{name}': self.loss_weights[name] * value for name, value in losses.items()}

    def _stage(self, estimate):
        pose, shape, camera = estimate
        return Stage(pose6d_to_rotmat(pose), shape.float(), camera.float(), self.body)

    @torch.no_grad()
    def _sample_points(self, level, stage):
        """Sampling points [B,N,2] in [-1, 1]: a regular grid at the first level, then the projected mesh points."""
        if level == 0:
            return self.grid.expand(len(stage.camera), -1, -1)
        return project(stage.points(self.mesh_points), stage.camera)


class PointFeatures(nn.Module):
    """Sample features [B,C,h,w] at points [B,N,2] and reduce them point by point -> [B, n * N], channel by channel.

    Every layer but the first also gets the unreduced feature.
    """

    def __init__(self, channels, activation='relu'):
        super().__init__()
        activations = {'relu': F.relu, 'leaky_relu': F.leaky_relu}
        if activation not in activations:
            raise BadConfig(f'MODEL.PyMAF.POINT_ACTIVATION is {activation!r}; use one of {", ".join(activations)}')
        self.activation = activations[activation]
        widths = [channels[0]] + [width + channels[0] for width in channels[1:-1]]
        self.layers = nn.ModuleList(nn.Conv1d(a, b, 1) for a, b in zip(widths, channels[1:]))

    def forward(self, features, points):
        # Sampling positions stay in float32 under autocast: rounding to bfloat16 would move a point by up to 1/4 pixel.
        dtype = torch.promote_types(features.dtype, points.dtype)
        point_features = F.grid_sample(
            features.to(dtype), points.to(dtype).unsqueeze(2), align_corners=True).squeeze(-1)
        reduced = self.layers[0](point_features)
        for layer in self.layers[1:]:
            reduced = layer(torch.cat([F.leaky_relu(reduced), point_features], dim=1))
        return self.activation(reduced).flatten(1)


class IUVHead(nn.Module):
    """features [B,C,h,w] -> DenseOutput: 25 part scores, U and V of each part, and 15 coarse segments."""

    def __init__(self, channels):
        super().__init__()
        self.predict_u = nn.Conv2d(channels, 25, 3, padding=1)
        self.predict_v = nn.Conv2d(channels, 25, 3, padding=1)
        self.predict_ann_index = nn.Conv2d(channels, 15, 3, padding=1)
        self.predict_uv_index = nn.Conv2d(channels, 25, 3, padding=1)

    def forward(self, features):
        return DenseOutput(index=self.predict_uv_index(features), u=self.predict_u(features),
                           v=self.predict_v(features), part=self.predict_ann_index(features))


def deconv_block(channels_in, channels_out, kernel):
    """A transposed convolution that doubles the resolution, with batch normalization and ReLU (Xiao et al., ECCV 2018).
    """
    padding, output_padding = _DECONV_PADDING[kernel]
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels_out, kernel, stride=2, padding=padding,
                           output_padding=output_padding, bias=False),
        nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))


def sampling_grid(size):
    """[1, size^2, 2] points on [-1, 1]^2. The first coordinate changes slowest, as published weights expect."""
    line = torch.linspace(-1, 1, size)
    first, second = torch.meshgrid(line, line, indexing='ij')
    return torch.stack([first.flatten(), second.flatten()], dim=-1).unsqueeze(0)

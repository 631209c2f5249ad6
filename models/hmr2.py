"""HMR2.0: a vision transformer and a cross-attention decoder that predicts pose, shape and camera.

Goel et al., "Humans in 4D: Reconstructing and Tracking Humans with Transformers", ICCV 2023. Published code:
shubham-goel/4D-Humans.
"""
import roma
import torch
from torch import nn
from yacs.config import CfgNode as CN

from models import Regressor, register
from models.adversary import BodyDiscriminator
from models.backbones import VITS, build_backbone
from models.backbones.vit import GRID, PATCH, ViTBackbone, grid_embedding
from models.hmr2_losses import summed_losses
from models.output import MeanStage, RegressorOutput, Stage
from models.regressor import MeanParameters
from models.token_decoder import TokenDecoder
from utils.distributed import world_size
from utils.errors import BadConfig
from utils.full_camera import FullCamera
from utils.keypoints import FOCAL_LENGTH

# Focal length in units of half a crop: 5000 pixels for a crop of 256.
_FOCAL = FOCAL_LENGTH / 128.0


@register('hmr2')
class HMR2(Regressor):
    """images [B,3,R,R], of which the middle 3/4 of the columns are used -> stages: the mean parameters, the estimate.

    With MODEL.HMR2.SUMMED_LOSSES the published losses supervise the estimate instead of the common ones. The backbone
    is a ViT or any other; a position embedding is added to the map of another.
    """
    published_source = 'hmr2'
    box_margin = 1.0
    box_aspect = 256 / 192

    @staticmethod
    def add_config(model):
        section = model.HMR2 = CN()
        section.DIM = 1024  # width of the decoder
        section.DEPTH = 6  # layers of the decoder
        section.HEADS = 8  # heads of its attention
        section.HEAD_DIM = 64  # width of a head
        section.MLP_DIM = 1024  # hidden width of the decoder's layers
        section.SMALL_START = False  # small initial output layers: estimates start near the mean (published: no)
        section.DROP_PATH = 0.55  # training: share of rows that skip the ViT's last block; earlier blocks: fewer
        section.CHECKPOINT_BLOCKS = False  # training: recompute ViT blocks in the backward pass to save memory
        section.LAYER_DECAY = 1.0  # ViT: factor on the learning rate from each block to the previous one
        section.SUMMED_LOSSES = True  # the published losses: sums over TRAIN.BATCH_SIZE and joints, weighted by LOSS.*
        section.ORIENT_W = 0.001  # SUMMED_LOSSES: weight of the root's rotation; LOSS.POSE_W weighs the other joints

    def __init__(self, cfg):
        super().__init__(cfg)
        options = cfg.MODEL.HMR2
        self.loss_weights, self.summed, self.orient_weight = cfg.LOSS, options.SUMMED_LOSSES, options.ORIENT_W
        self.shares_batch = not cfg.TRAIN.BATCH_PER_PROCESS
        self.backbone = _backbone(cfg)
        channels = self.backbone.out_channels
        self.position = None
        if not isinstance(self.backbone, ViTBackbone):
            self.position = nn.Parameter(torch.zeros(1, GRID[0] * GRID[1], channels))
            nn.init.trunc_normal_(self.position, std=0.02)
        self.decoder = TokenDecoder(channels, options.DIM, options.DEPTH, options.HEADS, options.HEAD_DIM,
                                    options.MLP_DIM)
        self.decpose, self.decshape, self.deccam = (nn.Linear(options.DIM, size) for size in (144, 10, 3))
        if options.SMALL_START:
            for readout in (self.decpose, self.decshape, self.deccam):
                nn.init.xavier_uniform_(readout.weight, gain=0.01)
        self.mean = MeanAxes(self.assets)

    def forward(self, images):
        side = images.shape[-1] // 8
        features = self.backbone(images[..., side:images.shape[-1] - side])
        tokens = features.flatten(2).transpose(1, 2)
        if self.position is not None:
            tokens = tokens + grid_embedding(self.position, features.shape[2:])
        token = self.decoder(tokens).float()
        pose, betas, camera = (mean + readout(token) for mean, readout in zip(
            self.mean(len(images)), (self.decpose, self.decshape, self.deccam)))
        final = Stage(axes_to_rotmat(pose), betas, camera, self.body, supervised=not self.summed,
                      full_camera=FullCamera.facing(len(camera), _FOCAL, camera.device))
        return RegressorOutput([self.mean.stage(len(images), self.body), final])

    def auxiliary_losses(self, out, targets):
        if not self.summed:
            return {}
        losses = summed_losses(out.final, targets, self.loss_weights, self.orient_weight)
        # Gradients are averaged over the processes. Sums over a batch that they share out are those of the whole batch;
        # those over a batch of each process are averages of sums, as published.
        return {name: world_size() * loss for name, loss in losses.items()} if self.shares_batch else losses

    def build_adversary(self, cfg):
        return BodyDiscriminator()

    def param_groups(self, cfg):
        """One group, or with MODEL.HMR2.LAYER_DECAY one for each layer of the ViT and one for the rest."""
        decay = cfg.MODEL.HMR2.LAYER_DECAY
        if decay == 1.0:
            return super().param_groups(cfg)
        if not isinstance(self.backbone, ViTBackbone):
            raise BadConfig(f'MODEL.HMR2.LAYER_DECAY is {decay:g}, but {self.backbone.name} is not a ViT; set it to 1')
        *layers, last = self.backbone.layers()
        of_vit = {id(parameter) for parameter in self.backbone.parameters()}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in of_vit]
        return [*({'params': layer, 'lr': cfg.SOLVER.BASE_LR * decay ** (len(layers) - number)}
                  for number, layer in enumerate(layers)), {'params': last + rest}]


def _backbone(cfg):
    name, res = cfg.MODEL.BACKBONE.NAME, cfg.DATA.IMG_RES
    if name not in VITS:
        return build_backbone(name)
    if res * 3 // 4 % PATCH or res % PATCH:
        raise BadConfig(f'DATA.IMG_RES is {res}; a ViT divides it, and three quarters of it, into patches of {PATCH}; '
                        'use a multiple of 64')
    return ViTBackbone(name, cfg.MODEL.HMR2.DROP_PATH, cfg.MODEL.HMR2.CHECKPOINT_BLOCKS)


class MeanAxes(nn.Module):
    """The mean parameters of HMR2.0: those of a published checkpoint, or before one is loaded those of
    smpl_mean_params.npz. They are in the state dict.

    pose [1,144]: of each joint the first column of its rotation matrix, then the second.
    """

    def __init__(self, assets):
        super().__init__()
        mean = MeanParameters(assets)
        self.register_buffer('pose', mean.pose.reshape(24, 3, 2).mT.reshape(1, 144).clone())
        self.register_buffer('shape', mean.shape.clone())
        self.register_buffer('cam', mean.cam.clone())

    def forward(self, batch):
        """Pose [B,144], shape [B,10] and camera [B,3]."""
        return tuple(value.expand(batch, -1) for value in (self.pose, self.shape, self.cam))

    def stage(self, batch, body):
        """The mean parameters as the first, unsupervised stage of `batch` rows."""
        _, shape, camera = self(batch)
        return MeanStage(axes_to_rotmat(self.pose).expand(batch, -1, -1, -1), shape, camera, body, supervised=False,
                         full_camera=FullCamera.facing(batch, _FOCAL, camera.device))


def axes_to_rotmat(pose):
    """[B,144] -> [B,24,3,3]. Each joint has two axes, one after the other; Gram-Schmidt makes them columns of a
    rotation (Zhou et al., CVPR 2019). In SPIN's layout the two axes' numbers alternate."""
    return roma.special_gramschmidt(pose.float().unflatten(-1, (24, 2, 3)).mT)

"""Multi-SPIN: one body from synchronized views.

The published network (github.com/zhixionl/11785_final_project) is HMR on two views: the head reads the embedding of
each view and the fused one. Here any number of views share body pose and betas. Each view has its own global
orientation and camera.
"""
import torch

from models import Regressor, register
from models.backbones import build_backbone
from models.backbones.convnext import CONVNEXTS, ConvNeXtLogits
from models.fusion import build_fusion, draw_kept_views
from models.output import RegressorOutput, Stage
from models.regressor import MeanParameters, ParameterHead, pose6d_to_rotmat
from utils.errors import BadConfig


@register('multi_spin')
class MultiSPIN(Regressor):
    """images [B,V,3,H,W], or [B,3,H,W] for one view -> stages with fields [B*V,...], views fastest.

    Stages are the mean parameters, then one per refinement; only the last is supervised. `mlp` and `conv1d` fuse
    cfg.MULTIVIEW.N_VIEWS views in the given order; another number raises BadConfig. With cfg.MULTIVIEW.LEGACY_POSE
    these two return each view's own body pose, as published.
    """
    published_source = 'multi_spin'
    takes_views = True

    def __init__(self, cfg):
        super().__init__(cfg)
        name = cfg.MODEL.BACKBONE.NAME
        self.variant = {'MULTIVIEW.FUSION': cfg.MULTIVIEW.FUSION, 'MODEL.BACKBONE.NAME': name}
        self.backbone = ConvNeXtLogits(name) if name in CONVNEXTS else build_backbone(name)
        self.head = ParameterHead(self.backbone.out_channels, cfg.MODEL.HMR.HIDDEN, cfg.MODEL.HEAD_DROPOUT)
        self.fusion = build_fusion(cfg, self.backbone.out_channels)
        self.mean = MeanParameters(self.assets)
        self.n_iter = cfg.MODEL.HMR.N_ITER
        self.drop_views = cfg.MULTIVIEW.DROP_VIEWS
        self.legacy_pose = cfg.MULTIVIEW.LEGACY_POSE and self.fusion.fixed_views is not None

    def forward(self, images):
        if images.dim() == 4:
            images = images.unsqueeze(1)
        batch, n_views = images.shape[:2]
        self._check_views(n_views)
        own = self.backbone(images.flatten(0, 1)).mean((2, 3))
        fused = self._fuse(own.unflatten(0, (batch, n_views)))
        # One pass of the head: rows of the views first, then rows of the fused embedding.
        features = torch.cat([own, fused])
        estimate = self.mean.expand(len(features))
        stages = [self.mean.stage(len(own), self.body, n_views)]
        for i in range(self.n_iter):
            estimate = self.head(features, *estimate)
            stages.append(self._stage(estimate, batch, n_views, supervised=i == self.n_iter - 1))
        return RegressorOutput(stages)

    def _check_views(self, n_views):
        wanted = self.fusion.fixed_views
        if wanted not in (None, n_views):
            raise BadConfig(f'this network fuses {wanted} views (MULTIVIEW.N_VIEWS), but was given {n_views}; '
                            'MULTIVIEW.FUSION avg and attention take any number')

    def _fuse(self, embeddings):
        """[B,V,n] -> [B,n]. In training a random subset of the views, where the fusion allows it."""
        if not (self.training and self.drop_views and self.fusion.fixed_views is None):
            return self.fusion(embeddings)
        return self.fusion(embeddings, draw_kept_views(*embeddings.shape[:2], self.drop_views, embeddings.device))

    def _stage(self, estimate, batch, n_views, supervised):
        """A Stage with global orientation and camera of each view and the rest from the fused estimate."""
        pose, shape, camera = estimate
        rotmat = pose6d_to_rotmat(pose)
        own, fused = rotmat[:-batch], rotmat[-batch:].repeat_interleave(n_views, 0)
        if not self.legacy_pose:
            own = torch.cat([own[:, :1], fused[:, 1:]], 1)
        betas = shape[-batch:].float().repeat_interleave(n_views, 0)
        return Stage(own, betas, camera[:-batch].float(), self.body, supervised, n_views)

"""Places of the 24 part crops: a square around each predicted joint, sized by the adjacent bones.

DaNet, section 3.2 (joint-centric RoI pooling). Coordinates are those of the map, [-1, 1] from the centre of the first
pixel to that of the last: grid_sample with align_corners=True, as the published weights expect.
"""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from models.danet.parts import NUM_JOINTS, REACH, cover_mask
from utils.errors import BadFile
from utils.geometry import in_full_precision
from utils.keypoints import SMPL_PARENTS
from utils.logging import log_once
from utils.safe_io import as_numbers, load_pickle

RATIO_FILE = 'pretrained_model/learned_ratio.pkl'
# Margin around the body's surface, in crop units.
_MARGIN = 0.05
# Side of a hidden joint's crop over the person's side.
_HIDDEN_SHARE = 0.8
# Factor on the heat maps before the softmax. It sharpens them.
_SHARPNESS = 10.0


class PartCrops(nn.Module):
    """Affine transforms of the crops. options: cfg.MODEL.DANET.

    Half a crop's side is ratio * (the longer adjacent bone, in the picture) + offset. Both are buffers: from
    `learned_ratio.pkl` where the assets have it, else computed from the body at rest.
    """

    def __init__(self, assets, body, options):
        super().__init__()
        ratio, offset = _ratios(assets, body)
        self.register_buffer('ratio', ratio)
        self.register_buffer('offset', offset)
        self.register_buffer('cover', cover_mask(), persistent=False)
        self.register_buffer('parents', torch.tensor([max(p, 0) for p in SMPL_PARENTS]), persistent=False)
        self.register_buffer('reach', torch.tensor(REACH), persistent=False)
        self.visible_score = options.VISIBLE_SCORE
        self.center_jitter, self.scale_jitter = options.CENTER_JITTER, options.SCALE_JITTER

    @torch.no_grad()
    def forward(self, centers, part):
        """Affine transforms [B,24,2,3] of affine_grid.

        centers: [B,24,2] predicted joints; part: [B,h,w] predicted part of each pixel. Training jitters place and
        size, so that later layers do not depend on exact crops.
        """
        if self.training and self.center_jitter:
            centers = centers + self.center_jitter * (torch.rand_like(centers) - 0.5)
        half = self._half_sides(centers, self._hidden(centers, part))
        if self.training and self.scale_jitter:
            half = half * (1 + self.scale_jitter * (torch.rand_like(half) - 0.5))
        zero = torch.zeros_like(half)
        rows = [torch.stack([half, zero, centers[..., 0]], -1), torch.stack([zero, half, centers[..., 1]], -1)]
        return torch.stack(rows, dim=-2)

    def _half_sides(self, centers, hidden):
        """[B,24]"""
        bone_up = (centers - centers[:, self.parents]).norm(dim=-1)
        bone_down = (centers - centers[:, self.reach]).norm(dim=-1)
        person = (centers.amax(1) - centers.amin(1)).amax(-1, keepdim=True) / 2
        length = torch.maximum(bone_up, bone_down)
        length = torch.cat([person, length[:, 1:]], dim=1)
        half = length * F.relu(self.ratio) + F.relu(self.offset)
        return torch.where(hidden, _HIDDEN_SHARE * person, half)

    def _hidden(self, centers, part):
        """[B,24] bool: none of the parts that cover a joint is predicted at the joint. The root is never hidden."""
        covered = self.cover[:, part].movedim(0, 1).to(centers.dtype)  # [B,24,h,w]
        at_joint = F.grid_sample(covered.flatten(0, 1).unsqueeze(1), centers.reshape(-1, 1, 1, 2), align_corners=True)
        hidden = at_joint.view(-1, NUM_JOINTS) < self.visible_score
        hidden[:, 0] = False
        return hidden


def expected_positions(heatmaps):
    """Joints [B,J,2] in [-1, 1] as the expectation over each heat map [B,J,h,w] (Sun et al., ECCV 2018).

    Pixel k of n is at 2 k / n - 1, as in the training of the published weights.
    """
    share = F.softmax(_SHARPNESS * heatmaps.float().flatten(2), dim=-1).unflatten(-1, heatmaps.shape[-2:])
    height, width = heatmaps.shape[-2:]
    x = (share.sum(2) * torch.arange(width, device=share.device)).sum(-1) * (2 / width) - 1
    y = (share.sum(3) * torch.arange(height, device=share.device)).sum(-1) * (2 / height) - 1
    return torch.stack([x, y], dim=-1)


def crop(maps, transforms, size, mode='bilinear'):
    """Cut crops [B,24,2,3] out of maps [B,C,h,w] -> [B,24,C,size,size]. Outside of the map they are zero."""
    batch, channels = maps.shape[:2]
    # Sampling positions stay in float32 under autocast.
    dtype = torch.promote_types(maps.dtype, transforms.dtype)
    with in_full_precision(maps.device.type):
        grid = F.affine_grid(transforms.to(dtype).flatten(0, 1), (batch * NUM_JOINTS, channels, size, size),
                             align_corners=True)
        # One sampling for all crops of a picture: they are stacked to one tall grid.
        crops = F.grid_sample(maps.to(dtype), grid.view(batch, NUM_JOINTS * size, size, 2), mode=mode,
                              align_corners=True).to(maps.dtype)
    return crops.unflatten(2, (NUM_JOINTS, size)).movedim(2, 1)


def _ratios(assets, body):
    if assets.has(RATIO_FILE):
        return _read_ratios(assets.file(RATIO_FILE))
    if not assets.is_free:
        log_once(f'{assets.root / RATIO_FILE}: no such file; DaNet\'s part crops have the sizes of the '
                 'body at rest, unless a checkpoint gives others')
    return rest_pose_ratios(body)


def _read_ratios(path):
    content = load_pickle(path, keys := ('ratio', 'offset'))
    if not isinstance(content, dict):
        raise BadFile(f"{path}: expected a dictionary of 'ratio' and 'offset'")
    return [torch.from_numpy(as_numbers(np.ravel(content.get(key)), f'{path}: {key}', (NUM_JOINTS,), np.float32))
            for key in keys]


def rest_pose_ratios(body):
    """(ratio [24], offset [24]) for which each crop contains the body's surface around its joint in the rest pose.

    The surface is what moves with the joint or its parent, and for leaf joints also with the parent's parent. The
    person is assumed to fill 80 % of the map's height. For limbs the result is within 0.1 of the published, learned
    values.
    """
    template, joints = body.mesh.template, body.joint_template
    driver = body.mesh.weights.argmax(1)
    unit = 1.6 / (template[:, 1].max() - template[:, 1].min())
    ratio, offset = torch.ones(NUM_JOINTS), torch.zeros(NUM_JOINTS)
    # The root's bone is half the person's height. Trunk and thighs, which its crop shows, need less.
    ratio[0] = 0.7
    for joint in range(1, NUM_JOINTS):
        parent = SMPL_PARENTS[joint]
        movers = [joint, parent] if REACH[joint] != joint else [joint, parent, SMPL_PARENTS[parent]]
        flesh = template[torch.isin(driver, torch.tensor(movers))]
        bone = max((joints[joint] - joints[other])[:2].norm() for other in (parent, REACH[joint]))
        if len(flesh):
            offset[joint] = ((flesh - joints[joint])[:, :2].abs().max() - bone).clamp_min(0) * unit
    return ratio, offset.clamp_max(0.5) + _MARGIN

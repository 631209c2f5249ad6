"""Conversion between IUV images and part maps, and the losses on dense correspondences.

An IUV image [B,3,h,w] holds part / 24, U, V. Networks predict it as 25 part logits (0: background), 25 channels each
of U and V, and 15 logits of DensePose's body segments, which join front and back of a limb (DaNet, PyMAF).
"""
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F

from utils.distributed import shared_count

NUM_PARTS = 24
# DensePose's parts (0: background) of each body segment.
SEGMENTS = ((0,), (1, 2), (3,), (4,), (5,), (6,), (7, 9), (8, 10), (11, 13), (12, 14), (15, 17), (16, 18), (19, 21),
            (20, 22), (23, 24))


class IUVMaps(NamedTuple):
    """Float maps with one channel per part or segment: u, v, index [B,25,h,w], ann [B,15,h,w]."""
    u: torch.Tensor
    v: torch.Tensor
    index: torch.Tensor
    ann: torch.Tensor


@lru_cache
def _segment_of_part(device):
    table = torch.zeros(NUM_PARTS + 1, dtype=torch.long)
    for segment, parts in enumerate(SEGMENTS):
        table[list(parts)] = segment
    return table.to(device)


def part_labels(iuv):
    """Part of each pixel of an IUV image [B,3,h,w]: int64 [B,h,w], 0 to 24."""
    return (iuv[:, 0] * NUM_PARTS).round().long().clamp(0, NUM_PARTS)


def iuv_to_maps(iuv):
    """Convert an IUV image [B,3,h,w] to maps. U and V are in the channel of their part, zero in the others."""
    part = part_labels(iuv)
    index = F.one_hot(part, NUM_PARTS + 1).movedim(-1, 1).to(iuv.dtype)
    ann = F.one_hot(_segment_of_part(iuv.device)[part], len(SEGMENTS)).movedim(-1, 1).to(iuv.dtype)
    return IUVMaps(u=index * iuv[:, 1:2], v=index * iuv[:, 2:3], index=index, ann=ann)


def maps_to_iuv(index, u, v, ann=None):
    """IUV image [B,3,h,w] of predicted maps: index logits, u and v [B,25,h,w].

    The part is that of the highest logit, or background where segment logits `ann` [B,15,h,w] say background.
    """
    part = index.argmax(1, keepdim=True)
    if ann is not None:
        part = part * (ann.argmax(1, keepdim=True) > 0)
    return torch.cat([part.to(u.dtype) / NUM_PARTS, u.gather(1, part), v.gather(1, part)], 1)


def dense_iuv_losses(pred_index, pred_u, pred_v, pred_ann, iuv, valid):
    """Losses of predicted part maps against IUV images, as defined by DaNet and PyMAF, unweighted.

    pred_index, pred_u, pred_v: [B,25,h,w]; pred_ann: [B,15,h,w], or None for no 'part' loss; iuv: [B,3,H,W], resized to
    the prediction with nearest pixels; valid: [B] bool.

    Returns scalars. 'index' and 'part': cross entropy of parts and segments, mean over the valid images' pixels. 'u'
    and 'v': smooth L1 in the channel of the true part (also for the background, where U and V are 0), summed over the
    valid images' pixels and divided by the size of the whole batch. All are zero without valid images.
    """
    if iuv.shape[-2:] != pred_index.shape[-2:]:
        iuv = F.interpolate(iuv, size=pred_index.shape[-2:], mode='nearest')
    batch, _, height, width = pred_index.shape
    valid = valid.to(torch.float32).view(batch, 1, 1)
    part = part_labels(iuv)
    pixels = shared_count(valid) * height * width

    def cross_entropy(logits, labels):
        return (_where_valid(F.cross_entropy(logits.float(), labels, reduction='none'), valid)).sum() / pixels

    def regression(pred, target):
        at_part = pred.float().gather(1, part[:, None])[:, 0]
        error = F.smooth_l1_loss(at_part, target.float(), reduction='none')
        return _where_valid(error, valid).sum() / batch

    losses = {'index': cross_entropy(pred_index, part),
              'u': regression(pred_u, iuv[:, 1]), 'v': regression(pred_v, iuv[:, 2])}
    if pred_ann is not None:
        losses['part'] = cross_entropy(pred_ann, _segment_of_part(iuv.device)[part])
    return losses


def _where_valid(loss, valid):
    # Not a product, because an invalid image may contain NaN.
    return torch.where(valid > 0, loss, 0)

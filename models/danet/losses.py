"""Losses that only DaNet has. Every function returns zero, not NaN, where no row is valid."""
import torch
import torch.nn.functional as F

from models.danet.part_crops import crop
from models.danet.parts import body_to_crop_parts
from models.danet.target_losses import target_losses
from models.losses import masked_mean, pose_loss
from utils.distributed import shared_count
from utils.geometry import project
from utils.iuv_maps import dense_iuv_losses, part_labels


def danet_losses(out, targets, cfg):
    """{name: weighted scalar}. out: RegressorOutput of DaNet; targets: Targets; cfg: the whole config."""
    weights, options = cfg.LOSS, cfg.MODEL.DANET
    dense_weights = {'index': weights.INDEX_WEIGHTS, 'part': weights.PART_WEIGHTS,
                     'u': weights.POINT_REGRESSION_WEIGHTS, 'v': weights.POINT_REGRESSION_WEIGHTS}
    dense = dense_iuv_losses(out.iuv.index, out.iuv.u, out.iuv.v, out.iuv.part, targets.iuv, targets.dense_valid)
    losses = {f'iuv_{name}': dense_weights[name] * value for name, value in dense.items()}
    if 'dense_points' in targets.labels:
        point_weights = {'index': options.POINT_INDEX_W, 'segment': options.POINT_SEGMENT_W,
                         'u': options.POINT_UV_W, 'v': options.POINT_UV_W}
        annotated = dense_point_losses(out.iuv, targets.labels['dense_points'], targets.labels['dense_segments'])
        losses.update({f'points_{name}': point_weights[name] * value for name, value in annotated.items()})
    parts = out.extras['parts']
    if parts is not None:
        local = part_iuv_losses(parts, targets.iuv, targets.dense_valid)
        losses.update({f'part_iuv_{name}': dense_weights[name] * value for name, value in local.items()})
        losses['part_centers'] = options.CENTER_W * center_loss(parts.centers, center_targets(targets))
    for i, positions in enumerate(out.extras.get('positions', ())):
        losses[f'joint_position_{i}'] = options.POSITION_W * position_loss(
            positions, targets.smpl_joints, targets.valid)
    # The common losses supervise the last stage's rotations.
    for i, stage in enumerate(out.stages[1:-1]):
        losses[f'rotation_{i}'] = weights.POSE_W * pose_loss(stage.rotmat, targets.rotmat, targets.valid)
    if options.ORTHOGONAL_W > 0 and 'pose_6d' in out.extras:
        losses['orthogonality'] = options.ORTHOGONAL_W * orthogonality_loss(out.extras['pose_6d'][-1])
    losses.update(target_losses(out.stages[1:], targets, options))
    return losses


def part_iuv_losses(parts, iuv, valid):
    """Losses of the 24 crops' dense maps, unweighted, averaged over the crops.

    parts: PartPrediction; iuv: [B,3,s,s] IUV images of the whole body, which are cropped here like the features, with
    nearest-pixel sampling; valid: [B]. Parts that a crop does not predict are background. Returns 'index' (cross
    entropy, mean over the pixels of valid pictures), 'u' and 'v' (smooth L1 at the true part, summed over pixels,
    divided by the batch size).
    """
    u, v, index = parts.iuv.float().unbind(2)
    target = crop(iuv, parts.transforms, index.shape[-1], mode='nearest')
    part = part_labels(target.flatten(0, 1)).unflatten(0, target.shape[:2])
    joint = torch.arange(part.shape[1], device=part.device)[:, None, None]
    channel = body_to_crop_parts(part.device)[joint, part].unsqueeze(2)  # [B,24,1,h,w]
    mask = valid.float()
    entropy = F.cross_entropy(index.movedim(2, 1), channel.squeeze(2), reduction='none')
    losses = {'index': masked_mean(entropy, mask)}
    shown = (channel > 0).to(target.dtype)
    for name, predicted, wanted in (('u', u, target[:, :, 1:2]), ('v', v, target[:, :, 2:])):
        error = F.smooth_l1_loss(predicted.gather(2, channel), wanted * shown, reduction='none')
        per_picture = error.sum((2, 3, 4)).mean(1)
        losses[name] = torch.where(mask > 0, per_picture, 0.0).sum() / len(mask)
    return losses


@torch.no_grad()
def center_targets(targets):
    """SMPL's joints in the crop with confidence, [B,24,3]: of the target body where it is valid, else annotated."""
    projected = project(targets.smpl_joints, targets.camera)
    from_body = torch.cat([projected, torch.ones_like(projected[..., :1])], dim=-1)
    return torch.where(targets.dense_valid[:, None, None], from_body, targets.smpl_keypoints_2d)


def center_loss(centers, wanted):
    """Smooth L1 of the crops' centres [B,24,2] against [B,24,3], weighted by confidence, summed over joints, divided
    by the batch size."""
    confidence = wanted[..., 2:]
    error = F.smooth_l1_loss(centers, wanted[..., :2], reduction='none')
    return torch.where(confidence > 0, confidence * error, 0.0).sum() / len(centers)


def position_loss(positions, wanted, valid):
    """Absolute error of joint positions [B,24,3] in metres, summed over joints and axes, averaged over valid rows."""
    return masked_mean((positions.float() - wanted).abs(), valid) * positions[0].numel()


def orthogonality_loss(pose_6d):
    """Mean squared deviation of the two axes of each 6D rotation from orthonormality.

    pose_6d: [B,144]. The rotation matrix is orthonormal in any case; this loss keeps the scale of the axes near one.
    """
    axes = pose_6d.float().unflatten(-1, (24, 3, 2))
    gram = axes.transpose(-1, -2) @ axes
    return (gram - torch.eye(2, device=gram.device)).square().mean()


def dense_point_losses(dense, points, segments):
    """Losses of dense maps at annotated points (DensePose-COCO), unweighted.

    dense: DenseOutput; points: [B,196,5] x and y in [-1, 1] over the picture, part (0: no point), U, V; segments:
    [B,h,w] coarse segment of each pixel, -1 where unknown. Returns 'index' (cross entropy, mean over points), 'u' and
    'v' (smooth L1 at the true part, summed over points, divided by the batch size) and 'segment' (cross entropy, mean
    over known pixels). All are zero without annotations. The published code does not divide U and V by the batch size.
    """
    part = points[..., 2].long().unsqueeze(1)
    shown = (part > 0).float()
    index, u, v = (_at_points(maps, points[..., :2]) for maps in (dense.index, dense.u, dense.v))
    entropy = F.cross_entropy(index, part.squeeze(1), reduction='none').unsqueeze(1)
    losses = {'index': (entropy * shown).sum() / shared_count(shown)}
    for name, predicted, wanted in (('u', u, points[..., 3]), ('v', v, points[..., 4])):
        error = F.smooth_l1_loss(predicted.gather(1, part), wanted.unsqueeze(1), reduction='none')
        losses[name] = (error * shown).sum() / len(points)
    known = segments >= 0
    entropy = F.cross_entropy(dense.part.float(), segments.clamp_min(0), reduction='none')
    losses['segment'] = (entropy * known).sum() / shared_count(known)
    return losses


def _at_points(maps, points):
    """Sample maps [B,C,h,w] at points [B,N,2] -> [B,C,N]. The points' [-1, 1] spans the whole picture. grid_sample's
    spans the pixels' centres (align_corners=True)."""
    spans = (length / (length - 1) for length in (maps.shape[-1], maps.shape[-2]))
    places = torch.stack([coordinate * span for coordinate, span in zip(points.unbind(-1), spans)], -1)
    return F.grid_sample(maps.float(), places.unsqueeze(1), align_corners=True).squeeze(2)

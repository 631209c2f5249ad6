"""Sensitivity of a regressor to occlusion: a black face, or a grey patch that slides over the crop.

The sliding patch and its map of joint errors follow PARE's occlusion analysis (Kocabas et al., ICCV 2021).
"""
import cv2
import numpy as np
import torch
from tqdm import tqdm

from core.evaluation.evaluator import Evaluation
from core.evaluation.pictures import save_picture
from core.evaluation.protocols import protocol_of
from utils.errors import BadConfig
from utils.keypoints import IMAGE_MEAN, IMAGE_STD, JOINT_NAMES

_FACE = [i for i, name in enumerate(JOINT_NAMES) if name.split('_')[-1] in ('nose', 'eye', 'ear')]
# Ends of the head, for pictures with fewer than two annotated points of the face.
_HEAD = [JOINT_NAMES.index(name) for name in ('jaw_h36m', 'head_h36m', 'head_top', 'neck')]
_MARGIN = 1.6  # side of the face's box over the extent of eyes, ears and nose; adds chin and forehead
_NECK_SHARE = 1.3  # side of the face's box over the distance from nose to neck, for profiles
_PANEL, _COLUMNS, _BAR = 168, 5, 14  # pixels of a joint's map, maps in a row, width of the colour bar


class FaceOccluder:
    """Paints the face in crops [B,3,R,R] black. The 2D keypoints give its box. A transform for `Evaluator.evaluate`.

    seen: number of pictures. hidden: number of pictures with a face.
    """

    def __init__(self):
        self.seen = self.hidden = 0

    def __call__(self, images, batch):
        keypoints = batch['keypoints'].flatten(0, -3)
        flat = images.clone().flatten(0, -4)
        black = -flat.new_tensor(IMAGE_MEAN).view(3, 1, 1) / flat.new_tensor(IMAGE_STD).view(3, 1, 1)
        for image, points in zip(flat, keypoints):
            box = face_box(points.cpu().numpy(), images.shape[-1])
            self.seen += 1
            if box is not None:
                left, top, right, bottom = box
                image[:, top:bottom, left:right] = black
                self.hidden += 1
        return flat.view_as(images)


def face_box(keypoints, res):
    """Return (left, top, right, bottom) in whole pixels of a crop of side `res`, clipped at its edges.

    keypoints [49,3]: x, y in [-1, 1], confidence. None if no face is annotated, or if it is outside the crop.
    """
    face = keypoints[_FACE][keypoints[_FACE, 2] > 0, :2]
    neck = keypoints[[JOINT_NAMES.index('openpose_neck'), JOINT_NAMES.index('neck')]]
    neck = neck[neck[:, 2] > 0, :2]
    if len(face) >= 2:
        centre = (face.min(0) + face.max(0)) / 2
        side = _MARGIN * np.ptp(face, axis=0).max()
        if len(neck):
            side = max(side, _NECK_SHARE * np.linalg.norm(centre - neck.mean(0)))
    else:
        head = keypoints[_HEAD][keypoints[_HEAD, 2] > 0, :2]
        if len(head) < 2:
            return None
        centre, side = (head.min(0) + head.max(0)) / 2, 1.2 * np.ptp(head, axis=0).max()
    corners = np.concatenate([centre - side / 2, centre + side / 2])
    left, top, right, bottom = np.clip(np.round((corners + 1) * res / 2), 0, res).astype(int)
    return (left, top, right, bottom) if left < right and top < bottom else None


def patch_positions(res, patch, stride):
    """Positions of the patch along a side. The last one touches the edge. Raises BadConfig if it does not fit."""
    if patch > res:
        raise BadConfig(f'TEST.OCCLUSION_PATCH is {patch}, larger than the crop of {res} pixels; use a smaller '
                        'patch')
    starts = list(range(0, res - patch + 1, stride))
    return starts if starts[-1] == res - patch else [*starts, res - patch]


def run_grid(cfg, evaluator, regressor, dataset, device, path):
    """Slide the patch over every crop and write the map of mean joint errors to `path` (.png).

    Returns {label: Evaluation} with the mean over all positions, and with the worst position.
    """
    patch, res = cfg.TEST.OCCLUSION_PATCH, cfg.DATA.IMG_RES
    starts = patch_positions(res, patch, cfg.TEST.OCCLUSION_STRIDE)
    positions = [(top, left) for top in starts for left in starts]
    protocol = protocol_of(dataset.name)
    sums = torch.zeros(len(positions), len(protocol.joints.names), dtype=torch.float64)
    counts = torch.zeros(len(protocol.joints.names), dtype=torch.float64)
    errors = [[] for _ in positions]
    regressor.eval()
    for batch in tqdm(evaluator.batches(dataset), total=evaluator.num_batches(dataset), desc='sliding patch'):
        for number, (top, left) in enumerate(positions):
            seen = evaluator.observe(regressor, batch, protocol, device, _grey_patch(top, left, patch))
            errors[number].append(seen.errors)
            sums[number] += torch.where(seen.truth.placed, seen.joint_errors, 0).sum(0).double().cpu()
        counts += seen.truth.placed.sum(0).double().cpu()
    maps = (sums / counts).view(len(starts), len(starts), -1)
    save_picture(path, draw_maps(maps.numpy(), protocol.joints.names))
    return _summary(dataset.name, errors, positions, patch)


def _grey_patch(top, left, patch):
    """Transform that paints the mean colour, which is zero after normalization."""
    def transform(images, _batch):
        images = images.clone()
        images[..., top:top + patch, left:left + patch] = 0
        return images
    return transform


def _summary(name, errors, positions, patch):
    stacked = [{metric: torch.cat([batch[metric] for batch in parts]) for metric in parts[0]} for parts in errors]
    known = [metric for metric, values in stacked[0].items() if not values.isnan().all()]
    mean = {metric: torch.stack([one[metric] for one in stacked]).mean(0) for metric in known}
    worst = int(np.argmax([float(one['mpjpe'][:, -1].nanmean()) for one in stacked]))
    top, left = positions[worst]
    return {f'{patch} px patch, mean of {len(positions)} places': Evaluation(name, mean),
            f'worst place, x {left}, y {top}': Evaluation(name, {metric: stacked[worst][metric] for metric in known})}


def draw_maps(maps, names):
    """Draw joint error maps [R,R,J] in millimetres -> RGB uint8, with one panel per joint and one for their mean.

    Colours show the difference from the lowest error of the same joint, on one scale. Titles give the range.
    """
    layers = [('mean', maps.mean(-1)), *((name, maps[..., j]) for j, name in enumerate(names))]
    highest = max(float(np.ptp(values)) for _, values in layers)
    panels = [_panel(values, name, highest) for name, values in layers]
    panels += [np.full_like(panels[0], 255)] * (-len(panels) % _COLUMNS)
    rows = [np.hstack(panels[i:i + _COLUMNS]) for i in range(0, len(panels), _COLUMNS)]
    picture = np.vstack(rows)
    ramp = np.repeat(np.linspace(highest, 0, picture.shape[0])[:, None], _BAR, 1)
    return np.hstack([picture, _colors(ramp, highest)])


def _panel(values, name, highest):
    """One map, below its title and range."""
    size = _PANEL - 28
    colors = cv2.resize(_colors(values - values.min(), highest), (_PANEL - 8, size), interpolation=cv2.INTER_NEAREST)
    panel = np.full((_PANEL, _PANEL, 3), 255, np.uint8)
    panel[24:24 + size, 4:_PANEL - 4] = colors
    text = f'{name} {values.min():.0f} to {values.max():.0f} mm'
    cv2.putText(panel, text, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.34, (0, 0, 0), 1, cv2.LINE_AA)
    return panel


def _colors(values, highest):
    scaled = np.nan_to_num(values / max(highest, 1e-9)) * 255
    return cv2.applyColorMap(scaled.round().astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]

"""A grid of evaluated people: each crop, and beside it the crop with the estimated body."""
from pathlib import Path

import cv2
import numpy as np
import torch

from utils.keypoints import IMAGE_MEAN, IMAGE_STD
from utils.rendering import overlay_batch
from utils.safe_io import atomic_write

_MOST, _COLUMNS = 48, 4  # people, and pairs in a row


def denormalize(images):
    """Network input [B,3,R,R] -> RGB in [0, 1]."""
    mean, std = (images.new_tensor(v).view(1, 3, 1, 1) for v in (IMAGE_MEAN, IMAGE_STD))
    return (images * std + mean).clamp(0, 1)


class PictureGrid:
    """Keeps the first 48 people. faces [F,3]. cfg.TEST.VIS_RATIO scales each picture."""

    def __init__(self, cfg, faces):
        self.faces, self.size = faces, max(16, round(cfg.DATA.IMG_RES * cfg.TEST.VIS_RATIO))
        self.cells = []

    def add(self, batch, out, errors=None):
        """Draw the last stage over a batch's crops. errors [B]: millimetres to write in the corner."""
        count = min(_MOST - len(self.cells), len(batch['img']))
        if count <= 0:
            return
        final = out.final.select(slice(0, count))
        images = denormalize(batch['img'][:count].to(final.camera.device))
        images = torch.nn.functional.interpolate(images, size=self.size, mode='bilinear', antialias=True)
        overlays = overlay_batch(images, final.vertices, final.camera, self.faces.to(images.device),
                                 full_camera=final.full_camera)
        pairs = torch.cat([images, overlays], -1).movedim(1, -1).mul(255).round().byte().cpu().numpy()
        for i, pair in enumerate(pairs):
            pair = np.ascontiguousarray(pair)
            if errors is not None and not torch.isnan(errors[i]):
                _write(pair, f'{float(errors[i]):.0f}')
            self.cells.append(pair)

    def save(self, path):
        """Write the grid as a picture, atomically -> its path."""
        blank = np.zeros_like(self.cells[0])
        columns = min(_COLUMNS, len(self.cells))
        rows = [self.cells[i:i + columns] for i in range(0, len(self.cells), columns)]
        rows[-1] = rows[-1] + [blank] * (columns - len(rows[-1]))
        save_picture(path, np.vstack([np.hstack(row) for row in rows]))
        return path


def _write(picture, text):
    scale = picture.shape[0] / 224
    for color, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(picture, text, (int(6 * scale), int(24 * scale)), cv2.FONT_HERSHEY_SIMPLEX, 0.8 * scale, color,
                    max(1, round(width * scale)), cv2.LINE_AA)


def save_picture(path, rgb):
    """Write RGB uint8 [H,W,3] in the format of the path's suffix, atomically."""
    _, encoded = cv2.imencode(Path(path).suffix, rgb[..., ::-1])
    with atomic_write(path) as stream:
        stream.write(encoded.tobytes())

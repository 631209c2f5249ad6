"""Panels of pictures that show the progress of a run."""
import cv2
import numpy as np
import torch

from core.evaluation.pictures import denormalize
from utils.iuv_maps import maps_to_iuv
from utils.rendering import colorize_iuv, overlay_batch

TITLE_HEIGHT = 20  # pixels


@torch.no_grad()
def panel(images, out, targets, faces, rows=4, extra=None):
    """Draw a picture [3,H,W] in [0, 1], one row per sample, with a title over each column.

    From left to right: picture, target mesh (if there is one), predicted mesh of the last stage, target IUV, IUV of the
    predicted mesh, predicted IUV (if the network predicts it), and the regressor's `extra` {title: pictures [B,3,h,w]}.
    images: [B,3,R,R] normalized.
    """
    pictures = denormalize(images[:rows].float()).cpu()
    columns = [('picture', pictures), ('target', _target_overlay(pictures, targets, faces, rows)),
               ('estimate', _overlay(pictures, out.final, faces, rows))]
    size = pictures.shape[-1]
    if targets.iuv_renderer is not None:
        columns.append(('target IUV', _enlarged(colorize_iuv(targets.iuv[:rows].float().cpu()), size)))
        shown = out.final.full_camera
        rendered = targets.iuv_renderer(out.final.vertices[:rows].float(), out.final.camera[:rows].float(),
                                        shown and shown.select(slice(rows)))
        columns.append(('IUV of estimate', _enlarged(colorize_iuv(rendered.cpu()), size)))
    if out.iuv is not None:
        dense = maps_to_iuv(out.iuv.index[:rows].float(), out.iuv.u[:rows].float(), out.iuv.v[:rows].float(),
                            None if out.iuv.part is None else out.iuv.part[:rows].float())
        columns.append(('predicted IUV', _enlarged(colorize_iuv(dense.cpu()), size)))
    columns += [(name, _enlarged(drawn[:rows].float().cpu(), size)) for name, drawn in (extra or {}).items()]
    titles = torch.cat([_title(name, column.shape[-1]) for name, column in columns], dim=2)
    sheet = torch.cat([column for _, column in columns], dim=3)
    return torch.cat([titles, *sheet], dim=1).clamp(0, 1)


def _title(text, width):
    """White text on black, [3,TITLE_HEIGHT,width], as large as fits."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    (needed, height), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = min((width - 6) / needed, 0.6 * TITLE_HEIGHT / height)
    strip = np.zeros((TITLE_HEIGHT, width, 3), np.uint8)
    cv2.putText(strip, text, (3, TITLE_HEIGHT - 6), font, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return torch.from_numpy(strip).permute(2, 0, 1) / 255


def _target_overlay(pictures, targets, faces, rows):
    """Target meshes over their pictures. A picture without a valid mesh is unchanged."""
    drawn = _overlay(pictures, targets, faces, rows)
    return torch.where(targets.dense_valid[:rows].cpu()[:, None, None, None], drawn, pictures)


def _overlay(pictures, bodies, faces, rows):
    """The first `rows` meshes of a Stage or of Targets over their pictures, on the CPU."""
    seen_by = bodies.full_camera and bodies.full_camera.select(slice(rows)).to('cpu')
    return overlay_batch(pictures, bodies.vertices[:rows].float().cpu(), bodies.camera[:rows].float().cpu(),
                         faces.cpu(), full_camera=seen_by)


def _enlarged(pictures, height):
    """Pictures [B,3,h,w] resized to a height, with the same aspect ratio."""
    size = (height, round(height * pictures.shape[-1] / pictures.shape[-2]))
    return torch.nn.functional.interpolate(pictures, size=size, mode='nearest')


def last_stage(losses):
    """{name: value} of what the progress bar shows: pose and keypoints of the last supervised stage."""
    shown = {}
    for name, loss in losses.items():
        for wanted in ('pose', 'keypoints_2d', 'keypoints_3d'):
            if name == wanted or name.removeprefix(f'{wanted}_').isdigit():
                shown[wanted] = float(loss.detach())
    return shown

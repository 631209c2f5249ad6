"""DaNet's montage of an estimate: input, dense maps of the body and its parts, the estimate's map, front and side."""
import numpy as np
import torch
from torch.nn.functional import interpolate

from core.evaluation.pictures import denormalize
from utils.geometry import camera_to_translation
from utils.iuv import IUVRenderer
from utils.iuv_maps import maps_to_iuv
from utils.keypoints import FOCAL_LENGTH
from utils.rendering import colorize_iuv, overlay_batch, render_side_view

# Side of each panel in pixels, independent of the network's input.
_SIZE = 224


class Montage:
    """An `on_output` callback of an Estimator. It keeps one row of panels per person until `take` is called.

    Panels: input; the predicted IUV of the body and of the parts, if the regressor predicts them; the IUV of the
    estimated body over the input; the body from the front and from the side.
    """

    def __init__(self, regressor):
        self._regressor = regressor
        self._renderer = IUVRenderer(regressor.assets.file('UV_data/UV_Processed.mat'), size=_SIZE)
        self._rows = []

    def take(self):
        """The rows since the last call, stacked, [H,W,3] uint8; None if there are none."""
        rows, self._rows = self._rows, []
        return np.concatenate(rows) if rows else None

    @torch.inference_mode()
    def __call__(self, images, out):
        """images [B,3,R,R] normalized; out: RegressorOutput."""
        pictures = interpolate(denormalize(images.float()).cpu(), size=(_SIZE, _SIZE), mode='bilinear', antialias=True)
        final, faces = out.final, self._regressor.body.faces.cpu()
        vertices, camera = final.vertices.float().cpu(), final.camera.float().cpu()
        full_camera = final.full_camera and final.full_camera.to('cpu')
        panels = [pictures]
        if out.iuv is not None:
            maps = [None if value is None else value.float().cpu()
                    for value in (out.iuv.index, out.iuv.u, out.iuv.v, out.iuv.part)]
            panels.append(_enlarged(colorize_iuv(maps_to_iuv(*maps))))
        extra = getattr(self._regressor, 'extra_pictures', None)
        if extra:
            panels += [_enlarged(picture.float().cpu()) for picture in extra(out).values()]
        drawn = colorize_iuv(self._renderer(vertices, camera, full_camera))
        panels += [torch.where(drawn.amax(1, keepdim=True) > 0, drawn, pictures),
                   overlay_batch(pictures, vertices, camera, faces, full_camera=full_camera)]
        front = torch.cat(panels, -1).movedim(1, -1).clamp(0, 1).mul(255).round().byte().numpy()
        side = self._sides(vertices, camera, faces)
        self._rows += [np.concatenate(row, axis=1) for row in zip(front, side)]

    def _sides(self, vertices, camera, faces):
        translation = camera_to_translation(camera)
        return [render_side_view(vertices[i:i + 1], faces, FOCAL_LENGTH * _SIZE / 224, _SIZE, _SIZE,
                                 translations=translation[i:i + 1]) for i in range(len(vertices))]


def _enlarged(pictures):
    """Pictures [B,3,h,w] enlarged to the height of the other panels, nearest pixel."""
    width = round(pictures.shape[-1] * _SIZE / pictures.shape[-2])
    return interpolate(pictures, size=(_SIZE, width), mode='nearest')

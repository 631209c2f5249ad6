"""Overlays of the people in a frame, optionally beside the input, the bodies alone and a side view."""
import cv2
import numpy as np

from utils.errors import BadConfig
from utils.rendering import person_color, render_overlay, render_side_view


class OwnRenderer:
    """The project's rasterizer, which needs no OpenGL. faces: [F,3]."""

    def __init__(self, faces):
        self._faces = faces

    def overlay(self, image, vertices, translations, focal_length, colors):
        """image [H,W,3] uint8; vertices [N,V,3] and translations [N,3] in metres; colors [N,3] in [0, 1]."""
        return render_overlay(image, vertices, self._faces, focal_length, translations=translations, colors=colors)

    def side(self, height, width, vertices, translations, focal_length, colors, background):
        """Draw each body turned by 90 degrees about its own vertical axis. background: grey in [0, 1]."""
        return render_side_view(vertices, self._faces, focal_length, height, width, translations=translations,
                                colors=colors, background=background)


def build_renderer(name, faces):
    """The renderer 'own' or 'pyrender'. Raises BadConfig if it is unknown or does not work here."""
    if name == 'own':
        return OwnRenderer(faces)
    if name == 'pyrender':
        from core.demo.pyrender_backend import PyrenderRenderer
        return PyrenderRenderer(faces)
    raise BadConfig(f'unknown renderer {name!r}; use own or pyrender')


class Drawer:
    """Draws frames with the panels of cfg.DEMO (WITH_RAW, EMPTY_BG, SIDEVIEW, RENDER_RATIO)."""

    def __init__(self, cfg, faces):
        self._demo, self._renderer = cfg.DEMO, build_renderer(cfg.DEMO.RENDERER, faces)
        if not cfg.DEMO.RENDER_RATIO > 0:
            raise BadConfig(f'--render_ratio is {cfg.DEMO.RENDER_RATIO:g}; it must be above 0')

    def panels(self, image, estimates, focal_length):
        """Panels side by side, [H,W',3] uint8: input (WITH_RAW), overlay, bodies alone (EMPTY_BG), side (SIDEVIEW)."""
        image, focal_length = self._scaled(image, focal_length)
        panels = [self._overlay(image, estimates, focal_length)]
        if self._demo.WITH_RAW:
            panels.insert(0, image)
        if self._demo.EMPTY_BG:
            panels.append(self._overlay(np.zeros_like(image), estimates, focal_length))
        if self._demo.SIDEVIEW:
            panels.append(self._side(image, estimates, focal_length, background=0.0))
        return np.concatenate(panels, axis=1) if len(panels) > 1 else panels[0]

    def front_and_side(self, image, estimates, focal_length):
        """The panels, and the side view on white, both [H,W,3] uint8."""
        scaled, focal = self._scaled(image, focal_length)
        return self.panels(image, estimates, focal_length), self._side(scaled, estimates, focal, background=1.0)

    def _scaled(self, image, focal_length):
        ratio = self._demo.RENDER_RATIO
        if ratio == 1:
            return image, focal_length
        size = [max(1, round(side * ratio)) for side in image.shape[1::-1]]
        resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)
        return resized, focal_length and focal_length * size[0] / image.shape[1]

    def _overlay(self, image, estimates, focal_length):
        return self._renderer.overlay(image, *_bodies(estimates), focal_length, _colors(estimates)
                                      ) if estimates else image

    def _side(self, image, estimates, focal_length, background):
        height, width = image.shape[:2]
        if not estimates:
            return np.full_like(image, round(255 * background))
        return self._renderer.side(height, width, *_bodies(estimates), focal_length, _colors(estimates), background)


def fitted(picture, size):
    """Fit a picture [H,W,3] into a frame of `size` (width, height): unchanged if it has that size, else scaled, on
    black."""
    height, width = picture.shape[:2]
    if (width, height) == tuple(size):
        return picture
    ratio = min(size[0] / width, size[1] / height)
    inner = [max(1, round(width * ratio)), max(1, round(height * ratio))]
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    frame[top:top + inner[1], left:left + inner[0]] = cv2.resize(
        picture, inner, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR)
    return frame


def _bodies(estimates):
    return np.stack([e.vertices for e in estimates]), np.stack([e.translation for e in estimates])


def _colors(estimates):
    return np.stack([person_color(e.person_id) for e in estimates])

"""Rendering with pyrender (OpenGL), an alternative to `OwnRenderer`, which needs no OpenGL."""
import numpy as np
import trimesh

from utils.errors import BadConfig

# From the camera frame (y down, z forward) to OpenGL's (y up, z backward).
_TO_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
_LIGHT_STRENGTH = 1.8


class PyrenderRenderer:
    """The interface of `core.demo.draw.OwnRenderer`. faces: [F,3]. Raises BadConfig if pyrender does not work here."""

    def __init__(self, faces):
        try:
            import pyrender
            self._pyrender, self._renderer = pyrender, pyrender.OffscreenRenderer(64, 64)
        except Exception as error:  # missing packages, libraries and drivers raise different kinds
            raise BadConfig(f'--renderer pyrender cannot be used here ({" ".join(str(error).split())[:120]}); '
                            "`pip install '.[opengl]'` and PYOPENGL_PLATFORM=egl may help; --renderer own needs neither"
                            ) from None
        self._faces = np.asarray(faces)

    def overlay(self, image, vertices, translations, focal_length, colors):
        """image [H,W,3] uint8; vertices [N,V,3] and translations [N,3] in metres; colors [N,3] in [0, 1]."""
        height, width = image.shape[:2]
        self._renderer.viewport_width, self._renderer.viewport_height = width, height
        points = np.asarray(vertices) + np.asarray(translations)[:, None]
        scene = self._pyrender.Scene(bg_color=[0, 0, 0, 0], ambient_light=[0.25] * 3)
        near, far = max(points[..., 2].min() * 0.9, 1e-2), points[..., 2].max() * 1.1
        scene.add(self._pyrender.IntrinsicsCamera(focal_length, focal_length, width / 2, height / 2, near, far),
                  pose=_TO_OPENGL)
        scene.add(self._pyrender.DirectionalLight(color=[1.0] * 3, intensity=_LIGHT_STRENGTH), pose=_TO_OPENGL)
        for body, color in zip(points, colors):
            material = self._pyrender.MetallicRoughnessMaterial(metallicFactor=0.1, roughnessFactor=0.7,
                                                                baseColorFactor=[*color, 1.0])
            mesh = trimesh.Trimesh(body, self._faces, process=False)
            scene.add(self._pyrender.Mesh.from_trimesh(mesh, material=material))
        drawn, _ = self._renderer.render(scene, flags=self._pyrender.RenderFlags.RGBA)
        alpha = drawn[..., 3:].astype(np.float32) / 255
        return (image * (1 - alpha) + drawn[..., :3] * alpha + 0.5).astype(np.uint8)

    def side(self, height, width, vertices, translations, focal_length, colors, background):
        """Draw each body turned by 90 degrees about its own vertical axis. background: grey in [0, 1]."""
        vertices = np.asarray(vertices)
        middle = (vertices.min(1, keepdims=True) + vertices.max(1, keepdims=True)) / 2
        x, y, z = np.moveaxis(vertices - middle, -1, 0)
        canvas = np.full((height, width, 3), round(255 * background), np.uint8)
        return self.overlay(canvas, np.stack([-z, y, x], -1) + middle, translations, focal_length, colors)

"""Images of dense correspondences (DensePose's part, U and V) of a body mesh."""
import numpy as np
import torch
from torch import nn

from utils.errors import BadConfig, BadFile, WrongBody
from utils.iuv_maps import NUM_PARTS
from utils.keypoints import FOCAL_LENGTH
from utils.rasterizer import rasterize
from utils.safe_io import load_mat

CROP_SIZE = 224
SHADINGS = ('smooth', 'flat')


def crop_camera_translation(camera, focal_length=FOCAL_LENGTH, crop_size=CROP_SIZE):
    """Weak-perspective camera [B,3] (scale, tx, ty) -> camera translation [B,3] in metres (SPIN, arXiv 1909.12828)."""
    depth = 2 * focal_length / (crop_size * camera[:, 0] + 1e-9)
    return torch.stack([camera[:, 1], camera[:, 2], depth], -1)


def project_to_crop(vertices, camera, size, focal_length=FOCAL_LENGTH, crop_size=CROP_SIZE, full_camera=None):
    """Full perspective projection of vertices [B,V,3] into a picture of the crop with a side of `size` pixels.

    Returns [B,V,3]: x, y in pixels and depth in metres. The principal point is the crop's middle, or with a FullCamera
    the full picture's.
    """
    if full_camera is not None:
        depth = vertices[..., 2:] + full_camera.translation(camera)[:, None, 2:]
        return torch.cat([(full_camera.project(vertices, camera) + 1) * size / 2, depth], -1)
    points = vertices + crop_camera_translation(camera, focal_length, crop_size)[:, None]
    xy = points[..., :2] / points[..., 2:] * (focal_length * size / crop_size) + size / 2
    return torch.cat([xy, points[..., 2:]], -1)


class IUVRenderer(nn.Module):
    """Renders IUV images of a body mesh: part / 24, U, V; background 0; front faces only.

    uv_path: `UV_Processed.mat` in DensePose's format. size: side of the images in pixels.
    shading: 'smooth' interpolates U and V in each face, with perspective; 'flat' paints a face with its corners' mean,
    like the published code with Neural Renderer. In both, the part is constant in a face, so no pixel is between two
    parts. PyMAF's later renderer blends part numbers of the vertices.
    backend: of `utils.rasterizer.rasterize`.

    Called with vertices [B,V,3] in metres, before the camera translation, weak-perspective cameras [B,3] and, if bodies
    are in the pictures' own cameras, their FullCamera. Returns [B,3,size,size] float32 on the module's device.
    `body_digest` names the body of the charts, or is None if the file does not contain it.

    Raises MissingFile, BadFile for the chart file; BadConfig for an unknown shading; WrongBody if called with vertices
    of a body too small for the charts; ProjectError if the backend cannot be used.
    """

    def __init__(self, uv_path, size=56, shading='smooth', backend='auto', focal_length=FOCAL_LENGTH,
                 crop_size=CROP_SIZE):
        super().__init__()
        if shading not in SHADINGS:
            raise BadConfig(f'unknown IUV shading {shading!r}: use one of {", ".join(SHADINGS)}')
        self.uv_path, self.size, self.shading, self.backend = str(uv_path), size, shading, backend
        self.focal_length, self.crop_size = focal_length, crop_size
        faces, part, corner_uv, self.body_digest = load_charts(uv_path)
        self.num_vertices = int(faces.max()) + 1
        self.register_buffer('faces', torch.from_numpy(faces), persistent=False)
        self.register_buffer('face_part', torch.from_numpy(part).float() / NUM_PARTS, persistent=False)
        self.register_buffer('corner_uv', torch.from_numpy(corner_uv), persistent=False)

    def forward(self, vertices, camera, full_camera=None):
        if vertices.shape[1] < self.num_vertices:
            raise WrongBody(f'{self.uv_path}: its charts name vertex {self.num_vertices - 1}, '
                            f'but the body has {vertices.shape[1]} vertices')
        pixels = project_to_crop(vertices.float(), camera.float(), self.size, self.focal_length, self.crop_size,
                                 full_camera)
        face_index, barycentric, _ = rasterize(pixels, self.faces, self.size, self.size, self.backend,
                                               cull_backfaces=True)
        return self._paint(face_index, barycentric).movedim(-1, 1).contiguous()

    def _paint(self, face_index, barycentric):
        """face_index [B,H,W] and barycentric [B,H,W,3] -> IUV [B,H,W,3]."""
        index = face_index.clamp(min=0)
        corners = self.corner_uv[index]
        uv = corners.mean(-2) if self.shading == 'flat' else (corners * barycentric[..., None]).sum(-2)
        iuv = torch.cat([self.face_part[index][..., None], uv], -1)
        return torch.where((face_index >= 0)[..., None], iuv, 0)


def load_charts(path):
    """Read DensePose's charts from `UV_Processed.mat`, with faces of body vertices.

    Returns faces [F,3] int32 of body vertices, part [F] int64 (1 to 24), UV of each face's corners [F,3,2] float32, and
    the digest of the charts' body, or None. Raises MissingFile, BadFile, which names key, shape and file.
    """
    mat = load_mat(path)
    faces = _integers(mat, 'All_Faces', path)
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces):
        raise BadFile(f'{path}: All_Faces must be [F,3], not {list(faces.shape)}')
    body_vertex = _integers(mat, 'All_vertices', path).ravel()
    part = _integers(mat, 'All_FaceIndices', path).ravel()
    u, v = (np.asarray(_entry(mat, key, path), np.float32).ravel() for key in ('All_U_norm', 'All_V_norm'))
    count = len(body_vertex)
    for key, array, length, low, high in (
            ('All_Faces', faces, len(faces), 1, count), ('All_vertices', body_vertex, count, 1, np.inf),
            ('All_FaceIndices', part, len(faces), 1, NUM_PARTS), ('All_U_norm', u, count, 0, 1),
            ('All_V_norm', v, count, 0, 1)):
        if len(array) != length:
            raise BadFile(f'{path}: {key} has {len(array)} entries, expected {length}')
        if not ((array >= low) & (array <= high)).all():
            raise BadFile(f'{path}: {key} must lie in {low} to {high}, but is {array.min()} to {array.max()}')
    digest = str(np.ravel(mat['body_digest'])[0]) if 'body_digest' in mat else None
    return (body_vertex[faces - 1] - 1).astype(np.int32), part, np.stack([u, v], -1)[faces - 1], digest


def _entry(mat, key, path):
    if key not in mat or mat[key].dtype.kind not in 'biuf' or not np.isfinite(mat[key]).all():
        raise BadFile(f'{path}: {key} is not an array of finite numbers; expected a DensePose UV_Processed.mat')
    return mat[key]


def _integers(mat, key, path):
    """An array of indices as int64. DensePose's own file stores indices in several types, also as floats."""
    array = np.asarray(_entry(mat, key, path), np.float64)
    if not np.array_equal(array, np.round(array)):
        raise BadFile(f'{path}: {key} {list(array.shape)} must hold whole numbers')
    return array.astype(np.int64)

"""Visibility from neural-renderer-pytorch 1.1.3, the renderer of the published DaNet and PyMAF. CUDA only.

Only its map of face indices and weights is used. It tests every face at every pixel, at the same pixel centres as
`utils.rasterizer`, draws only front faces, and supports only square pictures, bottom row first.
"""
import torch

from utils.errors import ProjectError

_FAR = 1e9


def load_extension():
    """The package's compiled rasterizer. Raises ProjectError if it is not installed."""
    try:
        from neural_renderer.cuda import rasterize
    except ImportError as error:
        raise ProjectError(f'neural_renderer cannot be used ({error}): run `make neural-renderer`, '
                           "or use backend 'warp'") from None
    return rasterize


def rasterize_front_faces(verts_pix, faces, size, near):
    """Nearest front face of square pictures, like `utils.rasterizer.rasterize` with `cull_backfaces`.

    verts_pix [B,V,3] float32 and faces [F,3] on a CUDA device. Raises ProjectError for tensors elsewhere.
    """
    if not verts_pix.is_cuda:
        raise ProjectError("backend 'neural_renderer' draws on CUDA devices only; use 'warp' on the CPU")
    extension = load_extension()
    batch, device = verts_pix.shape[0], verts_pix.device
    x, y, z = verts_pix.unbind(-1)
    z = torch.where(z > near, z, torch.nan)  # it clips per pixel, but such a face must be dropped entirely
    corners = torch.stack([2 * x / size - 1, 1 - 2 * y / size, z], -1)[:, faces.long()].contiguous()
    face_index = torch.full((batch, size, size), -1, dtype=torch.int32, device=device)
    weights = torch.zeros(batch, size, size, 3, device=device)
    depth = torch.full((batch, size, size), _FAR, device=device)
    unused = torch.zeros(1, device=device)
    with torch.cuda.device(device):
        extension.forward_face_index_map(corners, face_index, weights, depth, unused, torch.zeros_like(corners), size,
                                         near, _FAR, 0, 0, 0)
    face_index, weights, depth = (t.flip(1) for t in (face_index, weights, depth))
    drawn = face_index >= 0
    depth = torch.where(drawn, depth, 0)
    # Its weights are linear in screen space.
    corner_depth = corners[..., 2].gather(1, face_index.long().clamp(min=0).view(batch, -1, 1).expand(-1, -1, 3))
    barycentric = weights * depth[..., None] / corner_depth.view(batch, size, size, 3)
    return face_index.long(), torch.where(drawn[..., None], barycentric, 0), depth

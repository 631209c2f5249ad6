"""One mesh per person and frame, as `.obj` or `.ply`, written as they are computed."""
import math

import trimesh
from trimesh.exchange.obj import export_obj
from trimesh.exchange.ply import export_ply

from utils.export.tracks import CAMERA_TO_Y_UP, posed
from utils.logging import get_logger
from utils.safe_io import atomic_write

# About a gigabyte of `.obj`. The .glb has every frame.
MAX_MESHES = 1000
_WRITERS = {'obj': lambda mesh: export_obj(mesh, header=None).encode(), 'ply': export_ply}


def save_meshes(folder, stem, recording, body, extension):
    """Write STEM_personID_FRAME.EXTENSION for every person and frame: y up, metres, at the person's position.

    Beyond MAX_MESHES only frames divisible by the smallest sufficient number are written, and the log says so. Returns
    the paths.
    """
    total = sum(len(person) for person in recording.people)
    stride = max(1, math.ceil(total / MAX_MESHES))
    if stride > 1:
        get_logger().warning(f'{total} meshes are too many for .{extension} files; one frame in {stride} is written')
    faces, written = body.faces.cpu().numpy(), []
    for person in recording.people:
        rows = (person.frames % stride == 0).nonzero()[0]
        for start, out in posed(body, person.betas[rows], person.pose[rows]):
            for offset, vertices in enumerate(out.vertices.cpu().numpy()):
                row = rows[start + offset]
                placed = (vertices + person.translation[row]) * CAMERA_TO_Y_UP
                number = recording.numbers[person.frames[row]]
                path = folder / f'{stem}_person{person.person_id}_{number:06d}.{extension}'
                _save_mesh(path, placed, faces, extension)
                written.append(path)
    return written


def _save_mesh(path, vertices, faces, extension):
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    with atomic_write(path) as stream:
        stream.write(_WRITERS[extension](mesh))

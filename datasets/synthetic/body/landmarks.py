"""Vertices of the 21 landmarks that smplx appends to SMPL's joints (face, feet, fingertips)."""
import numpy as np

from utils.keypoints import VERTEX_JOINTS

_FINGERS = ('thumb', 'index', 'middle', 'ring', 'pinky')
CROWN = 'crown'


def left_landmarks(vertices, half_faces, bone_weights, bones, eye):
    """Anny's vertices at the nose, the crown and the landmarks of the left side, found in the T pose.

    vertices [N,3]: Anny in the T pose; half_faces: the left half; bone_weights: sparse [N,J]; bones: names; eye: vertex
    at the left eye's centre. Returns names ('nose', 'crown', 'eye', 'ear', 'BigToe', ..., 'pinky') -> vertices.
    """
    half = np.unique(half_faces)
    bone = np.asarray(bones)[np.asarray(bone_weights[half].argmax(1)).ravel()]
    x, y, z = vertices[half].T

    def best(mask, score):
        return int(half[np.where(mask, score, -np.inf).argmax()])

    seam = x < 1e-4
    eye_height = vertices[eye, 1]
    landmarks = {'eye': eye, 'crown': best(seam, y), 'nose': best(seam & (np.abs(y - eye_height) < 0.06), z),
                 'BigToe': best(bone == 'toe1-2.L', z), 'SmallToe': best(bone == 'toe5-3.L', z)}
    foot = (bone == 'foot.L') & (y < y.min() + 0.05)
    landmarks['Heel'] = best(foot, -z)
    temple = x[np.abs(y - eye_height - 0.06) < 0.02].max()
    ear = (np.abs(y - eye_height + 0.02) < 0.045) & (x > temple + 0.004) & (x < 0.2)
    centre = vertices[half[ear]].mean(0)
    landmarks['ear'] = best(ear, -np.linalg.norm(vertices[half] - centre - [0.01, 0, 0], axis=1))
    for number, finger in enumerate(_FINGERS, 1):
        # The thumb points forward as well as outward.
        reach = x + z if finger == 'thumb' else x
        landmarks[finger] = best(bone == f'finger{number}-3.L', reach)
    return landmarks


def vertex_ids(landmarks, surface):
    """smplx's 21 names -> vertex of the surface, from the left landmarks and the surface's mirror map."""
    ids = {}
    for name in VERTEX_JOINTS:
        if name == 'nose':
            ids[name] = surface.index_of(landmarks['nose'])
            continue
        vertex = surface.index_of(landmarks[name[1:]])
        ids[name] = vertex if name[0] in 'lL' else int(surface.mirror[vertex])
    return ids

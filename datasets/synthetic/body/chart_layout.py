"""Cuts the body into DensePose's 24 parts (Guler et al., CVPR 2018). Each part is connected and a topological disk.

Parts: 1, 2 torso back and front; 3, 4 right and left hand; 5, 6 left and right foot; 7 to 10 upper legs, 11 to 14 lower
legs (right back, left back, right front, left front); 15 to 18 upper arms, 19 to 22 lower arms (left inner, right
inner, left outer, right outer); 23, 24 right and left half of the head.
"""
import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from utils.keypoints import SMPL_JOINTS

NUM_PARTS = 24
TORSO_BACK, TORSO_FRONT, LEFT_HAND, LEFT_FOOT, LEFT_HEAD = 1, 2, 4, 5, 24
LEFT_THIGH, LEFT_SHANK, LEFT_UPPER_ARM, LEFT_FOREARM = (8, 10), (12, 14), (15, 17), (19, 21)  # (back or inner, other)
# Index of the mirrored part; index 0 is background.
MIRRORED_PART = np.array([0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23])


def cut_into_parts(template, surface, joints):
    """Part [F] (1 to 24) of each face of the template [V,3] in the T pose. Mirror-symmetric. joints: [24,3]."""
    half_count = len(surface.faces) // 2
    half = surface.faces[:half_count]
    parts = _left_parts(template[half].mean(1), template, {name: joints[i] for i, name in enumerate(SMPL_JOINTS)})
    # Neighbours within the half only: the seam is a border of the head's charts, but is inside the torso's.
    neighbours = face_neighbours(half)
    for _ in range(4):
        parts = _without_teeth(parts, neighbours)
        parts = _in_one_piece(parts, neighbours)
    return np.concatenate([parts, MIRRORED_PART[parts]])


def _left_parts(centres, template, joint):
    x, y, z = centres.T
    crotch = template[(np.abs(template[:, 0]) < 1e-6) & (template[:, 1] < joint['left_hip'][1]), 1].min()
    hip, knee, ankle = joint['left_hip'], joint['left_knee'], joint['left_ankle']
    shoulder, elbow, wrist = joint['left_shoulder'], joint['left_elbow'], joint['left_wrist']
    # The border of front and back runs through hip and shoulder, and through the flank between them.
    coronal = np.interp(y, [hip[1], (hip[1] + shoulder[1]) / 2, shoulder[1]], [hip[2], 0.02 + hip[2], shoulder[2]])
    front = (z > coronal).astype(int)
    outer = (y > shoulder[1]).astype(int)
    parts = np.where(front, TORSO_FRONT, TORSO_BACK)
    groin = crotch - 0.005 + x * (hip[1] - 0.01 - crotch) / (hip[0] + 0.06)
    parts = np.where(y < groin, np.take(LEFT_THIGH, front), parts)
    parts = np.where(y < knee[1], np.take(LEFT_SHANK, front), parts)
    parts = np.where(y < ankle[1] + 0.01, LEFT_FOOT, parts)
    parts = np.where(x > shoulder[0] + 0.03, np.take(LEFT_UPPER_ARM, outer), parts)
    parts = np.where(x > elbow[0], np.take(LEFT_FOREARM, outer), parts)
    parts = np.where(x > wrist[0], LEFT_HAND, parts)
    neck = joint['neck']
    return np.where((y > neck[1] - 0.45 * (z - neck[2])) & (x < shoulder[0] * 0.6), LEFT_HEAD, parts)


def face_neighbours(faces):
    """Sparse symmetric [F,F]: number of shared edges of faces."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    _, edge = np.unique(edges, axis=0, return_inverse=True)
    face = np.tile(np.arange(len(faces)), 3)
    incidence = scipy.sparse.csr_matrix((np.ones(len(face)), (face, edge.ravel())))
    shared = incidence @ incidence.T
    shared.setdiag(0)
    shared.eliminate_zeros()
    return shared.tocsr()


def _without_teeth(parts, neighbours):
    """Smooth the borders: a face joins another part if at least two of its neighbours belong to it."""
    parts = parts.copy()
    for _ in range(20):
        votes = neighbours @ np.eye(NUM_PARTS + 1)[parts]
        best = votes.argmax(1)
        changed = (votes.max(1) >= 2) & (votes[np.arange(len(parts)), parts] <= 1) & (best != parts)
        if not changed.any():
            break
        # Neighbours change one at a time, because two at once could swap parts for ever.
        first = np.flatnonzero(changed)
        blocked = np.zeros(len(parts), bool)
        for face in first:
            if not blocked[face]:
                parts[face] = best[face]
                blocked[neighbours[face].indices] = True
    return parts


def _in_one_piece(parts, neighbours):
    """Keep each part's largest component. Others join the part with which they share most edges."""
    parts = parts.copy()
    graph = neighbours.tocoo()
    same = parts[graph.row] == parts[graph.col]
    within = scipy.sparse.csr_matrix((graph.data[same], (graph.row[same], graph.col[same])), neighbours.shape)
    count, piece = connected_components(within, directed=False)
    sizes = np.bincount(piece, minlength=count)
    for part in np.unique(parts):
        pieces = np.unique(piece[parts == part])
        for small in pieces[pieces != pieces[sizes[pieces].argmax()]]:
            faces = np.flatnonzero(piece == small)
            around = parts[neighbours[faces].indices]
            around = around[around != part]
            parts[faces] = np.bincount(around).argmax()
    return parts

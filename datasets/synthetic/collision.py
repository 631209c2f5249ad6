"""Detects limbs that penetrate the body in a pose, with capsules on a nominal skeleton.

Skeleton and capsules have the proportions of the free body's mean shape, to the centimetre. `girth` widens the capsules
for heavier people. They are constants, so that poses can be sampled without a body.
"""
import numpy as np
import torch

from datasets.synthetic.anatomy import JOINT
from utils.keypoints import SMPL_JOINTS, SMPL_PARENTS
from utils.skinning import KinematicTree

# Rest joints of a nominal adult of 1.7 m, in metres, with the pelvis at the origin. Left side and axis only.
_NOMINAL = {
    'pelvis': (0, 0, 0), 'left_hip': (.11, -.055, .01), 'spine1': (0, .11, -.005), 'left_knee': (.133, -.44, .01),
    'spine2': (0, .19, -.01), 'left_ankle': (.155, -.87, .01), 'spine3': (0, .32, -.02),
    'left_foot': (.147, -.92, .155), 'neck': (0, .50, .02), 'left_collar': (.063, .44, .035), 'head': (0, .60, .055),
    'left_shoulder': (.174, .425, .03), 'left_elbow': (.433, .425, .03), 'left_wrist': (.665, .425, .03),
    'left_hand': (.767, .425, .03)}


def _nominal_joints():
    joints = np.zeros((24, 3))
    for number, name in enumerate(SMPL_JOINTS):
        left = np.array(_NOMINAL[name.replace('right', 'left')], float)
        joints[number] = left * (-1, 1, 1) if name.startswith('right') else left
    return joints


_REST = _nominal_joints()
_TREE = KinematicTree(SMPL_PARENTS).double()

# Left side of the body: name, carrying joint, both ends, radius; metres in the rest pose.
_CAPSULES = (
    ('head', 'head', (0, .62, .07), (0, .67, .07), .088), ('neck', 'neck', (0, .50, .02), (0, .56, .04), .058),
    ('chest', 'spine3', (.068, .38, .04), (.05, .28, .045), .098),
    ('belly', 'spine1', (.045, .22, .05), (.045, .10, .05), .102),
    ('pelvis', 'pelvis', (.068, .04, .03), (.072, -.05, .02), .108),
    ('upper_arm', 'left_shoulder', (.34, .42, .03), (.433, .425, .03), .040),
    ('forearm', 'left_elbow', (.46, .425, .033), (.66, .425, .028), .038),
    ('hand', 'left_wrist', (.69, .42, .035), (.83, .41, .04), .035),
    ('thigh', 'left_hip', (.108, -.17, .03), (.122, -.42, .022), .078),
    ('shin', 'left_knee', (.14, -.48, 0), (.157, -.85, 0), .048),
    ('foot', 'left_ankle', (.157, -.91, -.01), (.16, -.925, .16), .04))
_AXIAL_CAPSULES = ('head', 'neck')
# Tested pairs: what an arm or a leg may meet. Ranges of motion exclude collisions of adjacent capsules.
_OWN_SIDE = {'forearm': ('head', 'neck', 'chest', 'belly', 'pelvis', 'thigh', 'shin', 'foot'),
             'hand': ('head', 'neck', 'chest', 'belly', 'pelvis', 'thigh', 'shin', 'foot', 'upper_arm'),
             'upper_arm': ('chest', 'belly', 'pelvis', 'thigh', 'head', 'shin'),
             'shin': ('pelvis', 'belly', 'chest'), 'foot': ('pelvis', 'thigh', 'belly', 'chest')}
_OTHER_SIDE = {'forearm': ('chest', 'belly', 'pelvis', 'thigh', 'shin', 'foot', 'forearm', 'hand', 'upper_arm'),
               'hand': ('chest', 'belly', 'pelvis', 'thigh', 'shin', 'foot', 'hand', 'upper_arm'),
               'upper_arm': ('chest', 'thigh', 'shin', 'upper_arm'), 'thigh': ('thigh', 'shin', 'foot'),
               'shin': ('shin', 'foot', 'pelvis', 'belly', 'chest'), 'foot': ('foot', 'pelvis')}


def _build_capsules():
    """Names, carrying joints, ends relative to the joint, and radii of the capsules of both sides."""
    names, joints, ends, radii = [], [], [], []
    for side, sign in (('left', 1), ('right', -1)):
        for name, joint, first, last, radius in _CAPSULES:
            if name in _AXIAL_CAPSULES and side == 'right':
                continue
            joint = JOINT[joint.replace('left', side)]
            names.append((side if name not in _AXIAL_CAPSULES else 'axial', name))
            joints.append(joint)
            ends.append(np.array([first, last]) * (sign, 1, 1) - _REST[joint])
            radii.append(radius)
    return names, np.array(joints), np.array(ends), np.array(radii)


_CAPSULE_NAMES, _CAPSULE_JOINTS, _CAPSULE_ENDS, _CAPSULE_RADII = _build_capsules()


def _build_pairs():
    place = {name: number for number, name in enumerate(_CAPSULE_NAMES)}
    pairs = set()
    for side, other in (('left', 'right'), ('right', 'left')):
        for table, second_side in ((_OWN_SIDE, side), (_OTHER_SIDE, other)):
            for first, partners in table.items():
                for second in partners:
                    where = 'axial' if second in _AXIAL_CAPSULES else second_side
                    pairs.add(tuple(sorted((place[side, first], place[where, second]))))
    return np.array(sorted(pairs)).T


_PAIR_FIRST, _PAIR_SECOND = _build_pairs()


def forward_kinematics(rotmat, rest):
    """`KinematicTree` on numpy arrays: rotations [N, 24, 3, 3] relative to the parents -> global rotations
    [N, 24, 3, 3] and joints [N, 24, 3].

    rest: joints of the rest pose, [24, 3], metres. The pelvis keeps its rest position.
    """
    with torch.inference_mode():
        rotations, joints = _TREE(torch.from_numpy(np.asarray(rotmat, np.float64)), torch.from_numpy(rest))
    return rotations.numpy(), joints.numpy()


def penetration(rotmat, girth=1.0):
    """Largest overlap [N] in metres of limbs with each other or the trunk. Negative if all are apart.

    rotmat: [N, 24, 3, 3]; girth: factor on the capsules' radii, a number or [N].
    """
    turned, places = forward_kinematics(rotmat, _REST)
    ends = np.einsum('nkij,kej->nkei', turned[:, _CAPSULE_JOINTS], _CAPSULE_ENDS) \
        + places[:, _CAPSULE_JOINTS][:, :, None]
    gap = _segment_distance(ends[:, _PAIR_FIRST], ends[:, _PAIR_SECOND])
    touching = _CAPSULE_RADII[_PAIR_FIRST] + _CAPSULE_RADII[_PAIR_SECOND]
    return (touching * np.reshape(girth, (-1, 1)) - gap).max(1)


def _segment_distance(first, second):
    """Distance between segments [..., 2, 3] and [..., 2, 3] (Ericson, "Real-Time Collision Detection", 5.1.9)."""
    along_first, along_second = first[..., 1, :] - first[..., 0, :], second[..., 1, :] - second[..., 0, :]
    between = first[..., 0, :] - second[..., 0, :]
    a, e, b, c, f = (np.einsum('...i,...i->...', one, other) for one, other in (
        (along_first, along_first), (along_second, along_second), (along_first, along_second), (along_first, between),
        (along_second, between)))
    determinant = a * e - b * b
    s = np.clip((b * f - c * e) / np.maximum(determinant, 1e-12), 0, 1)
    t = np.clip((b * s + f) / e, 0, 1)
    s = np.clip((b * t - c) / a, 0, 1)
    nearest = between + s[..., None] * along_first - t[..., None] * along_second
    return np.sqrt(np.einsum('...i,...i->...', nearest, nearest))

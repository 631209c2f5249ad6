"""From anatomical joint angles to SMPL's axis-angle pose.

Rest frame: SMPL's T pose, y up, facing +z, x to the body's left. A table gives for each angle its joint, its slot in
the joint's Euler rotation, its sign on the left side and its range of motion. The right side is the mirror image.

Ranges of motion: American Academy of Orthopaedic Surgeons, "Joint Motion" (1965), measured by Boone & Azen (1979) and
tabulated in Norkin & White, "Measurement of Joint Motion", reduced by a few degrees at the ends.
"""
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from utils.keypoints import SMPL_JOINTS


class Angle(NamedTuple):
    """One anatomical angle. slot: index in the joint's Euler rotation; sign: on the left side; low, high: degrees."""
    joint: str
    slot: int
    sign: float
    low: float
    high: float


# Legs and trunk: bend about x, then sideways about z, then twist about y (innermost).
_TRUNK_ORDER = 'XZY'
# Collar, elbow, wrist and hand, whose bones lie along x: about y, then z, then twist about x (innermost).
_ARM_ORDER = 'YZX'

LEG_ANGLES = {
    'hip_flexion': Angle('left_hip', 0, -1, -20, 120),
    'hip_abduction': Angle('left_hip', 1, 1, -25, 45),
    'hip_external': Angle('left_hip', 2, 1, -40, 45),
    'knee_flexion': Angle('left_knee', 0, 1, 0, 145),
    'ankle_dorsiflexion': Angle('left_ankle', 0, -1, -50, 20),
    'ankle_eversion': Angle('left_ankle', 1, 1, -25, 15),
    'toe_extension': Angle('left_foot', 0, -1, -20, 45),
}
ARM_ANGLES = {
    'collar_protraction': Angle('left_collar', 0, -1, -15, 20),
    'collar_elevation': Angle('left_collar', 1, 1, -8, 25),
    # Elevation from hanging (0) to overhead (180) in a vertical plane. The plane is frontal at 0 and sagittal, to the
    # front, at 90. The T pose has elevation 90 and plane 0.
    'shoulder_plane': Angle('left_shoulder', 0, -1, -60, 130),
    'shoulder_elevation': Angle('left_shoulder', 1, 1, 0, 170),
    'shoulder_internal': Angle('left_shoulder', 2, -1, -80, 70),
    'elbow_flexion': Angle('left_elbow', 0, -1, 0, 145),
    'forearm_pronation': Angle('left_elbow', 2, 1, -75, 75),
    'wrist_deviation': Angle('left_wrist', 0, -1, -20, 25),
    'wrist_flexion': Angle('left_wrist', 1, -1, -60, 70),
    'finger_flexion': Angle('left_hand', 1, -1, -5, 45),
}
# Trunk and head. `_SHARES` distributes them over the joints of the spine and of the neck.
AXIAL_ANGLES = {
    'spine_flexion': Angle('spine', 0, 1, -25, 80),
    'spine_bend': Angle('spine', 1, -1, -35, 35),
    'spine_twist': Angle('spine', 2, 1, -45, 45),
    'head_flexion': Angle('head', 0, 1, -50, 45),
    'head_bend': Angle('head', 1, -1, -40, 40),
    'head_twist': Angle('head', 2, 1, -70, 70),
    # The whole body in the world: pitch forward, then roll to its left, then rotation about the vertical.
    'lean': Angle('pelvis', 0, 1, -200, 200),
    'tilt': Angle('pelvis', 1, -1, -100, 100),
}
ANGLE_NAMES = (*AXIAL_ANGLES, *(f'{side}_{name}' for side in ('left', 'right') for name in (*LEG_ANGLES, *ARM_ANGLES)))
ANGLE_INDEX = {name: number for number, name in enumerate(ANGLE_NAMES)}
_SHARES = {'spine': {'spine1': 0.35, 'spine2': 0.35, 'spine3': 0.3}, 'head': {'neck': 0.5, 'head': 0.5}}
# Half of the forearm's twist is at the wrist: the skin turns along the whole forearm, not only at the elbow.
_PRONATION_SHARES = {'elbow': 0.5, 'wrist': 0.5}

JOINT = {name: number for number, name in enumerate(SMPL_JOINTS)}
_SHOULDERS = [JOINT['left_shoulder'], JOINT['right_shoulder']]
_ARM_JOINTS = [JOINT[f'{s}_{j}'] for s in ('left', 'right') for j in ('collar', 'elbow', 'wrist', 'hand')]
_TRUNK_JOINTS = [j for j in range(24) if j not in _ARM_JOINTS + _SHOULDERS]


def _angle_specification(name):
    if name in AXIAL_ANGLES:
        return AXIAL_ANGLES[name]
    plain = name.split('_', 1)[1]
    return (LEG_ANGLES | ARM_ANGLES)[plain]


ANGLE_LOW = np.array([_angle_specification(n).low for n in ANGLE_NAMES], float)
ANGLE_HIGH = np.array([_angle_specification(n).high for n in ANGLE_NAMES], float)


def _targets(name):
    """(joint, share) pairs over which an angle is distributed."""
    joint = _angle_specification(name).joint
    if joint in _SHARES:
        return [(JOINT[j], share) for j, share in _SHARES[joint].items()]
    if not name.startswith(('left_', 'right_')):
        return [(JOINT[joint], 1.0)]
    side = name.split('_')[0]
    if name.endswith('pronation'):
        return [(JOINT[f'{side}_{j}'], share) for j, share in _PRONATION_SHARES.items()]
    return [(JOINT[joint.replace('left', side)], 1.0)]


def _slot_axis(joint, slot):
    if joint in _SHOULDERS:
        return 'YZY'[slot]
    return (_ARM_ORDER if joint in _ARM_JOINTS else _TRUNK_ORDER)[slot]


def _euler_matrix():
    """[A, 72]: from anatomical angles (degrees) to the 24 joints' Euler angles (degrees)."""
    matrix = np.zeros((len(ANGLE_NAMES), 24, 3))
    for row, name in enumerate(ANGLE_NAMES):
        angle = _angle_specification(name)
        for joint, share in _targets(name):
            # A reflection in x keeps rotations about x and reverses those about y and z.
            mirror = -1.0 if name.startswith('right_') and _slot_axis(joint, angle.slot) != 'X' else 1.0
            matrix[row, joint, angle.slot] = angle.sign * share * mirror
            if name.endswith('shoulder_plane'):
                # The swing is Ry(-p) Rz(e) Ry(p): the arm moves in the plane without twist.
                matrix[row, joint, 2] = -angle.sign * share * mirror
    return matrix.reshape(len(ANGLE_NAMES), 72)


_EULER = _euler_matrix()
# Rotation from the T pose to the hanging arm, where elevation is zero: left and right.
_HANG = np.array([[[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]], [[0, -1, 0], [1, 0, 0], [0, 0, 1]]])


def angles_to_rotmat(angles):
    """Anatomical angles [N, A] in degrees, columns ANGLE_NAMES -> rotations [N, 24, 3, 3], root upright facing +z."""
    euler = (angles @ _EULER).reshape(-1, 24, 3)
    rotmat = np.empty((len(angles), 24, 3, 3))
    for joints, order in ((_TRUNK_JOINTS, _TRUNK_ORDER), (_ARM_JOINTS, _ARM_ORDER), (_SHOULDERS, 'YZY')):
        part = _euler_to_rotmat(euler[:, joints], order)
        rotmat[:, joints] = part @ _HANG if joints is _SHOULDERS else part
    return rotmat


def _euler_to_rotmat(degrees, order):
    """Intrinsic Euler angles [..., 3] -> matrices [..., 3, 3]. The first axis is the outermost."""
    factors = [rotation_about('XYZ'.index(axis), np.deg2rad(degrees[..., slot])) for slot, axis in enumerate(order)]
    return factors[0] @ factors[1] @ factors[2]


def rotation_about(axis, radians):
    """Rotation matrices [..., 3, 3] about axis 0, 1 or 2 by angles [...] in radians."""
    radians = np.asarray(radians, float)
    rotmat = np.zeros((*radians.shape, 3, 3))
    second, third = (axis + 1) % 3, (axis + 2) % 3
    rotmat[..., axis, axis] = 1
    rotmat[..., second, second] = rotmat[..., third, third] = np.cos(radians)
    rotmat[..., third, second] = np.sin(radians)
    rotmat[..., second, third] = -rotmat[..., third, second]
    return rotmat


def rotmat_to_pose(rotmat):
    """Rotations [N, 24, 3, 3] -> axis-angle [N, 72], each of norm at most pi."""
    return Rotation.from_matrix(rotmat.reshape(-1, 3, 3)).as_rotvec().reshape(len(rotmat), 72)

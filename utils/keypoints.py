"""The field's joint sets and the maps between them.

The 49 joints are 25 OpenPose joints followed by 24 joints that datasets annotate (SPIN, arXiv 1909.12828).
SMPL's body has 54: its 24 joints, 21 mesh vertices (in smplx's order) and 9 regressed extra joints.
"""
import numpy as np

OPENPOSE_JOINTS = (
    'nose', 'neck', 'right_shoulder', 'right_elbow', 'right_wrist', 'left_shoulder', 'left_elbow', 'left_wrist',
    'mid_hip', 'right_hip', 'right_knee', 'right_ankle', 'left_hip', 'left_knee', 'left_ankle', 'right_eye',
    'left_eye', 'right_ear', 'left_ear', 'left_big_toe', 'left_small_toe', 'left_heel', 'right_big_toe',
    'right_small_toe', 'right_heel')
COMMON_JOINTS = (
    'right_ankle', 'right_knee', 'right_hip', 'left_hip', 'left_knee', 'left_ankle', 'right_wrist', 'right_elbow',
    'right_shoulder', 'left_shoulder', 'left_elbow', 'left_wrist', 'neck', 'head_top', 'pelvis_mpii', 'thorax_mpii',
    'spine_h36m', 'jaw_h36m', 'head_h36m', 'nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear')
# Roots of 3D joints, as indices of the common joints.
PELVIS, HIPS = 14, slice(2, 4)
JOINT_NAMES = tuple(f'openpose_{name}' for name in OPENPOSE_JOINTS) + COMMON_JOINTS
NUM_OPENPOSE, NUM_COMMON, NUM_JOINTS = 25, 24, 49

SMPL_JOINTS = (
    'pelvis', 'left_hip', 'right_hip', 'spine1', 'left_knee', 'right_knee', 'spine2', 'left_ankle', 'right_ankle',
    'spine3', 'left_foot', 'right_foot', 'neck', 'left_collar', 'right_collar', 'head', 'left_shoulder',
    'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_hand', 'right_hand')
SMPL_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
# smplx appends these vertices to SMPL's joints, in this order.
VERTEX_JOINTS = (
    'nose', 'reye', 'leye', 'rear', 'lear', 'LBigToe', 'LSmallToe', 'LHeel', 'RBigToe', 'RSmallToe', 'RHeel',
    'lthumb', 'lindex', 'lmiddle', 'lring', 'lpinky', 'rthumb', 'rindex', 'rmiddle', 'rring', 'rpinky')
# Rows of J_regressor_extra.npy.
EXTRA_JOINTS = ('right_hip', 'left_hip', 'neck', 'head_top', 'pelvis_mpii', 'thorax_mpii', 'spine_h36m', 'jaw_h36m',
                'head_h36m')
# Rows of J_regressor_h36m.npy. The left leg comes first, as in SPIN's selection of Human3.6M's 32 joints.
H36M_JOINTS = ('pelvis', 'left_hip', 'left_knee', 'left_ankle', 'right_hip', 'right_knee', 'right_ankle', 'spine',
               'neck', 'jaw', 'head_top', 'left_shoulder', 'left_elbow', 'left_wrist', 'right_shoulder',
               'right_elbow', 'right_wrist')
COCO_JOINTS = ('nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder', 'right_shoulder',
               'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_hip', 'right_hip', 'left_knee',
               'right_knee', 'left_ankle', 'right_ankle')

# Indices of the 49 joints among the body's 54 (24 SMPL, 21 vertices, 9 extra).
BODY54_TO_J49 = np.array([
    24, 12, 17, 19, 21, 16, 18, 20, 0, 2, 5, 8, 1, 4, 7, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34,
    8, 5, 45, 46, 4, 7, 21, 19, 17, 16, 18, 20, 47, 48, 49, 50, 51, 52, 53, 24, 26, 25, 28, 27])

# The 14 LSP joints, and 17 with pelvis, spine and head, as indices of H36M's 17 and of the 24 common joints.
H36M_TO_J17 = [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10, 0, 7, 9]
H36M_TO_J14 = H36M_TO_J17[:14]
J24_TO_J17 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 18, 14, 16, 17]
J24_TO_J14 = J24_TO_J17[:14]
J24_TO_COCO = [19, 20, 21, 22, 23, 9, 8, 10, 7, 11, 6, 3, 2, 4, 1, 5, 0]

SMPL_FLIP = np.array([0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22])
J24_FLIP = np.array([5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13, 14, 15, 16, 17, 18, 19, 21, 20, 23, 22])
OPENPOSE_FLIP = np.array([0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17, 22, 23, 24, 19, 20, 21])
J49_FLIP = np.concatenate([OPENPOSE_FLIP, 25 + J24_FLIP])

# Image normalization of every regressor: ImageNet's mean and deviation of RGB in [0, 1].
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
# Pixels, for a crop of 224 px.
FOCAL_LENGTH = 5000.0


def has_root(confidence):
    """[B] bool: which people have a root, that is a pelvis or both hips. confidence: [B,24] of the common joints, numpy
    or torch."""
    return (confidence[:, PELVIS] > 0) | (confidence[:, HIPS] > 0).all(1)

"""BlazePose's 33 landmarks among the 49 joints.

Limbs and face stand in the annotated rows, which the losses of training, the metrics and the fit read; heels and toes,
which only OpenPose's set has, in its rows. No joint stands in both. BlazePose has no neck, head top and small toes.
"""
import numpy as np

from utils.keypoints import JOINT_NAMES, NUM_JOINTS

LANDMARKS = (
    'nose', 'left_eye_inner', 'left_eye', 'left_eye_outer', 'right_eye_inner', 'right_eye', 'right_eye_outer',
    'left_ear', 'right_ear', 'mouth_left', 'mouth_right', 'left_shoulder', 'right_shoulder', 'left_elbow',
    'right_elbow', 'left_wrist', 'right_wrist', 'left_pinky', 'right_pinky', 'left_index', 'right_index', 'left_thumb',
    'right_thumb', 'left_hip', 'right_hip', 'left_knee', 'right_knee', 'left_ankle', 'right_ankle', 'left_heel',
    'right_heel', 'left_foot_index', 'right_foot_index')
# The 12 limb joints among the landmarks.
LIMBS = np.array([LANDMARKS.index(f'{side}_{name}') for side in ('left', 'right')
                  for name in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')])
EYES = [LANDMARKS.index('left_eye'), LANDMARKS.index('right_eye')]
MOUTH = [LANDMARKS.index('mouth_left'), LANDMARKS.index('mouth_right')]
_OPENPOSE = {'left_heel': 'left_heel', 'right_heel': 'right_heel', 'left_foot_index': 'left_big_toe',
             'right_foot_index': 'right_big_toe'}
# A toe's tip is not the joint at the big toe's base that OpenPose marks.
_TOE_CONFIDENCE = 0.5
_ROWS = {LANDMARKS.index(name): JOINT_NAMES.index(name) for name in LANDMARKS if name in JOINT_NAMES}
_ROWS |= {LANDMARKS.index(name): JOINT_NAMES.index(f'openpose_{joint}') for name, joint in _OPENPOSE.items()}
_FROM, _TO = np.array(list(_ROWS)), np.array(list(_ROWS.values()))
_FACTOR = np.array([_TOE_CONFIDENCE if LANDMARKS[i].endswith('foot_index') else 1.0 for i in _FROM])


def to_j49(landmarks, confidence):
    """Landmarks [33,D] and their confidence [33] -> [49,D+1] float32, rows without confidence all zeros."""
    joints = np.zeros((NUM_JOINTS, landmarks.shape[1] + 1), np.float32)
    joints[_TO, :-1] = landmarks[_FROM]
    joints[_TO, -1] = confidence[_FROM] * _FACTOR
    joints[joints[:, -1] <= 0] = 0
    return joints

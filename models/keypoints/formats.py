"""Joint orders of published formats, and their maps to the 49 joints.

OpenPose's joints map to OpenPose's 25 rows. Joints defined as in COCO, Human3.6M or BlazePose map to the 24 annotated
rows, which losses, metrics and fits use. Their heels and toes map to OpenPose's rows, since the annotated rows have
none. No joint maps to both.
"""
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from utils.keypoints import COCO_JOINTS, JOINT_NAMES, NUM_JOINTS, OPENPOSE_JOINTS
from utils.pixels import COUNTED_FROM_0, OPENPOSE_FIRST_PIXEL, PIXEL_CENTER, to_continuous

_TOES_OF_SIX = {f'{side}_{joint}': f'openpose_{side}_{joint}' for side in ('left', 'right')
                for joint in ('big_toe', 'small_toe', 'heel')}


@dataclass(frozen=True)
class JointFormat:
    """A joint order. names: its joints as published. elsewhere: {name: one of the 49} for joints whose name is not that
    of an annotated joint; joints in neither are ignored. factors: {name: factor on its confidence}. first_pixel: as in
    `utils.pixels`. by_openpose: the joints map to OpenPose's rows."""
    names: tuple
    elsewhere: dict = field(default_factory=dict)
    factors: dict = field(default_factory=dict)
    first_pixel: float = COUNTED_FROM_0
    by_openpose: bool = False

    @cached_property
    def rows(self):
        """{index in this format: index among the 49}"""
        prefix = 'openpose_' if self.by_openpose else ''
        where = {name: self.elsewhere.get(name, prefix + name) for name in self.names}
        return {self.names.index(name): JOINT_NAMES.index(joint) for name, joint in where.items()
                if joint in JOINT_NAMES}

    @cached_property
    def _factors(self):
        return np.array([self.factors.get(self.names[i], 1.0) for i in self.rows])

    def place(self, name):
        """Index of a joint in the format."""
        return self.names.index(name)

    def to_j49(self, points, confidence):
        """Points [J,D] in this format's order and confidence [J], clipped to [0, 1] -> [49,D+1] float32. Rows without
        confidence or with values that are not finite are zero. Pixels are not converted: see `keypoints`."""
        joints = np.zeros((NUM_JOINTS, points.shape[1] + 1), np.float32)
        taken, rows = list(self.rows), list(self.rows.values())
        joints[rows, :-1] = points[taken]
        joints[rows, -1] = np.clip(confidence[taken], 0, 1) * self._factors
        joints[~(np.isfinite(joints).all(1) & (joints[:, -1] > 0))] = 0
        return joints

    def keypoints(self, points):
        """Keypoints [J,3] (x, y, confidence) of a file in this format -> [49,3] float32 in continuous pixels."""
        points = np.asarray(points, np.float64)
        return to_continuous(self.to_j49(points[:, :2], points[:, 2]), self.first_pixel)


BLAZEPOSE33 = JointFormat(
    ('nose', 'left_eye_inner', 'left_eye', 'left_eye_outer', 'right_eye_inner', 'right_eye', 'right_eye_outer',
     'left_ear', 'right_ear', 'mouth_left', 'mouth_right', 'left_shoulder', 'right_shoulder', 'left_elbow',
     'right_elbow', 'left_wrist', 'right_wrist', 'left_pinky', 'right_pinky', 'left_index', 'right_index', 'left_thumb',
     'right_thumb', 'left_hip', 'right_hip', 'left_knee', 'right_knee', 'left_ankle', 'right_ankle', 'left_heel',
     'right_heel', 'left_foot_index', 'right_foot_index'),
    {'left_heel': 'openpose_left_heel', 'right_heel': 'openpose_right_heel',
     'left_foot_index': 'openpose_left_big_toe', 'right_foot_index': 'openpose_right_big_toe'},
    # The tip of the foot is not OpenPose's big toe.
    factors={'left_foot_index': 0.5, 'right_foot_index': 0.5}, first_pixel=PIXEL_CENTER)

FORMATS = {
    'body25': JointFormat(OPENPOSE_JOINTS, first_pixel=OPENPOSE_FIRST_PIXEL, by_openpose=True),
    'coco18': JointFormat(
        ('nose', 'neck', 'right_shoulder', 'right_elbow', 'right_wrist', 'left_shoulder', 'left_elbow', 'left_wrist',
         'right_hip', 'right_knee', 'right_ankle', 'left_hip', 'left_knee', 'left_ankle', 'right_eye', 'left_eye',
         'right_ear', 'left_ear'), first_pixel=OPENPOSE_FIRST_PIXEL, by_openpose=True),
    'coco17': JointFormat(COCO_JOINTS),
    # Its neck is between the shoulders, like OpenPose's. The annotated neck (LSP) is higher.
    'halpe26': JointFormat(
        (*COCO_JOINTS, 'head', 'neck', 'hip', 'left_big_toe', 'right_big_toe', 'left_small_toe', 'right_small_toe',
         'left_heel', 'right_heel'),
        {'head': 'head_top', 'neck': 'openpose_neck', 'hip': 'openpose_mid_hip', **_TOES_OF_SIX}),
    # 68 points of the face and 21 of each hand follow. The hands' roots are the wrists again.
    'wholebody133': JointFormat(
        (*COCO_JOINTS, 'left_big_toe', 'left_small_toe', 'left_heel', 'right_big_toe', 'right_small_toe', 'right_heel',
         *(f'face_{i}' for i in range(68)), *(f'left_hand_{i}' for i in range(21)),
         *(f'right_hand_{i}' for i in range(21))), _TOES_OF_SIX),
    'blazepose33': BLAZEPOSE33,
    # Right leg first, as in Human3.6M. Its thorax, neck and head are SPIN's neck, jaw and head.
    'h36m17': JointFormat(
        ('root', 'right_hip', 'right_knee', 'right_foot', 'left_hip', 'left_knee', 'left_foot', 'spine', 'thorax',
         'neck_base', 'head', 'left_shoulder', 'left_elbow', 'left_wrist', 'right_shoulder', 'right_elbow',
         'right_wrist'),
        {'root': 'pelvis_mpii', 'right_foot': 'right_ankle', 'left_foot': 'left_ankle', 'spine': 'spine_h36m',
         'thorax': 'neck', 'neck_base': 'jaw_h36m', 'head': 'head_h36m'})}
# Format by number of joints, for plain lists of people. Halpe's 136 joints begin with its 26.
BY_COUNT = {17: 'coco17', 18: 'coco18', 25: 'body25', 26: 'halpe26', 33: 'blazepose33', 133: 'wholebody133',
            136: 'halpe26'}

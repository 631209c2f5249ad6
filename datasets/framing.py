"""What of a person a training crop shows: the box widened to a shape, moved, or cut to a part of the body.

Cutting to parts follows EFT (Joo et al., 3DV 2021) as HMR2.0's training does: to the hips, the shoulders, the head, the
torso, an arm or legs, by the keypoints that are seen.
"""
from dataclasses import replace

import numpy as np

from utils.keypoints import COMMON_JOINTS, NUM_OPENPOSE, OPENPOSE_JOINTS

_KEYPOINT_MARGIN = 1.2  # side of a box over the extent of its keypoints
_SMALLEST = 4.0  # pixels; a part smaller than that is not cut to
_FACE = {'nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear'}
_LOWER = {f'{side}_{joint}' for side in ('left', 'right')
          for joint in ('knee', 'ankle', 'big_toe', 'small_toe', 'heel')}
_ARMS = {f'{side}_{joint}' for side in ('left', 'right') for joint in ('elbow', 'wrist')}
_HIPS = {'mid_hip', 'left_hip', 'right_hip', 'pelvis_mpii'}
_TRUNK = {'thorax_mpii', 'spine_h36m'}
_SHOULDERS = {'left_shoulder', 'right_shoulder'}
_NAMES = (*OPENPOSE_JOINTS, *COMMON_JOINTS[:19])  # without the face of the common joints
_COMMON_SHOULDERS = {NUM_OPENPOSE + COMMON_JOINTS.index(name) for name in _SHOULDERS}


def _numbers(names):
    return [number for number, name in enumerate(_NAMES) if name in names]


def _arm(side):
    return _numbers({f'{side}_{joint}' for joint in ('shoulder', 'elbow', 'wrist')})


def _leg(side):
    return _numbers({f'{side}_{joint}' for joint in ('hip', 'knee', 'ankle', 'big_toe', 'small_toe', 'heel')})


_TO_SHOULDERS = _numbers(set(_NAMES) - _LOWER - _ARMS - _HIPS - _TRUNK)
# Keypoints that are left, and the box's margin beyond `_KEYPOINT_MARGIN`.
_PARTS = {
    'hips': (_numbers(set(_NAMES) - _LOWER), 1.1), 'shoulders': (_TO_SHOULDERS, 1.2),
    # As published: OpenPose's shoulders stay, the annotated ones do not.
    'head': ([number for number in _TO_SHOULDERS if number not in _COMMON_SHOULDERS], 1.3),
    'torso': (_numbers({'neck'} | _SHOULDERS | _HIPS | _TRUNK), 1.1),
    'right_arm': (_arm('right'), 1.1), 'left_arm': (_arm('left'), 1.1),
    'legs': (_numbers(_HIPS | _LOWER), 1.1), 'right_leg': (_leg('right'), 1.1), 'left_leg': (_leg('left'), 1.1)}
_OF_WHOLE = ('hips', 'hips', 'shoulders', 'head', 'torso', 'right_arm', 'left_arm', 'legs', 'right_leg', 'left_leg')
_OF_UPPER = ('shoulders', 'head', 'torso', 'right_arm', 'left_arm')
_LIMBS = [f'{side}_{joint}' for side in ('left', 'right') for joint in ('shoulder', 'elbow', 'wrist', 'knee', 'ankle')]
_UPPER = _numbers(_FACE | {'neck', 'head_top', 'jaw_h36m', 'head_h36m'}) + sorted(_COMMON_SHOULDERS)


def framed(person, augmentation, aspect, by_keypoints=False, margin=1.0):
    """The Person with the box that its crop shows before it is scaled and turned: widened to `aspect`, height over
    width, and made `margin` times as large, or cut to a part of the body; then moved by `augmentation.shift` of its
    side.

    The box's shape is the label's (`bbox_size`). Where there is none the square stays as it is, or, `by_keypoints`, is
    widened by the shape of the keypoints seen: in training alone, since in evaluation they are the truth.
    """
    size = person.bbox_size
    if size is None and by_keypoints:
        size = _extent(person.keypoints_2d)
    center, side = person.center, 200 * person.scale * margin * (1.0 if size is None else widening(*size, aspect))
    if augmentation.part is not None:
        center, side = part_box(person.keypoints_2d, augmentation.part) or (center, side)
    if any(augmentation.shift):
        center = center + side * np.asarray(augmentation.shift)
    return replace(person, center=center, scale=side / 200)


def widening(width, height, aspect):
    """Factor of a box's longer side that makes room for the box widened to `aspect`, height over width, at least 1."""
    return max(aspect * width, height) / max(width, height) if aspect > 1 else 1.0


def _extent(keypoints):
    """Width and height of the visible keypoints [49,3], or None where they have none."""
    seen = keypoints[keypoints[:, 2] > 0, :2]
    size = np.ptp(seen, axis=0) if len(seen) else np.zeros(2)
    return size if size.max() > 0 else None


def part_box(keypoints, chance):
    """(centre [2], side) of the square about a part of the body, or None where the part is not seen well.

    keypoints [49,3]: pixels and confidence; chance in [0, 1) says which part. Of a person seen whole, ten cuts are as
    likely (to the hips counts twice); of one without knees and ankles, five; others are not cut.
    """
    parts = _OF_WHOLE if _is_whole(keypoints) else _OF_UPPER if _is_upper(keypoints) else ()
    if not parts:
        return None
    numbers, margin = _PARTS[parts[int(chance * len(parts))]]
    left = keypoints[numbers]
    seen = left[left[:, 2] > 0, :2].astype(np.float64)
    if left[:, 2].sum() <= 1:
        return None
    low, high = seen.min(0), seen.max(0)
    side = float((high - low).max()) * _KEYPOINT_MARGIN * margin
    return ((low + high) / 2, side) if side >= _SMALLEST else None


def _is_whole(keypoints):
    return all((keypoints[_numbers({name}), 2] > 0).any() for name in _LIMBS)


def _is_upper(keypoints):
    below = _numbers({name for name in _LIMBS if name.endswith(('knee', 'ankle'))})
    return not (keypoints[below, 2] > 0).any() and (keypoints[_UPPER, 2] > 0).sum() >= 2

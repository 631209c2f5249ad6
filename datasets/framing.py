"""Box of a training crop: widened to an aspect ratio, shifted, or cropped to a part of the body.

Crops of parts follow EFT (Joo et al., 3DV 2021), as in the training of HMR2.0. The visible keypoints define the box of
the body above the hips or shoulders, the head, the torso, an arm, a leg or both legs.
"""
from dataclasses import replace

import numpy as np

from utils.keypoints import COMMON_JOINTS, NUM_OPENPOSE, OPENPOSE_JOINTS

_KEYPOINT_MARGIN = 1.2  # side of a box over the extent of its keypoints
_SMALLEST = 4.0  # pixels; smaller parts are not cropped
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
# Keypoints of the part, and margin of its box in addition to `_KEYPOINT_MARGIN`.
_PARTS = {
    'hips': (_numbers(set(_NAMES) - _LOWER), 1.1), 'shoulders': (_TO_SHOULDERS, 1.2),
    # As published: with OpenPose's shoulders, without the annotated ones.
    'head': ([number for number in _TO_SHOULDERS if number not in _COMMON_SHOULDERS], 1.3),
    'torso': (_numbers({'neck'} | _SHOULDERS | _HIPS | _TRUNK), 1.1),
    'right_arm': (_arm('right'), 1.1), 'left_arm': (_arm('left'), 1.1),
    'legs': (_numbers(_HIPS | _LOWER), 1.1), 'right_leg': (_leg('right'), 1.1), 'left_leg': (_leg('left'), 1.1)}
_OF_WHOLE = ('hips', 'hips', 'shoulders', 'head', 'torso', 'right_arm', 'left_arm', 'legs', 'right_leg', 'left_leg')
_OF_UPPER = ('shoulders', 'head', 'torso', 'right_arm', 'left_arm')
_LIMBS = [f'{side}_{joint}' for side in ('left', 'right') for joint in ('shoulder', 'elbow', 'wrist', 'knee', 'ankle')]
_UPPER = _numbers(_FACE | {'neck', 'head_top', 'jaw_h36m', 'head_h36m'}) + sorted(_COMMON_SHOULDERS)


def framed(person, augmentation, aspect, by_keypoints=False, margin=1.0):
    """The Person with the box of its crop, before augmentation scales and rotates it.

    The box is widened to `aspect` (height over width) and enlarged by `margin`, or it is that of a part of the body.
    Then it is shifted by `augmentation.shift` times its side. Its shape is that of the label (`bbox_size`). Without a
    label the square is not widened or, with `by_keypoints`, is widened by the shape of the visible keypoints. Use that
    only in training, because in evaluation keypoints are ground truth.
    """
    size = person.bbox_size
    if size is None and by_keypoints and aspect > 1:
        size = _extent(person.keypoints_2d)
    center, side = person.center, 200 * person.scale * margin * (1.0 if size is None else widening(*size, aspect))
    if augmentation.part is not None:
        center, side = part_box(person.keypoints_2d, augmentation.part) or (center, side)
    if any(augmentation.shift):
        center = center + side * np.asarray(augmentation.shift)
    return replace(person, center=center, scale=side / 200)


def widening(width, height, aspect):
    """Factor of the longer side of a box that is widened to `aspect`, height over width. At least 1."""
    return max(aspect * width, height) / max(width, height) if aspect > 1 else 1.0


def _extent(keypoints):
    """Width and height of the visible keypoints [49,3], or None if they are empty."""
    seen = keypoints[keypoints[:, 2] > 0, :2]
    size = np.ptp(seen, axis=0) if len(seen) else np.zeros(2)
    return size if size.max() > 0 else None


def part_box(keypoints, chance):
    """(centre [2], side) of the square around a part of the body, or None if too little of the part is visible.

    keypoints [49,3]: pixels and confidence. chance: in [0, 1), selects the part. A fully visible person has ten equally
    likely parts ('hips' is two of them), one without visible knees and ankles has five, and others have none.
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

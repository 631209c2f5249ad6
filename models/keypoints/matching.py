"""Whether keypoints belong to a box, and whether two estimates are of one person. Pixels, continuous."""
from dataclasses import replace

import numpy as np

SEEN = 0.3
# Keypoints of another person: few of them are in the box, or they fill little of it.
_MIN_INSIDE, _MIN_EXTENT, _MARGIN = 0.7, 0.3, 0.15
# How far a person's limbs reach out of a box that a detector drew, as a share of its longer side.
_REACH = 0.25
# Two estimates whose joints are nearer than this share of the person's size are of one person.
_SAME = 0.12
# A person within another one who is smaller than this share of that one may be a part of that one.
_PART = 0.65
# Two boxes are of one person from this overlap on.
SAME_BOX = 0.3


def extent(points, confidence, size=None):
    """The rectangle [4] about the points [N,2] that are seen, those outside of a picture of size [width, height] left
    out; None where fewer than two are left."""
    seen = points[confidence >= SEEN]
    if size is not None:
        seen = seen[((seen >= 0) & (seen <= size)).all(1)]
    return np.concatenate([seen.min(0), seen.max(0)]) if len(seen) > 1 else None


def grown(box, share):
    """The rectangle [4] with `share` of its longer side added on each side."""
    box = np.asarray(box, np.float64)
    by = share * max(box[2:] - box[:2])
    return box + np.array([-by, -by, by, by])


def inside(points, box):
    """Which of points [N,2] lie in the rectangle [4] -> [N] bool."""
    return ((points >= box[:2]) & (points <= box[2:])).all(-1)


def overlap(first, second):
    """Intersection over union of two rectangles [4]."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    common = float(np.prod(np.clip(sides, 0, None)))
    areas = [float(np.prod(box[2:] - box[:2])) for box in (np.asarray(first), np.asarray(second))]
    return common / max(sum(areas) - common, 1e-9)


def belongs(points, confidence, box, size):
    """Whether the keypoints [N,2] of one person are those of whom the box [4] is drawn about."""
    rectangle = extent(points, confidence, size)
    if rectangle is None:
        return False
    box = np.asarray(box, np.float64)
    seen = points[confidence >= SEEN]
    middle = (rectangle[:2] + rectangle[2:]) / 2
    return bool(inside(seen, grown(box, _MARGIN)).mean() >= _MIN_INSIDE and inside(middle, box)
                and max(rectangle[2:] - rectangle[:2]) >= _MIN_EXTENT * max(box[2:] - box[:2]))


def within_reach(points, box):
    """Which points [N,2] the person of the box [4] can have -> [N] bool."""
    return inside(points, grown(box, _REACH))


def same_person(first, second, confidence):
    """Whether two sets of points [N,2] show one person: the mean distance of the joints that are seen (confidence [N],
    the smaller of both), as a share of the person's size."""
    seen = confidence >= SEEN
    if seen.sum() < 3:
        seen = np.ones(len(first), bool)
    size = max(np.ptp(first[seen], axis=0).max(), np.ptp(second[seen], axis=0).max(), 1e-9)
    return bool(np.linalg.norm(first - second, axis=-1)[seen].mean() < _SAME * size)


def is_part(points, confidence, size, others):
    """Whether a person of `size` pixels lies within a much larger one: an arm or a hand that was taken for a person.

    others: (points, confidence, size) of each of the other people."""
    seen = points[confidence >= SEEN]
    for other, sure, larger in others:
        rectangle = extent(other, sure)
        if rectangle is None or not len(seen) or size >= _PART * larger:
            continue
        if inside(seen, rectangle).mean() > _MIN_INSIDE:
            return True
    return False


def pairs_by_overlap(first, second):
    """Pairs (i, j) of boxes [N,4] and [M,4] that overlap by SAME_BOX or more, the nearest first, each box once."""
    overlaps = sorted(((overlap(a, b), i, j) for i, a in enumerate(first) for j, b in enumerate(second)), reverse=True)
    pairs, left, right = [], set(), set()
    for share, i, j in overlaps:
        if share >= SAME_BOX and i not in left and j not in right:
            pairs.append((i, j))
            left.add(i)
            right.add(j)
    return pairs


def matched_to_boxes(people, boxes):
    """For each of the boxes [N,4] the one of the PersonKeypoints who is in it, with that box, or None: nobody twice."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    matched = [None] * len(boxes)
    for i, j in pairs_by_overlap(boxes, [person.box for person in people]):
        matched[i] = replace(people[j], box=boxes[i])
    return matched

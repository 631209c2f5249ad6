"""Whether keypoints belong to a box, and whether two estimates show the same person. Continuous pixels."""
from dataclasses import replace

import numpy as np

SEEN = 0.3
# Limits for keypoints of another person: too few are inside the box, or they fill too little of it.
_MIN_INSIDE, _MIN_EXTENT, _MARGIN = 0.7, 0.3, 0.15
# How far limbs may reach out of a detected box, over its longer side.
_REACH = 0.25
# Two estimates show the same person if their joints are closer than this share of the person's size.
_SAME = 0.12
# A person inside another one and smaller than this share of the other may be a part of the other.
_PART = 0.65
# Smallest overlap of two boxes of the same person.
SAME_BOX = 0.3


def extent(points, confidence, size=None):
    """The rectangle [4] around the visible points [N,2], without those outside of a picture of size [width, height];
    None with fewer than two points."""
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
    """[N] bool: which points [N,2] are in the rectangle [4]."""
    return ((points >= box[:2]) & (points <= box[2:])).all(-1)


def overlap(first, second):
    """Intersection over union of two rectangles [4]."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    common = float(np.prod(np.clip(sides, 0, None)))
    areas = [float(np.prod(box[2:] - box[:2])) for box in (np.asarray(first), np.asarray(second))]
    return common / max(sum(areas) - common, 1e-9)


def belongs(points, confidence, box, size):
    """Whether keypoints [N,2] belong to the person in the box [4]."""
    rectangle = extent(points, confidence, size)
    if rectangle is None:
        return False
    box = np.asarray(box, np.float64)
    seen = points[confidence >= SEEN]
    middle = (rectangle[:2] + rectangle[2:]) / 2
    return bool(inside(seen, grown(box, _MARGIN)).mean() >= _MIN_INSIDE and inside(middle, box)
                and max(rectangle[2:] - rectangle[:2]) >= _MIN_EXTENT * max(box[2:] - box[:2]))


def within_reach(points, box):
    """[N] bool: which points [N,2] the person in the box [4] can reach."""
    return inside(points, grown(box, _REACH))


def same_person(first, second, confidence):
    """Whether two sets of points [N,2] show the same person: the mean distance of the visible joints (confidence [N],
    the smaller of both) is small relative to the person's size."""
    seen = confidence >= SEEN
    if seen.sum() < 3:
        seen = np.ones(len(first), bool)
    size = max(np.ptp(first[seen], axis=0).max(), np.ptp(second[seen], axis=0).max(), 1e-9)
    return bool(np.linalg.norm(first - second, axis=-1)[seen].mean() < _SAME * size)


def is_part(points, confidence, size, others):
    """Whether a person of `size` pixels lies within a much larger one: an arm or a hand detected as a person.

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
    """Pairs (i, j) of boxes [N,4] and [M,4] that overlap by at least SAME_BOX, by falling overlap, each box once."""
    overlaps = sorted(((overlap(a, b), i, j) for i, a in enumerate(first) for j, b in enumerate(second)), reverse=True)
    pairs, left, right = [], set(), set()
    for share, i, j in overlaps:
        if share >= SAME_BOX and i not in left and j not in right:
            pairs.append((i, j))
            left.add(i)
            right.add(j)
    return pairs


def matched_to_boxes(people, boxes):
    """For each box [N,4] the PersonKeypoints that overlap it, with that box, or None. Nobody is assigned twice."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    matched = [None] * len(boxes)
    for i, j in pairs_by_overlap(boxes, [person.box for person in people]):
        matched[i] = replace(people[j], box=boxes[i])
    return matched

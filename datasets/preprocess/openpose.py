"""Reads OpenPose's JSON files (BODY_25) and matches detections with annotated people."""
from pathlib import Path

import numpy as np

from utils.keypoints import NUM_OPENPOSE
from utils.openpose_json import people_of
from utils.pixels import OPENPOSE_FIRST_PIXEL, to_continuous
from utils.safe_io import load_json

# OpenPose joints that equal the common joints 0 to 11: ankles, knees, hips, wrists, elbows, shoulders.
LIMBS = [11, 10, 9, 12, 13, 14, 4, 3, 2, 5, 6, 7]


def read_people(path):
    """Read the detections of a picture that have a body -> [P,25,3]: x, y in continuous pixels, confidence.

    OpenPose writes an empty body if it detects only a face or a hand. Raises MissingFile, BadFile.
    """
    points = people_of(load_json(path), path, (NUM_OPENPOSE,))
    return to_continuous(points, OPENPOSE_FIRST_PIXEL)


def match_person(people, common, max_pixels=10.0):
    """Select the detection among [P,25,3] of the annotated person [24,3], or zeros [25,3] without a match.

    SPIN's rule selects the smallest mean distance over the annotated ones of the 12 limb joints, all of which must be
    detected. It is a match if the distance is below a tenth of the person's size or below `max_pixels` (10 for COCO, 30
    for MPII). In the published code the sign of the last comparison is reversed, which accepts other people.
    """
    known = common[:12, 2] > 0
    nothing = np.zeros((NUM_OPENPOSE, 3), np.float32)
    limbs = people[:, LIMBS][:, known]
    complete = (limbs[..., 2] > 0).all(-1)
    if not known.any() or not complete.any():
        return nothing
    distances = np.linalg.norm(limbs[..., :2] - common[:12][known, :2], axis=-1).mean(-1)
    distances[~complete] = np.inf
    nearest = int(np.argmin(distances))
    size = np.ptp(common[common[:, 2] > 0, :2], axis=0).max()
    return people[nearest] if distances[nearest] < max(0.1 * size, max_pixels) else nothing


def detection_file(folder, imgname):
    """Path of OpenPose's detections of a picture."""
    return Path(folder) / f'{Path(imgname).stem}_keypoints.json'

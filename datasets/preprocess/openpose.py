"""OpenPose's JSON files (BODY_25): reading, and matching detections with annotated people."""
from pathlib import Path

import numpy as np

from utils.keypoints import NUM_OPENPOSE
from utils.openpose_json import people_of
from utils.pixels import OPENPOSE_FIRST_PIXEL, to_continuous
from utils.safe_io import load_json

# OpenPose joints that are the common joints 0 to 11: ankles, knees, hips, wrists, elbows, shoulders.
LIMBS = [11, 10, 9, 12, 13, 14, 4, 3, 2, 5, 6, 7]


def read_people(path):
    """All detections of one picture that have a body -> [P,25,3]: x, y in continuous pixels, confidence.

    OpenPose gives an empty list for the body of whom it saw a face or a hand alone. Raises MissingFile, BadFile.
    """
    points = people_of(load_json(path), path, (NUM_OPENPOSE,))
    return to_continuous(points, OPENPOSE_FIRST_PIXEL)


def match_person(people, common, max_pixels=10.0):
    """The detection out of [P,25,3] that is the annotated person [24,3], or zeros [25,3] where none is.

    SPIN's rule: the nearest by mean distance over the annotated of the 12 limb joints, all of which have to be
    detected; it counts where that distance is under a tenth of the person's size or under `max_pixels` (10 for COCO,
    30 for MPII). The published code has the sign of the last comparison reversed, which takes strangers in.
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
    """Where OpenPose writes the detections of a picture."""
    return Path(folder) / f'{Path(imgname).stem}_keypoints.json'

"""People keep their numbers from frame to frame: Norfair's tracker (Kalman filters on the boxes' corners).

Norfair (BSD) is taken in its maintained form, norfair-enough: it is small, needs numpy, scipy and rich alone, and
brings neither a detector nor the OpenCV package that would replace the headless one.
"""
import logging

import norfair
import numpy as np

# Mean distance of a box's corners to where they are expected, over the box's longer side, beyond which it is another
# person.
_FARTHEST = 0.6
# It warns that a distance of one's own is slow; among a few people it is not.
logging.getLogger('norfair').setLevel(logging.ERROR)


class PersonTracker:
    """max_gap: frames for which a person who is not seen keeps the number; shorter for one who was seen briefly."""

    def __init__(self, max_gap=30):
        self._tracker = norfair.Tracker(_corner_distance, _FARTHEST, hit_counter_max=max(1, max_gap),
                                        initialization_delay=0)
        self._size = None

    def update(self, boxes, size=None):
        """The PersonBoxes of the next frame, each with its person_id (from 0). Call it for frames without boxes too.

        size: width and height of the frame, where they may differ; the view is taken for the same.
        """
        self._size = self._size or size
        scale = np.divide(self._size, size) if size else 1.0
        detections = [norfair.Detection(box.box.reshape(2, 2) * scale, data=i) for i, box in enumerate(boxes)]
        marks = {id(points) for points in (detection.points for detection in detections)}
        tracked = []
        for person in self._tracker.update(detections):
            if id(person.last_detection.points) in marks and person.id is not None:
                tracked.append(boxes[person.last_detection.data].with_id(person.id - 1))
        return sorted(tracked, key=lambda box: box.person_id)


def _corner_distance(detection, person):
    size = np.ptp(detection.points, axis=0).max()
    return np.linalg.norm(detection.points - person.estimate, axis=1).mean() / max(size, 1e-6)

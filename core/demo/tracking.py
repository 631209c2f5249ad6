"""Numbers people consistently over frames with Norfair's tracker (Kalman filters on the boxes' corners).

The package is norfair-enough, Norfair's maintained form (BSD). It is small, needs only numpy, scipy and rich, and
does not install OpenCV, which would replace the headless package.
"""
import logging

import norfair
import numpy as np

# Largest mean distance of a box's corners to their prediction, over the box's longer side. Beyond it the box is another
# person's.
_FARTHEST = 0.6
# Norfair warns that custom distances are slow. With few people they are not.
logging.getLogger('norfair').setLevel(logging.ERROR)


class PersonTracker:
    """max_gap: frames after which an unseen person loses the number; fewer for people who were seen only briefly."""

    def __init__(self, max_gap=30):
        self._tracker = norfair.Tracker(_corner_distance, _FARTHEST, hit_counter_max=max(1, max_gap),
                                        initialization_delay=0)
        self._size = None

    def update(self, boxes, size=None):
        """The PersonBoxes of the next frame with their person_id (from 0). Call it for frames without boxes too.

        size: (width, height) of the frame, needed if frames differ in size; they are assumed to show the same view.
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

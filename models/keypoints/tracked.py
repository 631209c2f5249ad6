"""Tracking of people in a video with an estimator that treats each frame on its own."""
from models.keypoints.matching import pairs_by_overlap

# Frames for which an unseen person is remembered, and the largest number of such people.
_REMEMBERED, _MOST = 30, 100


class TrackedByOverlap:
    """Called with the frames [H,W,3] uint8 RGB of one video in order -> list of PersonKeypoints with `track`.

    estimator: finds the people of each frame. A person who overlaps one of an earlier frame gets that one's number. The
    result depends on this and earlier frames only, and memory is bounded.
    """

    def __init__(self, estimator):
        self._estimator, self._known, self._next, self._frame = estimator, [], 0, 0

    def __call__(self, image):
        """Known people are (number, box, frame), the most recent first."""
        self._frame += 1
        people = self._estimator(image)
        numbers = {j: self._known[i][0] for i, j in
                   pairs_by_overlap([box for _, box, _ in self._known], [person.box for person in people])}
        for j in range(len(people)):
            if j not in numbers:
                numbers[j], self._next = self._next, self._next + 1
        seen = [(numbers[j], person.box, self._frame) for j, person in enumerate(people)]
        self._known = (seen + [known for known in self._known if known[0] not in numbers.values()
                               and self._frame - known[2] <= _REMEMBERED])[:_MOST]
        return [person.with_track(numbers[j]) for j, person in enumerate(people)]

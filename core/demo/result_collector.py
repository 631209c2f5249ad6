"""Collects the results frame by frame: a few numbers per person and frame, so long videos fit in memory."""
import numpy as np

from utils.recording import PersonTrack, Recording

_FIELDS = {'boxes': (4,), 'pose': (72,), 'betas': (10,), 'crop_camera': (3,), 'translation': (3,), 'joints': (49, 3),
           'keypoints_2d': (49, 2)}


class ResultCollector:
    """Call `add` for every frame in order, then `recording`. focus: called with a frame, returns its focal length in
    pixels. first: index of the first frame, which becomes number 0."""

    def __init__(self, source, body, focus, first=0):
        self._source, self._body, self._focus, self._first = str(source), body, focus, first
        self._frames, self._rows, self._times, self._names = {}, {}, [], []
        self._numbers, self._sizes, self._focal_lengths = [], [], []

    def add(self, frame, estimates):
        """Add a `Frame` and the Estimates of the people in it."""
        self._numbers.append(frame.index - self._first)
        self._sizes.append(frame.image.shape[1::-1])
        self._focal_lengths.append(self._focus(frame))
        index = len(self._times)
        self._times.append(frame.time)
        if frame.name:
            self._names.append(frame.name)
        for estimate in estimates:
            row = np.concatenate([np.ravel(value) for value in (
                estimate.box, estimate.pose, estimate.betas, estimate.crop_camera, estimate.translation,
                estimate.joints, estimate.keypoints_2d)]).astype(np.float32)
            self._frames.setdefault(estimate.person_id, []).append(index)
            self._rows.setdefault(estimate.person_id, []).append(row)

    @property
    def num_frames(self):
        return len(self._times)

    @property
    def num_people(self):
        return len(self._frames)

    def recording(self):
        """All added frames as a Recording."""
        width, height = self._sizes[0] if self._sizes else (0, 0)
        focal_length = self._focal_lengths[0] if self._sizes else 1.0
        people = [self._track(person_id) for person_id in sorted(self._frames)]
        return Recording(self._source, width, height, np.array(self._times), focal_length, str(self._body.file),
                         self._body.digest, people, self._names, np.array(self._numbers, np.int64),
                         np.array(self._sizes, np.int64).reshape(-1, 2), np.array(self._focal_lengths, np.float64))

    def _track(self, person_id):
        rows, columns, start = np.stack(self._rows[person_id]), {}, 0
        for name, shape in _FIELDS.items():
            end = start + int(np.prod(shape))
            columns[name] = rows[:, start:end].reshape(len(rows), *shape)
            start = end
        return PersonTrack(person_id, np.array(self._frames[person_id], np.int64), **columns)

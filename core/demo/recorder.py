"""Collects what was found, frame by frame: a few numbers a person, whatever the length of the video."""
import numpy as np

from core.demo.camera import default_focal_length
from utils.recording import PersonTrack, Recording

_FIELDS = {'boxes': (4,), 'pose': (72,), 'betas': (10,), 'crop_camera': (3,), 'translation': (3,), 'joints': (49, 3),
           'keypoints_2d': (49, 2)}


class Recorder:
    """`add` every frame in its order, then `recording`."""

    def __init__(self, source, body):
        self._source, self._body = str(source), body
        self._frames, self._rows, self._times, self._names = {}, {}, [], []
        self._size = None

    def add(self, frame, estimates):
        """A `Frame` and the Estimates of the people in it."""
        if self._size is None:
            self._size = frame.image.shape[1::-1]
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

    def recording(self, focal_length):
        """Everything so far as a Recording. focal_length: pixels, or None where there was nobody to see."""
        width, height = self._size or (0, 0)
        focal_length = float(focal_length or default_focal_length(width, height))
        people = [self._track(person_id) for person_id in sorted(self._frames)]
        return Recording(self._source, width, height, np.array(self._times), focal_length,
                         str(self._body.file), self._body.digest, people, self._names)

    def _track(self, person_id):
        rows, columns, start = np.stack(self._rows[person_id]), {}, 0
        for name, shape in _FIELDS.items():
            end = start + int(np.prod(shape))
            columns[name] = rows[:, start:end].reshape(len(rows), *shape)
            start = end
        return PersonTrack(person_id, np.array(self._frames[person_id], np.int64), **columns)

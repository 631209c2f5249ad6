"""Keypoints of the demo's people: detected together with them, or estimated in boxes of another source."""
import numpy as np

from core.demo.boxes import square_box
from core.demo.by_frame import ByFrame
from models.keypoints import build_pose_estimator, read_keypoints
from utils.errors import BadConfig, MissingFile
from utils.logging import get_logger

FITS = ('auto', 'none')


class PictureSource:
    """People with keypoints in single pictures. rule: margin and aspect for `square_box`."""

    def __init__(self, estimator, rule):
        self._estimator, self._rule = estimator, rule

    def __call__(self, frame):
        return [_box_of(person, self._rule) for person in self._estimator(frame.image)]


class VideoSource:
    """People with keypoints and numbers in the frames of a video, in their order."""
    tracked = True
    runs_ahead = True  # it needs one thread, and the fit uses another

    def __init__(self, estimator, rule):
        self._tracker, self._rule = estimator.video(), rule

    def __call__(self, frame):
        return [_box_of(person, self._rule) for person in self._tracker(frame.image)]


class KeypointDetector:
    """A DetectAndTrack that adds keypoints, estimated in the people's boxes. People who have keypoints keep them."""

    def __init__(self, detector, estimator):
        self._detector, self._estimator = detector, estimator
        self.left_out, self.skipped, self.check = detector.left_out, detector.skipped, detector.check

    def __call__(self, frames):
        return [self._with_keypoints(frame, people) for frame, people in zip(frames, self._detector(frames))]

    def _with_keypoints(self, frame, people):
        asked = [person for person in people if person.keypoints is None]
        if not asked:
            return people
        found = iter(self._estimator(frame.image, np.stack([person.box for person in asked])))
        return [person.with_keypoints(next(found)) if person.keypoints is None else person for person in people]


class FileSource:
    """People with keypoints from another program's file (`models.keypoints.readers`). The entries of a file that names
    no picture apply to every frame. same_names, listed: as in `ByFrame`."""

    def __init__(self, path, form, rule, same_names=False, listed=None):
        self._rule, self._by_frame, self._everywhere = rule, ByFrame(path, same_names, listed), []
        tracked = []
        for name, people in read_keypoints(path, form or None).items():
            for person in people:
                tracked.append(person.track is not None)
                if name:
                    self._by_frame.add(int(name) if name.isdigit() else name, person)
                else:
                    self._everywhere.append(person)
        self.tracked = bool(tracked) and all(tracked)

    def __call__(self, frame):
        people = self._everywhere or self._by_frame(frame)
        return [_box_of(person if self.tracked else person.with_track(None), self._rule) for person in people]

    def check(self):
        """Raise BadFile if no entry belonged to a frame."""
        if not self._everywhere:
            self._by_frame.check()


def _box_of(person, rule):
    left, top, right, bottom = person.box.astype(float)
    box = square_box(left, top, right - left, bottom - top, score=person.score, person_id=person.track, **rule)
    return box.with_keypoints(person)


def open_estimator(cfg, device, needed):
    """The estimator that DEMO.FIT and DEMO.KEYPOINTS name, or None. needed: there is no network to fall back to.

    Raises BadConfig, BadFile; and MissingFile if it is `needed` and absent.
    """
    if cfg.DEMO.FIT not in FITS:
        raise BadConfig(f'--fit is {cfg.DEMO.FIT!r}; use {" or ".join(FITS)}')
    if cfg.DEMO.FIT == 'none':
        return None
    try:
        return pose_estimator(cfg, device)
    except MissingFile as error:
        if needed:
            raise
        get_logger().warning(f'{error}; bodies are the network\'s alone, without a fit to keypoints')
        return None


def pose_estimator(cfg, device):
    """The estimator of DEMO.KEYPOINTS, with BlazePose's model or RTMPose's files. Raises BadConfig, MissingFile,
    BadFile."""
    name, model, detector = cfg.DEMO.KEYPOINTS, cfg.DEMO.KEYPOINT_MODEL, cfg.DEMO.KEYPOINT_DETECTOR
    options = {}
    if name == 'blazepose':
        options = {'model': model or 'auto'}
    elif name == 'rtmpose':
        if not model:
            raise BadConfig('--keypoints rtmpose wants --keypoint_model FILE, RTMPose as ONNX; it finds people by '
                            'itself with --keypoint_detector FILE, YOLOX as ONNX')
        options = {'pose': model, 'detector': detector or None}
    return build_pose_estimator(name, device, **options)

"""Finds the people in each frame: the boxes of one source, checked, counted and numbered."""
from collections import Counter
from pathlib import Path

from core.demo.boxes import (
    Detections,
    OpenPoseFolder,
    TrackAnnotations,
    box_from_json,
    boxes_from_openpose,
    full_frame,
)
from core.demo.detectors import TorchvisionDetector
from core.demo.keypoints import FileSource, KeypointDetector, PictureSource, VideoSource, pose_estimator
from core.demo.pictures import list_pictures
from core.demo.tracking import PersonTracker
from utils.errors import BadConfig, MissingFile
from utils.logging import get_logger

_WITHOUT_A_FINDER = {'full_frame': 'each whole picture is taken as one person (--bbox and --detections give boxes)',
                     'fasterrcnn': 'Faster R-CNN finds people'}


class DetectAndTrack:
    """Called with frames in order. Returns for each a list of PersonBox with a person_id.

    source: called with one frame, or with a list of frames if `batched`; returns PersonBoxes. track: number people over
    time; otherwise people without a number from the source are numbered within the frame. left_out: number of rejected
    boxes by reason; skipped: unreadable parts of the source. runs_ahead: a thread of its own makes it faster.
    """

    def __init__(self, cfg, source, batched=False, track=False):
        self._source, self._batched, self._smallest = source, batched, cfg.DEMO.MIN_BOX
        numbered = getattr(source, 'tracked', False)
        self._tracker = PersonTracker(cfg.DEMO.MAX_GAP) if track and not numbered else None
        self.left_out, self.skipped = Counter(), getattr(source, 'skipped', Counter())
        self.runs_ahead = getattr(source, 'runs_ahead', False)

    def check(self):
        """Call after the last frame. Raises BadFile if nothing in the source belonged to a frame."""
        if hasattr(self._source, 'check'):
            self._source.check()

    def __call__(self, frames):
        found = self._source([frame.image for frame in frames]) if self._batched else map(self._source, frames)
        return [self._numbered(frame, self._usable(frame, boxes)) for frame, boxes in zip(frames, found)]

    def _usable(self, frame, boxes):
        height, width = frame.image.shape[:2]
        usable = []
        for box in boxes:
            problem = box.problem(width, height, self._smallest)
            if problem:
                self.left_out[problem] += 1
            else:
                usable.append(box)
        return usable

    def _numbered(self, frame, boxes):
        if self._tracker:
            return self._tracker.update(boxes, frame.image.shape[1::-1])
        return [box if box.person_id is not None else box.with_id(i) for i, box in enumerate(boxes)]


def picture_detector(cfg, inputs, index, device, estimator):
    """DetectAndTrack for picture number `index` of --img, or for any picture of a folder or of --img_file. By default
    DEMO.KEYPOINTS finds people, with or without a fit. Crops have the aspect of the estimator's regressor."""
    regressor, keypoints = estimator.regressor, estimator.keypoints
    for given, read in ((inputs.bbox, lambda path, aspect: [box_from_json(path, aspect)]),
                        (inputs.openpose, boxes_from_openpose)):
        if given and inputs.kind in ('img', 'img_file'):
            boxes = read(given[min(index, len(given) - 1)], regressor.box_aspect)
            return _with_keypoints(DetectAndTrack(cfg, lambda frame, boxes=boxes: boxes), keypoints)
    return _folder_detector(cfg, inputs, device, estimator, track=False)


def video_detector(cfg, inputs, device, estimator):
    """DetectAndTrack for the frames of a video. By default DEMO.KEYPOINTS finds people, with or without a fit."""
    return _folder_detector(cfg, inputs, device, estimator, track=True)


def _with_keypoints(detector, keypoints):
    return KeypointDetector(detector, keypoints) if keypoints else detector


def _folder_detector(cfg, inputs, device, estimator, track):
    regressor, keypoints = estimator.regressor, estimator.keypoints
    rule = {'margin': cfg.DEMO.BOX_SCALE or regressor.box_margin, 'aspect': regressor.box_aspect}
    if inputs.bbox:
        raise BadConfig('--bbox is for pictures (--img, --img_file); for videos and folders give --detections FILE')
    detector = _named_detector(cfg, inputs, rule, track)
    if detector:
        return _with_keypoints(detector, keypoints)
    name = cfg.DEMO.DETECTOR
    if not name:
        otherwise = 'fasterrcnn' if track else 'full_frame'
        finder = keypoints or _people_finder(cfg, device, otherwise)
        if finder:
            return DetectAndTrack(cfg, VideoSource(finder, rule) if track else PictureSource(finder, rule), track=track)
        name = otherwise
    if name == 'full_frame':
        detector = DetectAndTrack(cfg, lambda frame: [full_frame(*frame.image.shape[1::-1])], track=track)
    else:
        weights = Path(cfg.PATHS.DATA_DIR) / 'pretrained_model'
        detector = TorchvisionDetector(name, weights, device, cfg.DEMO.DETECTOR_SIZE, cfg.DEMO.MIN_SCORE, **rule)
        detector = DetectAndTrack(cfg, detector, batched=True, track=track)
    return _with_keypoints(detector, keypoints)


def _people_finder(cfg, device, otherwise):
    """The estimator of DEMO.KEYPOINTS, to find people with. Without its files None, with a warning that names what is
    done otherwise."""
    try:
        return pose_estimator(cfg, device)
    except MissingFile as error:
        get_logger().warning(f'{error}; until then {_WITHOUT_A_FINDER[otherwise]}')
        return None


def _named_detector(cfg, inputs, rule, track):
    """DetectAndTrack for the file that the user names, or None."""
    if inputs.truth:
        return DetectAndTrack(cfg, TrackAnnotations(inputs.truth), track=track)
    listed = inputs.paths if inputs.kind in ('img', 'img_file') else ()
    same_names = len({Path(path).name for path in listed}) < len(listed)
    if inputs.keypoint_file:
        source = FileSource(inputs.keypoint_file, cfg.DEMO.KEYPOINT_FORMAT, rule, same_names, len(listed) or None)
        return DetectAndTrack(cfg, source, track=track)
    if inputs.detections:
        return DetectAndTrack(cfg, Detections(inputs.detections, cfg.DEMO.MIN_SCORE, same_names=same_names,
                                      listed=len(listed) or None, **rule), track=track)
    if inputs.openpose:
        if len(inputs.openpose) > 1 or not Path(inputs.openpose[0]).is_dir():
            raise BadConfig("--openpose for a video or folder takes one folder of OpenPose's files")
        pictures = list_pictures(inputs.paths[0]) if inputs.kind in ('img_dir', 'image_folder') else ()
        return DetectAndTrack(cfg, OpenPoseFolder(inputs.openpose[0], pictures, rule['aspect']), track=track)
    return None

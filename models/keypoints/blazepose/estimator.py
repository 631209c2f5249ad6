"""BlazePose on pictures."""
from functools import cached_property

import numpy as np

from models.keypoints.blazepose.detector import PersonDetector
from models.keypoints.blazepose.landmarks import MIN_SCORE, LandmarkNetwork
from models.keypoints.blazepose.people import found_person, person_of
from models.keypoints.blazepose.region import Region
from models.keypoints.blazepose.verified_detector import VerifiedDetector
from models.keypoints.blazepose.video import BlazePoseVideo
from models.keypoints.files import HOW_TO_FETCH, has_weights, weights_file
from models.keypoints.matching import belongs, extent, overlap, same_person
from utils.errors import BadConfig, MissingFile

MODELS, DETECTOR = ('heavy', 'full'), 'pose_detection.tflite'
# Margin of the region around a box. BlazePose's own regions have the same margin around the body.
_BOX_MARGIN = 1.25
_PASSES = 2
# Margin around a box for the detector: a person may be much larger than the visible part.
_SEARCH_MARGIN = 2.0
# Margin around a box beyond which the picture is blacked out, to hide a neighbour.
_MASK_MARGIN = 0.03


class BlazePose:
    """BlazePose: from pictures and boxes to people with 2D and 3D joints.

    model: 'heavy', 'full', or 'auto' for the first of them whose file exists. folder: of the files; None: the
    repository's `data/keypoints`. threads: of the networks. Raises MissingFile, BadFile, BadConfig.
    """

    def __init__(self, model='auto', folder=None, threads=1):
        if model not in (*MODELS, 'auto'):
            raise BadConfig(f"unknown model {model!r} of BlazePose; use {', '.join(MODELS)} or auto")
        self.model = _first_there(folder) if model == 'auto' else model
        self.name = f'BlazePose {self.model}'
        self._folder, self._threads = folder, threads
        self._landmarks = LandmarkNetwork(weights_file(_file_of(self.model), folder), threads)

    def __call__(self, image, boxes=None):
        """image [H,W,3] uint8 RGB; boxes [N,4] left, top, right, bottom in continuous pixels -> list of N
        PersonKeypoints, None for a box without a person. Without boxes: all people who are found."""
        if boxes is None:
            return self._everybody(image)
        return self._in_boxes(image, np.asarray(boxes, np.float64).reshape(-1, 4))

    def video(self):
        """A tracker for the frames of one video: `BlazePoseVideo`."""
        return BlazePoseVideo(self._person_detector, self._quick)

    @cached_property
    def _quick(self):
        """The network for videos and for the first look at a detection: 'full' if its file exists."""
        if self.model == 'full' or not has_weights(_file_of('full'), self._folder):
            return self._landmarks
        return LandmarkNetwork(weights_file(_file_of('full'), self._folder), self._threads)

    @cached_property
    def _person_detector(self):
        detector = PersonDetector(weights_file(DETECTOR, self._folder), self._threads)
        return VerifiedDetector(detector, self._quick)

    def _everybody(self, image):
        people = []
        for candidate in self._person_detector(image):
            landmarks = candidate.landmarks
            if self._quick is not self._landmarks:
                finer = self._follow(image, landmarks.following)
                landmarks = finer if finer.score > MIN_SCORE and _same(finer, landmarks) else landmarks
            people.append(found_person(landmarks, image.shape[1::-1], candidate.detection.score))
        return [person for person in people if person is not None]

    def _in_boxes(self, image, boxes):
        found = [self._in_box(image, box) for box in boxes]
        for i, j in _doubled(found, boxes):
            # The box that fits worse got its neighbour. With the neighbour hidden, its own person may be found.
            again = self._follow(masked(image, boxes[j]), Region.of_box(boxes[j], _BOX_MARGIN))
            found[j] = again if _accepted(again, boxes[j], image) and not _same(again, found[i]) else None
        return [lm and person_of(lm, box, image.shape[1::-1]) for lm, box in zip(found, boxes)]

    def _in_box(self, image, box):
        """Landmarks of the person of a box [4], or None."""
        region = Region.of_box(box, _BOX_MARGIN)
        if not region.is_usable():
            return None
        for landmarks in self._attempts(image, box, region):
            if _accepted(landmarks, box, image):
                return landmarks
        return None

    def _attempts(self, image, box, region):
        """Landmarks that may belong to the box's person, the most likely first, computed on demand."""
        alone = masked(image, box)
        yield self._follow(image, region)
        yield self._follow(alone, region)
        if not has_weights(DETECTOR, self._folder):
            return
        # If the box shows only a part of a person, its centre is not the hips' middle. The detector finds the hips.
        found = self._person_detector.detector(alone, Region.of_box(box, _SEARCH_MARGIN))
        for detection in sorted(found, key=lambda one: -one.score):
            yield self._follow(alone, detection.region)

    def _follow(self, image, region):
        """Landmarks after several passes, each in the region that the previous one predicts."""
        landmarks = self._landmarks(image, region)
        for _ in range(_PASSES - 1):
            if not landmarks.can_be_followed():
                break
            again = self._landmarks(image, landmarks.following)
            if again.score <= MIN_SCORE:
                break
            landmarks = again
        return landmarks


def _first_there(folder):
    for model in MODELS:
        if has_weights(_file_of(model), folder):
            return model
    raise MissingFile(f'no file of BlazePose is there; {HOW_TO_FETCH}')


def _file_of(model):
    return f'pose_landmark_{model}.tflite'


def _accepted(landmarks, box, image):
    return landmarks.score > MIN_SCORE and belongs(landmarks.points, landmarks.confidence, box, image.shape[1::-1])


def _same(first, second):
    return same_person(first.points, second.points, np.minimum(first.confidence, second.confidence))


def _doubled(found, boxes):
    """Pairs (i, j) of boxes with the same person, who fits box i better."""
    for i in range(len(found)):
        for j in range(i):
            if found[i] is not None and found[j] is not None and _same(found[i], found[j]):
                fits = [overlap(extent(found[k].points, found[k].confidence), boxes[k]) for k in (i, j)]
                yield (i, j) if fits[0] > fits[1] else (j, i)


def masked(image, box):
    """A copy of the picture that is black outside of a box [4]."""
    height, width = image.shape[:2]
    by = _MASK_MARGIN * max(box[2:] - box[:2])
    left, top = np.clip(np.floor(box[:2] - by), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(box[2:] + by), 0, (width, height)).astype(int)
    copy = np.zeros_like(image)
    copy[top:bottom, left:right] = image[top:bottom, left:right]
    return copy

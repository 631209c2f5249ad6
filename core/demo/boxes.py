"""Boxes of people from the user's files or from the whole picture. Continuous pixels."""
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.demo.by_frame import ByFrame
from datasets.preprocess.openpose import read_people
from models.keypoints import PersonKeypoints
from utils.errors import BadFile, MissingFile
from utils.file_names import natural_key, numbers_in_names
from utils.keypoints import NUM_JOINTS
from utils.logging import get_logger
from utils.safe_io import load_json

_MIN_CONFIDENCE, _MIN_JOINTS, _OPENPOSE_MARGIN = 0.2, 4, 1.2


@dataclass(frozen=True)
class PersonBox:
    """One person in one picture. box: [4] left, top, right, bottom. The crop is a square with centre `center` [2] and
    side `side`. person_id: None until the person is tracked. keypoints: None without an estimate of them."""
    box: np.ndarray
    center: np.ndarray
    side: float
    score: float = 1.0
    person_id: int | None = None
    keypoints: PersonKeypoints | None = None

    def with_id(self, person_id):
        return replace(self, person_id=person_id)

    def with_keypoints(self, keypoints):
        return replace(self, keypoints=keypoints)

    def problem(self, width, height, smallest):
        """Why this box shows nothing of the picture, or None."""
        left, top, right, bottom = self.box
        if not np.isfinite([*self.box, *self.center, self.side]).all():
            return 'a box that is not made of finite numbers'
        if self.side < smallest or max(right - left, bottom - top) < 1:
            return f'a box smaller than {smallest:g} pixels'
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            return 'a box outside the picture'
        return None


def square_box(left, top, width, height, margin=1.0, score=1.0, person_id=None, aspect=1.0):
    """PersonBox of a rectangle. The crop's side is `margin` times the longer side of the rectangle, after it is widened
    to `aspect` (height over width, at least 1)."""
    box = np.array([left, top, left + width, top + height], np.float64)
    return PersonBox(box, (box[:2] + box[2:]) / 2, float(max(aspect * width, height)) * margin, score, person_id)


def full_frame(width, height):
    """The whole picture as one person's box. As in SPIN's demo, the centre is a whole pixel."""
    return PersonBox(np.array([0.0, 0.0, width, height]), np.array([width // 2, height // 2], np.float64),
                     float(max(width, height)))


def box_from_json(path, aspect=1.0):
    """Read SPIN's {"bbox": [left, top, width, height]}. The crop has the rectangle's longer side, after it is widened
    to `aspect`. Raises BadFile."""
    content = load_json(path)
    try:
        numbers = np.asarray(content['bbox'], np.float64).reshape(4)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BadFile(f'{path}: wanted {{"bbox": [left, top, width, height]}}') from None
    return square_box(*numbers, aspect=aspect)


def boxes_from_openpose(path, aspect=1.0):
    """Boxes of OpenPose's JSON, one per person with enough visible joints. Centre and size follow SPIN's rule, widened
    to `aspect`."""
    boxes = []
    for points in read_people(path):
        seen = points[points[:, 2] > _MIN_CONFIDENCE, :2].astype(np.float64)
        if len(seen) >= _MIN_JOINTS:
            low, high = seen.min(0), seen.max(0)
            side = float(((high - low) * (aspect, 1)).max()) * _OPENPOSE_MARGIN
            box, score = np.concatenate([low, high]), float(points[:, 2].mean())
            keypoints = np.concatenate([points, np.zeros((NUM_JOINTS - len(points), 3))])
            boxes.append(PersonBox(box, seen.mean(0), side, score, keypoints=PersonKeypoints(box, score, keypoints)))
    return boxes


class OpenPoseFolder:
    """OpenPose's files of a video or folder: NAME_keypoints.json, one per frame.

    pictures: those of the folder. If any of them has a file of its name, files are matched by name. Otherwise the
    numbers in the files' names are frame numbers, or, without numbers, their order. An unreadable file is skipped and
    counted in `skipped`. Raises MissingFile for a folder without files.
    """
    _ENDING = '_keypoints'

    def __init__(self, folder, pictures=(), aspect=1.0):
        files = sorted(Path(folder).glob('*.json'), key=natural_key)
        if not files:
            raise MissingFile(f'{folder}: no OpenPose files (*_keypoints.json) here')
        self._folder, self._aspect, self.skipped, self._read = folder, aspect, Counter(), 0
        by_name = {path.stem.removesuffix(self._ENDING): path for path in files}
        own = {picture.name: by_name[picture.stem] for picture in pictures if picture.stem in by_name}
        numbers = numbers_in_names(files, self._ENDING) or range(len(files))
        self._files = ByFrame(folder)
        for key, path in own.items() if own else zip(numbers, files):
            self._files.add(key, path)

    def __call__(self, frame):
        boxes = []
        for path in self._files(frame):
            try:
                boxes += boxes_from_openpose(path, self._aspect)
                self._read += 1
            except BadFile as error:
                get_logger().warning(f'{error}; skipped')
                self.skipped["unreadable OpenPose files"] += 1
        return boxes

    def check(self):
        """Raise BadFile if no file belonged to a frame or none was readable."""
        self._files.check()
        if self.skipped and not self._read:
            raise BadFile(f"{self._folder}: not one of its files can be read as OpenPose's JSON")


class Detections:
    """A file of boxes in COCO's results format: [{"image_id", "bbox": [left, top, width, height], ...}, ...].

    image_id: frame number, or a picture's file name. Optional: "score"; "category_id", 1 for a person; "track_id", the
    person's number. margin, aspect: as in `square_box`. same_names, listed: as in `ByFrame`. Raises MissingFile,
    BadFile.
    """

    def __init__(self, path, min_score, margin, same_names=False, listed=None, aspect=1.0):
        rows = load_json(path)
        if not isinstance(rows, list):
            raise BadFile(f'{path}: wanted a list of {{"image_id": ..., "bbox": [left, top, width, height]}}')
        self._boxes, self._min_score, tracked = ByFrame(path, same_names, listed), min_score, []
        for number, row in enumerate(rows):
            try:
                box = square_box(*np.asarray(row['bbox'], np.float64).reshape(4), margin, float(row.get('score', 1)),
                                 None if row.get('track_id') is None else int(row['track_id']), aspect)
                frame = row['image_id'] if isinstance(row['image_id'], str) else int(row['image_id'])
                is_person = row.get('category_id', 1) == 1
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                raise BadFile(f'{path}: entry {number} wants "image_id" and "bbox": [left, top, width, height]'
                              ) from None
            if is_person:
                self._boxes.add(frame, box)
                tracked.append(box.person_id is not None)
        if any(tracked) and not all(tracked):
            raise BadFile(f'{path}: either every entry has a "track_id" or none has')
        self.tracked = any(tracked)

    def __call__(self, frame):
        return [box for box in self._boxes(frame) if box.score >= self._min_score]

    def check(self):
        """Raise BadFile if no entry belonged to a frame."""
        self._boxes.check()


class TrackAnnotations:
    """PyMAF's tracked boxes: [{"idx", "frames": [{"frame_id", "rect": {"tl": {"x", "y"}, "br": {...}}}]}].

    Corners are fractions of the picture's width and height. The crop has the rectangle's longer side.
    """
    tracked = True

    def __init__(self, path):
        self._corners = ByFrame(path)
        try:
            for track in load_json(path):
                for entry in track['frames']:
                    corners = [float(entry['rect'][corner][axis]) for corner in ('tl', 'br') for axis in 'xy']
                    self._corners.add(int(entry['frame_id']), (int(track['idx']), corners))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise BadFile(f'{path}: wanted tracks [{{"idx", "frames": [{{"frame_id", "rect": {{"tl", "br"}}}}]}}]'
                          ) from None

    def __call__(self, frame):
        height, width = frame.image.shape[:2]
        return [square_box(left * width, top * height, (right - left) * width, (bottom - top) * height, person_id=idx)
                for idx, (left, top, right, bottom) in self._corners(frame)]

    def check(self):
        """Raise BadFile if no entry belonged to a frame."""
        self._corners.check()

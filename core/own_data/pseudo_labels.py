"""People of a user's frames as rows of labels: box, keypoints, and a body that is fitted to them."""
from collections import Counter
from dataclasses import dataclass, fields

import numpy as np
import torch

from core.demo.camera import Focus
from core.demo.detect_and_track import DetectAndTrack
from core.demo.fitting import FittingEstimator
from core.demo.keypoints import PictureSource, VideoSource
from models.keypoints.matching import SEEN
from models.regressor import Regressor
from models.smplify.starts import LIMBS
from utils.full_camera import ray_rotation
from utils.geometry import axis_angle_to_rotmat, rotmat_to_axis_angle

# A fit with a larger mean distance to the limb joints, over the box's longer side, is not supervised with.
MAX_ERROR = 0.04


@dataclass
class PseudoLabels:
    """N people. Pixels are continuous.

    imgname [N]; center [N,2] and side [N] of the square box; keypoints [N,49,3]: x, y, confidence, only within the
    picture; focal [N] and size [N,2] (width, height) of the picture. The fit, in the picture's camera: pose [N,72]
    axis-angle, betas [N,10], translation [N,3] metres; error [N]: mean distance of the limb joints that are seen, over
    the box's longer side; seen [N]: how many of the 12 are. track [N]: a person's number within a unit of a video, else
    within the picture.
    """
    imgname: np.ndarray
    center: np.ndarray
    side: np.ndarray
    keypoints: np.ndarray
    focal: np.ndarray
    size: np.ndarray
    pose: np.ndarray
    betas: np.ndarray
    translation: np.ndarray
    error: np.ndarray
    seen: np.ndarray
    track: np.ndarray

    def __len__(self):
        return len(self.imgname)

    @classmethod
    def of(cls, rows):
        """From a list of dicts."""
        columns = {name: np.array([row[name] for row in rows], dtype) for name, (dtype, _) in _COLUMNS.items()}
        return cls(**{name: column.reshape(len(rows), *_COLUMNS[name][1]) for name, column in columns.items()})

    @classmethod
    def of_columns(cls, arrays):
        """From a dict of arrays, of which it may have more. Raises KeyError."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})

    @classmethod
    def joined(cls, parts):
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def select(self, rows):
        return PseudoLabels(*(value[rows] for value in vars(self).values()))

    def ray_pose(self):
        """[N,72]: the poses as they are seen along the rays to the boxes' middles."""
        offset = torch.from_numpy((self.center - self.size / 2) / self.focal[:, None]).float()
        pose = torch.from_numpy(self.pose)
        orient = ray_rotation(offset).transpose(1, 2) @ axis_angle_to_rotmat(pose[:, :3])
        return torch.cat([rotmat_to_axis_angle(orient), pose[:, 3:]], 1).numpy()

    def valid(self, fewest):
        """[N] bool: whether a fit is one to supervise with. fewest: limb joints that must be seen."""
        return (self.seen >= fewest) & (self.error <= MAX_ERROR)


_COLUMNS = {'imgname': (np.str_, ()), 'center': (np.float64, (2,)), 'side': (np.float64, ()),
            'keypoints': (np.float32, (49, 3)), 'focal': (np.float64, ()), 'size': (np.int64, (2,)),
            'pose': (np.float32, (72,)),
            'betas': (np.float32, (10,)), 'translation': (np.float32, (3,)), 'error': (np.float32, ()),
            'seen': (np.int64, ()), 'track': (np.int64, ())}


class Labeller:
    """Finds the people of a unit of frames and fits bodies to them. estimator: of 2D poses (models/keypoints)."""

    def __init__(self, cfg, estimator):
        self._cfg, self._keypoints, self._focus = cfg, estimator, Focus(cfg.DEMO.FOCAL_LENGTH)
        self._rule = {'margin': cfg.DEMO.BOX_SCALE or Regressor.box_margin, 'aspect': 1.0}
        self._still = FittingEstimator(cfg, None, estimator)

    @property
    def body(self):
        return self._still.body

    def __call__(self, unit, source, progress):
        """-> (PseudoLabels, {'frames', 'empty', 'skipped: ...' and 'left out: ...': count}). progress: called after
        each frame."""
        video = source.is_video
        fit = FittingEstimator(self._cfg, None, self._keypoints, video=True) if video else self._still
        boxes = (VideoSource if video else PictureSource)(self._keypoints, self._rule)
        find = DetectAndTrack(self._cfg, boxes, track=video)
        rows, counts, left_out = [], Counter(), Counter(fit.left_out)
        for frame in unit.frames:
            found = [(frame, person) for person in find([frame])[0]]
            estimates = fit(found, self._focus)
            progress()
            if not source.is_wanted(frame):
                continue
            shown = [(person, estimate) for (_, person), estimate in zip(found, estimates) if estimate is not None]
            counts['frames'] += 1
            counts['empty'] += not shown
            name = source.keep(frame) if shown else ''
            rows += [self._row(frame, name, person, estimate) for person, estimate in shown]
        for reason, count in (fit.left_out - left_out + find.left_out).items():
            counts[f'left out: {reason}'] += count
        for reason, count in (find.skipped + unit.skipped).items():
            counts[f'skipped: {reason}'] += count
        return PseudoLabels.of(rows), counts

    def _row(self, frame, name, person, estimate):
        box, keypoints = person.keypoints.box, person.keypoints.keypoints.copy()
        inside = ((keypoints[:, :2] >= 0) & (keypoints[:, :2] <= frame.image.shape[1::-1])).all(1)
        keypoints[~inside] = 0  # outside of the picture they are guesses
        limbs = keypoints[list(LIMBS)]
        seen = limbs[:, 2] >= SEEN
        distance = np.linalg.norm(estimate.keypoints_2d[list(LIMBS)] - limbs[:, :2], axis=1) / max(box[2:] - box[:2])
        return {'imgname': name, 'center': person.center, 'side': person.side, 'keypoints': keypoints,
                'focal': self._focus(frame), 'size': frame.image.shape[1::-1], 'pose': estimate.pose,
                'betas': estimate.betas, 'translation': estimate.translation,
                'error': distance[seen].mean() if seen.any() else np.inf,
                'seen': seen.sum(), 'track': person.person_id}

"""The in-memory form of a dataset's labels, for all file formats (docs/data.md lists them).

Pixel coordinates are continuous: pixel (0, 0) covers [0, 1] x [0, 1] and its centre is at (0.5, 0.5).
"""
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from datasets import bedlam_annotations, hmr2_annotations
from utils.errors import BadFile, WrongBody
from utils.keypoints import NUM_COMMON, NUM_JOINTS, NUM_OPENPOSE, has_root
from utils.logging import get_logger, log_once
from utils.pixels import COUNTED_FROM_0, COUNTED_FROM_1, OPENPOSE_FIRST_PIXEL, PIXEL_CENTER, to_continuous
from utils.safe_io import load_npz, save_npz

GENDER_CODES = {'m': 0, 'male': 0, 'f': 1, 'female': 1, 'n': -1, 'neutral': -1, '': -1}
# Keys that this module and datasets/humandata.py read. Other keys of a file are kept if they are readable.
_NEEDED = ('imgname', 'center', 'scale', 'openpose', 'part', 'S', 'has_joints_3d', 'pose', 'shape', 'has_smpl',
           'gender', 'smpl_2dkps', 'maskname', 'partname', 'body_digest', 'first_pixel', 'bbox_size', 'image_path',
           'pose_cam', 'gtkps', 'cam_int', 'bbox_xywh', 'smpl', 'meta', 'keypoints2d', 'keypoints2d_mask',
           'keypoints3d', 'keypoints3d_mask', 'config')
# Largest distance in pixels between the centre of a box of whole pixels and the written centre.
_SAME_CENTER = 1.0
# Rows whose boxes are compared with their keypoints, and the ratio of the sides beyond which the log warns.
_CHECKED, _FAR_LARGER = 1000, 20
_GENDER_LETTERS = np.array(['m', 'f', 'n'])  # indexed by code, -1 last
# Published files contain the pixel numbers of the original datasets. LSP and MPII count from 1, the others from 0.
_COUNTED_FROM_1 = {
    'lsp_dataset_test', 'lsp_dataset_original_train', 'spin_lsp_train', 'lsp_train',
    'hr-lspet_train', 'spin_lspet_train', 'lspet_train', 'hr-lspet_train_eft', 'eft_lspet',
    'mpii_train', 'spin_mpii_train', 'mpii_train_eft', 'eft_mpii', 'mpii_cliffGT', 'cliff_mpii_train'}
_COUNTED_FROM_0 = {
    'h36m_train', 'h36m_mosh_train', 'h36m_valid_protocol1', 'h36m_valid_protocol1_newpath', 'h36m_valid_protocol2',
    'h36m_valid_protocol2_newpath', 'h36m_mosh_valid_p2', 'coco_2014_train', 'coco_2014_val', 'coco_2014_train_eft',
    'coco2014part_cliffGT', 'coco-full_train_eft', 'dp_coco_2014_train', 'dp_coco_2014_minival', 'mpi_inf_3dhp_train',
    'mpi_inf_3dhp_test', 'mpi_inf_3dhp_valid', '3dpw_train', '3dpw_test', 'threeDOH50K_trainset', 'threeDOH50K_testset',
    'upi-s1h_train', 'upi-s1h_test', 'h36m_val_p2', 'posetrack_2018_val', 'coco_val'}


@dataclass(frozen=True)
class Person:
    """The labels of one row. Fields are as in `Annotations`, without the axis N.

    intrinsics [3,3] or focal_length: the picture's camera in pixels, if the file has it (keys `cam_K`, `focal` or
    CLIFF's `focal_l`). bbox_size: None if the shape of the box is unknown.
    """
    center: np.ndarray
    scale: float
    keypoints_2d: np.ndarray
    joints_3d: np.ndarray
    has_joints_3d: bool
    pose: np.ndarray
    betas: np.ndarray
    has_smpl: bool
    gender: int
    smpl_keypoints_2d: np.ndarray | None = None
    bbox_size: np.ndarray | None = None
    intrinsics: np.ndarray | None = None
    focal_length: float | None = None


@dataclass
class Annotations:
    """Labels of N people. Missing labels are zeros with a False mask or zero confidence.

    imgname [N] str: paths relative to the dataset's image folder. center [N,2] and scale [N] float64: centre of the
    square box in pixels, and its side / 200. keypoints_2d [N,49,3] float32: x, y in pixels and confidence of 25
    OpenPose joints and 24 common joints. joints_3d [N,24,4] float32: common joints in metres and confidence. pose
    [N,72] float32, axis-angle. betas [N,10] float32. gender [N] int8: -1 unknown or neutral, 0 male, 1 female.
    smpl_keypoints_2d [N,24,3] float32 or None: SMPL's joints. bbox_size [N,2] float64 or None: width and height of the
    original box, in any unit; zeros if unknown. maskname and partname [N] str or None: silhouette and part pictures
    (LSP). extra: other arrays with one entry per row. whole: all other arrays. `save` writes both. body_digest: the
    body model of pose and betas, or None if the file does not name it.
    """
    imgname: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    keypoints_2d: np.ndarray
    joints_3d: np.ndarray
    has_joints_3d: np.ndarray
    pose: np.ndarray
    betas: np.ndarray
    has_smpl: np.ndarray
    gender: np.ndarray
    smpl_keypoints_2d: np.ndarray | None = None
    bbox_size: np.ndarray | None = None
    maskname: np.ndarray | None = None
    partname: np.ndarray | None = None
    extra: dict = field(default_factory=dict)
    whole: dict = field(default_factory=dict)
    body_digest: str | None = None

    ROW_FIELDS = ('imgname', 'center', 'scale', 'keypoints_2d', 'joints_3d', 'has_joints_3d', 'pose', 'betas',
                  'has_smpl', 'gender')
    OPTIONAL_FIELDS = ('smpl_keypoints_2d', 'bbox_size', 'maskname', 'partname')

    @classmethod
    def load(cls, path):
        """Read an `.npz` of SPIN, of 4D-Humans' evaluation, of BEDLAM, or of mmhuman3d (HumanData). Unknown keys that
        contain objects are ignored.

        If a file does not state the position of its first pixel, the names of published files decide whether it counts
        from 0 or 1. Other files are continuous, except HumanData, which counts from 0. Raises MissingFile and BadFile.
        """
        from datasets.humandata import is_humandata, read_humandata  # imports this module
        raw = load_npz(path, _NEEDED, others=True)
        stem = Path(path).stem
        counted_from_1, counted_from_0 = stem in _COUNTED_FROM_1, stem in _COUNTED_FROM_0
        if is_humandata(raw):
            annotations = read_humandata(raw, path, COUNTED_FROM_1 if counted_from_1 else COUNTED_FROM_0)
        else:
            first_pixel = COUNTED_FROM_1 if counted_from_1 else COUNTED_FROM_0 if counted_from_0 else PIXEL_CENTER
            annotations = cls.from_spin(_as_spin(raw, path), path, first_pixel)
        annotations._say_rootless(path)
        annotations._say_large_boxes(path)
        return annotations

    def _say_rootless(self, path):
        rootless = self.has_joints_3d & ~has_root(self.joints_3d[..., 3])
        if rootless.any():
            log_once(f'{path}: {rootless.sum()} of {len(self)} rows have 3D joints but neither pelvis nor hips; '
                     'without a root they count neither in the 3D keypoint loss nor in MPJPE')

    def _say_large_boxes(self, path):
        """Warn of boxes that are far larger than the keypoints in them: their `scale` is probably in pixels."""
        points, boxes = self.keypoints_2d[:_CHECKED], 200 * self.scale[:_CHECKED]
        seen = (points[..., 2] > 0)[..., None]
        low, high = (np.where(seen, points[..., :2], sign * np.inf) for sign in (1, -1))
        extent = (high.max(1) - low.min(1)).max(-1)
        several = (seen[..., 0].sum(1) >= 6) & (extent > 0)
        if several.any() and (times := np.median(boxes[several] / extent[several])) > _FAR_LARGER:
            get_logger().warning(f'{path}: the boxes are {times:.0f} times as large as the keypoints in them; `scale` '
                                 'is the side of a box in pixels, over 200')

    @classmethod
    def from_spin(cls, raw, path, first_pixel=PIXEL_CENTER):
        """Convert the arrays of a SPIN `.npz` to Annotations. Empties `raw`. Raises BadFile.

        path: for messages. first_pixel: first pixel of the annotated keypoints (`utils.pixels`), if `raw` has none.
        """
        reader = ArrayReader(raw, path)
        n = reader.n
        center, (scale, bbox_size) = reader.box('center', (2,)), reader.scale_and_size('scale')
        if bbox_size is None:
            bbox_size = reader.sizes('bbox_size') if 'bbox_size' in raw else _sizes_of_boxes(raw.get('bbox'), center)
        annotated, detected = reader.first_pixels(first_pixel)
        openpose = reader.points('openpose', (NUM_OPENPOSE, 3), detected)
        common = reader.points('part', (NUM_COMMON, 3), annotated)
        joints_3d = reader.points('S', (NUM_COMMON, 4))
        pose, betas, has_smpl = reader.smpl_labels('pose', 'shape', 'has_smpl')
        has_joints_3d = reader.mask('has_joints_3d', default=joints_3d is not None)
        digest = reader.take('body_digest')
        return cls(
            imgname=reader.strings('imgname'), center=center, scale=scale, bbox_size=bbox_size,
            keypoints_2d=np.concatenate([_zeros_if_none(openpose, (n, NUM_OPENPOSE, 3)),
                                         _zeros_if_none(common, (n, NUM_COMMON, 3))], axis=1),
            joints_3d=_zeros_if_none(joints_3d, (n, NUM_COMMON, 4)),
            has_joints_3d=has_joints_3d & (joints_3d is not None),
            pose=pose, betas=betas, has_smpl=has_smpl, gender=reader.gender('gender'),
            smpl_keypoints_2d=reader.points('smpl_2dkps', (24, 3), annotated),
            maskname=reader.strings('maskname', required=False), partname=reader.strings('partname', required=False),
            body_digest=None if digest is None else str(digest), **reader.rest())

    @classmethod
    def blank(cls, imgname, center, scale, **fields):
        """Annotations of N people with boxes and the given fields. Other labels are missing."""
        n = len(imgname)
        absent = {
            'keypoints_2d': np.zeros((n, NUM_JOINTS, 3), np.float32),
            'joints_3d': np.zeros((n, NUM_COMMON, 4), np.float32), 'has_joints_3d': np.zeros(n, bool),
            'pose': np.zeros((n, 72), np.float32), 'betas': np.zeros((n, 10), np.float32),
            'has_smpl': np.zeros(n, bool), 'gender': np.full(n, -1, np.int8)}
        return cls(imgname=with_slashes(np.asarray(imgname, dtype=np.str_).tolist()),
                   center=np.asarray(center, np.float64).reshape(n, 2),
                   scale=np.asarray(scale, np.float64).reshape(n), **{**absent, **fields})

    def __len__(self):
        return len(self.imgname)

    def person(self, index):
        """Row `index` as a Person. Its arrays are views; do not write to them."""
        smpl_points = self.smpl_keypoints_2d
        return Person(self.center[index], float(self.scale[index]), self.keypoints_2d[index], self.joints_3d[index],
                      bool(self.has_joints_3d[index]), self.pose[index], self.betas[index],
                      bool(self.has_smpl[index]), int(self.gender[index]),
                      None if smpl_points is None else smpl_points[index], self._box_size(index),
                      self._camera('cam_K', index, (3, 3)),
                      self._camera('focal' if 'focal' in self.extra else 'focal_l', index, ()))

    def has_box_shape(self):
        """[N] bool: whether the shape of the row's box is known."""
        return np.zeros(len(self), bool) if self.bbox_size is None else (self.bbox_size > 0).all(1)

    def _box_size(self, index):
        return None if self.bbox_size is None or not (self.bbox_size[index] > 0).all() else self.bbox_size[index]

    def _camera(self, key, index, shape):
        """A row of a camera array. None if the file lacks it, or if the focal length is not a positive number."""
        value = self.extra.get(key)
        if value is None or value.shape[1:] != shape or value.dtype.kind not in 'iuf':
            return None
        row = np.asarray(value[index], np.float64)
        focal = row[0, 0] if shape else row
        if not (np.isfinite(row).all() and focal > 0):
            return None
        return row if shape else float(row)

    def subset(self, indices):
        """Select rows by a list, slice or mask, in that order."""
        fields = {name: getattr(self, name)[indices] for name in self.ROW_FIELDS}
        for name in self.OPTIONAL_FIELDS:
            value = getattr(self, name)
            fields[name] = None if value is None else value[indices]
        extra = {key: value[indices] for key, value in self.extra.items()}
        return Annotations(**fields, extra=extra, whole=dict(self.whole), body_digest=self.body_digest)

    @classmethod
    def concatenate(cls, parts):
        """Concatenate Annotations. Optional fields that some parts lack are filled with missing values. An entry of
        `extra` is kept if all parts have it, one of `whole` if it is equal in all parts. Raises WrongBody for two
        bodies."""
        parts = list(parts)
        digests = {part.body_digest for part in parts if part.has_smpl.any() and part.body_digest is not None}
        if len(digests) > 1:
            raise WrongBody(f'annotations of different bodies cannot be joined (digests {", ".join(sorted(digests))}); '
                            'use files of one body')
        fields = {name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.ROW_FIELDS}
        blanks = {'smpl_keypoints_2d': lambda n: np.zeros((n, 24, 3), np.float32),
                  'bbox_size': lambda n: np.zeros((n, 2)),
                  'maskname': lambda n: np.full(n, ''), 'partname': lambda n: np.full(n, '')}
        for name in cls.OPTIONAL_FIELDS:
            values = [getattr(part, name) for part in parts]
            if any(value is not None for value in values):
                fields[name] = np.concatenate([blanks[name](len(part)) if value is None else value
                                               for part, value in zip(parts, values)])
        extra = {key: np.concatenate([part.extra[key] for part in parts])
                 for key in parts[0].extra if _can_join([part.extra.get(key) for part in parts])}
        whole = {key: value for key, value in parts[0].whole.items()
                 if all(key in part.whole and np.array_equal(part.whole[key], value) for part in parts[1:])}
        return cls(**fields, extra=extra, whole=whole, body_digest=next(iter(digests), None))

    def save(self, path):
        """Write a SPIN `.npz` atomically, without the keys of labels that no row has."""
        arrays = {'imgname': self.imgname, 'center': self.center, 'scale': self.scale,
                  'first_pixel': PIXEL_CENTER, 'part': self.keypoints_2d[:, NUM_OPENPOSE:]}
        if self.keypoints_2d[:, :NUM_OPENPOSE, 2].any():
            arrays['openpose'] = self.keypoints_2d[:, :NUM_OPENPOSE]
        if self.has_joints_3d.any():
            arrays.update(S=self.joints_3d, has_joints_3d=self.has_joints_3d)
        if self.has_smpl.any():
            arrays.update(pose=self.pose, shape=self.betas, has_smpl=self.has_smpl)
        if (self.gender >= 0).any():
            arrays['gender'] = _GENDER_LETTERS[self.gender]
        arrays.update({key: value for key, value in (('smpl_2dkps', self.smpl_keypoints_2d),
                                                     ('bbox_size', self.bbox_size), ('maskname', self.maskname),
                                                     ('partname', self.partname), ('body_digest', self.body_digest))
                       if value is not None})
        save_npz(path, **{**self.extra, **self.whole, **arrays})


def _as_spin(raw, path):
    """Rename the arrays of a file of 4D-Humans, BEDLAM or SPIN to SPIN's keys."""
    if hmr2_annotations.is_hmr2_file(raw):
        return hmr2_annotations.as_spin(raw, path)
    return bedlam_annotations.as_spin(raw, path) if bedlam_annotations.is_bedlam_file(raw) else raw


def with_slashes(names):
    """Paths [N] with slashes. Files written on Windows may have backslashes."""
    return np.array([name.replace('\\', '/') for name in names], np.str_)


class ArrayReader:
    """Takes arrays out of a dict and checks them. Raises BadFile, which names the file and the key.

    The dict is emptied, so that a large file is not in memory twice.
    """

    def __init__(self, raw, path, names_key='imgname'):
        self.raw = raw
        self.path = path
        names = self.raw.get(names_key)
        if names is None:
            keys = ', '.join(sorted(self.raw)[:12])
            raise BadFile(f'{path}: not an annotation file: no key {names_key!r} (it has: {keys or "nothing"})')
        self.n = len(names) if np.ndim(names) else 0
        if np.ndim(names) != 1:
            self._wrong_shape(names_key, names, '[N]')

    def take(self, key):
        return self.raw.pop(key, None)

    def numbers(self, key, row_shape, dtype=np.float32):
        """The array of a key as [N, *row_shape] of `dtype`, or None without the key."""
        value = self.take(key)
        if value is None:
            return None
        value = plain_numbers(np.asarray(value))
        if value.shape != (self.n, *row_shape):
            self._wrong_shape(key, value, str([self.n, *row_shape]))
        if value.dtype.kind not in 'biuf':
            raise BadFile(f'{self.path}: key {key!r} has type {value.dtype}, but must be numbers')
        with np.errstate(over='ignore'):  # numbers beyond float32 become infinite
            return value.astype(dtype)

    def first_pixels(self, published):
        """Coordinates of the first pixel's centre for annotated keypoints and for OpenPose's.

        They are the value of the key `first_pixel`. In a file without it, they are `published` and OpenPose's own.
        """
        value = self.take('first_pixel')
        if value is None:
            return published, OPENPOSE_FIRST_PIXEL
        value = np.asarray(value)
        if value.size != 1 or value.dtype.kind not in 'biuf' or not np.isfinite(value).all():
            raise BadFile(f"{self.path}: key 'first_pixel' is {value.tolist()!s:.60}, but must be one number")
        return (float(value.ravel()[0]),) * 2

    def points(self, key, row_shape, first_pixel=None):
        """Points with confidence last. Points that are NaN or infinite get confidence 0, and the log counts them.

        first_pixel: for points in a picture. They are converted to continuous pixels (`utils.pixels`).
        """
        value = self.numbers(key, row_shape)
        if value is None:
            return None
        broken = ~np.isfinite(value).all(-1)
        if broken.any():
            log_once(f'{self.path}: key {key!r}: {broken.sum()} of {broken.size} points are NaN or infinite; '
                     'they count as missing')
            value[broken] = 0
        np.maximum(value[..., -1], 0, out=value[..., -1])
        return value if first_pixel in (None, PIXEL_CENTER) else to_continuous(value, first_pixel)

    def box(self, key, row_shape):
        """Numbers that every row must have, and that must be finite. Scale must be above zero."""
        value = self.numbers(key, row_shape, np.float64)
        if value is None:
            raise BadFile(f'{self.path}: no key {key!r}, which is required')
        usable = np.isfinite(value) & (value > 0 if key == 'scale' else True)
        good = usable.all(axis=tuple(range(1, value.ndim)))
        if not good.all():
            row = int(np.argmin(good))
            raise BadFile(f'{self.path}: key {key!r}, row {row}: {value[row].tolist()} is not a valid box '
                          f'({int((~good).sum())} of {self.n} rows are invalid)')
        return value

    def scale_and_size(self, key):
        """Scales [N], and sizes of boxes [N,2] or None. `scale` is the longer side / 200 [N] or, in 4D-Humans' files,
        width and height / 200 [N,2]."""
        if np.shape(self.raw.get(key)) != (self.n, 2):
            return self.box(key, ()), None
        size = self.raw[key] = 200 * self.box(key, (2,))
        self.raw[key] = size.max(1) / 200
        return self.box(key, ()), unless_squares(size)

    def sizes(self, key):
        """Widths and heights of boxes [N,2]. Zeros if one of them is not a positive number."""
        return known_sizes(self.numbers(key, (2,), np.float64))

    def mask(self, key, default):
        value = self.numbers(key, ())
        return np.full(self.n, default) if value is None else value > 0

    def smpl_labels(self, pose_key, betas_key, mask_key):
        """pose [N,72], betas [N,10] and mask [N]. The mask is False for rows with NaN or infinite parameters."""
        if pose_key not in self.raw or betas_key not in self.raw:
            self.take(mask_key)
            return np.zeros((self.n, 72), np.float32), np.zeros((self.n, 10), np.float32), np.zeros(self.n, bool)
        pose, betas = self.numbers(pose_key, (72,)), self.numbers(betas_key, (10,))
        mask = self.mask(mask_key, default=True)
        broken = mask & ~(np.isfinite(pose).all(1) & np.isfinite(betas).all(1))
        if broken.any():
            log_once(f'{self.path}: {broken.sum()} of {self.n} rows have NaN or infinite SMPL parameters; '
                     'they count as missing')
        mask &= ~broken
        pose[~np.isfinite(pose).all(1)] = 0
        betas[~np.isfinite(betas).all(1)] = 0
        return pose, betas, mask

    def strings(self, key, required=True):
        """The paths of a key as [N] str. The array may be of text, bytes or objects of these types."""
        value = self.take(key)
        if value is None:
            if required:
                raise BadFile(f'{self.path}: no key {key!r}')
            return None
        value = np.asarray(value)
        if value.shape != (self.n,):
            self._wrong_shape(key, value, f'[{self.n}]')
        kind = value.dtype.kind
        if kind not in 'USO' or (kind == 'O' and not all(isinstance(item, (str, bytes)) for item in value)):
            raise BadFile(f'{self.path}: key {key!r} has type {value.dtype}, but must be text')
        try:
            return with_slashes([item.decode() if isinstance(item, bytes) else item for item in value.tolist()])
        except UnicodeDecodeError:
            raise BadFile(f'{self.path}: key {key!r} has bytes that are not UTF-8 text') from None

    def gender(self, key):
        """[N] int8 from letters, words or codes. -1 without the key."""
        if key not in self.raw:
            return np.full(self.n, -1, np.int8)
        if np.asarray(self.raw[key]).dtype.kind in 'biuf':
            codes = self.numbers(key, ())
        else:
            codes = np.array([GENDER_CODES.get(text.lower(), np.nan) for text in self.strings(key)])
        if not np.isin(codes, (-1, 0, 1)).all():
            raise BadFile(f'{self.path}: key {key!r} has other values than m, f and n (or 0, 1 and -1)')
        return codes.astype(np.int8)

    def rest(self):
        """The remaining arrays: 'extra' has those with one entry per row, 'whole' the others."""
        extra, whole = {}, {}
        for key, value in self.raw.items():
            per_row = np.ndim(value) > 0 and len(value) == self.n
            (extra if per_row else whole)[key] = value
        self.raw = {}
        return {'extra': extra, 'whole': whole}

    def _wrong_shape(self, key, value, wanted):
        raise BadFile(f'{self.path}: key {key!r} has shape {list(np.shape(value))}, but must be {wanted}')


def known_sizes(size):
    """Sizes [N,2] of boxes, with zeros for invalid ones."""
    return np.where((np.isfinite(size) & (size > 0)).all(1)[:, None], size, 0)


def unless_squares(size):
    """Sizes [N,2] of boxes. None if all are squares, because such a file has lost the shapes."""
    return None if (size[:, 0] == size[:, 1]).all() else size


def _sizes_of_boxes(boxes, center):
    """Sizes [N,2] of `bbox` [N,4] (left, top, width, height), or None if its centres are not `center` [N,2]."""
    boxes = None if boxes is None else np.asarray(boxes)
    if boxes is None or boxes.shape != (len(center), 4) or boxes.dtype.kind not in 'iuf' or not len(boxes):
        return None
    boxes = boxes.astype(np.float64)
    with np.errstate(invalid='ignore'):
        same = np.abs(boxes[:, :2] + boxes[:, 2:] / 2 - center).max() <= _SAME_CENTER
    return known_sizes(boxes[:, 2:]) if same else None


def plain_numbers(array):
    """Convert an object array of numbers, or of arrays of one shape, to an array of numbers. Others are unchanged."""
    if array.dtype != object:
        return array
    try:
        numbers = np.array(array.tolist())
    except (ValueError, TypeError, OverflowError):  # different lengths, or not numbers
        return array
    return numbers if numbers.dtype.kind in 'biuf' else array


def _zeros_if_none(value, shape):
    return np.zeros(shape, np.float32) if value is None else value


def _can_join(values):
    return all(value is not None for value in values) and len({np.shape(value)[1:] for value in values}) == 1

"""DensePose-COCO's labels: points with a part and UV coordinates, and segments of the body over the box.

Güler et al., "DensePose: Dense Human Pose Estimation In The Wild", CVPR 2018. Keys of an annotation file:
`dense_points` [N,196,5]: x and y in pixels of the picture, part 1 to 24 (0: no point), U, V. `dense_segments`
[N,64,64]: segment 0 to 14 over the box `dense_box` [N,4] (x, y, width, height). DaNet's published file with COCO's
entries in `dp_annot` is supported too.
"""
import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask

from datasets.augmentation import crop_transform, transform_points
from utils.errors import BadFile
from utils.safe_io import as_numbers, load_mat

MAX_POINTS = 196
GRID = 256  # DensePose annotates a grid of 256 x 256 over the box
SEGMENT_GRID = 64
NUM_SEGMENTS = 14
SYMMETRY_FILE = 'UV_data/UV_symmetry_transforms.mat'
UNKNOWN = -1
# Parts and segments of the mirrored body.
_PART_MIRROR = np.array([0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23])
_KEYS = ('dp_annot', 'dense_points', 'dense_segments', 'dense_box')
_SEGMENT_MIRROR = np.array([0, 1, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 14])


class UVSymmetry:
    """Maps points of the charts to the mirrored body (UV_symmetry_transforms.mat)."""

    def __init__(self, path):
        content = load_mat(path)
        tables = []
        for key in ('U_transforms', 'V_transforms'):
            cells = np.asarray(content.get(key)).reshape(-1) if key in content else ()
            if len(cells) != 24:
                raise BadFile(f'{path}: {key!r} must have 24 tables of {GRID} x {GRID}')
            tables.append(np.stack([as_numbers(cell, f'{path}: {key}', (GRID, GRID), np.float32) for cell in cells]))
        self.u, self.v = tables

    def __call__(self, part, u, v):
        """Part 0 to 24, U and V of the mirrored points; arrays of one shape."""
        row, column = (np.clip((value * (GRID - 1)).astype(int), 0, GRID - 1) for value in (v, u))
        table = np.maximum(part, 1) - 1
        return _PART_MIRROR[part], self.u[table, row, column], self.v[table, row, column]


class DenseLabels:
    """The dense labels of a dataset. size: side of the segment map.

    Without `read`, or without such labels, samples get empty labels, so that batches can mix datasets. Labels are
    few large arrays, which worker processes share: points [P,5] float32 of all rows, where row i has those from
    starts[i] to starts[i + 1]; segments [N,64,64] uint8; box [N,4].
    """

    def __init__(self, size):
        self.size, self.symmetry = size, None
        self.points = self.starts = self.segments = self.box = None

    def read(self, annotations, assets, path):
        """Read the labels of Annotations -> self. Raises BadFile, MissingFile.

        assets: Assets with the symmetry of charts, which flips need. path: annotation file, for messages.
        """
        extra, count = annotations.extra, len(annotations)
        if 'dp_annot' in extra:
            rows = map(dense_arrays, extra['dp_annot'])
        elif 'dense_points' in extra:
            self._check(extra, count, path)
            rows = zip(*(extra[key] for key in _KEYS[1:]))
        else:
            return self
        self._pack(rows, count)
        self.symmetry = UVSymmetry(assets.file(SYMMETRY_FILE))
        return self

    def _pack(self, rows, count):
        """Fill the arrays from (points [196,5], segments, box) of each row."""
        self.segments = np.empty((count, SEGMENT_GRID, SEGMENT_GRID), np.uint8)
        self.box, self.starts, points = np.empty((count, 4), np.float32), np.zeros(count + 1, np.int64), []
        for row, (labels, segments, box) in enumerate(rows):
            self.segments[row], self.box[row] = segments, box
            known = labels[labels[:, 2] > 0].astype(np.float32)
            points.append(known)
            self.starts[row + 1] = self.starts[row] + len(known)
        self.points = np.concatenate(points) if points else np.zeros((0, 5), np.float32)

    @staticmethod
    def _check(extra, count, path):
        wanted = {'dense_points': (count, MAX_POINTS, 5), 'dense_segments': (count, SEGMENT_GRID, SEGMENT_GRID),
                  'dense_box': (count, 4)}
        for key, shape in wanted.items():
            if np.shape(extra.get(key)) != shape:
                raise BadFile(f'{path}: key {key!r} has shape {list(np.shape(extra.get(key)))}, but must be '
                              f'{list(shape)}')

    def sample(self, row, person, augmentation, res):
        """The labels of a row in the crop of an Augmentation -> dict.

        'dense_points' [196,5]: x and y in [-1, 1] of the crop, part, U, V. 'dense_segments' [size,size] int64: -1 if
        unknown. person: Person of the row. res: side of the crop.
        """
        points = np.zeros((MAX_POINTS, 5), np.float32)
        segments = np.full((self.size, self.size), UNKNOWN, np.int64)
        if self.points is not None:
            matrix = crop_transform(person.center, person.scale * augmentation.scale, res, augmentation.rotation,
                                    augmentation.flip)
            points = self._cut_points(row, matrix, res, augmentation.flip)
            segments = self._cut_segments(row, matrix, res, augmentation.flip)
        return {'dense_points': torch.from_numpy(points), 'dense_segments': torch.from_numpy(segments)}

    def _cut_points(self, row, matrix, res, flip):
        points = np.zeros((MAX_POINTS, 5), np.float32)
        labels = self.points[self.starts[row]:self.starts[row + 1]]
        points[:len(labels)] = labels
        points[:, :2] = transform_points(points[:, :2].astype(np.float64), matrix) * (2.0 / res) - 1
        points[(np.abs(points[:, :2]) > 1).any(1)] = 0
        points[points[:, 2] == 0] = 0
        if flip:
            part, u, v = self.symmetry(points[:, 2].astype(int), points[:, 3], points[:, 4])
            shown = part > 0
            points[:, 2:] = np.where(shown[:, None], np.stack([part, u, v], 1), 0)
        return points

    def _cut_segments(self, row, matrix, res, flip):
        """Nearest segment at the centre of every pixel of the map."""
        x, y, width, height = self.box[row]
        to_map = np.diag([self.size / res] * 2) @ matrix  # picture to map, continuous coordinates
        cell = np.array([[width / SEGMENT_GRID, 0, x], [0, height / SEGMENT_GRID, y], [0, 0, 1]])
        to_map = to_map @ cell
        to_map[:, 2] += 0.5 * to_map[:, :2].sum(1) - 0.5  # cv2 counts from pixel centres
        out = cv2.warpAffine(self.segments[row], to_map, (self.size, self.size), flags=cv2.INTER_NEAREST)
        return (_SEGMENT_MIRROR[out] if flip else out).astype(np.int64)


def drop_dense_labels(annotations):
    """Remove the dense labels from Annotations. COCO's entries are gigabytes of Python objects, which every worker
    process would copy."""
    for key in _KEYS:
        annotations.extra.pop(key, None)


def dense_arrays(entry):
    """Convert a COCO annotation with dp_* entries to (points [196,5], segments [64,64], box [4]). Raises BadFile."""
    try:
        box = np.array(entry['bbox'], np.float32).reshape(4)
        labels = np.array([entry[f'dp_{name}'] for name in 'xyIUV'], np.float32).reshape(5, -1).T
        masks = list(entry['dp_masks'])
    except (KeyError, TypeError, ValueError):
        raise BadFile("a dense annotation needs 'bbox', dp_x, dp_y, dp_I, dp_U, dp_V of one length and "
                      "'dp_masks'") from None
    points = np.zeros((MAX_POINTS, 5), np.float32)
    known = labels[np.isfinite(labels).all(1) & (labels[:, 2] >= 1) & (labels[:, 2] <= 24)][:MAX_POINTS]
    points[:len(known)] = known
    points[:len(known), :2] = known[:, :2] / (GRID - 1) * box[2:] + box[:2]
    return points, _segments(masks), box


def _segments(masks):
    """[64,64] uint8 from the run-length masks of the 14 segments. An empty entry is an absent segment."""
    out = np.zeros((SEGMENT_GRID, SEGMENT_GRID), np.uint8)
    step = GRID // SEGMENT_GRID
    for number, mask in enumerate(masks[:NUM_SEGMENTS], 1):
        if mask:
            shown = coco_mask.decode(mask)
            if shown.shape != (GRID, GRID):
                raise BadFile(f"a mask of 'dp_masks' has size {list(shown.shape)}, but must be {[GRID, GRID]}")
            out[shown[step // 2::step, step // 2::step] > 0] = number
    return out

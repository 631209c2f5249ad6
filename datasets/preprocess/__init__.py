"""Converters from published datasets to annotation files (docs/data.md), one command each.

All of them use `Collector`, which collects rows, counts people that are left out by reason and writes the file at the
end, and `command`, the command line of a converter.
"""
import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from datasets.annotations import Annotations
from utils.errors import BadConfig, BadFile, MissingFile
from utils.keypoints import NUM_COMMON, NUM_JOINTS, NUM_OPENPOSE
from utils.logging import get_logger

# Side of the square box over the longer side of the annotated box (SPIN, PyMAF).
BOX_FACTOR = 1.2


def square_box(x, y, width, height, factor=BOX_FACTOR):
    """The square box of a rectangle -> (center (x, y) in pixels, scale (side / 200), (width, height) as given)."""
    return (x + width / 2, y + height / 2), factor * max(width, height) / 200, (width, height)


def box_of_points(points, factor=BOX_FACTOR):
    """The square box of points [J,2], or of points [J,3] with a confidence above 0, see `square_box`."""
    points = np.asarray(points, np.float64)
    if points.shape[1] > 2:
        points = points[points[:, 2] > 0]
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return square_box(*low, *(high - low), factor)


class Collector:
    """Collects rows of annotations."""

    def __init__(self):
        self.left_out = Counter()
        self._rows = []
        self._labels = []

    def __len__(self):
        return len(self._rows)

    def add(self, imgname, center, scale, bbox_size, common=None, openpose=None, **labels):
        """Add a person.

        center, scale, bbox_size: of the box; bbox_size (width, height) is None if unknown. common: joints [24,3] or
        None. openpose: joints [25,3] or None. labels: joints_3d [24,4] in metres, pose [72] and betas [10], gender
        (code), maskname, partname. Other arrays go to `Annotations.extra` and must be on every row.
        """
        keypoints = np.zeros((NUM_JOINTS, 3), np.float32)
        if openpose is not None:
            keypoints[:NUM_OPENPOSE] = openpose
        if common is not None:
            keypoints[NUM_JOINTS - NUM_COMMON:] = common
        self._rows.append((imgname, center, scale, bbox_size or (0, 0), keypoints))
        self._labels.append(labels)

    def leave_out(self, why):
        self.left_out[why] += 1

    def annotations(self):
        """The rows as Annotations."""
        names, centers, scales, sizes, keypoints = zip(*self._rows) if self._rows else ((),) * 5
        fields = {'keypoints_2d': np.array(keypoints, np.float32).reshape(-1, NUM_JOINTS, 3)}
        for name, width in (('joints_3d', (NUM_COMMON, 4)), ('pose', (72,)), ('betas', (10,))):
            fields[name] = np.array([np.zeros(width) if labels.get(name) is None else labels[name]
                                     for labels in self._labels], np.float32).reshape(-1, *width)
        fields['has_joints_3d'] = np.array([labels.get('joints_3d') is not None for labels in self._labels], bool)
        fields['has_smpl'] = np.array([labels.get('pose') is not None for labels in self._labels], bool)
        fields['gender'] = np.array([labels.get('gender', -1) for labels in self._labels], np.int8)
        if np.any(sizes):
            fields['bbox_size'] = np.array(sizes, np.float64)
        known = {'joints_3d', 'pose', 'betas', 'gender', 'maskname', 'partname'}
        for name in ('maskname', 'partname'):
            if any(name in labels for labels in self._labels):
                fields[name] = np.array([labels.get(name, '') for labels in self._labels], np.str_)
        extra = {name: np.array([labels[name] for labels in self._labels])
                 for name in (self._labels[0] if self._labels else ()) if name not in known}
        return Annotations.blank(names, centers, scales, **fields, extra=extra)

    def save(self, path, source):
        """Write the `.npz` and log its content. Raises BadFile, which names `source`, without rows."""
        save_annotations(self.annotations(), path, source, self.left_out)


def save_annotations(annotations, path, source, left_out):
    """Write Annotations and log a line. left_out: number of people by reason. Raises BadFile without rows."""
    reasons = ', '.join(f'{count} {why}' for why, count in Counter(left_out).most_common() if count)
    if not len(annotations):
        raise BadFile(f'{source}: no usable person ({reasons or "it has no annotations"})')
    annotations.save(path)
    get_logger().info(f'{path}: {len(annotations)} people in {len(set(annotations.imgname))} pictures'
                      + (f'; left out: {reasons}' if reasons else ''))


def check_output(path):
    """Raise BadConfig if the output is not an `.npz`. Call it before the conversion."""
    if Path(path).suffix != '.npz':
        raise BadConfig(f'{path}: the output must end in .npz')


def existing(path, what):
    """`path` as a Path. Raises MissingFile with the description `what` if it does not exist."""
    path = Path(path)
    if not path.exists():
        raise MissingFile(f'{path}: no such {what}')
    return path


def command(convert, description, required, optional=None, argv=None):
    """Parse the command line of a converter and run it.

    required: {flag: help}. optional: {flag: (default, help)}. A default of False makes a flag without an argument, a
    list makes a choice of its values.
    """
    parser = argparse.ArgumentParser(description=description)
    for name, text in required.items():
        parser.add_argument(f'--{name}', required=True, help=text)
    for name, (default, text) in (optional or {}).items():
        if default is False:
            parser.add_argument(f'--{name}', action='store_true', help=text)
        elif isinstance(default, list):
            parser.add_argument(f'--{name}', choices=default, default=default[0], help=text)
        else:
            parser.add_argument(f'--{name}', default=default, type=type(default) if default else str, help=text)
    convert(**vars(parser.parse_args(sys.argv[1:] if argv is None else argv)))
    return 0

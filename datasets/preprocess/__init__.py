"""Converters from datasets as published to annotation files (docs/data.md), one command each.

What they share: `Collector` gathers rows, counts what is left out and why, and writes the file at once at the end.
"""
from collections import Counter
from pathlib import Path

import numpy as np

from datasets.annotations import Annotations
from utils.errors import BadConfig, BadFile
from utils.keypoints import NUM_COMMON, NUM_JOINTS, NUM_OPENPOSE
from utils.logging import get_logger

# How much larger than the annotated box the square box is (SPIN, PyMAF).
BOX_FACTOR = 1.2


def square_box(x, y, width, height, factor=BOX_FACTOR):
    """A rectangle's square box: center (x, y) in pixels and scale, side / 200."""
    return (x + width / 2, y + height / 2), factor * max(width, height) / 200


class Collector:
    """Rows of 2D annotations in the making."""

    def __init__(self):
        self.left_out = Counter()
        self._rows = []

    def __len__(self):
        return len(self._rows)

    def add(self, imgname, center, scale, common=None, openpose=None):
        """One person: common joints [24,3] and OpenPose joints [25,3], either may be None."""
        keypoints = np.zeros((NUM_JOINTS, 3), np.float32)
        if openpose is not None:
            keypoints[:NUM_OPENPOSE] = openpose
        if common is not None:
            keypoints[NUM_JOINTS - NUM_COMMON:] = common
        self._rows.append((imgname, center, scale, keypoints))

    def leave_out(self, why):
        self.left_out[why] += 1

    def save(self, path, source):
        """Write the `.npz` and say what is in it. Raises BadFile, naming `source`, where no row is left."""
        reasons = ', '.join(f'{count} {why}' for why, count in self.left_out.most_common())
        if not self._rows:
            raise BadFile(f'{source}: no usable person ({reasons or "it has no annotations"})')
        names, centers, scales, keypoints = zip(*self._rows)
        Annotations.blank(names, centers, scales, keypoints_2d=np.stack(keypoints)).save(path)
        get_logger().info(f'{path}: {len(names)} people in {len(set(names))} pictures'
                          + (f'; left out: {reasons}' if reasons else ''))


def check_output(path):
    """Refuse an output that is no `.npz` before hours of work go into it."""
    if Path(path).suffix != '.npz':
        raise BadConfig(f'{path}: the output has to end in .npz')

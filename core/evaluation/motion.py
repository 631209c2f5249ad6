"""Acceleration error and jitter of datasets whose rows are frames of sequences."""
import numpy as np
import torch

from core.metrics import acceleration_error, jitter
from utils.geometry import turn_about

SEQUENCE, FRAME, FPS = 'sequence', 'frame', 'fps'
_FPS = 30.0  # of EMDB, RICH and 3DPW
# Columns of the error table that `Motion.columns` adds and `Motion.errors` removes.
_KEPT = ('estimated', 'true', 'placed', 'row')


class Motion:
    """The sequences of an annotation file with the key `sequence` [N].

    Adjacent rows with the same name are consecutive frames. If the file has a key `frame` [N], their numbers must also
    differ by one. Key `fps`: frames per second, 30 by default. Only the last stage is measured; other stages are NaN.
    """

    def __init__(self, annotations, protocol):
        self._ignored = list(protocol.still_joints)
        self.fps = float(np.ravel(annotations.whole.get(FPS, _FPS))[0])
        names = annotations.extra[SEQUENCE]
        frames = annotations.extra.get(FRAME, np.arange(len(names)))
        follows = (names[1:] == names[:-1]) & (np.diff(frames) == 1)
        self._run = np.concatenate([[0], np.cumsum(~follows)])  # equal for consecutive frames

    @classmethod
    def of(cls, dataset, protocol):
        """The Motion of a dataset. None if its rows are not frames of sequences."""
        annotations = getattr(dataset, 'annotations', None)
        if annotations is None or SEQUENCE not in annotations.extra or hasattr(dataset, 'groups'):
            return None
        return cls(annotations, protocol)

    @staticmethod
    def columns(observed):
        """Columns of a batch to keep for `errors`: {name: [B, ...]}, in the camera of each picture."""
        turn = observed.batch['ray_rotation'].to(observed.compared.device)
        pelvis = observed.out.final.smpl_joints[:, 0]
        estimated = turn_about(observed.compared.float(), pelvis.float(), turn.float())
        true = observed.truth.joints.float() @ turn.float().transpose(1, 2)
        return {'estimated': estimated.cpu(), 'true': true.cpu(), 'placed': observed.truth.placed.cpu(),
                'row': observed.batch['sample_index'].clone()}

    def errors(self, table):
        """Replace the kept columns in the table of all samples by the errors: accel, jitter [N, stages]."""
        estimated, true, placed, rows = (table.pop(name) for name in _KEPT)
        stages = next(iter(table.values())).shape[1]
        errors = {name: torch.full((len(rows), stages), torch.nan) for name in ('accel', 'jitter')}
        for places in self._runs(rows.numpy()):
            joints, root = estimated[places, :-1], estimated[places, -1:]
            accelerations = acceleration_error(joints - root, true[places], self.fps, placed[places])
            # WHAM's and TRAM's code leave out the first and the last value of a sequence.
            errors['accel'][places[2:-2], -1] = accelerations[1:-1]
            joints = joints.clone()
            joints[:, self._ignored] = 0
            errors['jitter'][places[3:], -1] = jitter(joints, self.fps)
        table.update(errors)

    def _runs(self, rows):
        """Indices [T] of the samples of each run of consecutive frames."""
        order = np.argsort(rows, kind='stable')
        ordered = rows[order]
        cuts = np.flatnonzero((np.diff(ordered) != 1) | (np.diff(self._run[ordered]) != 0)) + 1
        return [torch.from_numpy(places) for places in np.split(order, cuts) if len(places) > 3]

"""Estimates of an evaluation in one .npz: what SPIN's `--result` writes, and the image names."""
import os

import numpy as np

from core.evaluation.report import check_new
from utils.geometry import rotmat_to_axis_angle, turn_about, turn_root
from utils.safe_io import save_npz

_WIDTHS = {'pred_joints': (17, 3), 'pose': (72,), 'betas': (10,), 'camera': (3,)}


class ResultWriter:
    """Gathers the last stage's estimates in the picture's camera: pred_joints [N,17,3] metres (H36M joints of the mesh,
    not centred), pose [N,72] axis-angle, betas [N,10], camera [N,3] weak perspective in the crop, imgname [N] below the
    image folder.

    546 bytes a person, allocated once. An observer of `Evaluator.evaluate`; `save` writes the file atomically.
    Raises ProjectError where the file exists and is not to be overwritten.
    """

    def __init__(self, path, rows, image_folder='', overwrite=False):
        check_new([path], overwrite)
        self.path, self.folder, self.count = path, str(image_folder), 0
        self.arrays = {name: np.zeros((rows, *width), np.float32) for name, width in _WIDTHS.items()}
        self.names = []

    def __call__(self, observed):
        final, fresh = observed.out.final, observed.fresh
        rotmat, joints = in_picture(final, observed.joints, observed.batch['ray_rotation'])
        values = {'pred_joints': joints, 'pose': rotmat_to_axis_angle(rotmat.float()).flatten(1),
                  'betas': final.betas, 'camera': final.camera}
        end = self.count + int(fresh.sum())
        for name, value in values.items():
            self.arrays[name][self.count:end] = value.detach().float().cpu().numpy()[fresh.numpy()]
        self.count = end
        self.names += [self._below(path) for path, keep in zip(observed.batch['imgname'], fresh) if keep]

    def _below(self, path):
        below = os.path.relpath(path, self.folder) if self.folder and path.startswith(self.folder) else path
        return below.replace(os.sep, '/')

    def save(self):
        arrays = {name: array[:self.count] for name, array in self.arrays.items()}
        save_npz(self.path, **arrays, imgname=np.array(self.names, np.str_))


def in_picture(stage, points, ray_rotation):
    """Estimates of crops, (rotmat [B,24,3,3], points [B,P,3]), in the cameras of their pictures.

    ray_rotation: [B,3,3] of the batch.
    """
    turn = ray_rotation.to(stage.rotmat.device)
    return turn_root(stage.rotmat, turn), turn_about(points, stage.smpl_joints[:, 0], turn)

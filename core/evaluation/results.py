"""Estimates of an evaluation as one .npz, with SPIN's `--result` arrays, cameras and image names."""
import os

import numpy as np
import torch

from core.demo.camera import crop_to_picture, place_in_picture
from core.evaluation.report import check_new
from utils.camera import principal_point
from utils.geometry import rotmat_to_axis_angle, turn_about, turn_root
from utils.safe_io import save_npz

_WIDTHS = {'pred_joints': (17, 3), 'pose': (72,), 'betas': (10,), 'camera': (3,),
           'translation': (3,), 'focal_length': (), 'camera_center': (2,)}


class ResultWriter:
    """Observer of `Evaluator.evaluate` that collects the estimates of the last stage in the picture's camera.

    Arrays: pred_joints [N,17,3] metres (H36M joints of the mesh, not centred), pose [N,72] axis-angle, betas [N,10],
    camera [N,3] weak perspective in the crop, imgname [N] relative to the image folder, translation [N,3] metres,
    focal_length [N] and camera_center [N,2] pixels. The picture's camera projects the body, moved by the translation,
    to the pixels where the network sees it in the crop.

    A person takes 570 bytes, which are allocated at the start. `save` writes the file atomically.
    Raises ProjectError if the file exists and may not be overwritten.
    """

    def __init__(self, path, rows, image_folder='', overwrite=False):
        check_new([path], overwrite)
        self.path, self.folder, self.count = path, str(image_folder), 0
        self.arrays = {name: np.zeros((rows, *width), np.float32) for name, width in _WIDTHS.items()}
        self.names = []

    def __call__(self, observed):
        final, fresh = observed.out.final, observed.fresh
        points = torch.cat([observed.joints, final.joints], 1)
        rotmat, points = in_picture(final, points, observed.batch['ray_rotation'])
        joints, seen = points.split([observed.joints.shape[1], final.joints.shape[1]], 1)
        values = {'pred_joints': joints, 'pose': rotmat_to_axis_angle(rotmat.float()).flatten(1),
                  'betas': final.betas, 'camera': final.camera,
                  **in_picture_camera(seen, final.keypoints_2d, observed.batch)}
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
    """Rotate estimates from the crop's ray to the picture's camera -> (rotmat [B,24,3,3], points [B,P,3]).

    ray_rotation: [B,3,3] of the batch.
    """
    turn = ray_rotation.to(stage.rotmat.device)
    return turn_root(stage.rotmat, turn), turn_about(points, stage.smpl_joints[:, 0], turn)


def in_picture_camera(joints, keypoints_2d, batch):
    """Place bodies in the cameras of their pictures -> {translation [B,3] metres, focal_length [B], camera_center [B,2]
    pixels}. The projection of joints [B,49,3] fits keypoints_2d [B,49,2], in [-1, 1] of the crops of the batch."""
    center, scale, focal_length, bbox_info = (batch[key].to(joints.device, torch.float32)
                                              for key in ('center', 'scale', 'focal_length', 'bbox_info'))
    middle = principal_point(center, bbox_info, focal_length)
    pixels = crop_to_picture(keypoints_2d.float(), center, 200 * scale)
    return {'translation': place_in_picture(joints.float(), pixels, focal_length, middle),
            'focal_length': focal_length, 'camera_center': middle}

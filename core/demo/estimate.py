"""From people in pictures to bodies in the pictures' cameras: crop, network, camera."""
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch

from core.batches import extra_inputs
from core.demo.camera import Crops, bodies_in_picture
from datasets.augmentation import crop_transform, to_network_input, warp_crop
from datasets.legacy_crop import legacy_crop, legacy_square
from utils.geometry import rotmat_to_axis_angle

# Smallest camera scale. Below it a body is a dot in its own crop.
_FARTHEST = 0.02
BEHIND_CAMERA = 'the network puts the body behind the camera'


@dataclass
class Estimate:
    """One person in one frame, as numpy arrays; the fields are those of `utils.recording.PersonTrack`.

    rotmat [24,3,3]; vertices [V,3] metres, before the translation, None if they are not drawn.
    """
    person_id: int
    box: np.ndarray
    rotmat: np.ndarray
    betas: np.ndarray
    crop_camera: np.ndarray
    translation: np.ndarray
    joints: np.ndarray
    keypoints_2d: np.ndarray
    vertices: np.ndarray | None = None

    @property
    def pose(self):
        """[72] axis-angle."""
        return rotmat_to_axis_angle(torch.as_tensor(self.rotmat)).flatten().numpy()


def crop_person(image, person, res, legacy=''):
    """Crop an RGB picture -> (crop [res,res,3] uint8, centre [2] and side of its square in pixels).

    legacy: a published crop (DATA.LEGACY_CROP_RESIZE); '': this project's.
    """
    scale = person.side / 200
    if not legacy:
        return warp_crop(image, crop_transform(person.center, scale, res), res), person.center, person.side
    crop = legacy_crop(image, person.center, scale, res, resize=legacy, of_demo=True)
    return crop, *legacy_square(person.center, scale, res, legacy)


class Estimator:
    """Runs a regressor on people, with a published crop if cfg.DATA.LEGACY_CROP_EVAL is set.

    An estimate that is not finite, or whose body is behind the camera or too far away to draw, is None and is counted
    in `left_out`. `on_output` is called with the images and RegressorOutput of each batch.
    """

    keypoints = None  # no estimator of keypoints is used

    def __init__(self, cfg, regressor, device):
        self.regressor, self.body, self.device = regressor, regressor.body, device
        self._res = cfg.DATA.IMG_RES
        self._legacy = cfg.DATA.LEGACY_CROP_RESIZE if cfg.DATA.LEGACY_CROP_EVAL else ''
        self._batch, self._draws = cfg.DEMO.MODEL_BATCH_SIZE, cfg.DEMO.RENDER
        self.on_output, self.left_out = None, Counter()

    def __call__(self, people, focus):
        """people: [(Frame, PersonBox with a person_id)]; focus: called with a frame, returns its focal length in pixels
        -> Estimates in the same order."""
        estimates = []
        for start in range(0, len(people), self._batch):
            estimates += self._estimate(people[start:start + self._batch], focus)
        return estimates

    def views(self, people, focus):
        """Estimates of synchronized views of one body, as in `__call__`."""
        return self._estimate(people, focus, as_views=True)

    @torch.inference_mode()
    def _estimate(self, people, focus, as_views=False):
        cut = [crop_person(frame.image, person, self._res, self._legacy) for frame, person in people]
        images = torch.from_numpy(np.stack([to_network_input(crop, is_rgb=True) for crop, _, _ in cut]))
        images = images.to(self.device)
        crops = Crops.of(np.stack([center for _, center, _ in cut]), [side for _, _, side in cut],
                         [focus(frame) for frame, _ in people], [frame.image.shape[1::-1] for frame, _ in people])
        out = self.regressor(images[None] if as_views else images,
                             *extra_inputs(self.regressor, crops.entries(), self.device))
        if self.on_output:
            self.on_output(images, out)
        columns = self._in_picture(out.final, crops)
        usable = torch.stack([torch.isfinite(column).flatten(1).all(1) for column in columns]).all(0)
        usable &= columns[2][:, 0] > _FARTHEST
        if not usable.all():
            self.left_out[BEHIND_CAMERA] += int((~usable).sum())
        columns = [column.numpy() for column in columns]
        return [Estimate(person.person_id or 0, person.box.astype(np.float32), *(column[i] for column in columns))
                if usable[i] else None for i, (_, person) in enumerate(people)]

    def _in_picture(self, stage, crops):
        """rotmat, betas, crop_camera, translation, joints, keypoints_2d and vertices in the pictures' cameras."""
        values = [stage.rotmat, stage.betas, stage.camera, stage.smpl_joints[:, 0], stage.joints, stage.keypoints_2d]
        rotmat, betas, camera, root, joints, seen, *vertices = _fetched(values + [stage.vertices] * self._draws)
        placed = bodies_in_picture(rotmat, joints, root, seen, crops, self.regressor.camera_frame)
        return [placed.rotmat, betas, camera, placed.translation, placed.joints, placed.keypoints_2d,
                *map(placed.turned, vertices)]


def _fetched(values):
    """Tensors [N,...] as float32 on the host, in a single copy, which waits for the device once."""
    shapes = [value.shape[1:] for value in values]
    packed = torch.cat([value.float().flatten(1) for value in values], 1).cpu()
    parts = packed.split([shape.numel() for shape in shapes], 1)
    return [part.unflatten(1, shape) for part, shape in zip(parts, shapes)]

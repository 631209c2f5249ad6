"""People in pictures to bodies in the picture's camera: crop, network, camera."""
from dataclasses import dataclass

import numpy as np
import torch

from core.demo.camera import crop_to_picture, place_in_picture, project_to_picture
from datasets.augmentation import crop_transform, to_network_input, warp_crop
from datasets.legacy_crop import legacy_box, legacy_crop
from utils.geometry import rotmat_to_axis_angle

# Camera scale below which a body is a dot in its own crop.
_FARTHEST = 0.02


@dataclass
class Estimate:
    """One person in one frame, as numpy arrays; the fields are those of `utils.recording.PersonTrack`.

    rotmat [24,3,3]; vertices [V,3] metres, before the translation, None where they are not drawn.
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


def crop_person(image, person, res, legacy):
    """The crop [res,res,3] uint8 of an RGB picture, and the centre [2] and side of the square it shows, in pixels."""
    scale = person.side / 200
    if not legacy:
        return warp_crop(image, crop_transform(person.center, scale, res), res), person.center, person.side
    first, last = legacy_box(person.center, scale, res)
    return legacy_crop(image, person.center, scale, res), (first + last) / 2, float(last[0] - first[0])


class Estimator:
    """Runs a regressor over people. The published integer crop is taken where cfg.DATA.LEGACY_CROP_EVAL says so.

    An estimate that is not finite, or whose camera scale puts the body behind the camera or farther than can be drawn,
    is None. `on_output` is called with each batch's images and RegressorOutput.
    """

    def __init__(self, cfg, regressor, device):
        self.regressor, self.body, self.device = regressor, regressor.body, device
        self._res, self._legacy = cfg.DATA.IMG_RES, cfg.DATA.LEGACY_CROP_EVAL
        self._batch, self._draws = cfg.DEMO.MODEL_BATCH_SIZE, cfg.DEMO.RENDER
        self.on_output = None

    def __call__(self, people, focal_length):
        """people: [(picture [H,W,3] uint8 RGB, PersonBox with a person_id)] -> Estimates in the same order."""
        estimates = []
        for start in range(0, len(people), self._batch):
            estimates += self._batch_of_people(people[start:start + self._batch], focal_length)
        return estimates

    def views(self, people, focal_length):
        """The same for synchronized views of one body."""
        return self._batch_of_people(people, focal_length, as_views=True)

    @torch.inference_mode()
    def _batch_of_people(self, people, focal_length, as_views=False):
        crops = [crop_person(image, person, self._res, self._legacy) for image, person in people]
        images = torch.from_numpy(np.stack([to_network_input(crop, is_rgb=True) for crop, _, _ in crops]))
        images = images.to(self.device)
        out = self.regressor(images[None] if as_views else images)
        if self.on_output:
            self.on_output(images, out)
        final = out.final
        joints, points = final.joints.float().cpu(), final.keypoints_2d.float().cpu()
        center = torch.from_numpy(np.stack([center for _, center, _ in crops])).float()
        pixels = crop_to_picture(points, center, torch.tensor([side for _, _, side in crops]))
        fields = [value.float().cpu().numpy() for value in (final.rotmat, final.betas, final.camera)]
        vertices = final.vertices.float().cpu().numpy() if self._draws else [None] * len(people)
        estimates = []
        for i, (image, person) in enumerate(people):
            if not all(np.isfinite(value[i]).all() for value in fields) or fields[2][i][0] < _FARTHEST:
                estimates.append(None)
                continue
            height, width = image.shape[:2]
            moved = place_in_picture(joints[i:i + 1], pixels[i:i + 1], focal_length, width, height)
            seen = project_to_picture(joints[i:i + 1], moved, focal_length, width, height)
            estimates.append(Estimate(person.person_id or 0, person.box.astype(np.float32),
                                      *(value[i] for value in fields), moved[0].numpy(), joints[i].numpy(),
                                      seen[0].numpy(), vertices[i]))
        return estimates

"""bbox_info, the input that describes a crop, and the picture's camera: compared with the renderer's camera, with
arithmetic and with mirrored pictures."""
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from core.batches import extra_inputs, mirrored
from core.config import load_config
from core.demo.estimate import Estimator
from core.evaluation.coco_evaluator import estimate_keypoints
from core.training.fitting import _along_the_ray
from datasets.augmentation import Augmentation
from datasets.image_io import Picture
from datasets.sample import NO_AUGMENTATION, make_sample
from models.body import BodyModel
from models.output import RegressorOutput, Stage
from tests.test_crop_camera import people, shown_off_axis  # noqa: F401  a fixture
from utils.camera import bbox_info
from utils.errors import BadConfig
from utils.full_camera import FullCamera
from utils.geometry import axis_angle_to_rotmat, project, solve_translation, translation_to_camera, turn_root

AUGMENTATIONS = (NO_AUGMENTATION, Augmentation(rotation=35.0, scale=1.2), Augmentation(flip=True),
                 Augmentation(flip=True, rotation=-50.0, scale=0.9))


def sample_of(picture, person, frame, augmentation=NO_AUGMENTATION):
    return make_sample(picture, person, augmentation, load_config(None, ['MODEL.CAMERA', frame, 'DATA.IMG_RES', 64]))


def camera_of(sample):
    return FullCamera.of_bbox_info(sample['bbox_info'][None])


def test_bbox_info_is_cliffs_formula():
    """A picture of 640 x 480, so f = 800, and a box of 240 px about (480, 180)."""
    wanted = [(480 - 320) / 800 * 2.8, (180 - 240) / 800 * 2.8, (240 - .24 * 800) / (.06 * 800)]
    assert np.allclose(wanted, [.56, -.21, 1.0])
    assert torch.allclose(bbox_info([160.0, -60.0], 240.0, 800.0), torch.tensor(wanted), atol=1e-6)
    camera = FullCamera.of_bbox_info(bbox_info([[160.0, -60.0]], [240.0], [800.0]))
    assert torch.allclose(camera.focal, torch.tensor([800 / 120])) and torch.allclose(
        camera.offset, torch.tensor([[160 / 120, -60 / 120]]), atol=1e-6)


def test_translation_is_cliffs_by_hand():
    """A weak-perspective camera (s, tx, ty) of a crop of side b is a translation at depth 2 f / (b s)."""
    camera = FullCamera.of_bbox_info(bbox_info([[160.0, -60.0]], [240.0], [800.0]))
    weak = torch.tensor([[0.8, 0.1, -0.2]])
    bs = 240 * 0.8
    wanted = torch.tensor([[2 * 160 / bs + 0.1, 2 * -60 / bs - 0.2, 2 * 800 / bs]])
    assert torch.allclose(camera.translation(weak), wanted, atol=1e-5)
    assert torch.allclose(camera.camera(wanted), weak, atol=1e-5)
    # Both cameras project the body's origin to the same point.
    assert torch.allclose(camera.project(torch.zeros(1, 1, 3), weak)[0, 0], torch.tensor([0.08, -0.16]), atol=1e-5)


@pytest.mark.parametrize('augmentation', AUGMENTATIONS)
def test_the_true_body_is_seen_on_its_keypoints_to_the_pixel(people, free_assets, augmentation):  # noqa: F811
    """Crops are rotated, mirrored and scaled; the ground truth is the renderer's camera, person and place."""
    body, seen = BodyModel(free_assets), 0
    for picture, person, row, _ in shown_off_axis(people):
        sample = sample_of(picture, person, 'picture', augmentation)
        posed = body(sample['betas'][None], pose=sample['pose'][None])
        camera = camera_of(sample)
        translation, solved = solve_translation(posed.joints, sample['keypoints'][None], full_camera=camera)
        found = project(posed.joints, camera.camera(translation), camera)[0]
        error = (found - sample['keypoints'][:, :2])[25:][sample['keypoints'][25:, 2] > 0].norm(dim=-1)
        assert solved.all() and error.max() < 2e-3  # 1/15 pixel of 64
        angle = np.radians(augmentation.rotation)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        # The body is rotated about its pelvis, the picture about the camera's axis.
        pelvis = body(torch.as_tensor(row['shape'])[None], pose=torch.as_tensor(row['pose'])[None]).smpl_joints[0, 0]
        pelvis_in_picture = pelvis.numpy() + row['translation']
        pelvis_in_picture[:2] = turn @ pelvis_in_picture[:2] * [-1 if augmentation.flip else 1, 1]
        got = (posed.smpl_joints[0, 0] + translation[0]).numpy()
        assert np.linalg.norm(got - pelvis_in_picture) < 0.01 * np.linalg.norm(pelvis_in_picture)
        seen += 1
    assert seen >= 10


@pytest.mark.parametrize('augmentation', AUGMENTATIONS)
def test_the_ray_of_an_augmented_crop_joins_both_frames(people, augmentation):  # noqa: F811
    """Labels in the crop's frame, rotated by bbox_info's ray, are the labels in the picture's camera."""
    for picture, person, _ in people:
        along, within = (sample_of(picture, person, frame, augmentation) for frame in ('crop', 'picture'))
        turned = turn_root(axis_angle_to_rotmat(along['pose'][None]), camera_of(along).ray_rotation())
        assert torch.allclose(turned, axis_angle_to_rotmat(within['pose'][None]), atol=1e-5)
        assert torch.equal(along['bbox_info'], within['bbox_info'])
        if augmentation is NO_AUGMENTATION:
            assert torch.allclose(camera_of(along).ray_rotation()[0], along['ray_rotation'], atol=1e-6)


def test_a_fit_starts_where_the_estimate_is_seen(people, free_assets):  # noqa: F811
    """An estimate in the picture's camera, rotated to the crop's ray, projects to the same points of the crop."""
    body, errors = BodyModel(free_assets), []
    for picture, person, _, angle in shown_off_axis(people):
        if angle < 4:
            continue
        sample = sample_of(picture, person, 'picture')
        rotmat, camera = axis_angle_to_rotmat(sample['pose'][None]), camera_of(sample)
        posed = body(sample['betas'][None], rotmat)
        translation, _ = solve_translation(posed.joints, sample['keypoints'][None], full_camera=camera)
        stage = Stage(rotmat, sample['betas'][None], camera.camera(translation), body, full_camera=camera)
        turned, place = _along_the_ray(stage)
        wanted = axis_angle_to_rotmat(sample_of(picture, person, 'crop')['pose'][None])
        assert torch.allclose(turned, wanted, atol=1e-5)
        from_ray = project_at(body(sample['betas'][None], turned).joints, place)
        unturned = project_at(posed.joints, solve_translation(posed.joints, torch.cat(
            [stage.keypoints_2d, torch.ones(1, 49, 1)], -1))[0])
        errors.append([float((points - stage.keypoints_2d).norm(dim=-1).mean()) for points in (from_ray, unturned)])
    # The rest is perspective that a focal length of 5000 px does not show.
    assert len(errors) >= 4 and np.mean(errors, 0)[0] < np.mean(errors, 0)[1], errors


def project_at(joints, translation):
    return project(joints, translation_to_camera(translation))


def test_mirrored_entries_are_those_of_the_mirrored_picture(people):  # noqa: F811
    for picture, person, _ in people[:6]:
        focal, middle = person.intrinsics[0, 0], person.intrinsics[:2, 2]
        width = picture.width
        other = Picture(np.ascontiguousarray(picture.pixels[:, ::-1]), picture.height, width, is_rgb=True)
        turned = replace(person, center=np.array([width - person.center[0], person.center[1]]), intrinsics=np.array(
            [[focal, 0, width - middle[0]], [0, focal, middle[1]], [0, 0, 1]]))
        batch = {key: value[None] for key, value in sample_of(picture, person, 'picture').items()}
        wanted = sample_of(other, turned, 'picture')
        for name in ('bbox_info', 'center', 'scale', 'orig_shape', 'focal_length'):
            assert torch.allclose(mirrored(batch)[name][0], wanted[name], atol=1e-4), name
        assert (mirrored(batch)['img'][0] - wanted['img']).abs().mean() < 0.1


class AsksForAll(nn.Module):
    """Records its inputs and returns the rest pose."""
    inputs = ('bbox_info', 'focal_length', 'center', 'scale', 'orig_shape')
    camera_frame = 'picture'

    def __init__(self, body):
        super().__init__()
        self.body, self.given = body, []

    def forward(self, images, *extra):
        self.given.append(dict(zip(self.inputs, extra)))
        rotmat = torch.eye(3).expand(len(images), 24, 3, 3)
        full_camera = FullCamera.of_bbox_info(extra[0])
        return RegressorOutput([Stage(rotmat, torch.zeros(len(images), 10), torch.tensor([[.8, 0, 0]]).expand(
            len(images), 3), self.body, full_camera=full_camera)])


def test_the_demo_gives_the_inputs_that_the_dataset_gives(people, free_assets):  # noqa: F811
    network = AsksForAll(BodyModel(free_assets))
    estimator = Estimator(load_config(None, ['DATA.IMG_RES', 64, 'DEMO.RENDER', False]), network, torch.device('cpu'))
    told = 0
    for picture, person, row in people:
        if not np.allclose(person.intrinsics[:2, 2], [picture.width / 2, picture.height / 2]):
            continue  # the demo takes the picture's middle for the principal point
        frame = SimpleNamespace(image=picture.pixels)
        box = SimpleNamespace(center=person.center, side=200 * person.scale, person_id=0, box=np.zeros(4))
        estimate = estimator([(frame, box)], lambda frame, row=row: float(row['focal']))[0]
        sample = sample_of(picture, person, 'picture')
        for name, value in network.given[-1].items():
            assert torch.allclose(value[0], sample[name], rtol=1e-5, atol=1e-5), name
        # The network estimates in the picture's camera, so the place is exact.
        camera = camera_of(sample)
        assert np.allclose(estimate.translation, camera.translation(torch.tensor([[.8, 0, 0]]))[0], atol=2e-3)
        told += 1
    assert told >= 5


def test_coco_evaluation_mirrors_bbox_info(people, free_assets):  # noqa: F811
    samples = [sample_of(picture, person, 'picture') for picture, person, _ in people[:4]]
    rows = [{**sample, 'sample_index': torch.tensor(row)} for row, sample in enumerate(samples)]

    class Rows(list):
        def crop_squares(self, rows):
            return np.stack([samples[row]['center'] for row in rows]), np.ones(len(rows))

    network = AsksForAll(BodyModel(free_assets))
    cfg = load_config(None, ['DATA.IMG_RES', 64, 'TEST.FLIP', True, 'TRAIN.NUM_WORKERS', 0])
    estimate_keypoints(network, Rows(rows), cfg, torch.device('cpu'), progress=False)
    plain, flipped = (given['bbox_info'] for given in network.given)
    assert plain[:, 0].abs().max() > 0.05
    assert torch.equal(flipped[:, 0], -plain[:, 0]) and torch.equal(flipped[:, 1:], plain[:, 1:])


def test_inputs_that_a_batch_lacks_are_named():
    with pytest.raises(BadConfig, match='AsksForAll takes bbox_info, .*orig_shape, which the batch lacks'):
        extra_inputs(AsksForAll(None), {'img': torch.zeros(1)}, 'cpu')

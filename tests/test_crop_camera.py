"""The camera frame of estimates: labels are turned to the crop's ray, estimates are turned back, on rendered people.

The renderer gives the ground truth: each person's pose, place, and camera [focal length, principal point].
"""
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from core.config import load_config
from core.demo.camera import Crops, bodies_in_picture
from core.evaluation.results import in_picture
from datasets.annotations import Annotations
from datasets.image_io import Picture
from datasets.sample import NO_AUGMENTATION, make_sample
from datasets.synthetic.stream import FreeStream
from models import build_regressor
from models.body import BodyModel
from models.output import Stage
from utils.camera import camera_matrix, default_focal_length, look_at
from utils.errors import BadConfig
from utils.geometry import (
    NORMALIZED_FOCAL,
    axis_angle_to_rotmat,
    project,
    solve_translation,
    translation_to_camera,
)

PEOPLE = 24


@pytest.fixture(scope='module')
def people(free_assets):
    """(picture, Person, the renderer's row) of people anywhere in wide pictures."""
    stream = FreeStream(free_assets, PEOPLE, seed=5, size=128, realism=())
    out = []
    for index in range(PEOPLE):
        image, row = stream.sample(0, index)
        # The rendered picture is one third of a picture three times as wide.
        third = index % 3
        wide = np.pad(image, ((0, 0), (128 * (2 - third), 128 * third), (0, 0)))
        middle = np.array([128 * (2 - third) + 64, 64])  # the principal point of the camera that rendered it
        labels = {'imgname': 'x', **{key: value for key, value in row.items() if key != 'body_digest'}}
        labels['cam_K'] = np.array([[row['focal'], 0, middle[0]], [0, row['focal'], middle[1]], [0, 0, 1.0]])
        for key in ('part', 'openpose', 'smpl_2dkps'):
            labels[key] = row[key] + (row[key][:, 2:] > 0) * np.array([middle[0] - 64, 0, 0], np.float32)
        labels['center'] = row['center'] + [middle[0] - 64, 0]
        person = Annotations.from_spin({key: np.asarray(value)[None] for key, value in labels.items()}, 'x').person(0)
        out.append((Picture(wide, 128, 384, is_rgb=True), person, row))
    return out


def sample_of(picture, person, frame):
    cfg = load_config(None, ['MODEL.CAMERA', frame, 'DATA.IMG_RES', 64])
    return make_sample(picture, person, NO_AUGMENTATION, cfg)


def shown_off_axis(people):
    """People with at least 14 visible joints, with the angle between their box and the camera's axis in degrees."""
    for picture, person, row in people:
        offset = person.center - person.intrinsics[:2, 2]
        angle = np.degrees(np.arctan(np.linalg.norm(offset) / row['focal']))
        if (person.keypoints_2d[25:, 2] > 0).sum() >= 14:
            yield picture, person, row, angle


def test_look_at_turns_the_ray_of_a_pixel_to_the_optical_axis():
    intrinsics = np.array([[900.0, 4, 500], [0, 1100, 420], [0, 0, 1]])  # with skew
    for pixel in ((820.0, 240.0), (500.0, 420.0), (-300.0, 2000.0)):
        ray = np.linalg.solve(intrinsics, (*pixel, 1.0))
        turn = look_at(np.array(pixel), intrinsics)
        np.testing.assert_allclose(turn @ ray, (0, 0, np.linalg.norm(ray)), atol=1e-12)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


def test_the_rays_turn_is_the_least_that_brings_the_box_to_the_middle():
    """A point 500 px right of the middle at a focal length of 1000 px is atan(1/2) = 26.565 degrees off the axis."""
    turn = look_at(np.array([820.0, 240.0]), camera_matrix(640, 480, 1000.0))
    assert np.allclose(turn @ [1, 0, 2] / np.sqrt(5), [0, 0, 1])
    assert np.allclose(Rotation.from_matrix(turn).as_rotvec(degrees=True), [0, -26.56505118, 0])
    assert default_focal_length(640, 480) == 800


def test_labels_in_the_crops_frame_fit_what_the_crop_shows(people, free_assets):
    """A camera of the true focal length that looks at the box's middle sees the turned joints on their keypoints, up to
    the tilt of its picture plane (the square of the angle). It does not see the unturned joints there."""
    body = BodyModel(free_assets)
    residuals = {'crop': [], 'picture': []}
    for picture, person, row, angle in shown_off_axis(people):
        if angle < 4:
            continue
        # In solve_translation's unit the focal length is NORMALIZED_FOCAL.
        unit = NORMALIZED_FOCAL / (row['focal'] / (100 * person.scale))
        for frame in residuals:
            sample = sample_of(picture, person, frame)
            joints = body(sample['betas'][None], pose=sample['pose'][None]).joints
            wanted = sample['keypoints'] * torch.tensor([unit, unit, 1.0])
            translation, solved = solve_translation(joints, wanted[None])
            assert solved.all()
            seen = project(joints, translation_to_camera(translation))[0]
            residuals[frame].append(float((seen - wanted[:, :2])[wanted[:, 2] > 0].norm(dim=-1).mean() / unit))
    assert len(residuals['crop']) >= 4
    assert np.mean(residuals['crop']) < 0.6 * np.mean(residuals['picture'])


def test_turned_joints_and_turned_pose_agree(people, free_assets):
    """The turned points S equal the joints of the turned pose."""
    body = BodyModel(free_assets)
    for picture, person, _, _ in shown_off_axis(people):
        sample = sample_of(picture, person, 'crop')
        posed = body(sample['betas'][None], pose=sample['pose'][None])
        joints = posed.joints[0, 25:] - posed.smpl_joints[0, :1]
        assert torch.allclose(joints, sample['joints_3d'][:, :3], atol=2e-3)


def test_what_leaves_is_turned_back_by_the_same_ray(people, free_assets):
    body = BodyModel(free_assets)
    for picture, person, row, angle in shown_off_axis(people):
        sample = sample_of(picture, person, 'crop')
        rotmat = axis_angle_to_rotmat(sample['pose'][None])
        moved = Rotation.from_matrix(rotmat[0, 0].double()) * Rotation.from_rotvec(row['pose'][:3]).inv()
        assert np.degrees(moved.magnitude()) == pytest.approx(angle, abs=1e-3)  # by the angle off the axis, no more
        stage = Stage(rotmat, sample['betas'][None], torch.tensor([[.9, 0, 0]]), body)
        back, joints = in_picture(stage, stage.joints, sample['ray_rotation'][None])
        wanted = Rotation.from_rotvec(row['pose'][:3]).as_matrix()
        assert np.allclose(back[0, 0].numpy(), wanted, atol=1e-5)
        assert np.allclose((joints[0, 25:] - stage.smpl_joints[0, :1]).numpy(), row['S'][:, :3], atol=2e-3)
        unturned = sample_of(picture, person, 'picture')
        assert torch.equal(unturned['ray_rotation'], torch.eye(3))
        assert np.allclose(unturned['pose'][:3].numpy(), row['pose'][:3], atol=1e-6)


@pytest.mark.parametrize('frame', ['crop', 'picture'])
def test_the_demo_puts_a_perfect_estimate_where_the_person_was_rendered(people, free_assets, frame):
    """With focal length and principal point known, the orientation is exact and the place is within 12 %."""
    body = BodyModel(free_assets)
    for picture, person, row, _ in shown_off_axis(people):
        if not np.allclose(person.intrinsics[:2, 2], [picture.width / 2, picture.height / 2]):
            continue  # the demo takes the picture's middle for the principal point
        sample = sample_of(picture, person, frame)
        rotmat = axis_angle_to_rotmat(sample['pose'][None])
        posed = body(sample['betas'][None], rotmat)
        translation, _ = solve_translation(posed.joints, sample['keypoints'][None])
        crops = Crops.of(person.center[None], [200 * person.scale], [row['focal']], [[picture.width, picture.height]])
        seen = project(posed.joints, translation_to_camera(translation))
        placed = bodies_in_picture(rotmat, posed.joints, posed.smpl_joints[:, 0], seen, crops, frame)
        wanted = Rotation.from_rotvec(row['pose'][:3]).as_matrix()
        assert np.allclose(placed.rotmat[0, 0].numpy(), wanted, atol=1e-5)
        place = placed.joints[0].mean(0) + placed.translation[0]
        posed_true = body(torch.as_tensor(row['shape'])[None], pose=torch.as_tensor(row['pose'])[None])
        true = posed_true.joints[0].mean(0) + torch.as_tensor(row['translation'])
        assert (place - true).norm() < 0.12 * true.norm()


def test_a_checkpoint_says_in_whose_camera_it_estimates(standin_assets):
    options = ['PATHS.DATA_DIR', str(standin_assets), 'MODEL.REGRESSOR', 'hmr', 'MODEL.BACKBONE.NAME', 'resnet18',
               'MODEL.HMR.HIDDEN', 32]
    assert build_regressor(load_config(None, options)).camera_frame == 'crop'
    assert build_regressor(load_config(None, [*options, 'MODEL.CAMERA', 'picture'])).camera_frame == 'picture'
    with pytest.raises(BadConfig, match='MODEL.CAMERA'):
        load_config(None, [*options, 'MODEL.CAMERA', 'world'])

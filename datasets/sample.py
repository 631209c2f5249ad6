"""Makes a sample from a picture and the labels of one person (docs/architecture.md: "Batch")."""
import numpy as np
import torch

from datasets.augmentation import (
    Augmentation,
    crop_transform,
    flip_keypoints,
    flip_pose,
    to_network_input,
    transform_points,
    turn_matrix,
    turn_points,
    turn_pose,
    warp_crop,
)
from datasets.legacy_crop import WARPED, legacy_crop, legacy_square, legacy_transform_points
from datasets.occluders import load_occluders
from datasets.photometric import change
from utils.camera import bbox_info, camera_matrix, look_at
from utils.errors import BadFile
from utils.keypoints import J24_FLIP, J49_FLIP, SMPL_FLIP
from utils.pixels import from_continuous

NO_AUGMENTATION = Augmentation()
_ZERO_POINTS = np.zeros((24, 3), np.float32)
_NO_POSE, _NO_JOINTS = np.zeros(72, np.float32), np.zeros((24, 4), np.float32)


def make_sample(picture, person, augmentation, cfg, legacy=False, hides_3d=False, pose_of_crop=False):
    """Make a sample, a dict of tensors, without the entries that identify dataset and row.

    Pose and 3D joints are rotated to the frame of the network. With MODEL.CAMERA 'crop' this is the frame of the camera
    that looks at the centre of the box, and `ray_rotation` rotates from it to the picture's camera. They also rotate
    with the augmentation: rotating a crop rotates its camera about the optical axis, and thus the picture about the
    principal point. `bbox_info` is the box in that rotated picture, mirrored if the crop is.

    picture: `image_io.Picture`. person: `annotations.Person`. legacy: use the published crop, without flips. hides_3d:
    leave 3D labels out. pose_of_crop: the pose is already in the frame of the crop's ray.
    """
    res = cfg.DATA.IMG_RES
    scale, center = person.scale * augmentation.scale, person.center
    if legacy:
        crop, to_crop = _legacy_view(picture, person.center, scale, res, augmentation, cfg.DATA.LEGACY_CROP_RESIZE)
        center = shown_center(center, cfg.DATA)
        flip = False
    else:
        flip = augmentation.flip
        matrix = crop_transform(person.center, scale, res, augmentation.rotation, flip)
        crop = warp_crop(picture.pixels, matrix, res, picture.reduced)
        if augmentation.occluders:
            load_occluders(cfg.DATA.OCCLUDERS).paste(crop, augmentation.occluders, matrix, picture.width,
                                                     picture.height, picture.is_rgb)
        if augmentation.photometric is not None:
            crop = change(crop, cfg.DATA.PHOTOMETRIC, augmentation.photometric, picture.is_rgb)

        def to_crop(points):
            return transform_points(points, matrix)
    has_joints_3d = person.has_joints_3d and not hides_3d
    has_smpl = person.has_smpl and not hides_3d
    intrinsics = _intrinsics(person, picture)
    ray = look_at(center, intrinsics) if cfg.MODEL.CAMERA == 'crop' else np.eye(3)
    rotation = turn_matrix(augmentation.rotation)
    offset = rotation[:2, :2] @ (center - intrinsics[:2, 2]) * [1 - 2 * flip, 1]
    pose = _turned_pose(person, rotation if pose_of_crop else rotation @ ray, flip) if has_smpl else _NO_POSE.copy()
    joints_3d = _turned_joints(person, rotation @ ray, flip) if has_joints_3d else _NO_JOINTS.copy()
    smpl_points = _ZERO_POINTS if person.smpl_keypoints_2d is None else person.smpl_keypoints_2d
    return {
        'img': torch.from_numpy(to_network_input(crop, augmentation.gains, picture.is_rgb)),
        'keypoints': torch.from_numpy(_crop_points(person.keypoints_2d, to_crop, res, J49_FLIP if flip else None)),
        'smpl_keypoints_2d': torch.from_numpy(_crop_points(smpl_points, to_crop, res, SMPL_FLIP if flip else None)),
        'pose': torch.from_numpy(pose),
        'betas': _tensor(person.betas if has_smpl else np.zeros(10), np.float32),
        'has_smpl': _tensor(has_smpl),
        'joints_3d': torch.from_numpy(joints_3d),
        'has_joints_3d': _tensor(has_joints_3d),
        'gender': _tensor(person.gender),
        'center': _tensor(center, np.float32),
        'scale': _tensor(scale, np.float32),
        'orig_shape': _tensor([picture.height, picture.width], np.float32),
        'bbox_info': bbox_info(offset, 200 * scale, intrinsics[0, 0]),
        'focal_length': _tensor(intrinsics[0, 0], np.float32),
        'ray_rotation': _tensor(ray.T, np.float32),
        'is_flipped': _tensor(flip),
        'rot_angle': _tensor(augmentation.rotation, np.float32),
    }


def shown_center(center, data):
    """Centre [...,2] of the square that an evaluation crop for `center` shows. data: cfg.DATA."""
    warped = data.LEGACY_CROP_EVAL and data.LEGACY_CROP_RESIZE == WARPED
    return legacy_square(center, 1.0, data.IMG_RES, WARPED)[0] if warped else center


def _tensor(values, dtype=None):
    """A new tensor. Takes a third of the time of torch.tensor, and a sample has eleven."""
    return torch.from_numpy(np.array(values, dtype))


def _legacy_view(picture, center, scale, res, augmentation, resize):
    if picture.reduced != 1:
        raise BadFile('the published crop needs the picture at full size')
    crop = legacy_crop(picture.pixels, center, scale, res, augmentation.rotation, resize)
    return crop, lambda points: legacy_transform_points(from_continuous(points), center, scale, res,
                                                        augmentation.rotation, resize)


def _crop_points(points, to_crop, res, permutation):
    """Convert points [J,3] of the picture to [-1, 1] of the crop. Missing ones are zeros. permutation: swaps sides."""
    out = np.empty(points.shape, np.float32)
    out[:, :2] = to_crop(points[:, :2].astype(np.float64)) * (2.0 / res) - 1.0
    out[:, 2] = points[:, 2]
    out[points[:, 2] == 0] = 0
    return out if permutation is None else out[permutation]


def _intrinsics(person, picture):
    """The picture's camera [3,3] from the label's intrinsics, its focal length, EXIF or the picture's size."""
    if person.intrinsics is not None:
        return person.intrinsics
    return camera_matrix(picture.width, picture.height, person.focal_length or picture.focal_length)


def _turned_pose(person, turn, flip):
    """Pose [72], rotated by a matrix [3,3] and mirrored if `flip`."""
    pose = person.pose.copy() if _is_identity(turn) else turn_pose(person.pose, turn)
    return (flip_pose(pose) if flip else pose).astype(np.float32)


def _turned_joints(person, turn, flip):
    """3D joints [24,4], rotated by a matrix [3,3] and mirrored if `flip`."""
    joints = person.joints_3d.copy() if _is_identity(turn) else turn_points(person.joints_3d, turn)
    return (flip_keypoints(joints, J24_FLIP) if flip else joints).astype(np.float32)


def _is_identity(turn):
    return (turn == np.eye(3)).all()

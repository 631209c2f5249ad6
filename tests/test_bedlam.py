"""BEDLAM's label files, as its repository documents them: the reader, and the converter of scenes."""

import cv2
import numpy as np
import pytest
from smplx.joint_names import JOINT_NAMES as SMPLX_NAMES

from datasets.annotations import Annotations
from datasets.preprocess.bedlam import convert_bedlam
from utils.errors import BadFile, MissingFile
from utils.keypoints import COMMON_JOINTS, OPENPOSE_JOINTS

COUNT = 3
RNG = np.random.default_rng(0)
# OpenPose's joints and their names in smplx's lists.
OPENPOSE_OF_SMPLX = {
    'nose': 'nose', 'right_shoulder': 'right_shoulder', 'right_elbow': 'right_elbow', 'right_wrist': 'right_wrist',
    'left_shoulder': 'left_shoulder', 'left_elbow': 'left_elbow', 'left_wrist': 'left_wrist', 'mid_hip': 'pelvis',
    'right_hip': 'right_hip', 'right_knee': 'right_knee', 'right_ankle': 'right_ankle', 'left_hip': 'left_hip',
    'left_knee': 'left_knee', 'left_ankle': 'left_ankle', 'right_eye': 'right_eye', 'left_eye': 'left_eye',
    'right_ear': 'right_ear', 'left_ear': 'left_ear', 'left_big_toe': 'left_big_toe',
    'left_small_toe': 'left_small_toe', 'left_heel': 'left_heel', 'right_big_toe': 'right_big_toe',
    'right_small_toe': 'right_small_toe', 'right_heel': 'right_heel'}


def labels(joints, pose_width, shape_width, size=(1280, 720), **others):
    """The fields of data_processing/ReadMe.md, with shapes as the scripts write them."""
    focal, (width, height) = 1000.0, size
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    points = np.concatenate([RNG.uniform(100, 600, (COUNT, joints, 2)), np.ones((COUNT, joints, 1))], -1)
    return {'imgname': [f'seq_000000/seq_000000_{5 * i:04d}.png' for i in range(COUNT)],
            'center': RNG.uniform(300, 400, (COUNT, 2)), 'scale': RNG.uniform(2, 3, COUNT), 'gtkps': points,
            'pose_cam': RNG.normal(0, .3, (COUNT, pose_width)), 'pose_world': RNG.normal(0, .3, (COUNT, pose_width)),
            'shape': RNG.normal(size=(COUNT, shape_width)), 'trans_cam': np.zeros((COUNT, 3)),
            'trans_world': np.zeros((COUNT, 3)), 'cam_int': np.tile(intrinsics, (COUNT, 1, 1)),
            'cam_ext': np.tile(np.eye(4), (COUNT, 1, 1)), 'gender': ['female', 'male', 'female'],
            'proj_verts': np.zeros((COUNT, 437, 3)), 'motion_info': ['walk'] * COUNT, 'sub': ['rp_1'] * COUNT, **others}


def check_points(people, content, names):
    """Every joint that both lists name equals gtkps. The first pixel's centre is at 0.5 in both."""
    for place, name in enumerate(OPENPOSE_JOINTS):
        if name in OPENPOSE_OF_SMPLX:
            source = names.index(OPENPOSE_OF_SMPLX[name])
            assert np.allclose(people.keypoints_2d[:, place], content['gtkps'][:, source], atol=1e-4), name
    # LSP's hips and neck are no joints of SMPL: J_regressor_extra.npy has them, from the mesh.
    regressed = ('right_hip', 'left_hip', 'neck', 'head_top', 'pelvis_mpii', 'thorax_mpii', 'spine_h36m', 'jaw_h36m',
                 'head_h36m')
    for place, name in enumerate(COMMON_JOINTS):
        wanted = 0 if name in regressed else content['gtkps'][:, names.index(name)]
        assert np.allclose(people.keypoints_2d[:, 25 + place], wanted, atol=1e-4), name


def test_smpl_labels(tmp_path):
    names = [*SMPLX_NAMES[:22], 'left_hand', 'right_hand', *SMPLX_NAMES[55:76]]
    content = labels(45, 72, 11)
    np.savez(tmp_path / 'scene_6fps.npz', **content)
    people = Annotations.load(tmp_path / 'scene_6fps.npz')
    assert people.has_smpl.all() and (people.gender == -1).all()
    assert np.allclose(people.pose, content['pose_cam']) and np.allclose(people.betas, content['shape'][:, :10])
    assert np.allclose(people.person(1).intrinsics, content['cam_int'][1])
    assert np.allclose(people.smpl_keypoints_2d, content['gtkps'][:, :24], atol=1e-4)
    check_points(people, content, names)
    assert set(people.extra) == {'cam_K', 'sub'} and not people.whole


def test_smplx_labels(tmp_path, log):
    content = labels(127, 165, 11)
    np.savez(tmp_path / 'scene_6fps.npz', **content)
    people = Annotations.load(tmp_path / 'scene_6fps.npz')
    assert 'are of SMPL-X and are left out; the 2D joints are used' in log.text
    assert not people.has_smpl.any()
    check_points(people, content, SMPLX_NAMES)
    hands = people.smpl_keypoints_2d[:, 22:]
    assert not hands.any() and (people.smpl_keypoints_2d[:, :22, 2] == 1).all()


def test_bedlam2_puts_openpose_first(tmp_path):
    content = labels(25 + 10 + 127, 165, 16, hand_det_conf=np.ones((COUNT, 2)), lh_c=np.zeros((COUNT, 2)))
    np.savez(tmp_path / 'scene.npz', **content)
    people = Annotations.load(tmp_path / 'scene.npz')
    assert np.allclose(people.keypoints_2d[:, :25], content['gtkps'][:, :25], atol=1e-4)
    assert not people.keypoints_2d[:, 25:].any() and not people.has_smpl.any()


@pytest.mark.parametrize('broken, message', [
    ({'gtkps': np.zeros((COUNT, 12, 3))}, "key 'gtkps' has 12 joints, but must have at least 22"),
    ({'pose_cam': np.zeros(COUNT)}, r"key 'pose_cam' has type float64 and shape \[3\], but must be numbers for 3 rows"),
    ({'cam_int': np.zeros((2, 3, 3))}, r"key 'cam_int' has type float64 and shape \[2, 3, 3\]")])
def test_broken_labels_are_one_line(tmp_path, broken, message):
    np.savez(tmp_path / 'scene.npz', **{**labels(127, 165, 11), **broken})
    with pytest.raises(BadFile, match=message):
        Annotations.load(tmp_path / 'scene.npz')


def write_scene(root, name, content, size):
    """A scene's labels and pictures [W,H] with a red corner at the upper left."""
    folder = root / 'training_images' / name / 'png'
    for picture in content['imgname'][:2]:
        (folder / picture).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((size[1], size[0], 3), np.uint8)
        pixels[:40, :40, 2] = 255
        cv2.imwrite(str(folder / picture), pixels)
    labels_folder = root / 'training_labels/all_npz_12_training'
    labels_folder.mkdir(parents=True, exist_ok=True)
    np.savez(labels_folder / f'{name}.npz', **content)


def test_scenes_become_one_file_with_upright_pictures(tmp_path, log):
    plain, closeup = labels(45, 72, 11), labels(45, 72, 11, size=(720, 1280))
    write_scene(tmp_path, '20221010_3_1000_batch01hand_6fps', plain, (1280, 720))
    write_scene(tmp_path, '20221011_1_250_batch01hand_closeup_suburb_a_6fps', closeup, (1280, 720))
    np.savez(tmp_path / 'training_labels/all_npz_12_training/agora-bfh.npz', **labels(127, 165, 10))
    convert_bedlam(tmp_path, tmp_path / 'o.npz', progress=False)
    assert 'left out: 2 whose picture is absent' in log.text
    people = Annotations.load(tmp_path / 'o.npz')
    assert len(people) == 4 and people.has_smpl.all()
    assert np.allclose(people.keypoints_2d[0, 0, :2], plain['gtkps'][0, 24, :2], atol=1e-4)
    assert np.allclose(people.extra['cam_K'][3], closeup['cam_int'][1])
    assert cv2.imread(str(tmp_path / people.imgname[0])).shape == (720, 1280, 3)
    assert people.imgname[0].endswith('_6fps/png/seq_000000/seq_000000_0000.png')
    upright = cv2.imread(str(tmp_path / people.imgname[2]))
    assert upright.shape == (1280, 720, 3)
    # A clockwise rotation moves the upper left corner to the upper right.
    assert upright[5:35, -35:-5, 2].min() > 200 and upright[:, :600].max() < 50


def test_pictures_are_needed(tmp_path):
    (tmp_path / 'training_labels').mkdir()
    with pytest.raises(MissingFile, match=r'no SCENE\.npz whose pictures are in'):
        convert_bedlam(tmp_path, tmp_path / 'o.npz', progress=False)

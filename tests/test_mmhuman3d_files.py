"""HumanData files that mmhuman3d wrote: the files of its tests of 2021, and key names of later versions."""
from pathlib import Path

import numpy as np
import pytest
import torch
from smplx.joint_names import JOINT_NAMES as SMPLX_NAMES

from datasets import annotations as annotations_module
from datasets import humandata, humandata_joints
from datasets.annotations import Annotations
from datasets.humandata import write_humandata
from models.body import BodyModel
from utils.errors import BadFile
from utils.keypoints import COMMON_JOINTS
from utils.safe_io import load_npz

FOLDER = Path(__file__).resolve().parents[2] / 'shared/real/assets/mmhuman3d'
SOLID = ('h36m_train', 'h36m_valid_protocol1', 'h36m_valid_protocol2', 'mpi_inf_3dhp_test', 'mpi_inf_3dhp_train')
# Joints of the 24 that each file has, by its mask. Human3.6M's head top and 3DHP's spine are not in it.
COUNTS = {'coco_2014_train': 15, 'mpii_train': 14, '3dpw_test': 0, '3dpw_train': 0,
          **{name: 16 if name.startswith('h36m') else 15 for name in SOLID}}
needs_files = pytest.mark.skipif(not FOLDER.exists(), reason='../shared is not here')


def read(name):
    return Annotations.load(FOLDER / f'sample_{name}.npz')


def named(points):
    return dict(zip(COMMON_JOINTS, points))


@pytest.fixture
def said(monkeypatch):
    lines = []
    for module in (annotations_module, humandata, humandata_joints):
        monkeypatch.setattr(module, 'log_once', lines.append)
    return lines


@needs_files
@pytest.mark.parametrize('name', list(COUNTS))
def test_all_nine_are_read(name, said):
    a = read(name)
    assert len(a) == 1 and (a.keypoints_2d[0, 25:, 2] > 0).sum() == COUNTS[name]
    assert not a.keypoints_2d[0, :25].any()
    assert (a.joints_3d[0, :, 3] > 0).sum() == (COUNTS[name] if name in SOLID else 0)
    assert a.has_joints_3d[0] == (name in SOLID) and a.has_smpl[0] == name.startswith('3dpw')
    assert len(said) == (1 if name.startswith('3dpw') else 0)


@needs_files
@pytest.mark.parametrize('name', [name for name in COUNTS if COUNTS[name]])
def test_joints_stand_where_smplx_names_them(name):
    """The early layout is SMPL-X's order, which the smplx library lists."""
    raw, ours = load_npz(FOLDER / f'sample_{name}.npz')['keypoints2d'][0], named(read(name).keypoints_2d[0, 25:])
    shared = [joint for joint in COMMON_JOINTS if joint in SMPLX_NAMES]
    assert len(shared) == 18
    for joint in shared:
        # In these files the first pixel's centre is at 0; here it is at 0.5.
        found = (ours[joint][:2] - .5) * ours[joint][2]
        np.testing.assert_allclose(found, raw[SMPLX_NAMES.index(joint), :2], rtol=1e-5)


@needs_files
@pytest.mark.parametrize('name', SOLID)
def test_left_is_left(name):
    """The person's left in 3D and in the picture, from the torso, the face and the knees, which bend forward."""
    solid, flat = named(read(name).joints_3d[0, :, :3]), named(read(name).keypoints_2d[0, 25:])
    up, face = solid['neck'] - solid['pelvis_mpii'], solid['jaw_h36m'] - solid['neck']
    forward = face + sum(2 * solid[f'{side}_knee'] - solid[f'{side}_hip'] - solid[f'{side}_ankle']
                         for side in ('left', 'right'))
    left = np.cross(up, forward - up * (forward @ up) / (up @ up))
    for joint in ('hip', 'shoulder'):
        across = solid[f'left_{joint}'] - solid[f'right_{joint}']
        assert across @ left > 0.6 * np.linalg.norm(across) * np.linalg.norm(left)
    for joint in ('hip', 'knee', 'ankle', 'shoulder', 'wrist'):
        across = solid[f'left_{joint}'] - solid[f'right_{joint}']
        if abs(across[0]) > 0.05:
            assert np.sign(across[0]) == np.sign(flat[f'left_{joint}'][0] - flat[f'right_{joint}'][0])
    assert 0.35 < np.linalg.norm(up) < 0.7 and 0.03 < np.linalg.norm(face) < 0.25
    if name.startswith('h36m'):
        spine = (solid['spine_h36m'] - solid['pelvis_mpii']) @ up / (up @ up)
        assert 0.3 < spine < 0.7


@needs_files
@pytest.mark.parametrize('name', ['3dpw_test', '3dpw_train'])
def test_boxes_of_3dpw_have_the_shape_of_the_pose(name, free_assets):
    """mmhuman3d's first converter took max y - min x for a height, so a sitting man's box was 312 x 28 pixels."""
    a = read(name)
    with torch.no_grad():
        joints = BodyModel(free_assets)(torch.zeros(1, 10), pose=torch.from_numpy(a.pose)).joints[0, :19].numpy()
    wide, high = np.ptp(joints, axis=0)[:2]
    x, y, width, height, _ = a.extra['bbox_xywh'][0]
    assert abs(np.log(width / height / (wide / high))) < np.log(1.5)
    assert x > 0 and y > 0 and x + width < 1920 and y + height < 1920
    assert a.center[0] == pytest.approx([x + width / 2, y + height / 2]) and a.scale[0] * 200 == pytest.approx(height)


@needs_files
@pytest.mark.parametrize('name', list(COUNTS))
def test_written_and_read_again(name, tmp_path):
    a = read(name)
    write_humandata(a, tmp_path / 'w.npz')
    b = Annotations.load(tmp_path / 'w.npz')
    for field in Annotations.ROW_FIELDS:
        np.testing.assert_allclose(getattr(a, field), getattr(b, field), rtol=1e-6, atol=1e-6) if (
            field != 'imgname') else np.testing.assert_array_equal(a.imgname, b.imgname)
    assert sorted(a.extra) == sorted(b.extra)


# Key names of later versions. Places of the joints used here in mmhuman3d's list of 190 keypoints.
PLACES = {'pelvis': 0, 'left_hip': 1, 'right_hip': 2, 'left_knee': 4, 'right_knee': 5, 'left_ankle': 7,
          'right_ankle': 8, 'right_hip_extra': 144, 'left_hip_extra': 145, 'neck_extra': 146, 'headtop': 147,
          'pelvis_extra': 148, 'spine_extra': 150, 'jaw_extra': 151, 'head_extra': 152}


def later_file(path, joints, names, compressed=True, **more):
    """A file of two people with these joints under each key. names: {key: channels}."""
    columns = np.sort([PLACES[name] for name in joints])
    mask = np.zeros(190, np.uint8)
    mask[columns] = 1
    arrays = {'image_path': np.array(['a.jpg', 'b.jpg']), 'bbox_xywh': np.tile([10.0, 20, 30, 40, 1], (2, 1)), **more}
    for key, channels in names.items():
        full = np.zeros((2, 190, channels))
        full[:, columns] = columns[:, None]  # a joint's number is its coordinates
        full[:, columns, -1] = 1
        arrays.update({key: full[:, columns] if compressed else full, f'{key}_mask': mask})
    np.savez(path, **arrays)
    return Annotations.load(path)


@pytest.mark.parametrize('compressed', [True, False])
@pytest.mark.parametrize('ending', ['', '_original', '_smpl', '_smplx'])
def test_later_names(tmp_path, said, ending, compressed):
    a = later_file(tmp_path / 'h.npz', ['left_knee', 'right_ankle', 'left_hip_extra', 'right_hip_extra'],
                   {f'keypoints2d{ending}': 3, f'keypoints3d{ending}': 4}, compressed)
    for points, half in ((a.keypoints_2d[:, 25:], .5), (a.joints_3d, 0)):
        found = named(points[1])
        assert {joint for joint, value in found.items() if value[-1]} == {'left_knee', 'right_ankle', 'left_hip',
                                                                          'right_hip'}
        numbers = [found[joint][0] - half for joint in ('left_knee', 'right_ankle', 'left_hip', 'right_hip')]
        assert numbers == [4, 8, 145, 144]
    assert a.has_joints_3d.all() and len(said) == (2 if ending else 0)
    assert (a.smpl_keypoints_2d is not None) == (ending == '_smpl')
    write_humandata(a, tmp_path / 'w.npz')
    again = Annotations.load(tmp_path / 'w.npz')
    assert np.array_equal(again.keypoints_2d, a.keypoints_2d) and np.array_equal(again.joints_3d, a.joints_3d)


def test_smpls_hips_replace_absent_hips(tmp_path):
    a = later_file(tmp_path / 'h.npz', ['pelvis', 'left_hip', 'right_hip', 'left_knee'], {'keypoints3d': 4})
    found = named(a.joints_3d[0])
    assert found['left_hip'].tolist() == [1, 1, 1, 1] and found['right_hip'].tolist() == [2, 2, 2, 1]
    assert not found['pelvis_mpii'].any()  # SMPL's lies some 9 cm above
    b = later_file(tmp_path / 'g.npz', ['left_hip', 'right_hip', 'left_hip_extra', 'right_hip_extra'],
                   {'keypoints3d': 4})
    assert named(b.joints_3d[0])['left_hip'][0] == 145


@pytest.mark.parametrize('config, wanted', [
    ('h36m', {'jaw_h36m': 152, 'head_h36m': 147}), ('mpi_inf_3dhp', {'jaw_h36m': 152, 'head_h36m': 147}),
    ('lsp', {'head_h36m': 152, 'head_top': 147})])
def test_names_of_the_head_depend_on_the_dataset(tmp_path, config, wanted):
    """Human3.6M's rows 9 and 10 are 'head' and 'head top' in mmhuman3d, and jaw and head in SPIN."""
    a = later_file(tmp_path / 'h.npz', ['pelvis_extra', 'neck_extra', 'headtop', 'head_extra'], {'keypoints3d': 4},
                   config=np.array(config))
    for _ in range(2):
        found = named(a.joints_3d[0])
        assert {joint: value[0] for joint, value in found.items() if value[3] and 'neck' not in joint
                and 'pelvis' not in joint} == wanted
        write_humandata(a, tmp_path / 'w.npz')
        a = Annotations.load(tmp_path / 'w.npz')


def test_files_without_readable_joints_are_named(tmp_path, said):
    smpl = np.array({'body_pose': np.zeros((2, 23, 3)), 'global_orient': np.zeros((2, 3)), 'betas': np.zeros((2, 10))},
                    dtype=object)
    a = later_file(tmp_path / 'h.npz', ['pelvis'], {'keypoints2d_gta': 3}, smpl=smpl)
    assert a.has_smpl.all() and len(said) == 1 and 'keypoints2d_gta' in said[0]
    with pytest.raises(BadFile, match=r"no readable joint.*'keypoints2d_gta'.*rename") as caught:
        later_file(tmp_path / 'g.npz', ['pelvis'], {'keypoints2d_gta': 3})
    assert '\n' not in str(caught.value)
    said.clear()
    later_file(tmp_path / 'f.npz', ['spine_extra'], {'keypoints2d': 3, 'keypoints3d': 4})
    assert len(said) == 1 and '2 of 2 rows have 3D joints but neither pelvis nor hips' in said[0]

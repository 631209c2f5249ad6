"""Export in AMASS's layout: the smplx library poses it, and it has the keys that Blender's SMPL add-ons read."""
from dataclasses import replace

import numpy as np
import pytest
import smplx
import torch

from core.demo.options import parse_options
from models.body import BodyModel
from tests.recordings import make_recording
from utils.export import save_results
from utils.export.tracks import mean_betas

HEAD, LEFT_FOOT, LEFT_HIP, RIGHT_HIP = 15, 10, 1, 2


@pytest.fixture(scope='module')
def body(free_assets):
    return BodyModel(free_assets)


@pytest.fixture(scope='module')
def recording(body):
    return make_recording(body)


def written(recording, body, folder, number=1):
    save_results(recording, body, folder, 'walk', {'amass'})
    with np.load(folder / f'walk_person{number}_amass.npz', allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def posed_by_smplx(free_assets, file):
    """SMPL's first 22 joints [N,22,3], as readers of AMASS's files compute them, with flat hands."""
    with np.load(free_assets / 'smpl' / f'SMPL_{str(file["gender"]).upper()}.npz') as arrays:
        model = smplx.SMPL('', data_struct=smplx.utils.Struct(**arrays))
    poses = torch.from_numpy(file['poses']).float()
    count = len(poses)
    with torch.no_grad():
        out = model(betas=torch.from_numpy(file['betas'][None, :10]).float().expand(count, -1),
                    global_orient=poses[:, :3], transl=torch.from_numpy(file['trans']).float(),
                    body_pose=torch.cat([poses[:, 3:66], torch.zeros(count, 6)], 1))
    return out.joints[:, :22].numpy()


def test_smplx_poses_the_joints_that_the_camera_saw(free_assets, recording, body, tmp_path):
    """AMASS's x is the camera's right, y points away from the camera, and z is up."""
    joints = posed_by_smplx(free_assets, written(recording, body, tmp_path))
    person = recording.people[0]
    betas = torch.from_numpy(mean_betas(person)).expand(len(person), -1)
    with torch.no_grad():
        own = body(betas, pose=torch.from_numpy(person.pose)).smpl_joints[:, :22].numpy()
    x, y, z = np.moveaxis(own + person.translation[:, None], -1, 0)
    np.testing.assert_allclose(joints, np.stack([x, z, -y], -1), atol=1e-4)


def test_gravity_points_down_and_left_stays_left(free_assets, recording, body, tmp_path):
    """The people of the recording stand upright, 3.5 m before the camera, and face it at first."""
    joints = posed_by_smplx(free_assets, written(recording, body, tmp_path))
    assert (joints[:, HEAD, 2] - joints[:, LEFT_FOOT, 2] > 0.8).all()
    assert (np.abs(joints[:, 0, 1] - 3.5) < 0.5).all()
    assert joints[0, LEFT_HIP, 0] > joints[0, RIGHT_HIP, 0]  # a person who faces the camera


def test_keys_and_shapes_for_blenders_add_ons(recording, body, tmp_path):
    """Blender's add-ons take 55 joints (SMPL-X's) or 52 (SMPL-H's), `str(gender)` and `int(rate)`."""
    file = written(recording, body, tmp_path)
    count = len(recording.people[0])
    shapes = {key: file[key].shape for key in ('trans', 'poses', 'betas', 'dmpls', 'gender', 'mocap_framerate')}
    assert shapes == {'trans': (count, 3), 'poses': (count, 165), 'betas': (16,), 'dmpls': (count, 8), 'gender': (),
                      'mocap_framerate': ()}
    assert str(file['gender']) == 'neutral' and int(file['mocap_framerate']) == 30
    assert not file['poses'][:, 66:].any() and not file['betas'][10:].any()
    assert str(file['body_digest']) == body.digest


@pytest.mark.parametrize('rate, whole', [(30000 / 1001, 30), (24000 / 1001, 24), (12.5, 12)])
def test_the_rate_survives_being_cut_to_a_whole_number(recording, body, tmp_path, rate, whole):
    file = written(replace(recording, times=np.arange(30) / rate), body, tmp_path)
    assert int(file['mocap_framerate']) == whole
    assert file['mocap_framerate'] == pytest.approx(rate, rel=2e-3)


def test_gaps_are_filled(recording, body, tmp_path):
    """The second person is absent for four frames."""
    person = recording.people[1]
    file = written(recording, body, tmp_path, number=2)
    assert len(file['trans']) == person.frames[-1] - person.frames[0] + 1 > len(person)
    assert np.linalg.norm(np.diff(file['trans'], axis=0), axis=1).max() < 0.1
    seen = person.frames - person.frames[0]
    np.testing.assert_allclose(file['poses'][seen][:, 3:66], person.pose[:, 3:66], atol=1e-5)


def test_the_flag_of_the_demo(monkeypatch):
    monkeypatch.setattr('core.demo.options.check_inputs', lambda inputs: None)  # the picture need not be there
    assert 'amass' in parse_options(['--img', 'a.png', '--save_amass'])[0].DEMO.FORMATS
    assert 'amass' not in parse_options(['--img', 'a.png'])[0].DEMO.FORMATS

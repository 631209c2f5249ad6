"""Other readers than the writers read the exports: trimesh, Khronos' validator, and small ones of these tests."""
import csv
import errno
import json
import os
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from models.body import BodyModel
from tests.recordings import FOCAL, HEIGHT, WIDTH, make_recording
from utils.errors import BadFile, ProjectError, WrongBody
from utils.export import FORMATS, gltf, meshes, save_results
from utils.keypoints import JOINT_NAMES

ROOT = Path(__file__).resolve().parent.parent
Y_UP = np.array([1, -1, -1])


@pytest.fixture(scope='module')
def body(free_assets):
    return BodyModel(free_assets)


@pytest.fixture(scope='module')
def recording(body):
    return make_recording(body)


@pytest.fixture(scope='module')
def files(recording, body, tmp_path_factory):
    folder = tmp_path_factory.mktemp('exports')
    written = save_results(recording, body, folder, 'walk', {'npz', 'json', 'csv', 'bvh', 'glb'})
    assert sorted(written) == sorted(folder.iterdir())
    return {path.name: path for path in written}


def read_json(path):
    def refuse(name):
        raise AssertionError(f'{name} is not JSON')
    return json.loads(path.read_text(), parse_constant=refuse)


def test_names_of_the_files(files):
    per_person = [f'walk_person{number}.{kind}' for number in (1, 2) for kind in ('npz', 'json', 'csv', 'bvh')]
    assert set(files) == {*per_person, 'walk.glb'}


def test_npz_holds_the_track_without_pickles(files, recording, body):
    person = recording.people[1]
    with np.load(files['walk_person2.npz'], allow_pickle=False) as archive:
        saved = {key: archive[key] for key in archive.files}
    for key in ('frames', 'boxes', 'pose', 'betas', 'crop_camera', 'translation', 'joints', 'keypoints_2d'):
        np.testing.assert_array_equal(saved[key], getattr(person, key))
    np.testing.assert_array_equal(saved['times'], recording.times[person.frames])
    assert list(saved['joint_names']) == list(JOINT_NAMES) and saved['focal_length'] == FOCAL
    betas = torch.from_numpy(person.betas.mean(0))[None]
    expected = body(betas, pose=torch.from_numpy(person.pose)).smpl_joints
    np.testing.assert_allclose(saved['smpl_joints'], expected, atol=1e-5)


def test_json_says_the_same_as_npz(files):
    content = read_json(files['walk_person2.json'])
    with np.load(files['walk_person2.npz']) as archive:
        for key, plural in (('frame', 'frames'), ('time', 'times'), ('box', 'boxes'), ('pose', 'pose'),
                            ('joints', 'joints'), ('smpl_joints', 'smpl_joints'), ('keypoints_2d', 'keypoints_2d')):
            np.testing.assert_allclose([frame[key] for frame in content['frames']], archive[plural], atol=1e-4)
        np.testing.assert_allclose(content['mean_betas'], archive['mean_betas'], atol=1e-6)
    assert content['person_id'] == 2 and content['frame_rate'] == pytest.approx(30)


def test_csv_joints_project_to_their_pixels(files):
    with open(files['walk_person1.csv']) as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 30 * 49
    numbers = np.array([[float(row[key]) for key in ('x_m', 'y_m', 'z_m', 'u_px', 'v_px')] for row in rows])
    projected = FOCAL * numbers[:, :2] / numbers[:, 2:3] + (WIDTH / 2, HEIGHT / 2)
    np.testing.assert_allclose(projected, numbers[:, 3:], atol=0.01)
    assert [row['joint'] for row in rows[49:98]] == list(JOINT_NAMES)


@pytest.mark.parametrize('extension', ['obj', 'ply'])
def test_meshes_are_the_posed_bodies_in_their_place(recording, body, tmp_path, extension):
    person = replace(recording.people[1], **{
        name: getattr(recording.people[1], name)[:2] for name in (
            'frames', 'boxes', 'pose', 'betas', 'crop_camera', 'translation', 'joints', 'keypoints_2d')})
    written = save_results(replace(recording, people=[person]), body, tmp_path, 'walk', {extension})
    assert [path.name for path in written] == [f'walk_person2_{frame:06d}.{extension}' for frame in (2, 3)]
    mesh = trimesh.load(written[1], process=False)
    expected = body(torch.from_numpy(person.betas[1:]), pose=torch.from_numpy(person.pose[1:])).vertices[0].numpy()
    np.testing.assert_allclose(mesh.vertices, (expected + person.translation[1]) * Y_UP, atol=1e-5)
    np.testing.assert_array_equal(mesh.faces, body.faces)
    # The body is upright, and the faces point outwards.
    assert np.ptp(mesh.vertices[:, 1]) > 1.2 and mesh.volume > 0


def test_too_many_meshes_are_thinned_evenly(recording, body, tmp_path, monkeypatch):
    monkeypatch.setattr(meshes, 'MAX_MESHES', 6)
    written = save_results(recording, body, tmp_path, 'walk', {'ply'})
    frames = {int(path.stem.rsplit('_', 1)[1]) for path in written}
    assert 2 <= len(written) <= 6 and len({frame % min(frames - {0}) for frame in frames}) == 1


class Glb:
    """A reader of the parts of a .glb that an animated skin needs, written from the specification."""

    def __init__(self, path):
        data = path.read_bytes()
        magic, version, length = struct.unpack_from('<4sII', data)
        assert (magic, version, length) == (b'glTF', 2, len(data))
        size, kind = struct.unpack_from('<I4s', data, 12)
        assert kind == b'JSON'
        self.tree = json.loads(data[20:20 + size])
        self.buffer = data[20 + size + 8:]

    def array(self, number):
        accessor = self.tree['accessors'][number]
        view = self.tree['bufferViews'][accessor['bufferView']]
        width = {'SCALAR': 1, 'VEC3': 3, 'VEC4': 4, 'MAT4': 16}[accessor['type']]
        dtype = {5126: '<f4', 5121: 'u1', 5123: '<u2', 5125: '<u4'}[accessor['componentType']]
        return np.frombuffer(self.buffer, dtype, accessor['count'] * width, view['byteOffset']).reshape(-1, width)

    def sampled(self, node, path, key):
        """The value of one channel at one key, or None where no channel drives it."""
        animation = self.tree['animations'][0]
        for channel in animation['channels']:
            if channel['target'] == {'node': node, 'path': path}:
                return self.array(animation['samplers'][channel['sampler']]['output'])[key]

    def skinned(self, name, key):
        """Vertices [V,3] of a mesh at one key of its motion."""
        node = next(n for n in self.tree['nodes'] if n['name'] == name)
        skin = self.tree['skins'][node['skin']]
        parents = {child: i for i, n in enumerate(self.tree['nodes']) for child in n.get('children', ())}
        world = {}
        for joint in skin['joints']:
            x, y, z, w = self.sampled(joint, 'rotation', key)
            local = np.eye(4)
            local[:3, :3] = [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                             [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                             [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]
            moved = self.sampled(joint, 'translation', key)
            local[:3, 3] = self.tree['nodes'][joint]['translation'] if moved is None else moved
            world[joint] = world[parents[joint]] @ local if joint in parents else local
        inverse = self.array(skin['inverseBindMatrices']).reshape(-1, 4, 4).transpose(0, 2, 1)
        matrices = np.stack([world[joint] for joint in skin['joints']]) @ inverse
        attributes = self.tree['meshes'][node['mesh']]['primitives'][0]['attributes']
        blended = np.einsum('vi,vijk->vjk', self.array(attributes['WEIGHTS_0']),
                            matrices[self.array(attributes['JOINTS_0'])])
        rest = np.pad(self.array(attributes['POSITION']), ((0, 0), (0, 1)), constant_values=1)
        return np.einsum('vjk,vk->vj', blended, rest)[:, :3]


@pytest.mark.parametrize('number, row', [(0, 0), (0, 29), (1, 13)])
def test_glb_skin_moves_as_the_body(files, recording, body, number, row):
    person = recording.people[number]
    out = body(torch.from_numpy(person.betas.mean(0))[None], pose=torch.from_numpy(person.pose[row:row + 1]))
    plain = body.mesh(replace(out.skeleton, pose_feature=torch.zeros(1, 207)))[0].numpy()
    skinned = Glb(files['walk.glb']).skinned(f'person{number + 1}', row)
    np.testing.assert_allclose(skinned, (plain + person.translation[row]) * Y_UP, atol=2e-5)


def test_glb_shows_a_person_only_where_it_was_seen(files, recording):
    glb = Glb(files['walk.glb'])
    root = next(i for i, node in enumerate(glb.tree['nodes']) if node['name'] == 'person2_pelvis')
    animation = glb.tree['animations'][0]
    channel = next(c for c in animation['channels'] if c['target'] == {'node': root, 'path': 'scale'})
    sampler = animation['samplers'][channel['sampler']]
    times, scales = glb.array(sampler['input'])[:, 0], glb.array(sampler['output'])[:, 0]
    shown = scales[np.searchsorted(times, recording.times.astype(np.float32), side='right') - 1]
    assert sampler['interpolation'] == 'STEP'
    np.testing.assert_array_equal(np.flatnonzero(shown), recording.people[1].frames)


def test_glb_quaternions_take_the_short_way(files):
    glb = Glb(files['walk.glb'])
    for sampler in glb.tree['animations'][0]['samplers']:
        values = glb.array(sampler['output'])
        if values.shape[1] == 4:
            assert ((values[1:] * values[:-1]).sum(1) > 0).all()


def test_glb_opens_in_trimesh(files, body):
    scene = trimesh.load(files['walk.glb'])
    assert len(scene.geometry) == 2
    assert all(len(mesh.faces) == len(body.faces) for mesh in scene.geometry.values())


def test_glb_passes_the_validator(files):
    """Install the validator by `npm install --no-save gltf-validator` in the repository, or set NODE_PATH."""
    script = ("require('gltf-validator').validateBytes(new Uint8Array(require('fs').readFileSync(process.argv[1])))"
              ".then(report => console.log(JSON.stringify(report.issues)))")
    node = shutil.which('node')
    if not node or subprocess.run([node, '-e', "require('gltf-validator')"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip('node or its module gltf-validator is absent')
    command = [node, '-e', script, files['walk.glb']]
    issues = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60).stdout)
    assert issues['numErrors'] == issues['numWarnings'] == 0, issues['messages']


def test_what_a_skin_leaves_out_is_measured(recording, body):
    person = recording.people[0]
    before = body.mesh.posedirs.clone()
    body.mesh.posedirs.normal_(std=1e-3, generator=torch.Generator().manual_seed(0))
    try:
        out = body(torch.from_numpy(person.betas.mean(0))[None], pose=torch.from_numpy(person.pose))
        plain = body.mesh(replace(out.skeleton, pose_feature=torch.zeros(30, 207)))
        expected = 1000 * (plain - out.vertices).norm(dim=-1).mean()
        assert gltf.correctives_left_out(body, person) == pytest.approx(float(expected), rel=0.1)
    finally:
        body.mesh.posedirs.copy_(before)


class Bvh:
    """A reader of .bvh and its forward kinematics, independent of the writer."""

    def __init__(self, path):
        head, motion = path.read_text().split('MOTION\n')
        self.names, self.parents, self.offsets, self.channels = [], [], [], []
        stack = []
        for line in head.splitlines():
            words = line.split()
            if words[0] in ('ROOT', 'JOINT', 'End'):
                self.parents.append(stack[-1] if stack else -1)
                self.names.append(words[1])
                self.channels.append([])
                stack.append(len(self.names) - 1)
            elif words[0] == 'OFFSET':
                self.offsets.append([float(word) for word in words[1:]])
            elif words[0] == 'CHANNELS':
                assert int(words[1]) == len(words) - 2
                self.channels[-1] = words[2:]
            elif words[0] == '}':
                stack.pop()
        lines = motion.splitlines()
        self.frame_time = float(lines[1].split(':')[1])
        self.values = np.array([[float(word) for word in line.split()] for line in lines[2:]])
        assert len(self.values) == int(lines[0].split(':')[1])

    def joints(self, frame):
        """{name: position in centimetres}."""
        values, world, found = iter(self.values[frame]), [], {}
        for name, parent, offset, channels in zip(self.names, self.parents, self.offsets, self.channels):
            local = np.eye(4)
            local[:3, 3] = offset
            for channel in channels:
                step, value = np.eye(4), next(values)
                if channel.endswith('position'):
                    step['XYZ'.index(channel[0]), 3] = value
                else:
                    a, b = {'X': (1, 2), 'Y': (2, 0), 'Z': (0, 1)}[channel[0]]
                    c, s = np.cos(np.radians(value)), np.sin(np.radians(value))
                    step[a, a], step[a, b], step[b, a], step[b, b] = c, -s, s, c
                local = local @ step
            world.append(world[parent] @ local if parent >= 0 else local)
            if name != 'Site':
                found[name] = world[-1][:3, 3]
        return found


@pytest.mark.parametrize('number', [1, 2])
def test_bvh_joints_are_those_of_the_json(files, number):
    bvh, content = Bvh(files[f'walk_person{number}.bvh']), read_json(files[f'walk_person{number}.json'])
    frames = [frame['frame'] for frame in content['frames']]
    assert len(bvh.values) == frames[-1] - frames[0] + 1 and bvh.frame_time == pytest.approx(1 / 30)
    worst = 0
    for frame in content['frames']:
        joints = bvh.joints(frame['frame'] - frames[0])
        found = np.array([joints[name] for name in content['smpl_joint_names']]) / 100
        expected = (np.array(frame['smpl_joints']) + frame['translation']) * Y_UP
        worst = max(worst, 1000 * np.linalg.norm(found - expected, axis=1).max())
    print(f'person {number}: {worst:.5f} mm')
    assert worst < 1


def test_bvh_fills_gaps_smoothly(files):
    bvh = Bvh(files['walk_person2.bvh'])
    moved = [np.linalg.norm(bvh.joints(i + 1)['left_wrist'] - bvh.joints(i)['left_wrist']) for i in range(25)]
    assert max(moved) < 20


def test_bvh_of_uneven_times_is_resampled(recording, body, tmp_path):
    times = np.cumsum(np.r_[0, np.tile([0.02, 0.06], 15)[:29]])
    uneven = replace(recording, times=times, people=recording.people[:1])
    save_results(uneven, body, tmp_path, 'walk', {'bvh', 'json'})
    bvh, content = Bvh(tmp_path / 'walk_person1.bvh'), read_json(tmp_path / 'walk_person1.json')
    assert len(bvh.values) == 30 and bvh.frame_time == pytest.approx(times[-1] / 29)
    for frame in (0, -1):
        expected = (np.array(content['frames'][frame]['smpl_joints'][20])
                    + content['frames'][frame]['translation']) * Y_UP
        np.testing.assert_allclose(bvh.joints(frame)['left_wrist'] / 100, expected, atol=1e-3)


def bent(recording, rotations):
    """The first person alone, with these rotations (scipy's) of the lower spine over time."""
    person = recording.people[0]
    pose = person.pose[:len(rotations)].copy()
    pose[:, 9:12] = rotations.as_rotvec()
    fields = {name: value[:len(rotations)] for name, value in vars(person).items() if name != 'person_id'}
    return replace(recording, people=[replace(person, **fields | {'pose': pose})])


@pytest.mark.parametrize('other', [(0, 0), (30, 0), (-40, 25)], ids=['straight', 'turned', 'both'])
def test_bvh_angles_do_not_jump_where_a_bow_passes_ninety_degrees(recording, body, tmp_path, other):
    """A bow from 80 to 100 degrees in steps of one, through gimbal lock. scipy gives the same rotations."""
    angles = np.array([[other[0], degrees, other[1]] for degrees in range(80, 101)], float)
    wanted = Rotation.from_euler('ZXY', angles, degrees=True)
    save_results(bent(recording, wanted), body, tmp_path, 'bow', {'bvh'})
    bvh = Bvh(tmp_path / 'bow_person1.bvh')
    first = sum(len(channels) for channels in bvh.channels[:bvh.names.index('spine1')])
    found = bvh.values[:, first:first + 3]
    assert bvh.channels[bvh.names.index('spine1')] == ['Zrotation', 'Xrotation', 'Yrotation']
    assert (Rotation.from_euler('ZXY', found, degrees=True) * wanted.inv()).magnitude().max() < np.radians(.05)
    assert np.abs(np.diff(found, axis=0)).max() < 1.5
    # Programs interpolate the angles between frames; the rotation there is halfway too.
    between = Rotation.from_euler('ZXY', (found[1:] + found[:-1]) / 2, degrees=True)
    halfway = Rotation.from_euler('ZXY', (angles[1:] + angles[:-1]) / 2, degrees=True)
    assert (between * halfway.inv()).magnitude().max() < np.radians(.3)


def test_bvh_angles_change_no_more_than_the_rotations(recording, body, tmp_path):
    """Two full rotations about x pass gimbal lock four times."""
    degrees = np.linspace(0, 720, 30)
    turning = Rotation.from_euler('X', degrees[:, None], degrees=True)
    save_results(bent(recording, turning), body, tmp_path, 'turn', {'bvh'})
    bvh = Bvh(tmp_path / 'turn_person1.bvh')
    first = sum(len(channels) for channels in bvh.channels[:bvh.names.index('spine1')])
    assert np.abs(np.diff(bvh.values[:, first:first + 3], axis=0)).max() == pytest.approx(720 / 29, abs=.1)


def test_lost_frames_keep_their_time(recording, body, tmp_path):
    """Frames 3 and 4 were unreadable. The other frames keep their numbers and times, and BVH fills the gap."""
    kept = np.delete(np.arange(12), [3, 4])
    person = recording.people[0]
    fields = {name: value[kept] for name, value in vars(person).items() if name != 'person_id'}
    lost = replace(recording, times=kept / 30, numbers=100 + kept, sizes=None, focal_lengths=None,
                   people=[replace(person, **fields | {'frames': np.arange(10)})])
    save_results(lost, body, tmp_path, 'lost', {'bvh', 'json', 'obj', 'csv'})
    bvh, content = Bvh(tmp_path / 'lost_person1.bvh'), read_json(tmp_path / 'lost_person1.json')
    assert len(bvh.values) == 12 and bvh.frame_time == pytest.approx(1 / 30)
    assert [frame['frame'] for frame in content['frames']] == (100 + kept).tolist()
    assert (tmp_path / 'lost_person1_000105.obj').exists() and not (tmp_path / 'lost_person1_000103.obj').exists()
    assert (tmp_path / 'lost_person1.csv').read_text().splitlines()[-1].startswith('111,0.366667,')
    for frame in content['frames']:
        expected = (np.array(frame['smpl_joints'][20]) + frame['translation']) * Y_UP
        np.testing.assert_allclose(bvh.joints(frame['frame'] - 100)['left_wrist'] / 100, expected, atol=1e-3)


def test_one_picture(recording, body, tmp_path):
    person = replace(recording.people[0], **{name: value[:1] for name, value in vars(recording.people[0]).items()
                                             if name != 'person_id'})
    still = replace(recording, people=[person], times=np.zeros(1), names=['a "b".jpg'])
    written = save_results(still, body, tmp_path, 'still', FORMATS)
    assert len(written) == 8
    assert read_json(tmp_path / 'still_person1.json')['frames'][0]['name'] == 'a "b".jpg'
    assert len(Bvh(tmp_path / 'still_person1.bvh').values) == 1
    Glb(tmp_path / 'still.glb').skinned('person1', 0)


def test_same_recording_same_bytes(recording, body, tmp_path):
    few = replace(recording, people=recording.people[1:])
    written = [save_results(few, body, tmp_path / name, 'walk', FORMATS) for name in 'ab']
    assert len(written[0]) > 20
    assert [path.read_bytes() for path in written[0]] == [path.read_bytes() for path in written[1]]


def test_rows_that_are_not_numbers_are_left_out(recording, body, tmp_path):
    broken = replace(recording.people[0], pose=recording.people[0].pose.copy())
    broken.pose[4, 7] = np.nan
    lost = replace(recording.people[1], betas=np.full_like(recording.people[1].betas, np.inf))
    save_results(replace(recording, people=[broken, lost]), body, tmp_path, 'walk', {'json', 'bvh', 'glb'})
    assert sorted(path.name for path in tmp_path.iterdir()) == ['walk.glb', 'walk_person1.bvh', 'walk_person1.json']
    frames = [frame['frame'] for frame in read_json(tmp_path / 'walk_person1.json')['frames']]
    assert frames == [frame for frame in range(30) if frame != 4]


def test_nobody_found(recording, body, tmp_path):
    assert save_results(replace(recording, people=[]), body, tmp_path, 'empty', FORMATS) == []
    assert list(tmp_path.iterdir()) == []


def test_times_that_do_not_increase_are_mended(recording, body, tmp_path):
    times = recording.times.copy()
    times[10:13] = times[10]
    save_results(replace(recording, times=times), body, tmp_path, 'walk', {'glb', 'bvh', 'csv'})
    glb = Glb(tmp_path / 'walk.glb')
    keys = [glb.array(sampler['input'])[:, 0] for sampler in glb.tree['animations'][0]['samplers']]
    assert all((np.diff(times) > 0).all() for times in keys) and max(map(len, keys)) == 30


@pytest.mark.parametrize('change, error', [
    ({'body_digest': 'another'}, WrongBody), ({'focal_length': float('nan')}, BadFile),
    ({'times': np.full(30, np.nan)}, BadFile), ({'times': np.arange(5.0)}, BadFile)])
def test_recordings_that_cannot_be_used(recording, body, tmp_path, change, error):
    with pytest.raises(error) as raised:
        save_results(replace(recording, **change), body, tmp_path, 'walk', FORMATS)
    assert '\n' not in str(raised.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('kind', FORMATS)
def test_unwritable_folder_and_full_disk(recording, body, tmp_path, monkeypatch, kind):
    occupied = tmp_path / 'file'
    occupied.write_text('')
    with pytest.raises(ProjectError, match='cannot be written'):
        save_results(recording, body, occupied / 'folder', 'walk', {kind})

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(ProjectError, match='disk is full'):
        save_results(recording, body, tmp_path / 'out', 'walk', {kind})
    assert list((tmp_path / 'out').iterdir()) == []


@pytest.mark.parametrize('stem, kind', [('../walk', 'json'), ('walk', 'fbx')])
def test_unknown_names_and_formats_are_refused(recording, body, tmp_path, stem, kind):
    with pytest.raises(ProjectError):
        save_results(recording, body, tmp_path, stem, {kind})

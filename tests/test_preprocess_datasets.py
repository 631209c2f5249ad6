"""Every converter on tiny files of the real layout with known labels."""
import json
import logging
import pickle
import shutil
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import scipy.io
import torch
from scipy.spatial.transform import Rotation

from datasets.annotations import Annotations
from datasets.multiview import view_groups
from datasets.preprocess import eft, jobs, lsp, lsp_original, lspet, mpi_inf_3dhp, mpii, oh50k, pw3d, up3d
from datasets.preprocess.frames import extract_frames
from datasets.preprocess.h36m import convert_h36m
from models.body import BodyModel
from utils.errors import BadConfig, BadFile, MissingFile, ProjectError
from utils.keypoints import COMMON_JOINTS, J24_TO_J14, J24_TO_J17

RNG = np.random.default_rng(0)
H36M_NAMES = ['pelvis_mpii', 'left_hip', 'left_knee', 'left_ankle', 'right_hip', 'right_knee', 'right_ankle',
              'spine_h36m', 'neck', 'jaw_h36m', 'head_h36m', 'left_shoulder', 'left_elbow', 'left_wrist',
              'right_shoulder', 'right_elbow', 'right_wrist']


def write_video(path, frames, size=64, step=10, noise=False):
    """Write a video whose frames have rising brightness. noise: fills the upper half, so each frame takes space in the
    file."""
    import av
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=25)
        stream.width = stream.height = size
        stream.pix_fmt = 'yuv420p'
        for number in range(frames):
            picture = np.full((size, size, 3), step * number, np.uint8)
            if noise:
                picture[:size // 2] = np.random.default_rng(number).integers(0, 255, (size // 2, size, 3))
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def common_index(names):
    return [COMMON_JOINTS.index(name) for name in names]


def test_frames_of_a_video(tmp_path):
    video = tmp_path / 'v.avi'
    write_video(video, 20)
    wanted = {number: tmp_path / f'{number}.jpg' for number in (0, 7, 19)}
    extract_frames(video, wanted)
    assert [round(cv2.imread(str(path)).mean(), -1) for path in wanted.values()] == [0, 70, 190]
    wanted[7].write_bytes(b'kept')
    extract_frames(video, wanted)
    assert wanted[7].read_bytes() == b'kept'
    assert extract_frames(video, {18: tmp_path / '18.jpg', 30: tmp_path / '30.jpg'}) == {30}
    assert (tmp_path / '18.jpg').exists() and not (tmp_path / '30.jpg').exists()
    (tmp_path / 'w.avi').write_bytes(b'no video')
    assert extract_frames(tmp_path / 'w.avi', {0: tmp_path / 'x.jpg', 3: tmp_path / 'y.jpg'}) == {0, 3}
    assert extract_frames(tmp_path / 'u.avi', {0: tmp_path / 'x.jpg'}) == {0}
    with pytest.raises(MissingFile, match='nowhere: no such folder of videos'):
        extract_frames(tmp_path / 'nowhere/u.avi', {0: tmp_path / 'x.jpg'})


@pytest.mark.parametrize('damage', ['noise', 'zeros', 'end'])
def test_frames_after_a_damage_are_not_taken(tmp_path, damage):
    """A decoder skips what it cannot read. Every written picture still shows the frame of its number."""
    video = tmp_path / 'v.avi'
    write_video(video, 60, step=4, noise=True)
    content = bytearray(video.read_bytes())
    place = len(content) * 4 // 5
    if damage == 'end':
        content = content[:place]
    else:
        content[place:place + 5000] = RNG.bytes(5000) if damage == 'noise' else bytes(5000)
    video.write_bytes(content)
    wanted = {number: tmp_path / f'{number}.jpg' for number in range(0, 60, 3)}
    lost = extract_frames(video, wanted)
    written = {number for number, path in wanted.items() if path.exists()}
    assert written and lost and written | lost == set(wanted) and not written & lost
    for number in written:
        assert cv2.imread(str(wanted[number]))[40:].mean() == pytest.approx(4 * number, abs=3.5)


@pytest.fixture
def openpose(tmp_path):
    """Writes an OpenPose file with one detection at the given common joints."""
    folder = tmp_path / 'openpose'
    folder.mkdir()

    def write(stem, common):
        from datasets.preprocess.openpose import LIMBS
        joints = np.zeros((25, 3))
        joints[LIMBS] = np.column_stack([common[:12, :2] + .5, np.full(12, .8)])
        (folder / f'{stem}_keypoints.json').write_text(json.dumps(
            {'people': [{'pose_keypoints_2d': joints.ravel().tolist()}]}))
        return joints
    write.folder = folder
    return write


def test_lsp(tmp_path, openpose):
    joints = RNG.uniform(10, 90, (3, 14, 1003))
    scipy.io.savemat(tmp_path / 'joints.mat', {'joints': joints})
    lsp.convert_lsp(tmp_path, tmp_path / 'test.npz', progress=False)
    a = Annotations.load(tmp_path / 'test.npz')
    assert a.imgname.tolist() == ['images/im1001.jpg', 'images/im1002.jpg', 'images/im1003.jpg']
    assert a.maskname[0] == 'data/lsp/im1001_segmentation.png'
    assert a.partname[2] == 'data/lsp/im1003_part_segmentation.png'
    points = joints[:2, :, 1001].T
    assert np.allclose(a.keypoints_2d[1, 25:39, :2], points - .5)  # MATLAB's first pixel is 1, ours is 0.5
    assert (a.keypoints_2d[:, 25:39, 2] == 1).all()
    assert np.allclose(a.center[1], (points.min(0) + points.max(0)) / 2)
    assert a.scale[1] == pytest.approx(1.2 * np.ptp(points, axis=0).max() / 200)

    detected = openpose('im0002', joints[:2, :, 1].T)
    lsp_original.convert_lsp_original(tmp_path, tmp_path / 'train.npz', openpose.folder, progress=False)
    b = Annotations.load(tmp_path / 'train.npz')
    assert len(b) == 1000 and b.imgname[0] == 'images/im0001.jpg'
    assert np.allclose(b.keypoints_2d[1, :25], detected) and not b.keypoints_2d[0, :25].any()


def test_lspet(tmp_path, openpose):
    joints = RNG.uniform(10, 90, (14, 3, 3))
    scipy.io.savemat(tmp_path / 'joints.mat', {'joints': joints})
    for number in (1, 2, 3):
        (tmp_path / f'im{number:05d}.png').write_bytes(b'')
    lspet.convert_lspet(tmp_path, tmp_path / 'o.npz', progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    assert a.imgname.tolist() == ['im00001.png', 'im00002.png', 'im00003.png']
    assert np.allclose(a.keypoints_2d[2, 25:39, :2], joints[:, :2, 2] - .5)
    (tmp_path / 'im00004.png').write_bytes(b'')
    with pytest.raises(BadFile, match='4 PNG pictures, but joints.mat has 3'):
        lspet.convert_lspet(tmp_path, tmp_path / 'o.npz', progress=False)
    scipy.io.savemat(tmp_path / 'joints.mat', {'joints': joints[0]})
    with pytest.raises(BadFile, match=r'joints\.mat: not LSP'):
        lspet.convert_lspet(tmp_path, tmp_path / 'o.npz', progress=False)


def test_mpii(tmp_path, openpose):
    h5py = pytest.importorskip('h5py')
    part = RNG.uniform(5, 90, (3, 16, 2))
    part[1, 3] = 0
    with h5py.File(tmp_path / 'train.h5', 'w') as file:
        file['imgname'] = np.array([b'1.jpg', b'2.jpg', b'3.jpg'])
        file['center'], file['scale'], file['part'] = RNG.uniform(0, 9, (3, 2)), [1., 2., 3.], part
    order = [0, 1, 2, 3, 4, 5, 14, 15, 12, 13, 6, 7, 8, 9, 10, 11]
    common = np.zeros((24, 3))
    common[order, :2] = part[2]
    detected = openpose('3', common)
    mpii.convert_mpii(tmp_path / 'train.h5', tmp_path / 'o.npz', openpose.folder, progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    assert a.imgname.tolist() == ['images/1.jpg', 'images/3.jpg'] and a.scale.tolist() == [1, 3]
    assert np.allclose(a.keypoints_2d[1, 25:][order, :2], part[2] - .5)
    assert np.allclose(a.keypoints_2d[1, :25], detected)
    (tmp_path / 'train.h5').write_bytes(b'no hdf5')
    with pytest.raises(BadFile, match=r'train\.h5: not a readable HDF5'):
        mpii.convert_mpii(tmp_path / 'train.h5', tmp_path / 'o.npz', progress=False)


def test_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(ProjectError, match=r"needs the package h5py, .*pip install '\.\[preprocess\]'"):
        mpii.convert_mpii(tmp_path / 'train.h5', tmp_path / 'o.npz')


def pw3d_sequence(name, frames=4):
    world = Rotation.from_euler('xyz', RNG.uniform(-1, 1, (frames, 3)))
    cameras = np.tile(np.eye(4), (frames, 1, 1))
    cameras[:, :3, :3] = world.as_matrix()
    points = RNG.uniform(10, 90, (2, frames, 3, 18))
    points[..., 2, :] = .7
    points[0, 1, 2] = 0
    poses = RNG.normal(0, .3, (2, frames, 72))
    return {'sequence': name, 'poses': list(poses), 'betas': [RNG.normal(size=300), RNG.normal(size=10)],
            'poses2d': list(points), 'cam_poses': cameras, 'genders': ['m', 'f'], 'img_frame_ids': np.arange(frames),
            'campose_valid': [np.array([1, 1, 0, 1]), np.array([1, 0, 0, 0])]}


def test_pw3d(tmp_path):
    folder = tmp_path / 'sequenceFiles/test'
    folder.mkdir(parents=True)
    content = pw3d_sequence('downtown_00')
    (folder / 'downtown_00.pkl').write_bytes(pickle.dumps(content, protocol=2))
    pw3d.convert_pw3d(tmp_path, tmp_path / 'o.npz', progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    assert a.imgname.tolist() == [f'imageFiles/downtown_00/image_{i:05d}.jpg' for i in (0, 3, 0)]
    assert a.gender.tolist() == [0, 0, 1] and a.has_smpl.all()
    assert np.allclose(a.betas[0], content['betas'][0][:10])
    root = content['cam_poses'][3, :3, :3] @ Rotation.from_rotvec(content['poses'][0][3, :3]).as_matrix()
    assert np.allclose(Rotation.from_rotvec(a.pose[1, :3]).as_matrix(), root, atol=1e-6)
    assert np.allclose(a.pose[1, 3:], content['poses'][0][3, 3:])
    points = content['poses2d'][0][3].T
    assert np.allclose(a.keypoints_2d[1, [0, 1, 7, 9, 18]], points[[0, 1, 7, 8, 17]] + [.5, .5, 0])
    assert a.scale[1] == pytest.approx(1.2 * np.ptp(points[:, :2], axis=0).max() / 200)
    (folder / 'downtown_00.pkl').write_bytes(pickle.dumps({'sequence': 'x'}))
    with pytest.raises(BadFile, match=r'downtown_00\.pkl: not a sequence file of 3DPW'):
        pw3d.convert_pw3d(tmp_path, tmp_path / 'p.npz', progress=False)
    with pytest.raises(MissingFile, match='sequenceFiles/train'):
        pw3d.convert_pw3d(tmp_path, tmp_path / 'p.npz', 'train', progress=False)


def test_pw3d_joints_of_the_body(tmp_path, standin_assets):
    """The common joints equal those of the gendered body, projected with the sequence's camera by OpenCV."""
    folder = tmp_path / 'sequenceFiles/test'
    folder.mkdir(parents=True)
    content = pw3d_sequence('downtown_00')
    content['cam_poses'][:, :3, 3] = RNG.uniform(-.3, .3, (4, 3)) + [0, 0, 4]
    content['cam_poses'][:, :3, :3] = Rotation.from_rotvec(RNG.normal(0, .2, (4, 3))).as_matrix()
    content['trans'] = list(RNG.normal(0, .2, (2, 4, 3)))
    content['cam_intrinsics'] = np.array([[1961.9, 0, 540], [0, 1969.2, 960], [0, 0, 1.0]])
    (folder / 'downtown_00.pkl').write_bytes(pickle.dumps(content, protocol=2))
    pw3d.convert_pw3d(tmp_path, tmp_path / 'o.npz', body=standin_assets, progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    for row, person, frame in ((0, 0, 0), (1, 0, 3), (2, 1, 0)):
        body = BodyModel(standin_assets, ('male', 'female')[person])
        posed = body(torch.tensor(content['betas'][person][None, :10]).float(),
                     pose=torch.tensor(content['poses'][person][frame][None]).float())
        world = torch.cat([posed.smpl_joints[0, :1], posed.joints[0, 25:]]).numpy() + content['trans'][person][frame]
        camera = content['cam_poses'][frame]
        seen, _ = cv2.projectPoints(world[1:], cv2.Rodrigues(camera[:3, :3])[0], camera[:3, 3],
                                    content['cam_intrinsics'], None)
        seen, shown = seen[:, 0], a.keypoints_2d[row, 25:, 2] > 0
        assert shown.tolist() == ((seen >= 0) & (seen < [1080, 1920])).all(1).tolist() and shown.sum() > 12
        assert np.abs(a.keypoints_2d[row, 25:, :2] - seen)[shown].max() < 0.02
        in_camera = world @ camera[:3, :3].T
        assert np.allclose(a.joints_3d[row, :, :3], in_camera[1:] - in_camera[0], atol=1e-5)
        assert a.has_joints_3d[row] and (a.joints_3d[row, :, 3] == 1).all()
    # All labels are in one camera: the body of the written pose has the written joints.
    pose, betas = (torch.from_numpy(value) for value in (a.pose, a.betas))
    joints = body(betas[2:], pose=pose[2:]).joints[0, 25:].numpy()
    moved = joints - joints.mean(0) - (a.joints_3d[2, :, :3] - a.joints_3d[2, :, :3].mean(0))
    assert np.abs(moved).max() < 1e-4
    del content['trans']
    (folder / 'downtown_00.pkl').write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(BadFile, match="downtown_00.pkl: not a sequence file of 3DPW .*trans"):
        pw3d.convert_pw3d(tmp_path, tmp_path / 'p.npz', body=standin_assets, progress=False)


def test_pw3d_without_bodies_says_so(tmp_path, caplog, free_assets):
    folder = tmp_path / 'sequenceFiles/test'
    folder.mkdir(parents=True)
    (folder / 'a.pkl').write_bytes(pickle.dumps(pw3d_sequence('a'), protocol=2))
    for body in ('', str(tmp_path), free_assets):
        caplog.clear()
        pw3d.convert_pw3d(tmp_path, tmp_path / 'o.npz', body=body, progress=False)
        assert 'no SMPL_MALE and SMPL_FEMALE here' in caplog.text
        assert not Annotations.load(tmp_path / 'o.npz').has_joints_3d.any()


def test_broken_sequences_and_absent_pictures_are_left_out(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger('hmr'), 'propagate', True)
    folder = tmp_path / 'sequenceFiles/test'
    folder.mkdir(parents=True)
    for name in ('a', 'c'):
        (folder / f'{name}.pkl').write_bytes(pickle.dumps(pw3d_sequence(name), protocol=2))
    (folder / 'b.pkl').write_bytes(pickle.dumps(pw3d_sequence('b'), protocol=2)[:500])
    for name in ('imageFiles/a/image_00000.jpg', 'imageFiles/c/image_00003.jpg'):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b'')
    pw3d.convert_pw3d(tmp_path, tmp_path / 'o.npz', progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    assert a.imgname.tolist() == ['imageFiles/a/image_00000.jpg'] * 2 + ['imageFiles/c/image_00003.jpg']
    assert 'b is left out' in caplog.text and '1 broken sequences' in caplog.text
    # Absent are frames 1 and 3 of a's first person, frames 0 and 1 of c's first and frame 0 of c's second person.
    assert '5 whose picture is absent' in caplog.text


def test_an_interrupted_conversion_goes_on(tmp_path, monkeypatch):
    folder = tmp_path / 'sequenceFiles/test'
    folder.mkdir(parents=True)
    for name in ('a', 'b', 'c'):
        (folder / f'{name}.pkl').write_bytes(pickle.dumps(pw3d_sequence(name), protocol=2))
    pw3d.convert_pw3d(tmp_path, tmp_path / 'whole.npz', progress=False)
    read, done = pw3d.load_pickle, []

    def interrupted(path, keys):
        if path.stem == 'c' and 'again' not in done:
            raise KeyboardInterrupt
        done.append(path.stem)
        return read(path, keys)
    monkeypatch.setattr(pw3d, 'load_pickle', interrupted)
    with pytest.raises(KeyboardInterrupt):
        pw3d.convert_pw3d(tmp_path, tmp_path / 'o.npz', progress=False)
    assert not (tmp_path / 'o.npz').exists()
    done[:] = ['again']
    pw3d.convert_pw3d(tmp_path, tmp_path / 'o.npz', progress=False)
    assert done == ['again', 'c']
    assert (tmp_path / 'o.npz').read_bytes() == (tmp_path / 'whole.npz').read_bytes()
    assert not list(tmp_path.glob('.*parts'))


CALIBRATION = 'Skeletool Camera Calibration File V1.0\n' + ''.join(
    f'name          {n}\n  sensor      10 10\n  size        2048 2048\n  animated    0\n'
    f'  intrinsic   1500 0 1024 0 0 1500 1024 0 0 0 1 0 0 0 0 1 \n'
    f'  extrinsic   {{{n}}} \n  radial      0\n' for n in range(14))


def write_3dhp_train(root, sequences, frames=25, outside=()):
    """Write annotations and calibrations. outside: {(camera, frame): one of 28 joints}, outside of the picture."""
    flat, solid = RNG.uniform(100, 1900, (14, frames, 56)), RNG.uniform(-900, 900, (14, frames, 84))
    for place, joint in dict(outside).items():
        flat[place][2 * joint] = 2100
    turns = Rotation.from_euler('xyz', RNG.uniform(-1, 1, (14, 3))).as_matrix()
    outer = np.tile(np.eye(4), (14, 1, 1))
    outer[:, :3, :3], outer[:, :3, 3] = turns, [100, 200, 3000]
    cells = [np.empty((14, 1), object), np.empty((14, 1), object)]
    for camera in range(14):
        cells[0][camera, 0], cells[1][camera, 0] = flat[camera], solid[camera]
    for name in sequences:
        folder = root / name
        (folder / 'imageSequence').mkdir(parents=True)
        scipy.io.savemat(folder / 'annot.mat', {'annot2': cells[0], 'annot3': cells[1]})
        (folder / 'camera.calibration').write_text(CALIBRATION.format(*(' '.join(map(str, m.ravel())) for m in outer)))
    return flat, solid, turns


VIDEOS = (0, 1, 2, 4, 5, 6, 7, 8)
ALL_3DHP = [f'S{s}/Seq{q}' for s in range(1, 9) for q in (1, 2)]


def test_mpi_inf_3dhp_train(tmp_path):
    flat, solid, turns = write_3dhp_train(tmp_path, ALL_3DHP, outside={(4, 10): 4, (4, 3): 4})
    mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'o.npz', 'train', progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    # Frames 0, 10 and 20 of every camera, except frame 10 of camera 4, which has a joint outside.
    assert len(a) == 16 * (8 * 3 - 1)
    assert a.imgname[:4].tolist() == [f'S1/Seq1/imageFrames/video_0/frame_{n:06d}.jpg' for n in (1, 11, 21)] + [
        'S1/Seq1/imageFrames/video_1/frame_000001.jpg']
    groups = view_groups(a, 'o.npz')
    assert sorted(map(len, groups)) == [7] * 16 + [8] * 32
    row = a.imgname.tolist().index('S1/Seq1/imageFrames/video_4/frame_000021.jpg')
    assert np.allclose(a.extra['cam_R'][row], turns[4]) and np.allclose(a.extra['cam_t'][row], [.1, .2, 3])
    assert np.allclose(a.extra['cam_K'][row], [[1500, 0, 1024.5], [0, 1500, 1024.5], [0, 0, 1]])
    joints, skeleton = flat[4, 20].reshape(28, 2), solid[4, 20].reshape(28, 3) / 1000
    ours = common_index(['pelvis_mpii', 'left_ankle', 'right_wrist', 'head_h36m'])
    theirs = [4, 20, 16, 7]
    assert np.allclose(a.keypoints_2d[row, 25:][ours, :2], joints[theirs] + .5)
    assert np.allclose(a.joints_3d[row][ours, :3], skeleton[theirs] - skeleton[4], atol=1e-6)
    assert (a.joints_3d[row][J24_TO_J17, 3] == 1).all()


def spin_frames(outside, sequences, frames):
    """Names in SPIN's mpi_inf_3dhp_train.npz. Its converter numbers the frames with all joints inside over all videos
    of all sequences, and keeps the first of every ten."""
    kept, counter = [], 0
    for name in sequences:
        for video in VIDEOS:
            for frame in range(frames):
                if (video, frame) in outside:
                    continue
                counter += 1
                if counter % 10 == 1:
                    kept.append(f'{name}/imageFrames/video_{video}/frame_{frame + 1:06d}.jpg')
    return kept


@pytest.mark.parametrize('form', ['spin', 'mmhuman3d'])
def test_fits_of_mpi_inf_3dhp_choose_the_frames(tmp_path, form, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger('hmr'), 'propagate', True)
    outside = {(1, 7): 4, (5, 2): 4, (5, 3): 4}
    flat, _, _ = write_3dhp_train(tmp_path, ALL_3DHP, outside=outside)
    names = spin_frames(outside, ALL_3DHP, 25)
    written = [name.replace('imageFrames/', '').replace('frame_', '') for name in names] if form != 'spin' else names
    pose = RNG.normal(0, .1, (len(names), 72))
    fits = {'imgname': np.array(written), 'center': np.ones((len(names), 2)), 'scale': np.ones(len(names)),
            'pose': pose, 'shape': np.full((len(names), 10), .2), 'has_smpl': np.arange(len(names)) % 5 > 0}
    np.savez(tmp_path / 'fits.npz', **fits)
    mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'o.npz', fits=tmp_path / 'fits.npz', progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    assert a.imgname.tolist() == names and a.has_smpl.tolist() == fits['has_smpl'].tolist()
    assert np.allclose(a.pose[a.has_smpl], pose[fits['has_smpl']], atol=1e-6)
    _, _, _, video, name = names[40].split('/')
    joints = flat[int(video[6:]), int(name[6:12]) - 1].reshape(28, 2)
    assert np.allclose(a.keypoints_2d[40, 25:][common_index(['left_ankle']), :2], joints[20] + .5)
    assert f'{len(names)} of its {len(names)} rows of these subjects were found' in caplog.text
    # Subjects 1 to 7 only. The log counts a name that the annotations lack.
    fits['imgname'] = np.array(['S1/Seq1/imageFrames/video_0/frame_000099.jpg', *written[1:]])
    np.savez(tmp_path / 'fits.npz', **fits)
    mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'o.npz', fits=tmp_path / 'fits.npz', subjects='1-7',
                                      progress=False)
    b = Annotations.load(tmp_path / 'o.npz')
    mine = [name for name in names if not name.startswith('S8')]
    assert b.imgname.tolist() == mine[1:]
    assert f'{len(mine) - 1} of its {len(mine)} rows' in caplog.text and '1 named by the fits, but not' in caplog.text


def test_fits_of_mpi_inf_3dhp_that_do_not_match(tmp_path):
    write_3dhp_train(tmp_path, ALL_3DHP)
    fits = {'imgname': ['a.jpg'], 'center': np.ones((1, 2)), 'scale': [1.], 'pose': np.zeros((1, 72)),
            'shape': np.zeros((1, 10))}
    np.savez(tmp_path / 'fits.npz', **fits)
    with pytest.raises(BadFile, match="fits.npz: no image name of the chosen subjects.*the first name is 'a.jpg'"):
        mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'o.npz', fits=tmp_path / 'fits.npz')
    np.savez(tmp_path / 'mview.npz', pose=fits['pose'], shape=fits['shape'], has_smpl=[1])
    with pytest.raises(BadFile, match='mview.npz: not an annotation file'):
        mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'o.npz', fits=tmp_path / 'mview.npz')


def test_subjects_of_mpi_inf_3dhp(tmp_path):
    write_3dhp_train(tmp_path, ['S2/Seq1', 'S2/Seq2', 'S8/Seq1', 'S8/Seq2'])
    mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'o.npz', subjects='2,8', progress=False)
    assert {name[:2] for name in Annotations.load(tmp_path / 'o.npz').imgname} == {'S2', 'S8'}
    with pytest.raises(MissingFile, match='S1/Seq1: no such folder; give the subjects'):
        mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'o.npz')
    assert mpi_inf_3dhp.parse_subjects('1-3,7', range(1, 9)) == [1, 2, 3, 7]
    for wrong in ('0', '9', 'x', '3-1'):
        with pytest.raises(BadConfig, match='--subjects'):
            mpi_inf_3dhp.parse_subjects(wrong, range(1, 9))


def test_mpi_inf_3dhp_pictures_and_calibration(tmp_path, caplog, monkeypatch):
    """One camera's video is short and one is unreadable. Only their frames are left out."""
    monkeypatch.setattr(logging.getLogger('hmr'), 'propagate', True)
    write_3dhp_train(tmp_path, ['S1/Seq1', 'S1/Seq2'], frames=22)
    for name in ('S1/Seq1', 'S1/Seq2'):
        for video in VIDEOS:
            write_video(tmp_path / f'{name}/imageSequence/video_{video}.avi', 12 if video == 8 else 22)
    (tmp_path / 'S1/Seq2/imageSequence/video_1.avi').write_bytes(b'no video')
    mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'o.npz', extract=True, subjects='1', progress=False)
    names = Annotations.load(tmp_path / 'o.npz').imgname.tolist()
    assert len(names) == 2 * 8 * 3 - 2 - 3 and all((tmp_path / name).exists() for name in names)
    assert '5 that their videos do not give' in caplog.text
    assert 'video_8.avi: ends before frame 20; 1 frames' in caplog.text
    frames = tmp_path / 'S1/Seq1/imageFrames/video_8'
    assert sorted(path.name for path in frames.iterdir()) == ['frame_000001.jpg', 'frame_000011.jpg']
    assert cv2.imread(str(frames / 'frame_000011.jpg')).mean() == pytest.approx(100, abs=3)
    # A second run, with one picture lost.
    (frames / 'frame_000011.jpg').unlink()
    mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'p.npz', subjects='1', progress=False)
    assert len(Annotations.load(tmp_path / 'p.npz')) == len(names) - 1
    rotation, translation, inner = mpi_inf_3dhp.read_calibration(tmp_path / 'S1/Seq1/camera.calibration')[2]
    assert np.allclose(translation, [.1, .2, 3]) and inner[0, 0] == 1500
    assert np.allclose(rotation @ rotation.T, np.eye(3))
    (tmp_path / 'c').write_text('name 0\n intrinsic 1 2\n')
    with pytest.raises(BadFile, match='camera.calibration'):
        mpi_inf_3dhp.read_calibration(tmp_path / 'c')


def test_mpi_inf_3dhp_test_set(tmp_path):
    h5py = pytest.importorskip('h5py')
    flat, solid = RNG.uniform(5, 60, (4, 1, 17, 2)), RNG.uniform(-900, 900, (4, 1, 17, 3))
    flat[2, 0, 5] = 70  # outside
    for number in range(1, 7):
        folder = tmp_path / f'mpi_inf_3dhp_test_set/TS{number}'
        (folder / 'imageSequence').mkdir(parents=True)
        with h5py.File(folder / 'annot_data.mat', 'w') as file:
            file['annot2'], file['univ_annot3'], file['valid_frame'] = flat, solid, np.array([[1], [0], [1], [1]])
        for frame in range(4):
            cv2.imwrite(str(folder / f'imageSequence/img_{frame + 1:06d}.jpg'), np.zeros((64, 64, 3), np.uint8))
    (tmp_path / 'mpi_inf_3dhp_test_set/TS6/imageSequence/img_000004.jpg').unlink()
    mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'o.npz', 'test', progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    assert len(a) == 11 and a.imgname[1] == 'mpi_inf_3dhp_test_set/TS1/imageSequence/img_000004.jpg'
    ours = common_index(['pelvis_mpii', 'head_h36m', 'neck', 'right_ankle', 'left_wrist'])
    assert np.allclose(a.joints_3d[1][ours, :3], (solid[3, 0] - solid[3, 0, 14])[[14, 0, 1, 10, 7]] / 1000, atol=1e-6)
    assert np.allclose(a.keypoints_2d[1, 25:][ours, :2], flat[3, 0][[14, 0, 1, 10, 7]] + .5)


def write_h36m(root, subject, stem, frames=12):
    cdfwrite, h5py = pytest.importorskip('cdflib.cdfwrite'), pytest.importorskip('h5py')
    folder = root / subject
    solid, flat = RNG.uniform(-900, 900, (frames, 96)), RNG.uniform(5, 60, (frames, 64))
    for name, poses in (('D3_Positions_mono', solid), ('D2_Positions', flat)):
        (folder / 'MyPoseFeatures' / name).mkdir(parents=True, exist_ok=True)
        file = cdfwrite.CDF(str(folder / 'MyPoseFeatures' / name / f'{stem}.cdf'), delete=True)
        spec = {'Variable': 'Pose', 'Data_Type': 45, 'Num_Elements': 1, 'Rec_Vary': True,
                'Dim_Sizes': list(poses.shape), 'Compress': 0}
        file.write_var(spec, var_data=poses[None])
        file.close()
    masks = folder / 'MySegmentsMat/ground_truth_bb'
    masks.mkdir(parents=True, exist_ok=True)
    with h5py.File(masks / f'{stem}.mat', 'w') as file:
        references = file.create_dataset('Masks', (frames, 1), dtype=h5py.ref_dtype)
        for frame in range(frames):
            mask = np.zeros((64, 64), np.uint8)
            mask[10:40, 20 + frame:30 + frame] = 1
            references[frame, 0] = file.create_dataset(f'#refs#/{frame}', data=mask.T).ref
    write_video(folder / 'Videos' / f'{stem}.mp4', frames)
    return solid, flat


def test_h36m(tmp_path):
    for subject in ('S9', 'S11'):
        for stem in ('_ALL.60457274', 'Walking 1.55011271', 'Walking 1.60457274'):
            solid, flat = write_h36m(tmp_path, subject, stem)
    convert_h36m(tmp_path, tmp_path / 'p2.npz', 'protocol2', extract=True, progress=False)
    a = Annotations.load(tmp_path / 'p2.npz')
    assert a.imgname.tolist() == [f'images/{s}_Walking_1.60457274_{n:06d}.jpg' for s in ('S9', 'S11')
                                  for n in (1, 6, 11)]
    assert np.allclose(a.center[1], [30, 25]) and a.scale[1] == pytest.approx(.9 * 30 / 200)
    skeleton = solid[5].reshape(32, 3) / 1000
    theirs = [11, 6, 7, 8, 1, 2, 3, 12, 24, 14, 15, 17, 18, 19, 25, 26, 27]
    ours = common_index(H36M_NAMES)
    assert np.allclose(a.joints_3d[4][ours, :3], skeleton[theirs] - skeleton[11], atol=1e-6)
    assert np.allclose(a.keypoints_2d[4, 25:][ours, :2], flat[5].reshape(32, 2)[theirs] + .5, atol=1e-4)
    assert cv2.imread(str(tmp_path / a.imgname[4])).mean() == pytest.approx(50, abs=4)
    convert_h36m(tmp_path, tmp_path / 'p1.npz', 'protocol1', progress=False)
    # Pictures of the other camera were not extracted.
    assert Annotations.load(tmp_path / 'p1.npz').imgname.tolist() == a.imgname.tolist()
    convert_h36m(tmp_path, tmp_path / 'p1.npz', 'protocol1', extract=True, progress=False)
    assert len(Annotations.load(tmp_path / 'p1.npz')) == 12


def test_h36m_with_broken_files(tmp_path, caplog, monkeypatch):
    """A short, an unreadable and an absent video and a broken pose file do not stop the conversion."""
    monkeypatch.setattr(logging.getLogger('hmr'), 'propagate', True)
    stems = [f'{action}.60457274' for action in ('Walking', 'Sitting', 'Eating', 'Posing', 'Phoning')]
    for stem in stems:
        write_h36m(tmp_path, 'S9', stem)
    write_h36m(tmp_path, 'S11', 'Walking.60457274')
    videos = tmp_path / 'S9/Videos'
    write_video(videos / f'{stems[0]}.mp4', 6)
    (videos / f'{stems[1]}.mp4').write_bytes(b'no video')
    (videos / f'{stems[2]}.mp4').unlink()
    (tmp_path / f'S9/MyPoseFeatures/D3_Positions_mono/{stems[3]}.cdf').write_bytes(b'no poses')
    convert_h36m(tmp_path, tmp_path / 'o.npz', 'protocol2', extract=True, progress=False)
    names = Annotations.load(tmp_path / 'o.npz').imgname.tolist()
    assert names == [f'images/S9_Phoning.60457274_{n:06d}.jpg' for n in (1, 6, 11)] + [
        f'images/S9_Walking.60457274_{n:06d}.jpg' for n in (1, 6)] + [
        f'images/S11_Walking.60457274_{n:06d}.jpg' for n in (1, 6, 11)]
    assert '7 that their videos do not give' in caplog.text and '1 broken sequences' in caplog.text
    for video in stems[:3]:
        assert f'{video}.mp4: ' in caplog.text
    shutil.rmtree(tmp_path / 'S9/Videos')
    shutil.rmtree(tmp_path / 'images')
    with pytest.raises(MissingFile, match='S9/Videos: no such folder of videos'):
        convert_h36m(tmp_path, tmp_path / 'o.npz', 'protocol2', extract=True, progress=False)


def test_h36m_mosh(tmp_path):
    for subject in ('S9', 'S11'):
        write_h36m(tmp_path, subject, 'Walking 1.60457274')
    poses, betas = RNG.normal(0, .3, (3, 72)), RNG.normal(size=10)
    (tmp_path / 'mosh/S9').mkdir(parents=True)
    (tmp_path / 'mosh/S9/Walking 1_cam3_aligned.pkl').write_bytes(pickle.dumps({'new_poses': poses, 'betas': betas}))
    convert_h36m(tmp_path, tmp_path / 'o.npz', 'protocol2', mosh=tmp_path / 'mosh', progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    assert len(a) == 3 and a.has_smpl.all() and np.allclose(a.betas, betas)
    root = Rotation.from_rotvec(poses[1, :3]) * Rotation.from_rotvec([np.pi, 0, 0])
    assert np.allclose(Rotation.from_rotvec(a.pose[1, :3]).as_matrix(), root.as_matrix(), atol=1e-6)


def test_up3d(tmp_path):
    (tmp_path / 'test.txt').write_text('/00001_image.png 1 0\n/00007_image.png 1 0\n\n')
    for base in ('00001', '00007'):
        drawn = np.full((50, 60, 3), 255, np.uint8)
        drawn[10:30, 20:24] = 90
        cv2.imwrite(str(tmp_path / f'{base}_render_light.png'), drawn)
        joints = RNG.uniform(0, 50, (3, 91))
        np.save(tmp_path / f'{base}_joints.npy', joints)
        body = {'pose': RNG.normal(size=72), 'betas': RNG.normal(size=10)}
        (tmp_path / f'{base}_body.pkl').write_bytes(pickle.dumps(body, protocol=2))
        (tmp_path / f'{base}_image.png').write_bytes(b'')
    up3d.convert_up3d(tmp_path, tmp_path / 'o.npz', 'test', progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    assert a.imgname.tolist() == ['00001_image.png', '00007_image.png']
    assert np.allclose(a.center, [[22, 20]] * 2) and np.allclose(a.scale, .9 * 20 / 200)
    assert np.allclose(a.keypoints_2d[1, 25:39], joints[:, :14].T + [.5, .5, 0])
    assert np.allclose(a.pose[1], body['pose'])
    for broken in ('body.pkl', 'joints.npy', 'render_light.png', 'image.png'):
        (tmp_path / f'00001_{broken}').rename(tmp_path / 'kept')
        if broken != 'image.png':
            (tmp_path / f'00001_{broken}').write_bytes(b'cut')
        up3d.convert_up3d(tmp_path, tmp_path / 'p.npz', 'test', progress=False)
        assert Annotations.load(tmp_path / 'p.npz').imgname.tolist() == ['00007_image.png']
        (tmp_path / 'kept').rename(tmp_path / f'00001_{broken}')


def write_oh50k(root, unit):
    folder = root / 'testset'
    folder.mkdir(exist_ok=True)
    solid = np.zeros((14, 3))
    solid[2:4] = [[-.1, .5, 0], [.1, .5, 0]]
    solid[12], solid[13] = [0, 0, 0], [0, -.25, 0]
    turn = Rotation.from_euler('xyz', [.3, -.2, 1.0]).as_matrix()
    outer = np.eye(4)
    outer[:3, :3] = turn
    person = {'img_path': 'images\\00000.jpg', 'bbox': [[10, 20], [50, 100]], 'pose': RNG.normal(size=(1, 72)).tolist(),
              'betas': RNG.normal(size=(1, 10)).tolist(), 'extri': outer.tolist(), 'scale': [7.0],
              'lsp_joints_2d': RNG.uniform(0, 90, (14, 2)).tolist(),
              'lsp_joints_3d': (solid * unit + [0, 0, 20]).tolist()}
    (folder / 'annots.json').write_text(json.dumps({'00000': person}))
    return person, solid, turn


@pytest.mark.parametrize('unit, known', [(1.0, True), (7.0, True), (100.0, False)])
def test_oh50k(tmp_path, unit, known):
    person, solid, turn = write_oh50k(tmp_path, unit)
    oh50k.convert_oh50k(tmp_path, tmp_path / 'o.npz', progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    assert a.imgname.tolist() == ['testset/images/00000.jpg'] and np.allclose(a.center, [[30, 60]])
    assert a.scale[0] == pytest.approx(1.2 * 80 / 200)
    assert np.allclose(a.keypoints_2d[0, 25:39, :2], np.array(person['lsp_joints_2d']) + .5)
    root = turn @ Rotation.from_rotvec(person['pose'][0][:3]).as_matrix()
    assert np.allclose(Rotation.from_rotvec(a.pose[0, :3]).as_matrix(), root, atol=1e-6)
    assert a.has_joints_3d.tolist() == [known]
    if known:
        assert (a.joints_3d[0][J24_TO_J14, 3] == 1).all()
        assert np.allclose(a.joints_3d[0, :14, :3], solid - [0, .5, 0], atol=1e-5)


def test_eft(tmp_path):
    rotvec, keypoints = RNG.normal(0, .5, (2, 24, 3)), RNG.uniform(0, 90, (2, 49, 3))
    people = [{'imageName': f'COCO_train2014_{i}.jpg', 'bbox_center': [5., 6.], 'bbox_scale': 1.5,
               'gt_keypoint_2d': keypoints[i].tolist(), 'parm_shape': [.1] * 10,
               'parm_pose': Rotation.from_rotvec(rotvec[i]).as_matrix().tolist()} for i in range(2)]
    path = tmp_path / 'COCO2014-Part-ver01.json'
    path.write_text(json.dumps({'ver': .1, 'data': people}))
    eft.convert_eft(path, tmp_path / 'o.npz', progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    assert a.imgname[1] == 'train2014/COCO_train2014_1.jpg' and a.scale.tolist() == [1.5, 1.5]
    assert np.allclose(a.pose[1], rotvec[1].ravel(), atol=1e-6)
    assert np.allclose(a.keypoints_2d[1, :25], keypoints[1, :25])  # OpenPose's
    assert np.allclose(a.keypoints_2d[1, 25:], keypoints[1, 25:] + [.5, .5, 0])
    del people[1]['parm_pose']
    path.write_text(json.dumps({'data': people}))
    with pytest.raises(BadFile, match="person 1 is not in EFT's format"):
        eft.convert_eft(path, tmp_path / 'o.npz', progress=False)
    path.write_text('[]')
    with pytest.raises(BadFile, match='not an EFT file'):
        eft.convert_eft(path, tmp_path / 'o.npz', progress=False)


@pytest.mark.parametrize('path, prefix', [
    ('mpii/eft_fit/LSPet_ver01.json', ''), ('coco2014/MPII_ver01.json', 'images/'),
    ('lspet/COCO2014-All-ver01.json', 'train2014/'), ('x/COCO2014-Val-ver10.json', 'val2014/')])
def test_eft_file_names_decide_the_picture_folder(tmp_path, path, prefix):
    person = {'imageName': 'a.jpg', 'bbox_center': [5., 6.], 'bbox_scale': 1.5, 'parm_shape': [.1] * 10,
              'gt_keypoint_2d': np.ones((49, 3)).tolist(), 'parm_pose': np.tile(np.eye(3), (24, 1, 1)).tolist()}
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({'ver': .1, 'data': [person]}))
    eft.convert_eft(file, tmp_path / 'o.npz', progress=False)
    assert Annotations.load(tmp_path / 'o.npz').imgname[0] == f'{prefix}a.jpg'
    file.rename(file.parent / 'mine.json')
    with pytest.raises(BadConfig, match='mine.json: unknown dataset'):
        eft.convert_eft(file.parent / 'mine.json', tmp_path / 'o.npz', progress=False)
    eft.convert_eft(file.parent / 'mine.json', tmp_path / 'o.npz', prefix='p/', progress=False)
    assert Annotations.load(tmp_path / 'o.npz').imgname[0] == 'p/a.jpg'


def test_eft_files_where_fetch_data_puts_them(tmp_path, capsys, monkeypatch):
    """They are together in datasets/eft, as EFT's script puts them."""
    import preprocess_datasets
    person = {'imageName': 'a.jpg', 'bbox_center': [5., 6.], 'bbox_scale': 1.5, 'parm_shape': [.1] * 10,
              'gt_keypoint_2d': np.ones((49, 3)).tolist(), 'parm_pose': np.tile(np.eye(3), (24, 1, 1)).tolist()}
    for folder in ('datasets/eft', 'smpl'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'smpl/SMPL_NEUTRAL.npz').write_bytes(b'')
    (tmp_path / 'datasets/eft/COCO2014-All-ver01.json').write_text(json.dumps({'data': [person]}))
    monkeypatch.setattr(sys, 'argv', ['preprocess_datasets.py', '--only', 'coco-full_train_eft', '--misc',
                                      'PATHS.DATA_DIR', str(tmp_path)])
    assert preprocess_datasets.main() == 0 and 'coco-full_train_eft  written' in capsys.readouterr().out
    written = Annotations.load(tmp_path / 'dataset_extras/coco-full_train_eft.npz')
    assert written.imgname[0] == 'train2014/a.jpg'


def test_all_jobs(tmp_path, capsys, monkeypatch):
    """Datasets on disk are converted; a line names each absent one."""
    import preprocess_datasets
    (tmp_path / 'datasets/3doh50k').mkdir(parents=True)
    write_oh50k(tmp_path / 'datasets/3doh50k', 7)
    (tmp_path / 'smpl').mkdir()
    (tmp_path / 'smpl/SMPL_NEUTRAL.npz').write_bytes(b'')
    command = ['preprocess_datasets.py', '--eval_files', '--misc', 'PATHS.DATA_DIR', str(tmp_path)]
    monkeypatch.setattr(sys, 'argv', command)
    assert preprocess_datasets.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert 'threeDOH50K_testset   written' in lines
    assert any(line.startswith('3dpw_test') and 'left out: ' in line for line in lines)
    assert len(Annotations.load(tmp_path / 'dataset_extras/threeDOH50K_testset.npz')) == 1
    preprocess_datasets.main()
    assert 'threeDOH50K_testset   there already' in capsys.readouterr().out.splitlines()
    (tmp_path / 'datasets/3doh50k/testset/annots.json').write_text('{')
    monkeypatch.setattr(sys, 'argv', [*command, '--overwrite'])
    assert preprocess_datasets.main() == 1
    assert 'threeDOH50K_testset   failed' in capsys.readouterr().out
    monkeypatch.setattr(sys, 'argv', command[:1])
    with pytest.raises(ProjectError, match='--train_files'):
        preprocess_datasets.main()
    monkeypatch.setattr(sys, 'argv', [command[0], '--only', 'mpii_train', 'mpii', *command[2:]])
    with pytest.raises(ProjectError, match='--only: unknown mpii; use names of h36m_train'):
        preprocess_datasets.main()


def test_train_and_eval_files_of_one_tree(tmp_path, capsys, monkeypatch):
    """Both flags on a tree with several datasets, SPIN's train.h5 at its archive's place, and OpenPose files."""
    h5py = pytest.importorskip('h5py')
    import preprocess_datasets
    data, detections = tmp_path / 'data', tmp_path / 'openpose'
    (data / 'smpl').mkdir(parents=True)
    (data / 'smpl/SMPL_NEUTRAL.npz').write_bytes(b'')
    for split in ('train', 'test'):
        folder = data / 'datasets/3dpw/sequenceFiles' / split
        folder.mkdir(parents=True)
        (folder / 'a.pkl').write_bytes(pickle.dumps(pw3d_sequence('a')))
    for subject in ('S1', 'S5', 'S6', 'S7', 'S8', 'S9', 'S11'):
        write_h36m(data / 'datasets/h36m', subject, 'Walking 1.60457274', frames=6)
    (data / 'datasets/mpii').mkdir()
    part = RNG.uniform(5, 90, (1, 16, 2))
    with h5py.File(data / 'train.h5', 'w') as file:
        file['imgname'], file['center'], file['scale'], file['part'] = [b'1.jpg'], np.ones((1, 2)), [1.], part
    detected = np.concatenate([RNG.uniform(5, 90, (25, 2)), np.full((25, 1), .9)], 1)
    detected[[11, 10, 9, 12, 13, 14, 4, 3, 2, 5, 6, 7], :2] = part[0][[0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]]
    (detections / 'mpii').mkdir(parents=True)
    (detections / 'mpii/1_keypoints.json').write_text(
        json.dumps({'people': [{'pose_keypoints_2d': detected.ravel().tolist()}]}))
    monkeypatch.setattr(sys, 'argv', ['preprocess_datasets.py', '--train_files', '--eval_files', '--openpose',
                                      str(detections), '--misc', 'PATHS.DATA_DIR', str(data)])
    assert preprocess_datasets.main() == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    written = {name for name, outcome in lines if outcome == 'written'}
    assert written == {'3dpw_train', '3dpw_test', 'h36m_train', 'h36m_valid_protocol1', 'h36m_valid_protocol2',
                       'mpii_train'}
    assert all(outcome == 'written' or outcome.startswith('left out: ') for _, outcome in lines)
    people = {name: Annotations.load(data / f'dataset_extras/{name}.npz') for name in written}
    assert len(people['h36m_train']) == 10 and (data / 'datasets/h36m' / people['h36m_train'].imgname[9]).exists()
    assert np.allclose(people['mpii_train'].keypoints_2d[0, :25], detected)
    assert people['3dpw_test'].gender.tolist() == people['3dpw_train'].gender.tolist()


@pytest.mark.parametrize('place', ['pictures', 'data/free', 'data'])
def test_train_h5_of_spin_is_found_on_the_free_body(tmp_path, monkeypatch, place):
    """train.h5 depends on no body. SPIN's archive unpacks it into data/, and the free body is in data/free/."""
    for folder in ('pictures', 'data/free'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'data/free/MANIFEST.json').write_text('{"complete": true}')
    (tmp_path / place / 'train.h5').write_bytes(b'')
    used = []
    monkeypatch.setattr(jobs, 'convert_mpii', lambda annotations, out, openpose: used.append(annotations))
    jobs._mpii(tmp_path / 'pictures', tmp_path / 'data/free/dataset_extras/mpii_train.npz',
               SimpleNamespace(openpose=''))
    assert used == [tmp_path / place / 'train.h5']

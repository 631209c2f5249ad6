"""Every converter on tiny files of the real layout, whose labels are known."""
import json
import pickle
import sys

import cv2
import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

from datasets.annotations import Annotations
from datasets.preprocess import eft, lsp, lsp_original, lspet, mpi_inf_3dhp, mpii, oh50k, pw3d, up3d
from datasets.preprocess.frames import extract_frames
from datasets.preprocess.h36m import convert_h36m
from utils.errors import BadFile, MissingFile, ProjectError
from utils.keypoints import COMMON_JOINTS, J24_TO_J14, J24_TO_J17

RNG = np.random.default_rng(0)
H36M_NAMES = ['pelvis_mpii', 'left_hip', 'left_knee', 'left_ankle', 'right_hip', 'right_knee', 'right_ankle',
              'spine_h36m', 'neck', 'jaw_h36m', 'head_h36m', 'left_shoulder', 'left_elbow', 'left_wrist',
              'right_shoulder', 'right_elbow', 'right_wrist']


def write_video(path, frames, size=64):
    """Frames of rising brightness, lossless enough to tell them apart."""
    import av
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=25)
        stream.width = stream.height = size
        stream.pix_fmt = 'yuv420p'
        for number in range(frames):
            picture = np.full((size, size, 3), 10 * number, np.uint8)
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
    with pytest.raises(BadFile, match=r'v\.avi: ends before frame 30'):
        extract_frames(video, {30: tmp_path / '30.jpg'})
    (tmp_path / 'w.avi').write_bytes(b'no video')
    with pytest.raises(BadFile, match=r'w\.avi: not a readable video'):
        extract_frames(tmp_path / 'w.avi', {0: tmp_path / 'x.jpg'})
    with pytest.raises(MissingFile, match=r'u\.avi'):
        extract_frames(tmp_path / 'u.avi', {0: tmp_path / 'x.jpg'})


@pytest.fixture
def openpose(tmp_path):
    """Writes OpenPose's file of a picture with one detection that lies on the given common joints."""
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
    assert np.allclose(a.keypoints_2d[1, 25:39, :2], points) and (a.keypoints_2d[:, 25:39, 2] == 1).all()
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
    assert np.allclose(a.keypoints_2d[2, 25:39, :2], joints[:, :2, 2])
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
    assert np.allclose(a.keypoints_2d[1, 25:][order, :2], part[2])
    assert np.allclose(a.keypoints_2d[1, :25], detected)
    (tmp_path / 'train.h5').write_bytes(b'no hdf5')
    with pytest.raises(BadFile, match=r'train\.h5: not a readable HDF5'):
        mpii.convert_mpii(tmp_path / 'train.h5', tmp_path / 'o.npz', progress=False)


def test_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(ProjectError, match='needs the package h5py: pip install h5py'):
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
    assert np.allclose(a.keypoints_2d[1, [0, 1, 7, 9, 18]], points[[0, 1, 7, 8, 17]])
    assert a.scale[1] == pytest.approx(1.2 * np.ptp(points[:, :2], axis=0).max() / 200)
    (folder / 'downtown_00.pkl').write_bytes(pickle.dumps({'sequence': 'x'}))
    with pytest.raises(BadFile, match=r'downtown_00\.pkl: not 3DPW'):
        pw3d.convert_pw3d(tmp_path, tmp_path / 'p.npz', progress=False)
    with pytest.raises(MissingFile, match='sequenceFiles/train'):
        pw3d.convert_pw3d(tmp_path, tmp_path / 'p.npz', 'train', progress=False)


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


def write_3dhp_train(root, sequences, frames=25):
    flat, solid = RNG.uniform(100, 1900, (14, frames, 56)), RNG.uniform(-900, 900, (14, frames, 84))
    flat[:, 3, 8] = 2100  # the pelvis of frame 3 is outside
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


def test_mpi_inf_3dhp_train(tmp_path):
    names = [f'S{s}/Seq{q}' for s in range(1, 9) for q in (1, 2)]
    flat, solid, turns = write_3dhp_train(tmp_path, names)
    mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'o.npz', 'train', progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    assert len(a) == 16 * 8 * 3  # 24 of 25 frames are whole, one in ten of which is kept
    assert a.imgname[:4].tolist() == [f'S1/Seq1/imageFrames/video_0/frame_{n:06d}.jpg' for n in (1, 12, 22)] + [
        'S1/Seq1/imageFrames/video_1/frame_000001.jpg']
    row = a.imgname.tolist().index('S1/Seq1/imageFrames/video_4/frame_000012.jpg')
    assert np.allclose(a.extra['cam_R'][row], turns[4])
    joints, skeleton = flat[4, 11].reshape(28, 2), solid[4, 11].reshape(28, 3) / 1000
    ours = common_index(['pelvis_mpii', 'left_ankle', 'right_wrist', 'head_h36m'])
    theirs = [4, 20, 16, 7]
    assert np.allclose(a.keypoints_2d[row, 25:][ours, :2], joints[theirs])
    assert np.allclose(a.joints_3d[row][ours, :3], skeleton[theirs] - skeleton[4], atol=1e-6)
    assert (a.joints_3d[row][J24_TO_J17, 3] == 1).all()

    fits = {'imgname': a.imgname[[row]], 'pose': np.full((1, 72), .1), 'shape': np.full((1, 10), .2), 'has_smpl': [1]}
    np.savez(tmp_path / 'fits.npz', **fits)
    mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'o.npz', 'train', fits=tmp_path / 'fits.npz', progress=False)
    b = Annotations.load(tmp_path / 'o.npz')
    assert np.flatnonzero(b.has_smpl).tolist() == [row] and np.allclose(b.pose[row], .1)
    np.savez(tmp_path / 'fits.npz', pose=fits['pose'], shape=fits['shape'])
    with pytest.raises(BadFile, match='matched by name'):
        mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'o.npz', 'train', fits=tmp_path / 'fits.npz')


def test_mpi_inf_3dhp_pictures_and_calibration(tmp_path):
    write_3dhp_train(tmp_path, ['S1/Seq1'], frames=12)
    for video in (0, 1, 2, 4, 5, 6, 7, 8):
        write_video(tmp_path / f'S1/Seq1/imageSequence/video_{video}.avi', 12)
    from datasets.preprocess import Collector
    mpi_inf_3dhp._convert_train(tmp_path, 'S1/Seq1', Collector(), True, '', {})
    frames = tmp_path / 'S1/Seq1/imageFrames/video_8'
    assert sorted(path.name for path in frames.iterdir()) == ['frame_000001.jpg', 'frame_000012.jpg']
    assert cv2.imread(str(frames / 'frame_000012.jpg')).mean() == pytest.approx(110, abs=3)
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
    mpi_inf_3dhp.convert_mpi_inf_3dhp(tmp_path, tmp_path / 'o.npz', 'test', progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    assert len(a) == 12 and a.imgname[1] == 'mpi_inf_3dhp_test_set/TS1/imageSequence/img_000004.jpg'
    ours = common_index(['pelvis_mpii', 'head_h36m', 'neck', 'right_ankle', 'left_wrist'])
    assert np.allclose(a.joints_3d[1][ours, :3], (solid[3, 0] - solid[3, 0, 14])[[14, 0, 1, 10, 7]] / 1000, atol=1e-6)
    assert np.allclose(a.keypoints_2d[1, 25:][ours, :2], flat[3, 0][[14, 0, 1, 10, 7]])


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
    assert np.allclose(a.keypoints_2d[4, 25:][ours, :2], flat[5].reshape(32, 2)[theirs], atol=1e-4)
    assert cv2.imread(str(tmp_path / a.imgname[4])).mean() == pytest.approx(50, abs=4)
    convert_h36m(tmp_path, tmp_path / 'p1.npz', 'protocol1', progress=False)
    assert len(Annotations.load(tmp_path / 'p1.npz')) == 12


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
    up3d.convert_up3d(tmp_path, tmp_path / 'o.npz', 'test', progress=False)
    a = Annotations.load(tmp_path / 'o.npz')
    assert a.imgname.tolist() == ['00001_image.png', '00007_image.png']
    assert np.allclose(a.center, [[22, 20]] * 2) and np.allclose(a.scale, .9 * 20 / 200)
    assert np.allclose(a.keypoints_2d[1, 25:39], joints[:, :14].T) and np.allclose(a.pose[1], body['pose'])


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
    assert np.allclose(a.keypoints_2d[0, 25:39, :2], person['lsp_joints_2d'])
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
    assert np.allclose(a.pose[1], rotvec[1].ravel(), atol=1e-6) and np.allclose(a.keypoints_2d[1], keypoints[1])
    del people[1]['parm_pose']
    path.write_text(json.dumps({'data': people}))
    with pytest.raises(BadFile, match="person 1 is not as EFT's"):
        eft.convert_eft(path, tmp_path / 'o.npz', progress=False)
    path.write_text('[]')
    with pytest.raises(BadFile, match='not an EFT file'):
        eft.convert_eft(path, tmp_path / 'o.npz', progress=False)


def test_all_jobs(tmp_path, capsys, monkeypatch):
    """What is on disk is converted; what is not is said."""
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
    with pytest.raises(ProjectError, match='--only: unknown mpii; names are h36m_train'):
        preprocess_datasets.main()


def test_train_and_eval_files_of_one_tree(tmp_path, capsys, monkeypatch):
    """Both flags over a tree with several datasets, SPIN's train.h5 where its archive has it, and OpenPose's files."""
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

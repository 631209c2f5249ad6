"""MPI-INF-3DHP -> annotation files.

python -m datasets.preprocess.mpi_inf_3dhp --root mpi_inf_3dhp --out data/dataset_extras/mpi_inf_3dhp_train.npz
    --split train [--extract] [--fits FILE] [--openpose FOLDER]
Layout: ROOT/S1/Seq1/annot.mat (annot2, annot3: cells [14,1] of [F,56] and [F,84]), camera.calibration,
imageSequence/video_0.avi, pictures in imageFrames/video_0/frame_000001.jpg; test: ROOT/mpi_inf_3dhp_test_set/TS1/
annot_data.mat (HDF5) and imageSequence/img_000001.jpg. The test set needs the package h5py.
"""
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.preprocess import box_of_points, check_output, command, existing
from datasets.preprocess.frames import extract_frames
from datasets.preprocess.hdf5 import open_hdf5
from datasets.preprocess.joints import H36M17_TO_COMMON, common_joints, openpose_joints
from datasets.preprocess.parts import Parts
from utils.errors import BadFile, run_main
from utils.safe_io import load_mat, load_npz

_VIDEOS = (0, 1, 2, 4, 5, 6, 7, 8)  # the cameras at chest height
_STEP = 10  # of the frames in which the whole person is seen, one in ten is kept
_SIDE = 2048  # pixels of the training pictures
_TRAIN_JOINTS = [4, 18, 19, 20, 23, 24, 25, 3, 5, 6, 7, 9, 10, 11, 14, 15, 16]  # H36M's 17 among the file's 28
_TEST_JOINTS = [14, 11, 12, 13, 8, 9, 10, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]  # and among the test set's 17


def convert_mpi_inf_3dhp(root, out, split='train', extract=False, fits='', openpose='', progress=True):
    """Write a split. extract: cut the pictures out of the videos as well. fits: an .npz with imgname, pose, shape and
    has_smpl, such as SPIN's mpi_inf_3dhp_train.npz, which holds the multi-view fits; they are matched by name.

    Training rows also hold the cameras' rotations, `cam_R` [3,3], world to camera. Finished sequences are kept where
    the run is interrupted. Raises MissingFile, BadFile, ProjectError without h5py.
    """
    check_output(out)
    root = existing(root, 'folder (MPI-INF-3DHP)')
    bodies = _read_fits(fits) if fits else {}
    if split == 'test':
        names = [f'TS{number}' for number in range(1, 7)]

        def convert(name, rows):
            _convert_test(root, name, rows)
    else:
        names = [f'S{subject}/Seq{sequence}' for subject in range(1, 9) for sequence in (1, 2)]

        def convert(name, rows):
            _convert_train(root, name, rows, extract, openpose, bodies)
    Parts(out, root=root, split=split, fits=fits, openpose=openpose).run(names, convert, root, progress)


def _convert_train(root, name, rows, extract, openpose, bodies):
    folder = root / name
    flat, solid = _read_annotations(folder / 'annot.mat')
    cameras = read_calibration(folder / 'camera.calibration')
    for video in _VIDEOS:
        frames = _whole_frames(flat[video], rows)[::_STEP]
        paths = {frame: f'{name}/imageFrames/video_{video}/frame_{frame + 1:06d}.jpg' for frame in frames}
        if extract:
            extract_frames(folder / 'imageSequence' / f'video_{video}.avi',
                           {frame: root / path for frame, path in paths.items()})
        for frame, path in paths.items():
            joints = flat[video][frame, _TRAIN_JOINTS]
            skeleton = (solid[video][frame, _TRAIN_JOINTS] - solid[video][frame, _TRAIN_JOINTS[0]]) / 1000
            common = common_joints(joints, H36M17_TO_COMMON)
            detections = Path(openpose) / Path(path).parent if openpose else ''
            rows.add(path, *box_of_points(joints), common, openpose_joints(detections, path, common),
                     joints_3d=common_joints(skeleton, H36M17_TO_COMMON), cam_R=cameras[video][0],
                     **bodies.get(path, {}))


def _read_annotations(path):
    """2D joints [F,28,2] in pixels and 3D joints [F,28,3] in millimetres of each of the 14 cameras."""
    content = load_mat(path)
    try:
        flat = [np.asarray(cell[0], np.float64).reshape(-1, 28, 2) for cell in content['annot2']]
        solid = [np.asarray(cell[0], np.float64).reshape(-1, 28, 3) for cell in content['annot3']]
        assert len(flat) == len(solid) > max(_VIDEOS) and all(len(a) == len(b) for a, b in zip(flat, solid))
    except (KeyError, IndexError, TypeError, ValueError, AssertionError):
        raise BadFile(f"{path}: not MPI-INF-3DHP's annot.mat: cells annot2 of [F,56] and annot3 of [F,84] for 14 "
                      'cameras are wanted') from None
    return flat, solid


def _whole_frames(joints, rows, side=(_SIDE, _SIDE)):
    """Numbers of the frames whose 17 joints all lie in the picture."""
    chosen = joints[:, _TRAIN_JOINTS]
    whole = ((chosen >= 0) & (chosen < np.array(side))).all((1, 2))
    rows.left_out['partly outside the picture'] += int((~whole).sum())
    return np.flatnonzero(whole).tolist()


def read_calibration(path):
    """{camera number: (rotation [3,3] world to camera, translation [3] metres, intrinsics [3,3])} of a
    camera.calibration file. Raises MissingFile, BadFile."""
    cameras, entry = {}, {}
    try:
        for line in existing(path, 'calibration file').read_text().splitlines():
            words = line.split()
            if words and words[0] == 'name':
                number = int(words[1])
            elif words and words[0] in ('intrinsic', 'extrinsic'):
                entry[words[0]] = np.array(words[1:], np.float64).reshape(4, 4)
            if len(entry) == 2:
                outer, inner = entry.pop('extrinsic'), entry.pop('intrinsic')
                cameras[number] = outer[:3, :3], outer[:3, 3] / 1000, inner[:3, :3]
        assert set(_VIDEOS) <= set(cameras)
    except (ValueError, IndexError, UnboundLocalError, AssertionError, UnicodeDecodeError):
        raise BadFile(f"{path}: not MPI-INF-3DHP's camera.calibration (name, intrinsic and extrinsic of each camera "
                      'are wanted)') from None
    return cameras


def _convert_test(root, name, rows):
    folder = root / 'mpi_inf_3dhp_test_set' / name
    path = folder / 'annot_data.mat'
    with open_hdf5(path) as file:
        try:
            flat = np.asarray(file['annot2'], np.float64).reshape(-1, 17, 2)[:, _TEST_JOINTS]
            solid = np.asarray(file['univ_annot3'], np.float64).reshape(-1, 17, 3)[:, _TEST_JOINTS]
            valid = np.asarray(file['valid_frame']).ravel() != 0
            assert len(flat) == len(solid) == len(valid)
        except (KeyError, ValueError, AssertionError):
            raise BadFile(f"{path}: not the test set's annot_data.mat (annot2, univ_annot3 and valid_frame are "
                          'wanted)') from None
    for frame in np.flatnonzero(valid):
        picture = f'mpi_inf_3dhp_test_set/{name}/imageSequence/img_{frame + 1:06d}.jpg'
        size = _picture_size(root / picture)
        joints = flat[frame]
        if not ((joints >= 0) & (joints < size)).all():
            rows.leave_out('partly outside the picture')
            continue
        skeleton = (solid[frame] - solid[frame, 0]) / 1000
        rows.add(picture, *box_of_points(joints), common_joints(joints, H36M17_TO_COMMON),
                 joints_3d=common_joints(skeleton, H36M17_TO_COMMON))


def _picture_size(path):
    """(width, height) from the header."""
    try:
        with Image.open(existing(path, 'picture')) as picture:
            return picture.size
    except OSError:
        raise BadFile(f'{path}: not a readable picture') from None


def _read_fits(path):
    """{image name: labels} of the valid fits of a file."""
    content = load_npz(path, ('imgname', 'pose', 'shape', 'has_smpl'))
    if not {'imgname', 'pose', 'shape'} <= set(content):
        raise BadFile(f"{path}: has no imgname, pose and shape; fits are matched by name: give SPIN's "
                      'mpi_inf_3dhp_train.npz, which holds those of mpi-inf-3dhp_mview_fits.npz')
    valid = content.get('has_smpl', np.ones(len(content['imgname']))) > 0
    return {str(name): {'pose': pose, 'betas': betas} for name, pose, betas, good in zip(
        content['imgname'], content['pose'], content['shape'], valid) if good}


def main():
    return command(convert_mpi_inf_3dhp, 'MPI-INF-3DHP to an annotation file.',
                   {'root': 'folder with S1 to S8 and mpi_inf_3dhp_test_set', 'out': '.npz to write'},
                   {'split': (['train', 'test'], 'which set'),
                    'extract': (False, 'cut the training pictures out of the videos'),
                    'fits': ('', "SPIN's mpi_inf_3dhp_train.npz, whose fits are added by image name"),
                    'openpose': ('', "folder of OpenPose's *_keypoints.json, laid out as the pictures")})


if __name__ == '__main__':
    run_main(main)

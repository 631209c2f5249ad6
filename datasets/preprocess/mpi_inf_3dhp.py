"""Converts MPI-INF-3DHP to annotation files.

python -m datasets.preprocess.mpi_inf_3dhp --root mpi_inf_3dhp --out data/dataset_extras/mpi_inf_3dhp_train.npz
    --split train [--subjects 1-7] [--extract] [--fits FILE] [--openpose FOLDER]
Layout: ROOT/S1/Seq1/annot.mat (annot2, annot3: cells [14,1] of [F,56] and [F,84]), camera.calibration,
imageSequence/video_0.avi, pictures in imageFrames/video_0/frame_000001.jpg. Test: ROOT/mpi_inf_3dhp_test_set/TS1/
annot_data.mat (HDF5) and imageSequence/img_000001.jpg. The test set needs the package h5py.
"""
import re
from collections import defaultdict
from logging import INFO, WARNING
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.annotations import Annotations
from datasets.mpi_inf_3dhp import SUBJECTS, Shot, read_shot
from datasets.preprocess import box_of_points, check_output, command, existing
from datasets.preprocess.frames import extract_frames
from datasets.preprocess.hdf5 import open_hdf5
from datasets.preprocess.joints import H36M17_TO_COMMON, common_joints, common_keypoints, openpose_joints
from datasets.preprocess.parts import Parts
from datasets.preprocess.pictures import ABSENT, Pictures
from utils.errors import BadConfig, BadFile, MissingFile, run_main
from utils.logging import get_logger
from utils.pixels import COUNTED_FROM_0, to_continuous
from utils.safe_io import load_mat

_VIDEOS = (0, 1, 2, 4, 5, 6, 7, 8)  # the cameras at chest height
_STEP = 10  # keeps every tenth frame, the same frames for all cameras
_SIDE = 2048  # pixels of the training pictures
_TEST_PEOPLE = tuple(range(1, 7))
_TRAIN_JOINTS = [4, 18, 19, 20, 23, 24, 25, 3, 5, 6, 7, 9, 10, 11, 14, 15, 16]  # H36M's 17 among the file's 28
_TEST_JOINTS = [14, 11, 12, 13, 8, 9, 10, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]  # H36M's 17 among the test set's 17


def convert_mpi_inf_3dhp(root, out, split='train', extract=False, fits='', openpose='', subjects='', progress=True):
    """Write a split.

    extract: also extract the pictures from the videos. subjects: subjects to write, such as '1-7' or '1,8'; by default
    all (test: TS1 to TS6). fits: annotation file with bodies, such as SPIN's mpi_inf_3dhp_train.npz. The result then
    has the frames of that file, matched by name, and a log line says how many are found.

    Without `fits`, training frames are every tenth one from 0, the same for all cameras, in which the whole person is
    visible. Training rows also have their camera: cam_R [3,3] and cam_t [3] in metres, world to camera, and cam_K
    [3,3]. Frames with an absent or damaged video or picture are left out and counted. After an interruption finished
    sequences are kept. Raises MissingFile, BadFile, BadConfig, and ProjectError without h5py.
    """
    check_output(out)
    root = existing(root, 'folder (MPI-INF-3DHP)')
    parts = Parts(out, root=root, split=split, fits=fits, openpose=openpose, subjects=subjects, rules=3)
    if split == 'test':
        def convert(name, rows):
            _convert_test(root, name, rows)
        names = [f'TS{number}' for number in parse_subjects(subjects, _TEST_PEOPLE)]
        parts.run(names, convert, root, progress)
        return
    chosen = parse_subjects(subjects, SUBJECTS)
    bodies = _Fits(fits, chosen) if fits else None
    pictures = Pictures(root, 'S*/Seq*/imageFrames')

    def convert(name, rows):
        _TrainSequence(root, name, bodies, openpose, None if extract else pictures).convert(rows)
    names = [f'S{subject}/Seq{sequence}' for subject in chosen for sequence in (1, 2)]
    absent = [name for name in names if not (root / name).is_dir()]
    if absent:
        raise MissingFile(f'{root / absent[0]}: no such folder; give the subjects that exist, such as --subjects 1-4')
    parts.body_digest = bodies and bodies.annotations.body_digest
    written = parts.run(names, convert, root, progress)
    if bodies:
        bodies.log(len(written), int(written.has_smpl.sum()))


def parse_subjects(text, known):
    """Parse '1-7', '8' or '1,3-5' to sorted numbers. '' means all `known` ones. Raises BadConfig."""
    if not text:
        return list(known)
    chosen = set()
    for item in str(text).split(','):
        low, _, high = item.partition('-')
        try:
            chosen.update(range(int(low), int(high or low) + 1))
        except ValueError:
            raise BadConfig(f"--subjects is {text!r}; use numbers such as '1-7' or '1,8'") from None
    if not chosen or not chosen <= set(known):
        raise BadConfig(f'--subjects is {text}; use numbers from {known[0]} to {known[-1]}')
    return sorted(chosen)


class _Fits:
    """Bodies and frames of an annotation file, by Shot."""

    def __init__(self, path, subjects):
        self.path, annotations = path, Annotations.load(path)
        if not annotations.has_smpl.any():
            raise BadFile(f"{path}: no bodies (pose and shape); use SPIN's mpi_inf_3dhp_train.npz, which has those "
                          'of mpi-inf-3dhp_mview_fits.npz')
        shots = [read_shot(name) for name in annotations.imgname]
        rows = [(shot, row) for row, shot in enumerate(shots) if shot is not None and shot.subject in subjects]
        if not rows:
            raise BadFile(f"{path}: no image name of the chosen subjects of MPI-INF-3DHP, so no fit matches; the "
                          f'first name is {str(annotations.imgname[0])!r}')
        self.rows, self.annotations = dict(rows), annotations
        self.frames = defaultdict(list)
        for shot in self.rows:
            self.frames[shot[:3]].append(shot.frame)

    def labels(self, shot):
        row = self.rows[shot]
        if not self.annotations.has_smpl[row]:
            return {}
        return {'pose': self.annotations.pose[row], 'betas': self.annotations.betas[row]}

    def log(self, found, with_body):
        get_logger().log(WARNING if found < len(self.rows) else INFO,
                         f'{self.path}: {found} of its {len(self.rows)} rows of these subjects were found, {with_body} '
                         'of them with a body')


class _TrainSequence:
    """A sequence such as 'S1/Seq1'. pictures: those on disk, or None to extract them from the videos."""

    def __init__(self, root, name, bodies, openpose, pictures):
        self.root, self.folder, self.bodies, self.openpose = root, root / name, bodies, openpose
        self.pictures = pictures
        self.person = tuple(map(int, re.findall(r'\d+', name)))  # subject and sequence

    def convert(self, rows):
        self.flat, self.solid = _read_annotations(self.folder / 'annot.mat')
        self.cameras = read_calibration(self.folder / 'camera.calibration')
        for video in _VIDEOS:
            shots = self._shots(video, rows)
            lost = self._cut_out(video, shots) if self.pictures is None else ()
            for shot in shots:
                if shot.frame - 1 in lost:
                    rows.leave_out('that their videos do not give')
                elif self.pictures is not None and shot.path not in self.pictures:
                    rows.leave_out(ABSENT)
                else:
                    self._add(rows, shot)

    def _shots(self, video, rows):
        """Shots of the frames of a video to keep."""
        count = len(self.flat[video])
        if self.bodies is not None:
            named = [Shot(*self.person, video, frame) for frame in self.bodies.frames[(*self.person, video)]]
            kept = [shot for shot in named if 1 <= shot.frame <= count]
            rows.left_out['named by the fits, but not annotated'] += len(named) - len(kept)
            return kept
        chosen = np.arange(0, count, _STEP)
        joints = self.flat[video][chosen][:, _TRAIN_JOINTS]
        whole = ((joints >= 0) & (joints < _SIDE)).all((1, 2))
        rows.left_out['partly outside the picture'] += int((~whole).sum())
        return [Shot(*self.person, video, int(frame) + 1) for frame in chosen[whole]]

    def _cut_out(self, video, shots):
        return extract_frames(self.folder / 'imageSequence' / f'video_{video}.avi',
                              {shot.frame - 1: self.root / shot.path for shot in shots})

    def _add(self, rows, shot):
        joints = self.flat[shot.camera][shot.frame - 1, _TRAIN_JOINTS]
        skeleton = self.solid[shot.camera][shot.frame - 1, _TRAIN_JOINTS] / 1000
        common = common_keypoints(joints, H36M17_TO_COMMON, COUNTED_FROM_0)
        detections = Path(self.openpose) / Path(shot.path).parent if self.openpose else ''
        rotation, translation, intrinsics = self.cameras[shot.camera]
        intrinsics = intrinsics.copy()  # the principal point and the keypoints count pixels from 0
        intrinsics[:2, 2] = to_continuous(intrinsics[None, :2, 2], COUNTED_FROM_0)[0]
        rows.add(shot.path, *box_of_points(joints), common, openpose_joints(detections, shot.path, common),
                 joints_3d=common_joints(skeleton - skeleton[0], H36M17_TO_COMMON), cam_R=rotation, cam_t=translation,
                 cam_K=intrinsics, **(self.bodies.labels(shot) if self.bodies is not None else {}))


def _read_annotations(path):
    """Read 2D joints [F,28,2] in pixels and 3D joints [F,28,3] in millimetres for each of the 14 cameras."""
    content = load_mat(path)
    try:
        flat = [np.asarray(cell[0], np.float64).reshape(-1, 28, 2) for cell in content['annot2']]
        solid = [np.asarray(cell[0], np.float64).reshape(-1, 28, 3) for cell in content['annot3']]
        assert len(flat) == len(solid) > max(_VIDEOS) and all(len(a) == len(b) for a, b in zip(flat, solid))
    except (KeyError, IndexError, TypeError, ValueError, AssertionError):
        raise BadFile(f"{path}: not MPI-INF-3DHP's annot.mat; it needs cells annot2 of [F,56] and annot3 of [F,84] "
                      'for 14 cameras') from None
    return flat, solid


def read_calibration(path):
    """Read a camera.calibration file. Raises MissingFile, BadFile.

    Returns {camera number: (rotation [3,3] from world to camera, translation [3] in metres, intrinsics [3,3])}.
    """
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
        raise BadFile(f"{path}: not MPI-INF-3DHP's camera.calibration; it needs name, intrinsic and extrinsic of each "
                      'camera') from None
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
            raise BadFile(f"{path}: not the test set's annot_data.mat; it needs annot2, univ_annot3 and "
                          'valid_frame') from None
    for frame in np.flatnonzero(valid):
        picture = f'mpi_inf_3dhp_test_set/{name}/imageSequence/img_{frame + 1:06d}.jpg'
        size, joints = _picture_size(root / picture), flat[frame]
        if size is None:
            rows.leave_out('whose picture is absent or unreadable')
            continue
        if not ((joints >= 0) & (joints < size)).all():
            rows.leave_out('partly outside the picture')
            continue
        skeleton = (solid[frame] - solid[frame, 0]) / 1000
        rows.add(picture, *box_of_points(joints), common_keypoints(joints, H36M17_TO_COMMON, COUNTED_FROM_0),
                 joints_3d=common_joints(skeleton, H36M17_TO_COMMON))


def _picture_size(path):
    """(width, height) from the header, or None if the picture is absent or unreadable."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except OSError:
        return None


def main():
    return command(convert_mpi_inf_3dhp, 'MPI-INF-3DHP to an annotation file.',
                   {'root': 'folder with S1 to S8 and mpi_inf_3dhp_test_set', 'out': '.npz to write'},
                   {'split': (['train', 'test'], 'part to convert'),
                    'extract': (False, 'extract the training pictures from the videos'),
                    'subjects': ('', "subjects to convert, such as '1-7' or '8' (default: all)"),
                    'fits': ('', "SPIN's mpi_inf_3dhp_train.npz; use its frames and fits, by image name"),
                    'openpose': ('', "folder of OpenPose's *_keypoints.json, with the layout of the pictures")})


if __name__ == '__main__':
    run_main(main)

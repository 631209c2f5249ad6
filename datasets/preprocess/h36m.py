"""Converts Human3.6M to annotation files: training set, protocols 1 and 2, with or without MoSh bodies.

python -m datasets.preprocess.h36m --root h36m --out data/dataset_extras/h36m_valid_protocol2.npz --split protocol2
    [--extract] [--mosh FOLDER] [--openpose FOLDER]
Layout: ROOT/S9/MyPoseFeatures/{D3_Positions_mono,D2_Positions}/Walking 1.60457274.cdf,
ROOT/S9/MySegmentsMat/{ground_truth_bb,ground_truth_bs}/Walking 1.60457274.mat (HDF5), ROOT/S9/Videos/Walking
1.60457274.mp4. Pictures go to ROOT/images/S9_Walking_1.60457274_000001.jpg. MoSh: FOLDER/S9/Walking
1_cam3_aligned.pkl. Needs the packages cdflib and h5py.
"""
import cv2
import numpy as np

from datasets.preprocess import check_output, command, existing, square_box
from datasets.preprocess.frames import extract_frames
from datasets.preprocess.hdf5 import open_hdf5
from datasets.preprocess.joints import H36M17_TO_COMMON, common_joints, common_keypoints, openpose_joints
from datasets.preprocess.parts import Parts
from datasets.preprocess.pictures import ABSENT, Pictures
from utils.errors import BadFile, MissingFile, run_main
from utils.optional_packages import import_package
from utils.pixels import COUNTED_FROM_0
from utils.safe_io import load_pickle

SPLITS = {'protocol1': (9, 11), 'protocol2': (9, 11), 'train': (1, 5, 6, 7, 8)}
_STEP = 5  # every fifth frame, 10 per second
_FRONTAL = '60457274'  # the camera of protocol 2
_CAMERAS = ('54138969', '55011271', '58860488', '60457274')  # in the order of MoSh
_JOINTS = [11, 6, 7, 8, 1, 2, 3, 12, 24, 14, 15, 17, 18, 19, 25, 26, 27]  # the 17 of the file's 32
_BOX = 0.9  # the masks are larger than the person


def convert_h36m(root, out, split='protocol2', extract=False, mosh='', openpose='', progress=True):
    """Write every fifth frame of a split.

    extract: also extract missing pictures from the videos. mosh: folder of MoSh's bodies; sequences without one are
    left out. Frames with an absent or damaged video or picture are left out and counted. After an interruption finished
    sequences are kept. Raises MissingFile, BadFile, and ProjectError without cdflib or h5py.
    """
    check_output(out)
    root = existing(root, 'folder (Human3.6M)')
    sequences = _sequences(root, split)
    pictures = None if extract else Pictures(root, 'images')

    def convert(name, rows):
        _Sequence(root, name).convert(rows, split, pictures, mosh, openpose)
    Parts(out, root=root, split=split, mosh=mosh, openpose=openpose).run(sequences, convert, root, progress)


def _sequences(root, split):
    """Names of the sequences of a split, such as 'S9/Walking 1.60457274'."""
    names = []
    for subject in SPLITS[split]:
        folder = root / f'S{subject}' / 'MyPoseFeatures' / 'D3_Positions_mono'
        files = sorted(existing(folder, 'folder (3D Positions Mono)').glob('*.cdf'))
        names += [f'S{subject}/{file.stem}' for file in files
                  if not file.stem.startswith('_ALL') and (split != 'protocol2' or file.stem.endswith(_FRONTAL))]
    if not names:
        raise MissingFile(f'{root}: no D3_Positions_mono/*.cdf of subjects {SPLITS[split]}')
    return names


class _Sequence:
    """One video, such as 'S9/Walking 1.60457274'."""

    def __init__(self, root, name):
        self.root, (self.subject, self.stem) = root, name.split('/')
        self.action, self.camera = self.stem.split('.')
        self.folder = root / self.subject

    def convert(self, rows, split, pictures, mosh, openpose):
        """Add the frames to `rows`. pictures: those on disk, or None to extract them from the video."""
        joints_3d = read_cdf(self.folder / 'MyPoseFeatures/D3_Positions_mono' / f'{self.stem}.cdf', 3)
        flat = self.folder / 'MyPoseFeatures/D2_Positions' / f'{self.stem}.cdf'
        joints_2d = read_cdf(flat, 2) if flat.exists() or split == 'train' else None
        bodies = self._bodies(mosh)
        if mosh and bodies is None:
            rows.left_out['frames of sequences without MoSh'] += len(joints_3d[::_STEP])
            return
        frames = range(0, len(joints_3d), _STEP)
        names = [f'images/{self.subject}_{self.action.replace(" ", "_")}.{self.camera}_{frame + 1:06d}.jpg'
                 for frame in frames]
        places = {frame: self.root / name for frame, name in zip(frames, names)}
        video = self.folder / 'Videos' / f'{self.stem}.mp4'
        lost = () if pictures is not None else extract_frames(video, places)
        for frame, name, box in zip(frames, names, self._boxes(frames)):
            if frame in lost:
                rows.leave_out('that their videos do not give')
                continue
            if pictures is not None and name not in pictures:
                rows.leave_out(ABSENT)
                continue
            if box is None:
                rows.leave_out('with an empty mask')
                continue
            common = None if joints_2d is None else common_keypoints(joints_2d[frame, _JOINTS], H36M17_TO_COMMON,
                                                                     COUNTED_FROM_0)
            skeleton = joints_3d[frame, _JOINTS] / 1000
            labels = {} if bodies is None else _body(bodies, frame // _STEP)
            rows.add(name, *box, common, None if common is None else openpose_joints(openpose, name, common),
                     joints_3d=common_joints(skeleton - skeleton[0], H36M17_TO_COMMON), **labels)

    def _boxes(self, frames):
        """Yield the square box of the person's mask in each frame, or None if the mask is empty."""
        folders = [self.folder / 'MySegmentsMat' / name for name in ('ground_truth_bb', 'ground_truth_bs')]
        folder = next((folder for folder in folders if folder.is_dir()), folders[0])
        path = folder / f'{self.stem}.mat'
        with open_hdf5(path) as file:
            try:
                for frame in frames:
                    rows, columns = np.nonzero(np.asarray(file[file['Masks'][frame, 0]]).T == 1)
                    if not len(rows):
                        yield None
                        continue
                    left, top = columns.min(), rows.min()
                    yield square_box(left, top, columns.max() + 1 - left, rows.max() + 1 - top, _BOX)
            except (KeyError, ValueError, IndexError) as error:
                raise BadFile(f"{path}: not a file of masks; it needs 'Masks' with one mask per frame "
                              f'({" ".join(str(error).split())[:80]})') from None

    def _bodies(self, mosh):
        """(poses [F,72], betas [10]) of this sequence from MoSh, or None."""
        if not mosh:
            return None
        path = existing(mosh, 'folder (MoSh)') / self.subject / (
            f'{self.action}_cam{_CAMERAS.index(self.camera)}_aligned.pkl')
        if not path.exists():
            return None
        content = load_pickle(path, ('new_poses', 'betas'))
        try:
            return np.asarray(content['new_poses'], np.float64), np.asarray(content['betas'], np.float64).ravel()[:10]
        except (KeyError, TypeError):
            raise BadFile(f"{path}: not a MoSh file; it needs 'new_poses' and 'betas'") from None


def _body(bodies, number):
    """Labels of a MoSh frame. The root is rotated by 180 degrees about x, because MoSh's bodies are upside down."""
    poses, betas = bodies
    if number >= len(poses):
        return {}
    pose = poses[number].copy()
    turned = cv2.Rodrigues(pose[:3])[0] @ cv2.Rodrigues(np.array([np.pi, 0, 0]))[0]
    pose[:3] = cv2.Rodrigues(turned)[0][:, 0]
    return {'pose': pose, 'betas': betas}


def read_cdf(path, dimensions):
    """Read joints [F,32,dimensions] of a Human3.6M pose file, in its units. Raises MissingFile, BadFile."""
    cdflib = import_package('cdflib', f'{path}: reading CDF', 'preprocess')
    try:
        poses = np.asarray(cdflib.CDF(str(existing(path, 'pose file'))).varget('Pose'), np.float64)
        return poses.reshape(-1, 32, dimensions)
    except (OSError, ValueError, KeyError, AttributeError, IndexError) as error:
        if isinstance(error, FileNotFoundError):
            raise MissingFile(f'{path}: no such pose file') from None
        raise BadFile(f"{path}: not a pose file; it needs 'Pose' [1, F, {32 * dimensions}] "
                      f'({" ".join(str(error).split())[:80]})') from None


def main():
    return command(convert_h36m, 'Human3.6M to an annotation file.',
                   {'root': 'folder with S1, S5 and so on, as unpacked', 'out': '.npz to write'},
                   {'split': (['protocol2', 'protocol1', 'train'], 'protocol1: four cameras; protocol2: frontal'),
                    'extract': (False, 'extract the pictures from the videos'),
                    'mosh': ('', "folder of MoSh's bodies, to add pose and shape"),
                    'openpose': ('', "folder of OpenPose's *_keypoints.json to add")})


if __name__ == '__main__':
    run_main(main)

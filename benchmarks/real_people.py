"""Measures the error of estimates on real people with annotations.

python -m benchmarks.real_people PEOPLE.npz --images FOLDER [--checkpoint FILE ...] [--plugin FILE] [--data data]
    [--model [heavy full]]

PEOPLE.npz has SPIN's format (docs/data.md), with 2D limb joints. Every estimate gets the annotated box:

- mean pose: the mean body, upright, under the mean camera, without the picture;
- network: a checkpoint's regressor, a row for each checkpoint; without --checkpoint, that of demo.py;
- keypoints: BlazePose with its own 3D joints, a row for each model whose file exists;
- fit: the body that demo.py fits to these keypoints, from the estimate of the last checkpoint, if there is one.

`--model` without a name leaves keypoints and fits out.

error: mean distance of the 12 limb joints, over the box's side. PCK: share of them within 0.05 and 0.1 of the side. A
joint that is not estimated is placed at the middle of the box. halves: the error of rows 0, 2, ... and of rows 1, 3,
...; choose by the first and judge by the second. PA-MPJPE: millimetres over the limb joints that both have, of the
people with annotated 3D joints; the mean, and the first eight. missed: number of joints that are not estimated. ms:
wall time a person on one thread.
"""
import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.config import load_config
from core.config.flags import add_plugin_flag, load_plugins
from core.demo.boxes import PersonBox
from core.demo.estimate import Estimator
from core.demo.fitting import FittingEstimator
from core.evaluation.options import checkpoint_config
from core.evaluation.run import load_regressor
from core.metrics import pa_mpjpe
from core.pretrained import default_checkpoint
from datasets.annotations import Annotations
from datasets.fits import mean_parameters
from datasets.image_io import read_picture
from datasets.video import Frame
from models.body import BodyModel
from models.keypoints import build_pose_estimator
from models.keypoints.files import has_weights
from utils.assets import find_assets
from utils.camera import default_focal_length
from utils.errors import BadFile, MissingFile, run_main
from utils.geometry import project
from utils.keypoints import JOINT_NAMES
from utils.threads import use_one_thread

LIMBS = [f'{side}_{name}' for side in ('right', 'left')
         for name in ('ankle', 'knee', 'hip', 'wrist', 'elbow', 'shoulder')]
ANNOTATED = [JOINT_NAMES.index(name) for name in LIMBS]
OPENPOSE = [JOINT_NAMES.index(f'openpose_{name}') for name in LIMBS]
COMMON = [row - 25 for row in ANNOTATED]
MEAN_CAMERA = (0.9, 0.0, 0.0)
PCK = (0.05, 0.1)


@dataclass
class Guess:
    """An estimate of one person. keypoints [49,3] pixels and confidence; joints_3d [49,4] or None."""
    keypoints: np.ndarray
    joints_3d: np.ndarray | None = None


@dataclass
class Score:
    """Errors of one kind of estimate.

    limbs: [K] distances over the box's side; rows: [K] the person of each; pa: [M] mm, one a person with 3D.
    """
    name: str
    limbs: np.ndarray
    rows: np.ndarray
    missed: int
    pa: np.ndarray
    ms: float

    def __str__(self):
        pck = ' | '.join(f'{(self.limbs <= share).mean():.3f}' for share in PCK)
        each = f'{self.pa.mean():.0f} ({", ".join(f"{value:.0f}" for value in self.pa[:8])})' if len(self.pa) else '-'
        halves = ', '.join(f'{self.limbs[half].mean():.4f}' for half in (self.rows % 2 == 0, self.rows % 2 == 1)
                           if half.any())
        return f'| {self.name} | {self.limbs.mean():.4f} | {halves} | {pck} | {each} | {self.missed} | {self.ms:.0f} |'


HEADER = ('| | error | halves | PCK 0.05 | PCK 0.1 | PA-MPJPE | missed | ms |\n'
          '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |')


def limb_joints(values):
    """The 12 limb joints [12,D+1] of a 49-joint set [49,D+1], each from the row that has confidence."""
    annotated, openpose = values[ANNOTATED], values[OPENPOSE]
    return np.where(annotated[:, -1:] > 0, annotated, openpose)


def score(name, people, guess_of):
    """Score of `guess_of(index) -> Guess or None` on the people of Annotations."""
    distances, rows, missed, pa, spent = [], [], 0, [], 0.0
    for index in range(len(people.imgname)):
        start = time.perf_counter()
        guess = guess_of(index)
        spent += time.perf_counter() - start
        truth, side = limb_joints(people.keypoints_2d[index]), 200 * people.scale[index]
        known = truth[:, 2] > 0
        found = limb_joints(guess.keypoints) if guess else np.zeros((12, 3))
        found[found[:, 2] <= 0, :2] = people.center[index]
        missed += int((found[known, 2] <= 0).sum())
        distances.append(np.linalg.norm(found[known, :2] - truth[known, :2], axis=1) / side)
        rows.append(np.full(known.sum(), index))
        if people.has_joints_3d[index] and guess and guess.joints_3d is not None:
            pa.append(aligned_error(guess.joints_3d, people.joints_3d[index]))
    return Score(name, np.concatenate(distances), np.concatenate(rows), missed, np.array(pa),
                 1e3 * spent / len(people.imgname))


def aligned_error(joints_3d, truth):
    """PA-MPJPE in mm of joints [49,4] against annotated ones [24,4], over the limb joints that both have."""
    found, known = limb_joints(joints_3d), truth[COMMON]
    valid = torch.from_numpy((found[:, 3] > 0) & (known[:, 3] > 0))[None]
    return float(pa_mpjpe(torch.as_tensor(found[None, :, :3]), torch.as_tensor(known[None, :, :3]), valid))


def of_body(joints, seen):
    """A Guess with confidence 1 for every joint: joints [49,3] metres, seen [49,2] pixels."""
    sure = np.ones((len(joints), 1), np.float32)
    return Guess(np.concatenate([seen, sure], 1), np.concatenate([joints, sure], 1))


def mean_pose(people, data_dir):
    """Gives each person the mean body."""
    assets = find_assets(data_dir)
    mean = torch.from_numpy(mean_parameters(assets))
    body = BodyModel(assets.root)
    joints = body(mean[None, 72:], pose=mean[None, :72]).joints
    seen = project(joints, torch.tensor([MEAN_CAMERA]))[0].numpy()
    return lambda i: of_body(joints[0].numpy(), people.center[i] + seen * 100 * people.scale[i])


def network(people, pictures, checkpoint, data_dir):
    """Gives each person the estimate of a checkpoint's regressor in the annotated box."""
    _, estimator = open_network(checkpoint, data_dir)
    return lambda i: estimated(estimator, pictures[i], person_of(people, i))


def open_network(checkpoint, data_dir):
    """(config, Estimator) of a checkpoint; without one, the defaults and None."""
    keys = ['DEVICE', 'cpu', 'DEMO.RENDER', False, 'PATHS.DATA_DIR', data_dir]
    if not checkpoint:
        return load_config(None, keys), None
    cfg, device = checkpoint_config(checkpoint, keys), torch.device('cpu')
    return cfg, Estimator(cfg, load_regressor(cfg, checkpoint, device), device)


def person_of(people, i):
    return PersonBox(box_of(people, i), people.center[i], 200 * float(people.scale[i]), person_id=0)


def estimated(estimator, picture, person):
    """The Guess of the demo's estimator for a PersonBox, or None if it finds nobody."""
    found, = estimator([(Frame(0, 0.0, picture), person)],
                       lambda frame: default_focal_length(*picture.shape[1::-1]))
    return found and of_body(found.joints, found.keypoints_2d[:, :2])


def fit(people, pictures, model, checkpoint, data_dir):
    """Gives each person the body that is fitted to BlazePose's keypoints in the annotated box."""
    cfg, regressor = open_network(checkpoint, data_dir)
    pose_estimator = build_pose_estimator('blazepose', model=model)
    estimator = FittingEstimator(cfg, regressor, pose_estimator)

    def guess(i):
        found, = pose_estimator(pictures[i], box_of(people, i)[None])
        return estimated(estimator, pictures[i], person_of(people, i).with_keypoints(found))
    return guess


def keypoints(people, pictures, model):
    """Gives each person BlazePose's keypoints in the annotated box."""
    estimator = build_pose_estimator('blazepose', model=model)

    def guess(i):
        found, = estimator(pictures[i], box_of(people, i)[None])
        return found and Guess(found.keypoints, found.joints_3d)
    return guess


def box_of(people, index):
    half = 100 * people.scale[index]
    return np.concatenate([people.center[index] - half, people.center[index] + half])


def read_people(file, images):
    """(Annotations, their pictures [H,W,3] RGB)."""
    people = Annotations.load(file)
    if not len(people.imgname):
        raise BadFile(f'{file}: no people in this file')
    if not Path(images).is_dir():
        raise MissingFile(f'--images {images}: no such folder; give the one that the names in {file} are relative to')
    pictures = [read_picture(Path(images) / name).pixels for name in people.imgname]
    return people, [np.ascontiguousarray(pixels[..., ::-1]) for pixels in pictures]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('people', type=Path, help='annotation file, .npz')
    parser.add_argument('--images', type=Path, required=True, help='folder of its pictures')
    parser.add_argument('--checkpoint', nargs='*', help='regressors; without a name: none')
    parser.add_argument('--data', default=load_config().PATHS.DATA_DIR, help='asset folder')
    parser.add_argument('--model', nargs='*', choices=('heavy', 'full'), default=('heavy', 'full'))
    add_plugin_flag(parser)
    options = parser.parse_args(argv)
    load_plugins(vars(options))
    use_one_thread()
    checkpoints = options.checkpoint
    if checkpoints is None:
        checkpoints = [path for path in [default_checkpoint(options.data)] if path]
    people, pictures = read_people(options.people, options.images)
    print(f'{len(people.imgname)} people, {int(people.has_joints_3d.sum())} with 3D joints\n\n{HEADER}')
    print(score('mean pose', people, mean_pose(people, options.data)), flush=True)
    for checkpoint in checkpoints:
        seen = network(people, pictures, checkpoint, options.data)
        print(score(f'network {Path(checkpoint).name}', people, seen), flush=True)
    checkpoint = checkpoints[-1] if checkpoints else None
    for model in options.model:
        if has_weights(f'pose_landmark_{model}.tflite'):
            print(score(f'keypoints, BlazePose {model}', people, keypoints(people, pictures, model)), flush=True)
            print(score(f'keypoints and fit, {model}', people, fit(people, pictures, model, checkpoint, options.data)),
                  flush=True)
    return 0


if __name__ == '__main__':
    run_main(main)

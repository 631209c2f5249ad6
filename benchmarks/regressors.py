"""Compares regressors on people off the camera's axis: python -m benchmarks.regressors [--steps 1500] [--seeds 0 1 2]

Trains each regressor on the same rendered people, with the same backbone, losses and steps (those of
configs/free/cliff_quick.yaml). Prints its errors on other people, near the axis and far from it. A picture shows a
window of a camera's view. The middle of the window is up to --angle degrees off the axis. Errors are in the picture's
camera. Joints are compared relative to the pelvis, so rotating estimate and ground truth by one ray changes nothing.
"""
import argparse
import contextlib
import io
import tempfile
from functools import lru_cache

import numpy as np
import torch
from accelerate.state import AcceleratorState
from tqdm import tqdm

from core.config import load_config
from core.evaluation.report import Score
from core.training.trainer import Trainer
from datasets import register_dataset
from datasets.registered import RegisteredDataset
from datasets.synthetic.lighting import sample_lighting
from datasets.synthetic.people import Cast, dress, place
from datasets.synthetic.poses import sample_people
from datasets.synthetic.render import draw, label
from datasets.synthetic.scene import Camera, Scene, frame_points
from utils.assets import find_assets
from utils.errors import BadConfig, run_main

DATASET = 'off-axis'
_SIZE = 128  # pixels a side of the rendered windows
_NEAR = 20.0  # largest angle off the axis of people who are near, in degrees
_PYMAF = ['MODEL.PyMAF.DECONV_FILTERS', [64, 64, 64], 'MODEL.PyMAF.MLP_DIM', [64, 64, 32, 16],
          'MODEL.PyMAF.HIDDEN', 512, 'MODEL.PyMAF.POINT_ACTIVATION', 'leaky_relu', 'IUV.SIZE', 32,
          'LOSS.INDEX_WEIGHTS', 20.0, 'LOSS.PART_WEIGHTS', 10.0, 'LOSS.POINT_REGRESSION_WEIGHTS', 0.05]
# The decoder of configs/free/hmr2_quick.yaml, with the losses of the other regressors.
_HMR2 = ['MODEL.HMR2.DIM', 256, 'MODEL.HMR2.DEPTH', 3, 'MODEL.HMR2.HEADS', 4, 'MODEL.HMR2.HEAD_DIM', 32,
         'MODEL.HMR2.MLP_DIM', 512, 'MODEL.HMR2.SMALL_START', True, 'MODEL.HMR2.SUMMED_LOSSES', False]
# Title: regressor, MODEL.CAMERA, and further keys.
NETWORKS = {
    'HMR, along the ray': ('hmr', 'crop', ['MODEL.HMR.HIDDEN', 512]),
    "HMR, picture's camera": ('hmr', 'picture', ['MODEL.HMR.HIDDEN', 512]),
    'CLIFF': ('cliff', 'picture', []),
    'HMR2': ('hmr2', 'crop', _HMR2),
    'PyMAF, along the ray': ('pymaf_net', 'crop', _PYMAF)}


@lru_cache(maxsize=4)
def render_people(data_dir, seed, count, angle):
    """[dict] of people in windows off the axis, in the form of a registered dataset (datasets/registered.py)."""
    cast, people = Cast(find_assets(data_dir)), []
    for row in tqdm(range(count), desc='render'):
        people.append(_person(np.random.default_rng([seed, row]), cast, angle))
    return people


def _person(rng, cast, angle):
    focal = _SIZE / 2 / np.tan(np.deg2rad(rng.uniform(20, 40)) / 2)
    off, way = focal * np.tan(np.deg2rad(rng.uniform(0, angle))), rng.uniform(0, 2 * np.pi)
    # In a wide picture, people are further from the middle sideways than upwards.
    middle = _SIZE / 2 - off * np.array([np.cos(way), 0.5 * np.sin(way)])
    camera = Camera(focal, tuple(middle), _SIZE, _SIZE)
    gender, betas = cast.draw(rng)
    poses, views = sample_people(rng, 1, cast.bodies[gender].girth(betas), facing=True)
    person = dress(rng, cast, gender, betas, poses[0])
    translation = frame_points(person.posed.vertices[::7], camera, rng.uniform(.7, .9))
    scene = Scene(place(person, translation), camera, views[0], sample_lighting(rng))
    drawing = draw(rng, scene, studio=True)
    row = label(scene, drawing)
    return {'image': drawing.image, 'center': row['center'], 'scale': row['scale'], 'cam_K': camera.matrix,
            'keypoints_2d': np.concatenate([row['openpose'], row['part']]), 'pose': row['pose'],
            'betas': row['shape'], 'joints_3d': row['S']}


def angles_of(people):
    """Degrees [N] between the axis and the middles of the boxes."""
    slopes = [np.linalg.norm(person['center'] - person['cam_K'][:2, 2]) / person['cam_K'][0, 0] for person in people]
    return np.degrees(np.arctan(slopes))


def train(title, seed, options):
    """Train once -> Evaluation."""
    AcceleratorState._reset_state(reset_partial_state=True)
    regressor, frame, keys = NETWORKS[title]
    cfg = load_config('free/cliff_quick.yaml', [
        'NAME', 'benchmark', 'LOG_DIR', tempfile.mkdtemp(), 'PATHS.DATA_DIR', options.data_dir, 'SEED', seed,
        'MODEL.REGRESSOR', regressor, 'MODEL.CAMERA', frame, 'MODEL.BACKBONE.NAME', options.backbone,
        'MODEL.BACKBONE.PRETRAINED', options.pretrained, 'DATA.MIXTURE', [f'{DATASET}:1'], 'DATA.EVAL_DATASET', '',
        'TRAIN.NUM_EPOCHS', 10 ** 6, 'TRAIN.MAX_STEPS', options.steps, 'TRAIN.VIS_INTERVAL', 10 ** 9,
        *keys, *options.misc])
    trainer = Trainer(cfg)
    with contextlib.redirect_stdout(io.StringIO()):  # the trainer prints a table
        trainer.fit()
    return trainer.evaluator.evaluate(trainer.state.best_weights, RegisteredDataset(cfg, DATASET, 'eval'), DATASET,
                                      trainer.accelerator.device, progress=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_dir', default='data')
    parser.add_argument('--steps', type=int, default=1500)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--people', type=int, default=3000, help='rendered for training')
    parser.add_argument('--held_out', type=int, default=400, help='rendered for the errors')
    parser.add_argument('--angle', type=float, default=45.0, help='largest angle off the axis, in degrees')
    parser.add_argument('--backbone', default='timm/tf_efficientnet_lite0')
    parser.add_argument('--pretrained', default='imagenet')
    parser.add_argument('--networks', nargs='+', default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument('--misc', nargs='*', default=[], metavar='KEY VALUE', help='any config keys with values')
    options = parser.parse_args()
    if not find_assets(options.data_dir).is_free:
        raise BadConfig('people are rendered from the free body; set --data_dir to its folder, such as data/free')

    @register_dataset(DATASET)
    def off_axis(cfg, split):
        seed, count = (0, options.people) if split == 'train' else (1, options.held_out)
        return render_people(options.data_dir, seed, count, options.angle)

    angles = angles_of(render_people(options.data_dir, 1, options.held_out, options.angle))
    near = torch.from_numpy(angles <= _NEAR)
    print(f'{near.sum()} people within {_NEAR:.0f} degrees of the axis, {(~near).sum()} farther\n')
    print('| network | seed | PA-MPJPE | 95 % interval | MPJPE | MPJPE near | MPJPE far |')
    print('| --- | ---: | ---: | ---: | ---: | ---: | ---: |')
    for seed in options.seeds:
        for title in options.networks:
            errors = {name: values[:, -1] for name, values in train(title, seed, options).errors.items()}
            score, mpjpe = Score.of(errors['pa_mpjpe']), errors['mpjpe']
            print(f'| {title} | {seed} | {score.mean:.1f} | {score.low:.1f} to {score.high:.1f} | {mpjpe.mean():.1f} | '
                  f'{mpjpe[near].mean():.1f} | {mpjpe[~near].mean():.1f} |', flush=True)
    return 0


if __name__ == '__main__':
    run_main(main)

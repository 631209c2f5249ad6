"""Compares this project's first fits of LSP's 1,000 real people with SPIN's published ones.

python -m benchmarks.lsp_fits FOLDER [--data data] [--rows 1000] [--prior gmm_08.pkl] [--drawing worst.png]

FOLDER is laid out like `data/` and holds SPIN's `dataset_extras/lsp_dataset_original_train.npz` and
`static_fits/lsp-orig_fits.npy`. Both fits pose the body in use and are compared after similarity alignment:

- 14 joints: LSP's (limbs, neck, top of the head), each body with the betas of its own fit;
- 12 limb joints: both bodies with the mean shape, so that only the pose counts;
- turned: share of people whose global orientations are more than 90 degrees apart;
- residual: mean squared pixels a joint of our fits;
- OpenPose contradicts: people whose OpenPose limb joints are far from the annotated ones. Our fits ignore these joints.
  The published fits follow both and are deformed there.

A second table has known ground truth. The published poses, on bodies of random shape, are projected to the keypoints
that the same people show, with noise of `--noise` pixels, and fitted. The error is the distance to the projected
joints. Size is that of the fitted leg over the true one. Keypoints do not determine the remaining error.
Milliseconds are processor time of one thread. `--prior` selects another pose prior than the asset folder's.
"""
import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.smplify_pictures import CROP, fit_row
from core.config import load_config
from core.metrics import pa_mpjpe
from core.training.dataset_fits import InitialFits, fit_keypoints, keypoints_in_crop, without_strangers
from core.training.fitting import HALF_CROP
from datasets.annotations import Annotations
from datasets.fits import mean_parameters, read_fits
from models.smplify import build_smplify
from models.smplify.priors import PosePrior
from utils.assets import find_assets
from utils.errors import BadConfig, run_main
from utils.geometry import axis_angle_to_rotmat
from utils.keypoints import FOCAL_LENGTH, JOINT_NAMES, NUM_OPENPOSE
from utils.threads import use_one_thread

ANNOTATIONS, FITS = 'dataset_extras/lsp_dataset_original_train.npz', 'static_fits/lsp-orig_fits.npy'
LSP_JOINTS, LIMB_JOINTS = slice(NUM_OPENPOSE, NUM_OPENPOSE + 14), slice(NUM_OPENPOSE, NUM_OPENPOSE + 12)
LEG = [JOINT_NAMES.index(f'left_{name}') for name in ('ankle', 'knee', 'hip')]
BATCH = 64


@dataclass
class Comparison:
    """lsp [N] and limbs [N]: millimetres after alignment; turn [N]: degrees between global orientations."""
    lsp: np.ndarray
    limbs: np.ndarray
    turn: np.ndarray


def read_people(folder):
    """(keypoints [1000,49,3] in the 224 px crop, published fits [1000,82]) of a folder laid out like `data/`."""
    people = Annotations.load(Path(folder) / ANNOTATIONS)
    params, _ = read_fits(Path(folder) / FITS, len(people), body_digest='', is_free_body=False)
    return keypoints_in_crop(people.keypoints_2d, people.center, people.scale), params


def fit(smplify, keypoints, mean):
    """First fits of keypoints [N,49,3] -> (InitialFits, milliseconds of processor time a person)."""
    start = time.process_time()
    parts = [fit_keypoints(smplify, keypoints[i:i + BATCH], mean, np.inf) for i in range(0, len(keypoints), BATCH)]
    return InitialFits.concatenate(parts), 1e3 * (time.process_time() - start) / len(keypoints)


def compare(body, params, published):
    """Two fits [N,82] of the same people on one body -> Comparison."""
    params, published = torch.as_tensor(params), torch.as_tensor(published)
    lsp = pa_mpjpe(_joints(body, params)[:, LSP_JOINTS], _joints(body, published)[:, LSP_JOINTS])
    limbs = pa_mpjpe(*(_joints(body, value, mean_shape=True)[:, LIMB_JOINTS] for value in (params, published)))
    return Comparison(lsp.numpy(), limbs.numpy(), turn_between(params, published))


def turn_between(params, others):
    """Degrees [N] between the global orientations of fits [N,82]."""
    first, second = (axis_angle_to_rotmat(torch.as_tensor(value)[:, :3]) for value in (params, others))
    trace = (first.transpose(1, 2) @ second).diagonal(dim1=1, dim2=2).sum(1)
    return torch.rad2deg(torch.arccos(((trace - 1) / 2).clamp(-1, 1))).numpy()


def _joints(body, params, mean_shape=False):
    betas = params[:, 72:]
    return body(torch.zeros_like(betas) if mean_shape else betas, pose=params[:, :72]).joints


def known_people(body, published, confidence, noise, seed=0):
    """People whose body is known: the published poses [N,82] in random shapes, seen through noise.

    confidence [N,49] is that of the keypoints. -> (keypoints [N,49,3], params [N,82], joints [N,49,3])
    """
    generator = torch.Generator().manual_seed(seed)
    params = torch.tensor(published)
    params[:, 72:] = torch.randn(len(params), 10, generator=generator)
    joints = _joints(body, params)
    low, high = joints[..., :2].amin(1), joints[..., :2].amax(1)
    height = 2 * HALF_CROP / 1.2 * (0.9 + 0.2 * torch.rand(len(params), generator=generator))
    depth = FOCAL_LENGTH * (high - low).amax(1) / height
    points = joints + torch.cat([-(low + high) / 2, depth[:, None]], 1)[:, None]
    pixels = FOCAL_LENGTH * points[..., :2] / points[..., 2:] + HALF_CROP
    pixels = pixels + noise * torch.randn(pixels.shape, generator=generator)
    return torch.cat([pixels, torch.as_tensor(confidence)[..., None]], -1).numpy(), params, joints


def print_published(comparison, residual, milliseconds, agree):
    count = len(comparison.lsp)
    print('| people | 14 joints: mean | median | 12 limb joints, mean shape: mean | median | turned | residual, px^2 | '
          'ms a person |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |')
    half = np.arange(count) < count // 2
    for name, rows in (('all', half | True), ('first half', half), ('second half', ~half),
                       ('OpenPose agrees', agree), ('OpenPose contradicts', ~agree)):
        lsp, limbs, turn = comparison.lsp[rows], comparison.limbs[rows], comparison.turn[rows]
        if rows.any():
            print(f'| {name}, {rows.sum()} | {lsp.mean():.1f} | {np.median(lsp):.1f} | '
                  f'{limbs.mean():.1f} | {np.median(limbs):.1f} | '
                  f'{100 * (turn > 90).mean():.1f} % | {residual[rows].mean():.1f} | {milliseconds:.1f} |')


def print_known(smplify, keypoints, published, mean, noise):
    seen, params, joints = known_people(smplify.body, published, keypoints[..., 2], noise)
    fits, _ = fit(smplify, seen, mean)
    found = _joints(smplify.body, torch.as_tensor(fits.params))
    error = pa_mpjpe(found[:, LIMB_JOINTS], joints[:, LIMB_JOINTS]).numpy()
    size = (_leg(found) / _leg(joints)).numpy()
    print('\n| truth known | 12 limb joints: mean | median | turned | size |\n| --- | ---: | ---: | ---: | ---: |')
    print(f'| {len(error)} people, {noise:g} px | {error.mean():.1f} | {np.median(error):.1f} | '
          f'{100 * (turn_between(fits.params, params) > 90).mean():.1f} % | {size.mean():.3f} +- {size.std():.3f} |')


def _leg(joints):
    ankle, knee, hip = (joints[:, index] for index in LEG)
    return (ankle - knee).norm(dim=1) + (knee - hip).norm(dim=1)


def draw(path, smplify, keypoints, params, published, rows):
    """A line for each person: keypoints, our fit over them and from the side, the same of the published fit."""
    empty = np.full((CROP, CROP, 3), 255, np.uint8)
    lines = [np.concatenate([fit_row(smplify, empty, keypoints[i], params[i]),
                             fit_row(smplify, empty, keypoints[i], published[i])[:, CROP:]], axis=1) for i in rows]
    cv2.imwrite(str(path), np.concatenate(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='folder of the real files, laid out like data/')
    parser.add_argument('--data', default='data', help='asset folder of the body')
    parser.add_argument('--rows', type=int, default=1000, help='people, from the first')
    parser.add_argument('--prior', help='pose prior (gmm_08.pkl); default: the asset folder\'s')
    parser.add_argument('--noise', type=float, default=3.0, help='noise of the second table, in pixels')
    parser.add_argument('--drawing', help='picture to write, of the people with the largest differences')
    parser.add_argument('--draw', type=int, default=8, help='how many of them')
    options = parser.parse_args()
    if options.rows < 2:
        raise BadConfig(f'--rows {options.rows}: use 2 or more')
    use_one_thread()
    keypoints, published = (values[:options.rows] for values in read_people(options.folder))
    smplify = build_smplify(load_config(None, ['PATHS.DATA_DIR', options.data]))
    if options.prior:
        smplify.pose_prior = PosePrior(options.prior)
    mean = mean_parameters(find_assets(options.data))
    fits, milliseconds = fit(smplify, keypoints, mean)
    comparison = compare(smplify.body, fits.params, published)
    agree = (without_strangers(torch.as_tensor(keypoints)).numpy() == keypoints).all((1, 2))
    print_published(comparison, fits.residual, milliseconds, agree)
    print_known(smplify, keypoints, published, mean, options.noise)
    if options.drawing:
        worst = np.argsort(comparison.lsp)[::-1][:options.draw]
        draw(options.drawing, smplify, keypoints, fits.params, published, worst)
        print('\ndrawn, from the top: ' + ', '.join(f'row {i} ({comparison.lsp[i]:.0f} mm)' for i in worst))
    return 0


if __name__ == '__main__':
    run_main(main)

"""Draws fits of real people over their pictures.

python -m benchmarks.smplify_pictures --annotations person_keypoints.json --images FOLDER --out fits.png
    [--data data] [--min_keypoints 8]

The picture has, for each annotated person, the crop with its keypoints, the fit over it, and the fit from the side.
Residuals are printed.
"""
import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

from core.config import load_config
from core.training.dataset_fits import fit_keypoints, keypoints_in_crop
from core.training.fitting import HALF_CROP
from datasets.annotations import Annotations
from datasets.augmentation import crop_transform, warp_crop
from datasets.fits import mean_parameters
from datasets.image_io import read_picture
from datasets.preprocess.coco import convert_coco
from models.smplify import build_smplify
from utils.assets import find_assets
from utils.errors import run_main
from utils.geometry import estimate_translation
from utils.keypoints import FOCAL_LENGTH
from utils.rendering import draw_keypoints, render_overlay, render_side_view

CROP = 448


def fit_row(smplify, crop, keypoints, params):
    """Crop [S,S,3] BGR with its keypoints [49,3] (224 px), overlay and side view of a fit [82]: [S,3S,3] uint8."""
    params = torch.as_tensor(params)[None]
    body = smplify.body(params[:, 72:], pose=params[:, :72])
    normalized = torch.as_tensor(keypoints)[None].clone()
    normalized[..., :2] = normalized[..., :2] / HALF_CROP - 1
    translation = estimate_translation(body.joints, normalized)
    zoom = CROP / (2 * HALF_CROP)
    drawn = {'vertices': body.vertices + translation[:, None], 'faces': smplify.body.faces,
             'focal_length': FOCAL_LENGTH * zoom}
    in_crop = keypoints * np.array([zoom, zoom, 1], np.float32)
    return np.concatenate([draw_keypoints(crop, in_crop), render_overlay(crop, **drawn),
                           render_side_view(**drawn, height=CROP, width=CROP)], axis=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--annotations', required=True, help="COCO's person keypoints")
    parser.add_argument('--images', required=True, type=Path)
    parser.add_argument('--out', required=True)
    parser.add_argument('--data', default='data', help='asset folder')
    parser.add_argument('--min_keypoints', type=int, default=8, help='least number of annotated limb joints')
    options = parser.parse_args()
    cfg = load_config(None, ['PATHS.DATA_DIR', options.data])
    smplify = build_smplify(cfg)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'people.npz'
        convert_coco(options.images, options.annotations, file, min_keypoints=options.min_keypoints)
        people = Annotations.load(file)
    keypoints = keypoints_in_crop(people.keypoints_2d, people.center, people.scale)
    fits = fit_keypoints(smplify, keypoints, mean_parameters(find_assets(options.data)), cfg.SMPLIFY.THRESHOLD)
    rows = []
    for i, name in enumerate(people.imgname):
        print(f'{name}: residual {fits.residual[i]:.2f} px^2 a joint, {"valid" if fits.valid[i] else "not valid"}, '
              f'betas {np.abs(fits.params[i, 72:]).max():.2f}')
        picture = read_picture(options.images / name)
        transform = crop_transform(people.center[i], people.scale[i], CROP)
        crop = warp_crop(picture.pixels, transform, CROP, picture.reduced)
        rows.append(fit_row(smplify, crop, keypoints[i], fits.params[i]))
    cv2.imwrite(options.out, np.concatenate(rows))
    return 0


if __name__ == '__main__':
    run_main(main)

"""Initial SMPL fits of a dataset: python -m models.smplify.fit_dataset --dataset NAME

A script that parses flags; nothing imports it (the work is in core/training/dataset_fits.py). NAME is a dataset of
the catalog, a user's own, or the path of an annotation file. Fits are saved in `static_fits/` of the asset folder,
where training with SMPLIFY.RUN or SMPLIFY.USE_FITS finds them. An interrupted run continues where it stopped.
"""
import argparse
import shutil
from pathlib import Path

import torch

from core.config import load_config
from core.training.dataset_fits import fit_annotations, histogram, save_initial_fits
from datasets.annotations import Annotations
from datasets.catalog import find_dataset, load_annotations
from datasets.fits import fits_stems
from models.smplify import build_smplify
from utils.assets import find_assets
from utils.errors import BadConfig, ProjectError, run_main
from utils.logging import get_logger
from utils.threads import usable_cores


def parse(argv=None):
    parser = argparse.ArgumentParser(prog='python -m models.smplify.fit_dataset', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--dataset', required=True, help='name, or path of an annotation file')
    parser.add_argument('--split', default='train', choices=('train', 'eval'))
    parser.add_argument('--out', type=Path, help='folder of the result; default: static_fits/ of the asset folder')
    parser.add_argument('--batch_size', type=int, default=64)
    parser.add_argument('--threads', type=int, default=usable_cores())
    parser.add_argument('--overwrite', action='store_true', help='replace existing fits')
    parser.add_argument('--misc', nargs='*', default=[], metavar='KEY VALUE', help='any config keys with their values')
    return parser.parse_args(argv)


def main(argv=None):
    options = parse(argv)
    torch.set_num_threads(options.threads)
    cfg = load_config(None, options.misc)
    name, annotations = _read(cfg, options)
    stems = fits_stems(name)
    if not stems:
        raise BadConfig(f'{name}: has pose and shape labels already and needs no fits')
    folder = options.out or find_assets(cfg.PATHS.DATA_DIR).root / 'static_fits'
    target = folder / f'{stems[0]}_fits.npy'
    if target.exists() and not options.overwrite:
        raise ProjectError(f'{target}: exists already; use --overwrite to replace it')
    smplify = build_smplify(cfg)
    parts = folder / f'.{stems[0]}_fits.parts'
    fits = fit_annotations(cfg, annotations, smplify, parts, options.batch_size)
    save_initial_fits(folder, stems[0], fits, smplify.body.digest)
    shutil.rmtree(parts)
    print(histogram(fits))
    get_logger().info(f'{target}: {len(fits.params)} fits')
    return 0


def _read(cfg, options):
    if options.dataset.endswith('.npz'):
        return Path(options.dataset).stem, Annotations.load(options.dataset)
    source = find_dataset(cfg, options.dataset, options.split)
    return source.name, load_annotations(cfg, source, labels_count=False)


if __name__ == '__main__':
    run_main(main)

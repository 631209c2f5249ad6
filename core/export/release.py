"""Convert a run's checkpoint for release: python -m core.export.release --checkpoint FILE --out NAME.safetensors

The file contains the weights in half precision (averaged weights if the run has them), batch statistics in single
precision, the name of the regressor, its config without the paths of this machine, and the digest of the body. It
contains no pickle and no optimizer. Its estimates for random pictures are compared with those of the checkpoint.
"""
import argparse
from pathlib import Path

import torch

from core.batches import example_inputs
from core.config import default_config, get_key, load_stored_config, set_key, to_text
from models import build_regressor
from models.weights import load_weights
from utils.errors import BadFile, run_main
from utils.torch_io import load_torch, save_torch

_TEXTS = ('regressor', 'regressor_class', 'body_digest')
# Config keys that depend on the machine or on one start of the run.
_OF_ONE_MACHINE = ('DEVICE', 'PATHS.DATA_DIR', 'PATHS.IMAGE_DIRS', 'DATA.STREAM.PHOTOS', 'DATA.STREAM.DEVICE',
                   'DATA.OCCLUDERS', 'TRAIN.PRETRAINED_CHECKPOINT', 'TRAIN.NUM_WORKERS', 'TRAIN.CHECKPOINT_STEPS',
                   'TRAIN.KEEP_CHECKPOINTS')
_SINGLE = ('running_mean', 'running_var')  # their range exceeds half precision
_PICTURES = 8


def release(checkpoint, out):
    """Write a checkpoint of a run as `out` (.safetensors) -> largest distance between vertices of both files, in mm.

    Raises MissingFile. Raises BadFile if the checkpoint is not of a run of this project.
    """
    content = load_torch(checkpoint)
    if not isinstance(content, dict) or not {'model', 'config', *_TEXTS} <= set(content):
        raise BadFile(f'{checkpoint}: not a checkpoint of a run of this project; use one of LOG_DIR/NAME/checkpoints')
    cfg = load_stored_config(content['config'], f'{checkpoint}: config')
    save_torch(out, {'model': {name: _smaller(name, value) for name, value in content['model'].items()},
                     'config': to_text(_portable(cfg)), **{key: content[key] for key in _TEXTS}})
    return _distance(cfg, checkpoint, out)


def _smaller(name, value):
    keeps = not value.is_floating_point() or name.endswith(_SINGLE)
    return value if keeps else value.half()


def _portable(cfg):
    cfg, defaults = cfg.clone(), default_config()
    cfg.defrost()
    for key in _OF_ONE_MACHINE:
        set_key(cfg, key, get_key(defaults, key))
    return cfg


def _distance(cfg, *checkpoints):
    regressor = build_regressor(cfg).eval()
    inputs, vertices = example_inputs(regressor, cfg, _PICTURES), []
    for checkpoint in checkpoints:
        load_weights(regressor, checkpoint)
        with torch.no_grad():
            vertices.append(regressor(*inputs).final.vertices)
    return 1e3 * float((vertices[0] - vertices[1]).norm(dim=-1).max())


def main(argv=None):
    parser = argparse.ArgumentParser(prog='python -m core.export.release', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--checkpoint', type=Path, required=True,
                        help='checkpoint of a run, such as LOG_DIR/NAME/checkpoints/latest.pt')
    parser.add_argument('--out', type=Path, required=True, help='file to write, .safetensors')
    options = parser.parse_args(argv)
    if options.out.suffix != '.safetensors':
        parser.error('--out must end in .safetensors')
    gap = release(options.checkpoint, options.out)
    print(f'{options.out}: {options.out.stat().st_size / 1e6:.1f} MB; vertices differ from {options.checkpoint} by at '
          f'most {gap:.2f} mm')
    return 0


if __name__ == '__main__':
    run_main(main)

"""A run's checkpoint as a file to hand out: python -m core.export.release --checkpoint FILE --out NAME.safetensors

The file holds the weights (the averaged ones where a run has them) in half precision, batch statistics in single
precision, the regressor's name, its config without this machine's paths, and the body's digest. It has no pickle and
no optimizer. Its estimates of random pictures are compared with the checkpoint's.
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
# What a config says of one machine, or of one start.
_OF_ONE_MACHINE = ('DEVICE', 'PATHS.DATA_DIR', 'PATHS.IMAGE_DIRS', 'DATA.STREAM.PHOTOS', 'DATA.STREAM.DEVICE',
                   'DATA.OCCLUDERS', 'TRAIN.PRETRAINED_CHECKPOINT', 'TRAIN.NUM_WORKERS', 'TRAIN.CHECKPOINT_STEPS',
                   'TRAIN.KEEP_CHECKPOINTS')
_SINGLE = ('running_mean', 'running_var')  # half precision lacks their range
_PICTURES = 8


def release(checkpoint, out):
    """Write a checkpoint of a training as `out` (.safetensors) -> largest distance in mm between vertices of the two.

    Raises MissingFile; BadFile where the checkpoint is not of a training of this project.
    """
    content = load_torch(checkpoint)
    if not isinstance(content, dict) or not {'model', 'config', *_TEXTS} <= set(content):
        raise BadFile(f'{checkpoint}: not a checkpoint of a training of this project')
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
    parser.add_argument('--checkpoint', type=Path, required=True, help='of a run, for example LOG_DIR/NAME/latest.pt')
    parser.add_argument('--out', type=Path, required=True, help='file to write, .safetensors')
    options = parser.parse_args(argv)
    if options.out.suffix != '.safetensors':
        parser.error('--out ends in .safetensors')
    gap = release(options.checkpoint, options.out)
    print(f'{options.out}: {options.out.stat().st_size / 1e6:.1f} MB; vertices differ from {options.checkpoint} by at '
          f'most {gap:.2f} mm')
    return 0


if __name__ == '__main__':
    run_main(main)

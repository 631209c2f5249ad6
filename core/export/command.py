"""Write a trained network with its body as one ONNX file: python -m core.onnx_export --checkpoint FILE --out FILE.onnx

The estimate is in the frame of MODEL.CAMERA. For 'crop' this is the ray through the crop's centre. The output of
onnxruntime is compared with torch's. If they differ by more than 1e-4, no file is written. --int8 also writes
NAME.int8.onnx, whose convolutions use 8-bit integers, and prints the errors of both files on the config's
DATA.EVAL_DATASET. Its pictures calibrate the 8-bit file. `--onnx_file` of demo.py and eval.py takes either file.
Needs `pip install '.[onnx]'`.
"""
import argparse
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from core.batches import example_inputs
from core.config.flags import add_plugin_flag, load_plugins
from core.evaluation.evaluator import Evaluator
from core.evaluation.options import checkpoint_config
from core.evaluation.protocols import METRIC_UNITS
from core.evaluation.run import load_regressor
from core.export.backend import network_key
from core.export.onnx import OnnxRegressor, export, quantize
from datasets.build import build_eval_dataset
from utils.errors import BadConfig

_CALIBRATION_PICTURES = 64


def quantize_and_compare(cfg, regressor, path, out, batch_size):
    """Write the 8-bit file and evaluate both files on DATA.EVAL_DATASET -> {file name: Evaluation}."""
    data = build_eval_dataset(cfg)
    loader = DataLoader(data, batch_size, drop_last=True)
    batches = [{'images': batch['img'].numpy(), **{name: batch[name].numpy() for name in regressor.inputs}}
               for batch, _ in zip(loader, range(_CALIBRATION_PICTURES // batch_size or 1))]
    quantize(path, out, batches)
    evaluator = Evaluator(cfg, regressor.body)
    return {file.name: evaluator.evaluate(OnnxRegressor(file, regressor.body), data, data.name, torch.device('cpu'))
            for file in (path, out)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--checkpoint', required=True)
    parser.add_argument('--out', required=True, type=Path)
    parser.add_argument('--batch_size', type=int, default=1, help='batch size of the file')
    parser.add_argument('--int8', action='store_true', help='also write a file with 8-bit convolutions')
    add_plugin_flag(parser)
    parser.add_argument('--misc', nargs='*', default=[], metavar='KEY VALUE', help='any config keys with values')
    options = parser.parse_args()
    load_plugins(vars(options))
    if options.batch_size < 1:
        raise BadConfig(f'--batch_size is {options.batch_size}; use at least 1')
    cfg = checkpoint_config(options.checkpoint, ['DEVICE', 'cpu', *options.misc, 'INFERENCE.BACKEND', 'torch'])
    regressor = load_regressor(cfg, options.checkpoint, torch.device('cpu'))
    gaps = export(regressor, options.out, example_inputs(regressor, cfg, options.batch_size),
                  network_key(cfg, regressor))
    print(f'{options.out}: {options.out.stat().st_size / 2 ** 20:.0f} MiB; largest differences from torch: '
          + ', '.join(f'{name} {gap:.1e}' for name, gap in gaps.items()))
    if options.int8:
        small = options.out.with_suffix('.int8.onnx')
        for name, evaluation in quantize_and_compare(cfg, regressor, options.out, small, options.batch_size).items():
            print(f'{name}: ' + ', '.join(f'{metric} {evaluation.mean(metric):.2f} {METRIC_UNITS[metric]}'
                                          for metric in evaluation.errors))
    return 0

"""Measures every regressor with torch and onnxruntime over its floor: python -m benchmarks.inference

The floor is a network's convolutions alone in torch; of a transformer, its matrix products and attentions.

The networks are those of the published configs, with random weights. The time includes the body's mesh and 49 joints.
int8: 8-bit convolutions (core/export/onnx.py). One thread, or --threads.
"""
import argparse
import tempfile
from pathlib import Path

import torch

from benchmarks.floors import ConvolutionsAlone, ProductsAlone, in_turns
from core.batches import example_inputs
from core.config import load_config
from core.devices import prepared
from core.export.onnx import FinalStage, OnnxRegressor, export, quantize
from models import build_regressor
from utils.errors import run_main

CONFIGS = {'hmr': 'hmr.yaml', 'pymaf_net': 'pymaf.yaml', 'danet': 'danet.yaml', 'multi_spin': 'multi_spin.yaml',
           'cliff': 'cliff.yaml', 'hmr2': 'hmr2.yaml', 'free_pymaf': 'free/pymaf.yaml'}
FORMATS = ('torch', 'onnx', 'int8')
TORCH_ONLY = ('hmr2',)  # ViT-H is larger than the 2 GiB of an ONNX file
_TRANSFORMERS = ('hmr2',)


def formats_of(name, formats=FORMATS):
    """The formats that a network can have."""
    return ('torch',) if name in TORCH_ONLY else tuple(formats)


def floor_name(name):
    """What the floor of a network consists of."""
    return 'its matrix products and attention: forward' if name in _TRANSFORMERS else 'its convolutions: forward'


def measure(name, batch_size, data_dir, formats=FORMATS, rounds=3, threads=1, device='cpu'):
    """-> {format or 'floor': seconds of `in_turns` a batch}; onnxruntime is measured on the CPU alone."""
    prepared(torch.device(device))
    cfg = load_config(CONFIGS[name], ['PATHS.DATA_DIR', data_dir, 'MODEL.BACKBONE.PRETRAINED', ''])
    regressor = build_regressor(cfg).to(device).eval()
    inputs = [values.to(device) for values in example_inputs(regressor, cfg, batch_size)]
    network = FinalStage(regressor).eval()
    floor = (ProductsAlone if name in _TRANSFORMERS else ConvolutionsAlone)(regressor, *inputs).forward
    calls = {'torch': lambda: network(*inputs)}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        arrays = [values.cpu().numpy() for values in inputs]
        path, small = Path(folder) / 'network.onnx', Path(folder) / 'int8.onnx'
        if {'onnx', 'int8'} & set(formats):
            export(regressor, path, inputs)
            session = OnnxRegressor(path, regressor.body, threads)
            calls['onnx'] = lambda: session.run(*arrays)
        if 'int8' in formats:
            quantize(path, small, [dict(zip(('images', *regressor.inputs), arrays))])
            quantized = OnnxRegressor(small, regressor.body, threads)
            calls['int8'] = lambda: quantized.run(*arrays)
        return in_turns({**{key: calls[key] for key in formats}, 'floor': floor}, rounds,
                        device=device)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data_dir', default='data')
    parser.add_argument('--regressors', nargs='+', default=list(CONFIGS), choices=list(CONFIGS))
    parser.add_argument('--batch', type=int, nargs='+', default=[1, 16])
    parser.add_argument('--formats', nargs='+', default=FORMATS, choices=FORMATS)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print('| regressor | batch | format | images a CPU second | time over its floor |')
    print('| --- | --- | --- | ---: | ---: |')
    for name in options.regressors:
        for batch in options.batch:
            formats = formats_of(name, options.formats)
            table = measure(name, batch, options.data_dir, formats, options.rounds, options.threads)
            for kind in formats:
                print(f'| {name} | {batch} | {kind} | {batch / table[kind]:.1f} | '
                      f'{table[kind] / table["floor"]:.2f} |', flush=True)
    return 0


if __name__ == '__main__':
    run_main(main)

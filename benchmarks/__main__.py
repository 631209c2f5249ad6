"""Prints every figure beside its floor, in one run: python -m benchmarks [--only PART ...] [--quick] [--device cuda]

Columns are the milliseconds an image of a part and of its floor, their ratio, and the process's peak memory during the
measurement. Networks that take turns share one peak; what an earlier row left loaded counts. A network and its floor
run in turns and are timed in processor seconds. Rows of the loader, and rows marked (wall), are timed in wall seconds;
the machine should be idle. Floors are the convolutions of a network alone (forward; forward, backward and Adam), of a
transformer its matrix products, and decoding a JPEG alone. The floor of growth rows is their smallest case. A row that
cannot be measured gives the reason. The other rows are still measured, and the exit status is 1.

A run takes half an hour. `--quick` measures only batch 8, batch 1, PyMAF and HMR, and no growth. `--device cuda`
measures the parts that a GPU runs, in seconds until the GPU is done. Figures that need a training have their own
commands, which are listed at the end.
"""
import argparse
import contextlib
import io
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks import demo, evaluation, growth, inference, loader, rasterizer, rows, smplify, synthetic, training_step
from benchmarks.floors import ConvolutionsAlone, in_turns
from benchmarks.table import HEADER, FailedRow, Row, rows_of
from core.config import load_config
from core.devices import prepared
from models.backbones import build_backbone
from models.smplify import build_smplify
from utils.assets import find_assets
from utils.errors import BadConfig, run_main
from utils.threads import use_one_thread

OTHERS = ('benchmarks.variants', 'benchmarks.danet', 'benchmarks.multiview', 'benchmarks.smplify_training',
          'benchmarks.lsp_fits FOLDER', 'benchmarks.regressors', 'benchmarks.demo memory', 'benchmarks.soak')


def training_rows(options):
    """The training step over forward, backward and Adam of the network's convolutions."""
    for batch in (8,) if options.quick else (8, 32):
        yield from rows_of(f'PyMAF step, batch {batch}', partial(_training_rows, options, batch))


def _training_rows(options, batch):
    variants = ['channels last', 'bfloat16, channels last']
    if not options.quick:
        variants = list(training_step.VARIANTS) if batch == 8 else ['float32', *variants, 'compiled, channels last']
    seconds, _, failures = training_step.measure(batch, options.data_dir, variants, device=options.device)
    for name, floor in (('its backbone alone', 'backbone'), ('channels last', 'convolutions, channels last')):
        yield Row(f'floor: PyMAF\'s convolutions, batch {batch}', 1e3 * seconds['convolutions'] / batch, name,
                  1e3 * seconds[floor] / batch)
    for name in variants:
        title = f'PyMAF step, batch {batch}, {name}'
        if name in failures:
            yield FailedRow(title, failures[name])
        else:
            yield Row(title, 1e3 * seconds[name] / batch, 'its convolutions, float32: forward, backward, Adam',
                      1e3 * seconds['convolutions'] / batch, 1.10 if 'bfloat16' not in name else None)


def inference_rows(options):
    """Networks with their body's mesh over their convolutions' forward pass."""
    for name in ('hmr', 'pymaf_net') if options.quick else inference.CONFIGS:
        for batch in (1,) if options.quick or name in inference.TORCH_ONLY else (1, 16):
            yield from rows_of(f'{name} forward, batch {batch}', partial(_inference_rows, options, name, batch))


def _inference_rows(options, name, batch):
    formats = inference.formats_of(name, ('torch', 'onnx') if options.quick else inference.FORMATS)
    if options.device == 'cuda':  # onnxruntime is measured on the CPU
        formats = ('torch',)
    seconds = inference.measure(name, batch, options.data_dir, formats, device=options.device)
    for kind in formats:
        yield Row(f'{name} forward, batch {batch}, {kind}', 1e3 * seconds[kind] / batch,
                  inference.floor_name(name), 1e3 * seconds['floor'] / batch)


def loader_rows(options):
    """A training sample over decoding its JPEG."""
    for row in loader.measure(rounds=15 if options.quick else 40):
        for kind, name in (('plain', 'not rotated'), ('rotated', 'rotated')):
            yield Row(f'training sample, {row["picture"]}, box of {row["box"]} px, {name}', row[f'{kind}_ms'],
                      'decoding the JPEG', row['decode_ms'], 1.7)


def rasterizer_rows(options):
    """Rasterizer, IUV images and overlays over one image's forward pass through ResNet-50's convolutions."""
    floor = forward_floor(options.device)
    for name, images, took, _ in rasterizer.measure(torch.device(options.device)):
        yield Row(f'{name} (wall)', took / images, "ResNet-50's convolutions: forward", floor)


def smplify_rows(options):
    """Fitting a body to the keypoints of an image, over the same forward pass."""
    fitter, floor, batch = build_smplify(load_config(None, ['PATHS.DATA_DIR', options.data_dir])), forward_floor(), 16
    given, joints = smplify.draw_problems(fitter, batch)
    for _, _, processor, _, _ in smplify.measure({'lm': smplify.fit_with(fitter)}, fitter, given, joints, repeats=2):
        yield Row(f'SMPLify, batch {batch}', 1e3 * processor / batch, "ResNet-50's convolutions: forward", floor)


def evaluation_rows(options):
    """The evaluation loop over the network alone."""
    samples = 32 if options.quick else 128
    _, alone, whole = evaluation.measure(data_dir=options.data_dir, samples=samples, batch_size=16, workers=0, rounds=2,
                                         device=options.device)
    clock = 1 if options.device == 'cpu' else 0
    yield Row('evaluation loop of PyMAF', 1e3 * np.median(whole[:, clock]) / samples, 'the network alone',
              1e3 * np.median(alone[:, clock]) / samples)


def demo_rows(options):
    """The demo on a video of one person over its network alone, and drawing a body over a large picture."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = training_step.trainer_of(1, options.data_dir)
        trainer._save()
        checkpoint = str(trainer.folder.store.best())
        with contextlib.redirect_stdout(io.StringIO()):  # the demo prints the files that it writes
            alone, whole = demo.measure_speed(Path(folder), checkpoint, seconds=2, rounds=2)
        yield Row('demo, a frame of 640 x 480 with one person', 1e3 * whole[1], 'the network alone', 1e3 * alone[1])
        overlay = demo.measure_overlay(Path(folder), checkpoint)
    yield Row('overlay of a body at 1920 x 1080', overlay[1], "ResNet-50's convolutions: forward", forward_floor())


def synthetic_rows(options):
    """Rendering a training picture, over decoding one."""
    rate = synthetic.images_per_second(find_assets(options.data_dir).root, 256, 1, seconds=5)
    decode = next(row['decode_ms'] for row in loader.measure(rounds=5) if row['picture'].startswith('640'))
    yield Row('rendering a training picture of 256 px (wall)', 1e3 / rate, 'decoding a JPEG of 640 x 427', decode)


def growth_rows(options):
    """A step of a small network as batch, threads and processes grow, and its loader, over the smallest case."""
    if options.quick:
        return
    for title, table in growth.tables(growth.parser().parse_args(['--data_dir', options.data_dir])):
        for label, rate in table:
            yield Row(f'{title}: {label} (wall)', 1e3 / rate, str(table[0][0]), 1e3 / table[0][1])


def annotation_rows(options):
    """Opening a dataset and reading its first sample, over the smallest dataset of its kind."""
    if options.quick:
        return
    floors = {}
    for name, _, seconds, mib in rows.measure(options.data_dir):
        smallest = floors.setdefault(name.split(' ', 1)[1], (name, seconds))
        yield Row(f'opening {name}, {mib:.0f} MiB (wall)', 1e3 * seconds, smallest[0], 1e3 * smallest[1])


def forward_floor(device='cpu'):
    """Milliseconds of an image's forward pass through ResNet-50's convolutions."""
    with torch.no_grad():
        floor = ConvolutionsAlone(build_backbone('resnet50').to(device), torch.randn(1, 3, 224, 224, device=device))
        return 1e3 * in_turns({'floor': floor}, rounds=5, device=device)['floor']


PARTS = {'training': training_rows, 'inference': inference_rows, 'loader': loader_rows, 'rasterizer': rasterizer_rows,
         'smplify': smplify_rows, 'evaluation': evaluation_rows, 'demo': demo_rows, 'synthetic': synthetic_rows,
         'growth': growth_rows, 'rows': annotation_rows}
ON_A_GPU = ('training', 'inference', 'rasterizer', 'evaluation')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_dir', default='data')
    parser.add_argument('--only', nargs='+', help=f'parts: {", ".join(PARTS)}')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--quick', action='store_true', help='a few rows of each part')
    options = parser.parse_args()
    if options.device == 'cuda' and not torch.cuda.is_available():
        raise BadConfig('torch finds no CUDA device; leave --device out')
    parts = list(PARTS) if options.device == 'cpu' else ON_A_GPU
    unknown = set(options.only or ()) - set(parts)
    if unknown:
        raise BadConfig(f'no part {sorted(unknown)[0]!r}; use {", ".join(parts)}')
    use_one_thread()
    prepared(torch.device('cpu'))
    if options.device == 'cuda':
        print(f'{torch.cuda.get_device_name()}\n')
    failed = print_table(options.only or parts, options)
    print(f'\nFurther benchmarks: {", ".join(f"python -m {name}" for name in OTHERS)}')
    return int(failed > 0)


def print_table(parts, options):
    """Print the rows of some PARTS as they are measured -> number of rows that failed."""
    print(HEADER, flush=True)
    failed = 0
    for name in parts:
        for row in rows_of(name, partial(PARTS[name], options)):
            print(row, flush=True)
            failed += isinstance(row, FailedRow)
    if failed:
        print(f'\n{failed} rows could not be measured', flush=True)
    return failed


if __name__ == '__main__':
    run_main(main)

"""A trained network, body included, as one ONNX file: python -m core.onnx_export --checkpoint FILE --out FILE.onnx

The estimate is in the frame of MODEL.CAMERA: with 'crop', that of the ray through the crop's middle. The file is run by
onnxruntime at once and compared with torch; nothing is written where they differ by more than 1e-4. --int8 also writes
NAME.int8.onnx, whose convolutions compute with 8-bit integers, calibrated on the pictures of the config's
DATA.EVAL_DATASET, and prints both files' errors on it. Needs `pip install '.[onnx]'`.
"""
import argparse
import inspect
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader

from core.batches import example_inputs
from core.config.flags import add_plugin_flag, load_plugins
from core.evaluation.evaluator import Evaluator
from core.evaluation.options import checkpoint_config
from core.evaluation.run import load_regressor
from datasets.build import build_eval_dataset
from models.output import RegressorOutput, Stage
from utils.errors import BadConfig, ProjectError
from utils.optional_packages import import_package
from utils.safe_io import atomic_write

# What the file returns, all [B, ...] of the last stage.
OUTPUTS = ('vertices', 'joints', 'rotmat', 'betas', 'camera', 'keypoints_2d')
TOLERANCE = 1e-4
# The first with affine_grid, which DaNet's crops use.
_OPSET = 20
_CALIBRATION_PICTURES = 64


class FinalStage(nn.Module):
    """images, and the regressor's other inputs -> the last stage's OUTPUTS as a tuple."""

    def __init__(self, regressor):
        super().__init__()
        self.regressor = regressor

    def forward(self, *inputs):
        final = self.regressor(*inputs).final
        return tuple(getattr(final, name) for name in OUTPUTS)


class OnnxRegressor(nn.Module):
    """An exported file in the place of a regressor: images, and its other inputs -> RegressorOutput of one stage.

    A batch with fewer images than the file takes is filled up with zeros. Raises ProjectError without onnxruntime.
    """

    def __init__(self, path, body, threads=0):
        super().__init__()
        self.body = body
        options = _onnxruntime().SessionOptions()
        options.intra_op_num_threads = threads
        self.session = _onnxruntime().InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
        self._inputs = self.session.get_inputs()
        self.inputs = tuple(entry.name for entry in self._inputs[1:])

    def run(self, *inputs):
        """numpy images [B,...] and other inputs -> {name: array}"""
        given = {entry.name: value for entry, value in zip(self._inputs, inputs)}
        return dict(zip(OUTPUTS, self.session.run(OUTPUTS, given)))

    def forward(self, images, *extra):
        size, rows = self._inputs[0].shape[0], []
        n_views = images.shape[1] if images.dim() == 5 else 1
        parts = [images.cpu().split(size), *(values.cpu().split(size * n_views) for values in extra)]
        for part in zip(*parts):
            count = len(part[0])
            out = self.run(*(_filled(values, size * len(values) // count).numpy() for values in part))
            rows.append([torch.from_numpy(out[name])[:count * n_views]
                         for name in ('rotmat', 'betas', 'camera', 'keypoints_2d')])
        *parameters, keypoints_2d = (torch.cat(column) for column in zip(*rows))
        stage = Stage(*parameters, self.body, n_views=n_views)
        stage.keypoints_2d = keypoints_2d  # of the file: which camera saw them is known in there alone
        return RegressorOutput([stage])


def _filled(values, size):
    """Rows of zeros after the values, up to `size`."""
    return torch.cat([values, values.new_zeros(size - len(values), *values.shape[1:])])


def _onnxruntime():
    return import_package('onnxruntime', 'an ONNX file', 'onnx')


def _need_onnx():
    """Both packages are needed to write a file: torch's exporter and the quantizer import onnx."""
    import_package('onnx', 'an ONNX file', 'onnx')
    _onnxruntime()


class _MovesWrittenOut(TorchFunctionMode):
    """movedim as permute: the exporter writes negative axes of the former into the file as they are."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is not torch.Tensor.movedim:
            return function(*args, **(kwargs or {}))
        values, source, target = args
        order = [axis for axis in range(values.dim()) if axis != source % values.dim()]
        order.insert(target % values.dim(), source % values.dim())
        return values.permute(order)


def export(regressor, path, inputs):
    """Write a regressor (on the CPU, evaluation mode) as ONNX for batches of the shape of `inputs`: images, and what
    `Regressor.inputs` names.

    -> {output: largest difference between onnxruntime and torch on them}. Raises ProjectError, and writes nothing,
    where one is above TOLERANCE or the optional packages are absent.
    """
    _need_onnx()
    network = FinalStage(regressor).eval()
    # Tracing: torch's newer exporter takes minutes over a body's constants.
    tracing = {'dynamo': False} if 'dynamo' in inspect.signature(torch.onnx.export).parameters else {}
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / 'network.onnx'
        with torch.no_grad(), _MovesWrittenOut(), warnings.catch_warnings():
            # Of tracing, which fixes sizes and branches; what that might spoil, the comparison below shows.
            warnings.simplefilter('ignore')
            wanted = dict(zip(OUTPUTS, network(*inputs)))
            torch.onnx.export(network, tuple(inputs), str(aside), input_names=['images', *regressor.inputs],
                              output_names=list(OUTPUTS), opset_version=_OPSET, **tracing)
        found = OnnxRegressor(aside, regressor.body).run(*(values.numpy() for values in inputs))
        gaps = {name: float(np.abs(found[name] - wanted[name].numpy()).max()) for name in OUTPUTS}
        if not max(gaps.values()) <= TOLERANCE:
            raise ProjectError(f'{path}: not written: onnxruntime and torch differ by {max(gaps.values()):.1e}')
        _copy(aside, path)
    return gaps


def quantize(path, out, batches):
    """Write `path` with 8-bit convolutions to `out`, calibrated on batches, each {input: numpy array}."""
    _need_onnx()
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Batches(CalibrationDataReader):
        def __init__(self):
            self._rest = iter(batches)

        def get_next(self):
            return next(self._rest, None)

    with tempfile.TemporaryDirectory() as folder:
        prepared, aside = Path(folder) / 'prepared.onnx', Path(folder) / 'int8.onnx'
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        # The heads' and the body's products stay in float32: they are few, and poses are sums of many small steps.
        quantize_static(str(prepared), str(aside), Batches(), op_types_to_quantize=['Conv'], per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        _copy(aside, out)


def _copy(source, path):
    with atomic_write(path) as stream:
        stream.write(source.read_bytes())


def quantize_and_compare(cfg, regressor, path, out, batch_size):
    """Write the 8-bit file and evaluate both on DATA.EVAL_DATASET -> {file name: Evaluation}."""
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
    parser.add_argument('--batch_size', type=int, default=1, help='images that the file takes at a time')
    parser.add_argument('--int8', action='store_true', help='also write 8-bit convolutions')
    add_plugin_flag(parser)
    parser.add_argument('--misc', nargs='*', default=[], metavar='KEY VALUE', help='any config keys with values')
    options = parser.parse_args()
    load_plugins(vars(options))
    if options.batch_size < 1:
        raise BadConfig(f'--batch_size is {options.batch_size}; at least 1 is wanted')
    cfg = checkpoint_config(options.checkpoint, ['DEVICE', 'cpu', *options.misc])
    regressor = load_regressor(cfg, options.checkpoint, torch.device('cpu'))
    gaps = export(regressor, options.out, example_inputs(regressor, cfg, options.batch_size))
    print(f'{options.out}: {options.out.stat().st_size / 2 ** 20:.0f} MiB; largest differences from torch: '
          + ', '.join(f'{name} {gap:.1e}' for name, gap in gaps.items()))
    if options.int8:
        small = options.out.with_suffix('.int8.onnx')
        for name, evaluation in quantize_and_compare(cfg, regressor, options.out, small, options.batch_size).items():
            print(f'{name}: ' + ', '.join(f'{metric} {evaluation.mean(metric):.2f} mm' for metric in evaluation.errors))
    return 0

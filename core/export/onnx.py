"""Writes a regressor with its body as an ONNX file, and runs such a file in place of a regressor.

The estimate is in the frame of MODEL.CAMERA. For 'crop' this is the ray through the crop's centre. The output of
onnxruntime is compared with torch's. If they differ by more than TOLERANCE, no file is written.
"""
import inspect
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from models.output import RegressorOutput, Stage
from utils.errors import BadConfig, BadFile, ProjectError
from utils.full_camera import FullCamera
from utils.optional_packages import import_package
from utils.safe_io import atomic_write

# Outputs of a file, all [B, ...] of the last stage.
OUTPUTS = ('vertices', 'joints', 'rotmat', 'betas', 'camera', 'keypoints_2d')
# Output [B,3] of a stage with a `full_camera`: focal length and offset of the crop's centre (utils/full_camera.py).
_CAMERA = 'full_camera'
_PARAMETERS, _DERIVED = ('rotmat', 'betas', 'camera'), ('vertices', 'joints', 'keypoints_2d')
TOLERANCE = 1e-4
# The first version with affine_grid, which DaNet's crops use.
_OPSET = 20
_MOST_BYTES = 2 ** 31 - 2 ** 24  # an ONNX file is smaller than 2 GiB
_KEY = 'human-mesh-recovery network'  # name of the key in the metadata of the file
# Attributes of a regressor that the harness needs and a file does not have.
_OF_THE_REGRESSOR = ('assets', 'camera_frame', 'box_margin', 'box_aspect', 'takes_views')


class FinalStage(nn.Module):
    """Takes images and the regressor's other inputs. Returns OUTPUTS and `full_camera` of the last stage as a tuple."""

    def __init__(self, regressor):
        super().__init__()
        self.regressor = regressor

    def forward(self, *inputs):
        final = self.regressor(*inputs).final
        values = [getattr(final, name) for name in OUTPUTS]
        if final.full_camera is not None:
            values.append(torch.cat([final.full_camera.focal[:, None], final.full_camera.offset], 1))
        return tuple(values)


class OnnxRegressor(nn.Module):
    """An ONNX file as a regressor. Takes images and the other inputs, and returns a RegressorOutput of one stage.

    A batch that is smaller than that of the file is padded with zeros. threads: 0 for all cores. regressor: the one
    that was exported; its camera and boxes apply. Attribute key: the key given to `export`, or ''.
    Raises ProjectError without onnxruntime, BadFile for an invalid file, BadConfig for images of another shape.
    """

    def __init__(self, path, body, threads=0, regressor=None):
        super().__init__()
        self.body, self._path = body, path
        runtime = _onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self.session = runtime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
        except Exception as error:  # onnxruntime has many types of errors
            raise BadFile(f'{path}: not a readable ONNX file ({type(error).__name__})') from None
        self.key = self.session.get_modelmeta().custom_metadata_map.get(_KEY, '')
        self._inputs = self.session.get_inputs()
        self.inputs = tuple(entry.name for entry in self._inputs[1:])
        self._outputs = [entry.name for entry in self.session.get_outputs()]
        if regressor is not None:
            for name in _OF_THE_REGRESSOR:
                setattr(self, name, getattr(regressor, name))

    def run(self, *inputs):
        """Run numpy images [B,...] and the other inputs -> {name: array}."""
        given = {entry.name: value for entry, value in zip(self._inputs, inputs)}
        return dict(zip(self._outputs, self.session.run(self._outputs, given)))

    def forward(self, images, *extra):
        size, *shape = self._inputs[0].shape
        if list(images.shape[1:]) != shape:
            raise BadConfig(f'{self._path}: takes images of shape {shape}, but got {list(images.shape[1:])}; '
                            'use --backend torch for other sizes and numbers of views')
        rows = []
        n_views = images.shape[1] if images.dim() == 5 else 1
        parts = [images.cpu().split(size), *(values.cpu().split(size * n_views) for values in extra)]
        for part in zip(*parts):
            count = len(part[0])
            out = self.run(*(_filled(values, size * len(values) // count).numpy() for values in part))
            rows.append({name: torch.from_numpy(value)[:count * n_views] for name, value in out.items()})
        values = {name: torch.cat([row[name] for row in rows]).to(images.device) for name in self._outputs}
        camera = values.get(_CAMERA)
        stage = Stage(*(values[name] for name in _PARAMETERS), self.body, n_views=n_views,
                      full_camera=None if camera is None else FullCamera(camera[:, 0], camera[:, 1:]))
        for name in _DERIVED:  # the file has computed them
            setattr(stage, name, values[name])
        return RegressorOutput([stage])


def _filled(values, size):
    """Pad the values with rows of zeros to `size` rows."""
    return torch.cat([values, values.new_zeros(size - len(values), *values.shape[1:])])


def _onnxruntime():
    return import_package('onnxruntime', 'an ONNX file', 'onnx')


def _need_onnx():
    """Check for both packages. torch's exporter and the quantizer import onnx."""
    import_package('onnx', 'an ONNX file', 'onnx')
    _onnxruntime()


class _MovesWrittenOut(TorchFunctionMode):
    """Replaces movedim by permute, because the exporter writes negative axes of movedim to the file."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is not torch.Tensor.movedim:
            return function(*args, **(kwargs or {}))
        values, source, target = args
        order = [axis for axis in range(values.dim()) if axis != source % values.dim()]
        order.insert(target % values.dim(), source % values.dim())
        return values.permute(order)


def export(regressor, path, inputs, key=''):
    """Write a regressor (on the CPU, in evaluation mode) as an ONNX file for batches of the shape of `inputs`.

    inputs: images, then the entries that `Regressor.inputs` names. key: text to store in the file, see
    `OnnxRegressor.key`. Returns {output: largest difference between onnxruntime and torch on the inputs}. Raises
    ProjectError and writes nothing if a difference is above TOLERANCE, if the network is too large for an ONNX file,
    or if the optional packages are absent.
    """
    _need_onnx()
    num_bytes = sum(value.numel() * value.element_size() for value in (*regressor.parameters(), *regressor.buffers()))
    if num_bytes > _MOST_BYTES:
        raise ProjectError(f'{path}: not written: the network has {num_bytes / 2 ** 30:.1f} GiB, and the limit of '
                           'an ONNX file is 2 GiB; run it with --backend torch')
    network = FinalStage(regressor).eval()
    # Tracing: torch's newer exporter takes minutes over a body's constants.
    tracing = {'dynamo': False} if 'dynamo' in inspect.signature(torch.onnx.export).parameters else {}
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / 'network.onnx'
        with torch.no_grad(), _MovesWrittenOut(), warnings.catch_warnings():
            # Tracing warns that it fixes sizes and branches. The comparison below detects errors that this causes.
            warnings.simplefilter('ignore')
            wanted = dict(zip((*OUTPUTS, _CAMERA), network(*inputs)))
            torch.onnx.export(network, tuple(inputs), str(aside), input_names=['images', *regressor.inputs],
                              output_names=list(wanted), opset_version=_OPSET, **tracing)
        _keep_key(aside, key)
        found = OnnxRegressor(aside, regressor.body).run(*(values.numpy() for values in inputs))
        gaps = {name: float(np.abs(found[name] - wanted[name].numpy()).max()) for name in wanted}
        if not max(gaps.values()) <= TOLERANCE:
            raise ProjectError(f'{path}: not written: onnxruntime and torch differ by {max(gaps.values()):.1e}; run '
                               'the network with --backend torch')
        _copy(aside, path)
    return gaps


def _keep_key(path, key):
    """Store the key in a file, unless it is empty."""
    if key:
        import onnx
        model = onnx.load(str(path))
        onnx.helper.set_model_props(model, {_KEY: key})
        onnx.save(model, str(path))


def quantize(path, out, batches):
    """Write `path` with 8-bit convolutions and the same key to `out`. batches of {input: numpy array} calibrate it."""
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
        # Products of the heads and the body stay in float32. They are few, and poses are sums of many small steps.
        quantize_static(str(prepared), str(aside), Batches(), op_types_to_quantize=['Conv'], per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        _keep_key(aside, OnnxRegressor(path, None).key)
        _copy(aside, out)


def _copy(source, path):
    with atomic_write(path) as stream:
        stream.write(source.read_bytes())

"""Which library runs the network of eval.py and demo.py: torch, or onnxruntime on the network's ONNX file."""
import hashlib
from pathlib import Path

import torch

from core.batches import example_inputs
from core.export.onnx import OnnxRegressor, export
from utils.errors import BadFile
from utils.logging import get_logger, log_once
from utils.torch_io import content_digest

# Raise it when the same weights and config give another file.
_FORMAT = 1


def in_backend(cfg, regressor):
    """The regressor as INFERENCE.BACKEND says: itself, or an OnnxRegressor.

    The file is INFERENCE.ONNX_FILE or, without it, one in the cache (beside torch.hub's, TORCH_HOME). It is made where
    it is not there. It takes one image at a time, which is no slower on a CPU than a batch.
    Raises ProjectError without the optional packages, BadFile for a file of another network.
    """
    if cfg.INFERENCE.BACKEND == 'torch':
        return regressor
    key = network_key(cfg, regressor)
    path = Path(cfg.INFERENCE.ONNX_FILE or
                Path(torch.hub.get_dir()) / 'human-mesh-recovery' / f'{cfg.MODEL.REGRESSOR}-{key[:16]}.onnx')
    if not path.exists():
        get_logger().info(f'{path}: writing the network as ONNX, once')
        path.parent.mkdir(parents=True, exist_ok=True)
        export(regressor, path, example_inputs(regressor, cfg, 1), key)
    network = OnnxRegressor(path, regressor.body, torch.get_num_threads(), regressor).eval()
    if network.key != key:
        raise BadFile(f'{path}: made of other weights or of another config; remove it, or give another name as '
                      '--onnx_file')
    log_once(f'the network runs by onnxruntime: {path}')
    return network


def network_key(cfg, regressor):
    """A digest of all that an ONNX file depends on but its batch: weights, body and config of the network."""
    views = cfg.TEST.N_VIEWS or cfg.DATA.N_VIEWS
    numbers = content_digest({**regressor.state_dict(), **dict(regressor.named_buffers())})
    parts = (_FORMAT, numbers, cfg.MODEL.dump(), cfg.MULTIVIEW.dump(), cfg.DATA.IMG_RES, cfg.DATA.BOX_SHARE,
             views)
    return hashlib.sha256(repr(parts).encode()).hexdigest()

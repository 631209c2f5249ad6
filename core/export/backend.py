"""Selects the library that runs the network in eval.py and demo.py: torch, or onnxruntime with an ONNX file."""
import hashlib
from pathlib import Path

import torch

from core.batches import example_inputs
from core.export.onnx import OnnxRegressor, export
from utils.errors import BadFile
from utils.logging import get_logger, log_once
from utils.torch_io import content_digest

# Increase it if the same weights and config result in a different file.
_FORMAT = 1


def in_backend(cfg, regressor):
    """Return the regressor, or an OnnxRegressor that replaces it if INFERENCE.BACKEND is 'onnx'.

    The file is INFERENCE.ONNX_FILE, by default one in the cache folder of torch.hub (see TORCH_HOME). It is written if
    it does not exist. It takes one image at a time, which on a CPU is as fast as a batch.
    Raises ProjectError without the optional packages, BadFile for a file of another network.
    """
    if cfg.INFERENCE.BACKEND == 'torch':
        return regressor
    key = network_key(cfg, regressor)
    path = Path(cfg.INFERENCE.ONNX_FILE or
                Path(torch.hub.get_dir()) / 'human-mesh-recovery' / f'{cfg.MODEL.REGRESSOR}-{key[:16]}.onnx')
    if not path.exists():
        get_logger().info(f'{path}: writing the ONNX file of the network')
        path.parent.mkdir(parents=True, exist_ok=True)
        export(regressor, path, example_inputs(regressor, cfg, 1), key)
    network = OnnxRegressor(path, regressor.body, torch.get_num_threads(), regressor).eval()
    if network.key != key:
        raise BadFile(f'{path}: made from other weights or another config; delete it, or give another name with '
                      '--onnx_file')
    log_once(f'onnxruntime runs the network: {path}')
    return network


def network_key(cfg, regressor):
    """Digest of everything that an ONNX file depends on except the batch size: weights, body and config."""
    views = cfg.TEST.N_VIEWS or cfg.DATA.N_VIEWS
    numbers = content_digest({**regressor.state_dict(), **dict(regressor.named_buffers())})
    parts = (_FORMAT, numbers, cfg.MODEL.dump(), cfg.MULTIVIEW.dump(), cfg.DATA.IMG_RES, cfg.DATA.BOX_SHARE,
             views)
    return hashlib.sha256(repr(parts).encode()).hexdigest()

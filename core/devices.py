"""Which device a process computes on, and what the processors at hand can do."""
from pathlib import Path

import torch

from utils.errors import BadConfig
from utils.memory import keep_freed_memory


def pick_device(cfg):
    """torch.device of cfg.DEVICE, made ready; onnxruntime computes on the CPU. Raises BadConfig where CUDA is asked for
    and absent, or asked of onnxruntime."""
    if cfg.INFERENCE.BACKEND == 'onnx':
        if cfg.DEVICE == 'cuda':
            raise BadConfig('DEVICE is cuda, and --backend onnx computes on the CPU; use DEVICE cpu or auto')
        return prepared(torch.device('cpu'))
    if cfg.DEVICE == 'cuda' and not torch.cuda.is_available():
        raise BadConfig('DEVICE is cuda, but torch finds no CUDA device; use DEVICE cpu or auto')
    use_cuda = cfg.DEVICE != 'cpu' and torch.cuda.is_available()
    return prepared(torch.device('cuda' if use_cuda else 'cpu'))


def prepared(device):
    """The device, once this process is set up to compute on it."""
    if device.type == 'cpu':
        keep_freed_memory()
    if device.type == 'cuda':
        torch.backends.cudnn.benchmark = True  # crops are all of one size
        torch.set_float32_matmul_precision('high')  # TF32
        torch.backends.cudnn.allow_tf32 = True
    return device


def computes_in_bf16(device='auto'):
    """Whether bfloat16 is faster than float32: on CUDA from Ampere on, on the CPU where it has bf16 instructions."""
    if device != 'cpu' and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpuinfo = Path('/proc/cpuinfo')
    return cpuinfo.exists() and any(flag in cpuinfo.read_text() for flag in ('avx512_bf16', 'amx_bf16'))

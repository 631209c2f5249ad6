"""Selects the device of a process and tests what it supports."""
from pathlib import Path

import torch

from utils.errors import BadConfig
from utils.memory import keep_freed_memory


def pick_device(cfg):
    """The torch.device of cfg.DEVICE, set up by `prepared`. With onnxruntime it is the CPU.

    Raises BadConfig if DEVICE is cuda and CUDA is absent, or INFERENCE.BACKEND is onnx.
    """
    if cfg.INFERENCE.BACKEND == 'onnx':
        if cfg.DEVICE == 'cuda':
            raise BadConfig('DEVICE is cuda, but --backend onnx computes on the CPU; use DEVICE cpu or auto')
        return prepared(torch.device('cpu'))
    if cfg.DEVICE == 'cuda' and not torch.cuda.is_available():
        raise BadConfig('DEVICE is cuda, but torch finds no CUDA device; use DEVICE cpu or auto')
    use_cuda = cfg.DEVICE != 'cpu' and torch.cuda.is_available()
    return prepared(torch.device('cuda' if use_cuda else 'cpu'))


def prepared(device):
    """Set up this process for a device -> the device."""
    if device.type == 'cpu':
        keep_freed_memory()
    if device.type == 'cuda':
        torch.backends.cudnn.benchmark = True  # all crops have one size
        torch.set_float32_matmul_precision('high')  # TF32
        torch.backends.cudnn.allow_tf32 = True
    return device


def computes_in_bf16(device='auto'):
    """Whether bfloat16 is faster than float32: on CUDA since Ampere, and on CPUs with bf16 instructions."""
    if device != 'cpu' and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpuinfo = Path('/proc/cpuinfo')
    return cpuinfo.exists() and any(flag in cpuinfo.read_text() for flag in ('avx512_bf16', 'amx_bf16'))

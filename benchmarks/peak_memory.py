"""Peak memory of a part of a process: of the GPU where torch uses one, else resident memory, where Linux reports it."""
from pathlib import Path

import torch

_CLEAR, _STATUS = Path('/proc/self/clear_refs'), Path('/proc/self/status')


def reset_peak():
    """Start a new measurement: the peak becomes what is in use now."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if _CLEAR.exists():
        _CLEAR.write_text('5')


def peak_mib():
    """MiB at the peak since `reset_peak`, or None where the system does not report it."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2 ** 20
    if not _STATUS.exists():
        return None
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith('VmHWM'))
    return int(line.split()[1]) / 1024

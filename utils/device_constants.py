"""Constants on a device, sent there once: one that is handed over in every step is waited for in every step."""
from functools import lru_cache

import torch


@lru_cache
def on_device(values, device):
    """A tuple of numbers as a tensor on a device. Shared: not to be written to."""
    return torch.tensor(values, device=device)

"""Constants on a device, sent there once: one that is handed over in every step is waited for in every step."""
from functools import lru_cache

import torch


@lru_cache
def on_device(values, device):
    """A tuple of numbers as a tensor on a device. Shared: not to be written to. Equal tuples are one constant, so they
    must be of one type: (1, 2) and (1.0, 2.0) are equal."""
    with torch.inference_mode(False):  # else one that the demo made first could not be trained with
        return torch.tensor(values, device=device)

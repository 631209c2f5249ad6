"""Constants on a device, copied there once. A copy in every step would make the host wait in every step."""
from functools import lru_cache

import torch


@lru_cache
def on_device(values, device):
    """A tuple of numbers as a tensor on a device. It is shared and must not be modified. Equal tuples give one tensor,
    so they must have one type: (1, 2) and (1.0, 2.0) are equal."""
    with torch.inference_mode(False):  # a tensor made in inference mode could not be used in training
        return torch.tensor(values, device=device)

"""numpy's arrays and rows of structs as warp's arrays on a torch device."""
from functools import lru_cache

import numpy as np
import torch
import warp as wp


def to_warp(values, dtype, device):
    """An array of a scalar, vector or struct type on a device. values: numpy; structs as in `as_rows`.

    On a CPU it shares the memory of `values` if these are contiguous.
    """
    values = np.ascontiguousarray(values)
    if values.dtype.names is None:
        return wp.from_torch(torch.from_numpy(values).to(device), dtype=dtype)
    memory = torch.from_numpy(values.reshape(-1).view(np.uint8)).to(device)
    rows = wp.array(ptr=memory.data_ptr(), dtype=dtype, shape=values.size, device=wp.device_from_torch(device))
    rows._memory = memory  # torch frees it with the array
    return rows


@lru_cache
def _row_type(struct):
    return np.dtype(struct.numpy_dtype())


def blank_rows(struct, shape):
    """Rows of zeros of a warp struct without arrays, as numpy."""
    return np.zeros(shape, _row_type(struct))


def as_rows(struct, objects):
    """Attributes of objects as rows of a warp struct without arrays, numpy [N]."""
    rows = _row_type(struct)
    return np.array([tuple([getattr(each, name) for name in rows.names]) for each in objects], rows)

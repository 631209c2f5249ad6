"""Reads SMPL's body files: `.pkl`, with or without chumpy objects, and `.npz`."""
import math
from pathlib import Path

import numpy as np
import scipy.sparse

from utils.assets import body_digest
from utils.errors import BadFile
from utils.safe_io import load_npz, load_pickle

# Largest number of entries of a sparse array that is converted to a dense one; far more than any body has.
_LARGEST = 10 ** 8
_SHAPES = {'v_template': ('V', 3), 'f': ('F', 3), 'shapedirs': ('V', 3, None), 'posedirs': ('V', 3, 207),
           'J_regressor': (24, 'V'), 'weights': ('V', 24), 'kintree_table': (2, 24)}


def read_body_file(file):
    """Checked, dense arrays of an SMPL `.pkl` or `.npz`, plus 'body_origin' and 'body_digest'.

    Raises BadFile, which names the key, its shape and the expected shape.
    """
    keys = (*_SHAPES, 'body_origin', 'body_digest')
    raw = load_npz(file, keys) if Path(file).suffix == '.npz' else load_pickle(file, keys)
    if not isinstance(raw, dict):
        raise BadFile(f'{file}: not a body model (expected a dictionary of arrays)')
    sizes, arrays = {}, {}
    for key, shape in _SHAPES.items():
        if key not in raw:
            raise BadFile(f'{file}: no key {key!r}; not an SMPL body model')
        value = _unboxed(raw[key])
        if scipy.sparse.issparse(value):
            if math.prod(value.shape) > _LARGEST:
                raise BadFile(f'{file}: {key} has shape {list(value.shape)}; not an SMPL body model')
            value = value.toarray()
        array = _as_array(value)
        wanted = [sizes.get(n, n) for n in shape]
        if array.dtype.kind not in 'biuf' or array.ndim != len(shape) or any(
                isinstance(w, int) and w != n for w, n in zip(wanted, array.shape)):
            raise BadFile(f'{file}: {key} has shape {list(array.shape)} of {array.dtype}, expected numbers {wanted}')
        if not np.isfinite(array).all():
            raise BadFile(f'{file}: {key} has values that are not finite')
        sizes.update({name: n for name, n in zip(shape, array.shape) if isinstance(name, str)})
        arrays[key] = array
    if arrays['shapedirs'].shape[-1] < 10:
        raise BadFile(f'{file}: shapedirs has {arrays["shapedirs"].shape[-1]} shape components, expected 10 or more')
    _check_indices(file, arrays)
    arrays['body_origin'] = str(raw.get('body_origin', 'smpl'))
    arrays['body_digest'] = str(raw.get('body_digest') or body_digest(
        arrays['v_template'], arrays['f'], arrays['shapedirs']))
    return arrays


def _unboxed(value):
    """Unpack what `numpy.savez` stored as a zero-dimensional object array, such as a sparse matrix."""
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype == object else value


def _as_array(value):
    try:
        return np.asarray(value)
    except ValueError:  # rows of different lengths
        return np.empty((), object)


def _check_indices(file, arrays):
    """Check that faces refer to vertices, and that every joint's parent comes before it."""
    count, parents = len(arrays['v_template']), arrays['kintree_table'][0].astype(np.int64)[1:]
    if not count or arrays['f'].size and not 0 <= arrays['f'].min() <= arrays['f'].max() < count:
        raise BadFile(f'{file}: f refers to vertices outside of 0 to {count - 1}')
    if not ((parents >= 0) & (parents < np.arange(1, len(parents) + 1))).all():
        raise BadFile(f'{file}: kintree_table is not a tree in which parents come first')

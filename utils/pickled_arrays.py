"""Arrays out of pickles, put together by this module: numpy's and scipy's own unpickling trusts what it is told.

A pickle may hold a dtype whose hidden fields are object pointers, or a sparse matrix whose indices lie outside it; both
make the library follow addresses that the file chose. So a pickle's calls build the stand-ins below, which note what
they are given, and `plain` makes checked arrays of them. Chumpy objects, which the licensed SMPL files hold, become the
array inside them.
"""
import math
import pickle
import re

import numpy as np
import scipy.sparse

_PLAIN_TYPE = re.compile(r'[|<>=]?([?biufc]\d*|[SU]\d+|O\d*)')
_COMPRESSED, _COORDINATES = ('csc', 'csr'), 'coo'


class PickledDtype:
    """Stands in for numpy.dtype: booleans, numbers, text and objects; no fields."""

    def __init__(self, code, *_):
        if not isinstance(code, str) or not _PLAIN_TYPE.fullmatch(code):
            raise pickle.UnpicklingError(f'arrays of {code!r} are not read')
        self.dtype = np.dtype(code)

    def __setstate__(self, state):
        _, order, subarray, names, fields, *_ = state
        if subarray is not None or names is not None or fields is not None:
            raise pickle.UnpicklingError('arrays with fields are not read')
        if order in ('<', '>'):
            self.dtype = self.dtype.newbyteorder(order)


class StandIn:
    """Something that `plain` replaces by its value()."""

    def value(self):
        raise NotImplementedError


class PickledArray(StandIn):
    """Stands in for numpy.ndarray. parts: shape, PickledDtype, order ('C' or 'F'), content."""

    def __init__(self, *parts):
        self._parts, self._array = parts, None

    def __setstate__(self, state):
        shape, dtype, fortran, data = state[-4:]
        self._parts = shape, dtype, 'F' if fortran else 'C', data

    def value(self):
        if self._array is None:
            if not self._parts:
                raise pickle.UnpicklingError('an array without content')
            self._array = _array(*self._parts)
        return self._array


def _array(shape, dtype, order, data):
    count = math.prod(shape)
    if dtype.dtype.hasobject:
        if not isinstance(data, list) or len(data) != count:
            raise pickle.UnpicklingError(f'{len(data)} objects for shape {list(shape)}')
        flat = np.empty(count, object)
        for place, entry in enumerate(data):
            flat[place] = plain(entry)
        return flat.reshape(shape, order=order)
    content = data.encode('latin1') if isinstance(data, str) else data
    if len(content) != count * dtype.dtype.itemsize:
        raise pickle.UnpicklingError(f'{len(content)} bytes for shape {list(shape)} of {dtype.dtype}')
    array = np.frombuffer(content, dtype.dtype, count) if count else np.empty(0, dtype.dtype)
    return array.reshape(shape, order=order).astype(dtype.dtype.newbyteorder('='))


def array_begin(_kind, _shape, _code):
    """numpy's _reconstruct(ndarray, (0,), 'b'): the content follows."""
    return PickledArray()


def array_of_buffer(data, dtype, shape, order='C'):
    """numpy's _frombuffer, which pickles of protocol 5 call."""
    return PickledArray(shape, dtype, order, bytes(data))


def scalar(dtype, data):
    """numpy's scalar(dtype, bytes)."""
    if dtype.dtype.hasobject:
        raise pickle.UnpicklingError('an object where a number is wanted')
    return _array((1,), dtype, 'C', data)[0]


class ChumpyArray(StandIn):
    """Stands in for any chumpy object; keeps the array that it wraps."""

    def __init__(self, *args):
        self.x = args[0] if args else None

    def __setstate__(self, state):
        if isinstance(state, dict):
            self.x = state.get('x', self.x)

    def value(self):
        if self.x is None:
            raise pickle.UnpicklingError('a chumpy object without a plain array inside cannot be read')
        return np.asarray(plain(self.x))


class _PickledSparse(StandIn):
    """Stands in for scipy's sparse matrices; `kind` is the name of one, such as csc_matrix."""
    kind = ''

    def __setstate__(self, state):
        self._state = dict(state)

    def value(self):
        state = {key: plain(entry) for key, entry in self._state.items()}
        shape = tuple(int(n) for n in state['_shape'])
        build = getattr(scipy.sparse, self.kind)
        if self.kind.startswith(_COORDINATES):
            places = state['coords'] if 'coords' in state else (state['row'], state['col'])
            return build((state['data'], tuple(places)), shape=shape)  # which checks the places
        matrix = build((state['data'], state['indices'], state['indptr']), shape=shape)
        matrix.check_format(full_check=True)
        return matrix


SPARSE = {f'{form}_{what}': type(f'{form}_{what}', (_PickledSparse,), {'kind': f'{form}_{what}'})
          for form in (*_COMPRESSED, _COORDINATES) for what in ('matrix', 'array')}


def numpy_stand_in(module, name):
    """What a pickle gets that asks for a name of numpy's, or None where it must not have it."""
    if name == 'ndarray':
        return PickledArray
    if name == 'dtype':
        return PickledDtype
    if 'multiarray' in module:
        return {'_reconstruct': array_begin, 'scalar': scalar}.get(name)
    return array_of_buffer if name == '_frombuffer' and module.endswith('numeric') else None


def plain(value, done=None):
    """The value with every stand-in in it replaced by an array, all the way down; containers without any stay.

    done: {id: value} of containers that are plain already. A pickle may name one container many times over.
    """
    done = {} if done is None else done
    if isinstance(value, StandIn):
        return value.value()
    if not isinstance(value, (dict, list, tuple, set, frozenset)):
        return value
    if id(value) not in done:
        done[id(value)] = _plain_container(value, done)
    return done[id(value)]


def _plain_container(value, done):
    if isinstance(value, dict):
        items = [(key, plain(entry, done)) for key, entry in value.items()]
        return value if all(new is value[key] for key, new in items) else dict(items)
    items = [plain(entry, done) for entry in value]
    return value if all(new is old for new, old in zip(items, value)) else type(value)(items)

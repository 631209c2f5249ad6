"""Arrays from pickles, built by this module, because numpy's and scipy's own unpickling trusts the file.

A pickle may contain a dtype whose hidden fields are object pointers, or a sparse matrix with indices out of range; both
make the library access addresses that the file chose. Therefore a pickle's calls build the stand-ins below, which
record their arguments, and `plain` converts them to checked arrays. Chumpy objects, which the licensed SMPL files
contain, become the arrays that they represent. Other objects are recorded too, and rejected when their value is needed.
"""
import pickle
import re
from functools import cached_property

import numpy as np
import scipy.sparse

_PLAIN_TYPE = re.compile(r'[|<>=]?([?biufc]\d*|[SU]\d+|O\d*)')


class PickledDtype:
    """Stand-in for numpy.dtype: booleans, numbers, text and objects, without fields."""

    def __init__(self, code, *_):
        if not isinstance(code, str) or not _PLAIN_TYPE.fullmatch(code):
            raise pickle.UnpicklingError(f'arrays of {code!r} are not read')
        self.dtype = np.dtype(code)

    def __setstate__(self, state):
        _, order, *subarray_and_fields = state[:5]
        if subarray_and_fields != [None] * 3:
            raise pickle.UnpicklingError('arrays with fields are not read')
        if order in ('<', '>'):
            self.dtype = self.dtype.newbyteorder(order)


class StandIn:
    """An object that `plain` replaces by its value. A pickle creates it by a call, or by __new__ alone (protocol 2 and
    later), and then sets its state. Nothing in the state is called."""
    state = None

    def __new__(cls, *_, **__):
        return object.__new__(cls)

    def __setstate__(self, state):
        self.state = state

    @cached_property
    def value(self):
        """The value it represents, made once, because a pickle may refer to it many times."""
        return self.make()

    def make(self):
        raise NotImplementedError


class PickledArray(StandIn):
    """Stand-in for numpy.ndarray."""

    def make(self):
        shape, dtype, fortran, content = self.state[-4:]
        return _array(content, dtype.dtype, shape, 'F' if fortran else 'C')


def _array(content, dtype, shape, order='C'):
    """An array from its bytes, or from a list of objects. numpy checks their number."""
    if dtype.hasobject:
        flat = np.fromiter((plain(entry) for entry in content), object)
        return flat.reshape(shape, order=order)
    content = content.encode('latin1') if isinstance(content, str) else content
    return np.ndarray(shape, dtype, content, order=order).astype(dtype.newbyteorder('='))


def array_begin(_kind, _shape, _code):
    """numpy's _reconstruct(ndarray, (0,), 'b'). The content follows as state."""
    return PickledArray()


def array_of_buffer(content, dtype, shape, order='C'):
    """numpy's _frombuffer, which pickles of protocol 5 call."""
    return _array(bytes(content), dtype.dtype, shape, order)


def scalar(dtype, content):
    """numpy's scalar(dtype, bytes)."""
    return _array(content, dtype.dtype, ())[()]


class Unknown(StandIn):
    """Stand-in for any other object. Its value is rejected."""
    asked = ''

    def make(self):
        raise pickle.UnpicklingError(f'it asks for {self.asked}, which is not an array or a plain container')

    def append(self, *_):
        """Ignore entries, which pickles add to objects that are also lists, dicts or sets."""

    extend = add = __setitem__ = append


def unknown(module, name):
    """A stand-in class for module.name, which is not imported."""
    return type('Unknown', (Unknown,), {'asked': f'{module}.{name}'})


class _Ch(StandIn):
    """Stand-in for chumpy.ch.Ch, an array x."""

    def make(self):
        return np.asarray(plain(self.state['x']))


class _Select(StandIn):
    """Stand-in for chumpy.reordering.Select, the result of indexing a chumpy array: entries `idxs` of the flat array
    `a`, in `preferred_shape`. SMPL's files with 300 shape components store their first ten this way."""

    def make(self):
        entries = np.ravel(plain(self.state['a']))[np.ravel(plain(self.state['idxs']))]
        return entries.reshape(plain(self.state['preferred_shape']))


CHUMPY = {'Ch': _Ch, 'Select': _Select}


class _PickledSparse(StandIn):
    """Stand-in for scipy's sparse matrices. kind: the name of the class, such as csc_matrix."""
    kind = ''

    def make(self):
        state, build = plain(self.state), getattr(scipy.sparse, self.kind)
        if self.kind.startswith('coo'):
            places = state['coords'] if 'coords' in state else (state['row'], state['col'])
            return build((state['data'], places), shape=state['_shape'])  # checks the coordinates
        matrix = build((state['data'], state['indices'], state['indptr']), shape=state['_shape'])
        matrix.check_format(full_check=True)
        return matrix


SPARSE = {kind: type(kind, (_PickledSparse,), {'kind': kind})
          for kind in (f'{form}_{what}' for form in ('csc', 'csr', 'coo') for what in ('matrix', 'array'))}


def numpy_stand_in(module, name):
    """The stand-in for a name of numpy's in a pickle, or None if it is not allowed."""
    part = 'multiarray' if 'multiarray' in module else module.rpartition('.')[2]
    return {'ndarray': PickledArray, 'dtype': PickledDtype}.get(name) or {
        ('multiarray', '_reconstruct'): array_begin, ('multiarray', 'scalar'): scalar,
        ('numeric', '_frombuffer'): array_of_buffer}.get((part, name))


def plain(value, done=None):
    """The value with all stand-ins in it replaced by arrays, recursively. Containers without any are kept.

    done: {id: value} of containers that are already converted. A pickle may refer to one container many times.
    """
    done = {} if done is None else done
    if isinstance(value, type) and issubclass(value, StandIn):
        value = value()
    if isinstance(value, StandIn):
        return value.value
    if not isinstance(value, (dict, list, tuple, set, frozenset)):
        return value
    if id(value) not in done:
        old = list(value.values() if isinstance(value, dict) else value)
        new = [plain(entry, done) for entry in old]
        changed = any(a is not b for a, b in zip(old, new))
        kind = dict if isinstance(value, dict) else type(value)
        done[id(value)] = kind(zip(value, new) if kind is dict else new) if changed else value
    return done[id(value)]

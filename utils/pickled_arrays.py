"""Arrays from pickles, built by this module, because numpy's and scipy's own unpickling trusts the file.

A pickle may contain a dtype whose hidden fields are object pointers, or a sparse matrix with indices out of range; both
make the library access addresses that the file chose. Therefore a pickle's calls build the stand-ins below, which
record their arguments, and `plain` converts them to checked arrays. Chumpy objects, which the licensed SMPL files
contain, become the arrays that they represent. Other objects are recorded too, and rejected when their value is needed.
"""
import math
import pickle
import re

import numpy as np
import scipy.sparse

_PLAIN_TYPE = re.compile(r'[|<>=]?([?biufc]\d*|[SU]\d+|O\d*)')
_COMPRESSED, _COORDINATES = ('csc', 'csr'), 'coo'


class PickledDtype:
    """Stand-in for numpy.dtype: booleans, numbers, text and objects, without fields."""

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
    """An object that `plain` replaces by its value. A pickle creates it by a call, or by __new__ alone (protocol 2 and
    later), and then sets its state. Nothing in the state is called."""
    arguments, state, _made = (), None, None

    def __new__(cls, *arguments, **_):
        instance = object.__new__(cls)
        instance.arguments = arguments
        return instance

    def __setstate__(self, state):
        self.state = state

    def value(self):
        """The value it represents, made once, because a pickle may refer to it many times."""
        if self._made is None:
            self._made = self.make()
        return self._made

    def make(self):
        raise NotImplementedError


class PickledArray(StandIn):
    """Stand-in for numpy.ndarray. Its arguments: shape, PickledDtype, order ('C' or 'F'), content."""

    def make(self):
        if self.state is not None:
            shape, dtype, fortran, data = self.state[-4:]
            return _array(shape, dtype, 'F' if fortran else 'C', data)
        if not self.arguments:
            raise pickle.UnpicklingError('an array without content')
        return _array(*self.arguments)


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
    """numpy's _reconstruct(ndarray, (0,), 'b'). The content follows as state."""
    return PickledArray()


def array_of_buffer(data, dtype, shape, order='C'):
    """numpy's _frombuffer, which pickles of protocol 5 call."""
    return PickledArray(shape, dtype, order, bytes(data))


def scalar(dtype, data):
    """numpy's scalar(dtype, bytes)."""
    if dtype.dtype.hasobject:
        raise pickle.UnpicklingError('an object where a number is wanted')
    return _array((1,), dtype, 'C', data)[0]


class Unknown(StandIn):
    """Stand-in for any other object. Its value is rejected."""
    asked = ''

    def make(self):
        raise pickle.UnpicklingError(f'it asks for {self.asked}, which is not an array or a plain container')

    def append(self, _):
        """Ignore entries, which pickles add to objects that are also lists, dicts or sets."""

    extend = add = append

    def __setitem__(self, _key, _entry):
        pass


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
        state = {key: plain(entry) for key, entry in dict(self.state).items()}
        shape = tuple(int(n) for n in state['_shape'])
        build = getattr(scipy.sparse, self.kind)
        if self.kind.startswith(_COORDINATES):
            places = state['coords'] if 'coords' in state else (state['row'], state['col'])
            return build((state['data'], tuple(places)), shape=shape)  # checks the coordinates
        matrix = build((state['data'], state['indices'], state['indptr']), shape=shape)
        matrix.check_format(full_check=True)
        return matrix


SPARSE = {f'{form}_{what}': type(f'{form}_{what}', (_PickledSparse,), {'kind': f'{form}_{what}'})
          for form in (*_COMPRESSED, _COORDINATES) for what in ('matrix', 'array')}


def numpy_stand_in(module, name):
    """The stand-in for a name of numpy's in a pickle, or None if it is not allowed."""
    if name == 'ndarray':
        return PickledArray
    if name == 'dtype':
        return PickledDtype
    if 'multiarray' in module:
        return {'_reconstruct': array_begin, 'scalar': scalar}.get(name)
    return array_of_buffer if name == '_frombuffer' and module.endswith('numeric') else None


def plain(value, done=None):
    """The value with all stand-ins in it replaced by arrays, recursively. Containers without any are kept.

    done: {id: value} of containers that are already converted. A pickle may refer to one container many times.
    """
    done = {} if done is None else done
    if isinstance(value, StandIn):
        return value.value()
    if isinstance(value, type) and issubclass(value, StandIn):
        return value().value()
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

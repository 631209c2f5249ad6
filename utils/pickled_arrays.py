"""Arrays out of pickles, put together by this module: numpy's and scipy's own unpickling trusts what it is told.

A pickle may hold a dtype whose hidden fields are object pointers, or a sparse matrix whose indices lie outside it; both
make the library follow addresses that the file chose. So a pickle's calls build the stand-ins below, which note what
they are given, and `plain` makes checked arrays of them. Chumpy objects, which the licensed SMPL files hold, become the
array that they stand for. What is none of these is noted too, and refused where its value is asked for.
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
    """Something that `plain` replaces by its value. A pickle makes it, by a call or by __new__ alone (protocol 2 and
    later), and then tells it its state. Nothing that it is told is called."""
    arguments, state, _made = (), None, None

    def __new__(cls, *arguments, **_):
        instance = object.__new__(cls)
        instance.arguments = arguments
        return instance

    def __setstate__(self, state):
        self.state = state

    def value(self):
        """What it stands for, made once: a pickle may name it many times over."""
        if self._made is None:
            self._made = self.make()
        return self._made

    def make(self):
        raise NotImplementedError


class PickledArray(StandIn):
    """Stands in for numpy.ndarray. Its arguments: shape, PickledDtype, order ('C' or 'F'), content."""

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


class Unknown(StandIn):
    """Stands in for whatever else a pickle asks for; its value is refused."""
    asked = ''

    def make(self):
        raise pickle.UnpicklingError(f'it asks for {self.asked}, which is not an array or a plain container')

    def append(self, _):
        """Objects that are lists, dicts or sets as well are filled by these."""

    extend = add = append

    def __setitem__(self, _key, _entry):
        pass


def unknown(module, name):
    """A class that stands in for module.name, which is not imported."""
    return type('Unknown', (Unknown,), {'asked': f'{module}.{name}'})


class _Ch(StandIn):
    """Stands in for chumpy.ch.Ch, an array x."""

    def make(self):
        return np.asarray(plain(self.state['x']))


class _Select(StandIn):
    """Stands in for chumpy.reordering.Select, what indexing a chumpy array gives: entries idxs of a, by their places in
    the flat array, in preferred_shape. SMPL's files of 300 shape components hold their first ten so."""

    def make(self):
        entries = np.ravel(plain(self.state['a']))[np.ravel(plain(self.state['idxs']))]
        return entries.reshape(plain(self.state['preferred_shape']))


CHUMPY = {'Ch': _Ch, 'Select': _Select}


class _PickledSparse(StandIn):
    """Stands in for scipy's sparse matrices; `kind` is the name of one, such as csc_matrix."""
    kind = ''

    def make(self):
        state = {key: plain(entry) for key, entry in dict(self.state).items()}
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

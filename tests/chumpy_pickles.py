"""Writes pickles as chumpy does, without chumpy: objects with its classes' names and attributes.

test_real_assets.py compares their classes with those in a file that chumpy wrote.
"""
import pickle
import sys
import types

import numpy as np

_MODULES = {'Ch': 'chumpy.ch', 'Select': 'chumpy.reordering', 'MatVecMult': 'chumpy.ch_ops'}


class _Expression:
    def __init__(self, **terms):
        vars(self).update(_dirty_vars=set(terms), _itr=None, _make_dense=False, _make_sparse=False,
                          _depends_on_deps={}, **terms)


_CLASSES = {name: type(name, (_Expression,), {'__module__': module}) for name, module in _MODULES.items()}


def ch(array):
    """A chumpy array."""
    return _CLASSES['Ch'](x=np.asarray(array))


def select(parent, key, array):
    """The chumpy object for parent[key]. array: the parent's value."""
    places = np.arange(array.size).reshape(array.shape)[key]
    return _CLASSES['Select'](preferred_shape=places.shape, a=parent, idxs=places.ravel())


def expression():
    """A chumpy object that holds no array."""
    return _CLASSES['MatVecMult'](mtx=None, vec=None)


def dumps(value, protocol=2):
    """Pickle a value that contains such objects."""
    modules = {name: types.ModuleType(name) for name in ('chumpy', *_MODULES.values())}
    for name, module in _MODULES.items():
        setattr(modules[module], name, _CLASSES[name])
    sys.modules.update(modules)
    try:
        return pickle.dumps(value, protocol=protocol)
    finally:
        for name in modules:
            del sys.modules[name]


def body_pickle(body, protocol=2):
    """An SMPL body file with chumpy arrays, from a dictionary of arrays. `shapedirs` selects the first 10 of 16
    components. `J` is an expression without an array. Template, shape and pose blend shapes are float32."""
    single = {key: np.asarray(body[key], np.float32) for key in ('v_template', 'shapedirs', 'posedirs')}
    wide = np.concatenate([single['shapedirs'], np.ones_like(single['shapedirs'][..., :6])], -1)
    return dumps({**body, 'v_template': ch(single['v_template']), 'posedirs': ch(single['posedirs']),
                  'shapedirs': select(ch(wide), np.s_[..., :10], wide), 'weights': ch(body['weights']),
                  'J': expression()}, protocol)

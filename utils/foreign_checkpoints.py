"""Checkpoints in torch's zip format that contain other objects than tensors, such as Lightning's with a yacs CfgNode.

`torch.load(weights_only=True)` rejects such files. Here the project's own unpickler reads the pickle: it builds tensors
from the file's records and reads plain containers and arrays. Any other object becomes an inert stand-in, which is
dropped. Nothing is imported, and nothing that the file names is called.
"""
import pickle
import sys
import zipfile

import torch

from utils.pickled_arrays import plain, unknown
from utils.safe_io import ArrayUnpickler

_DTYPES = {'FloatStorage': torch.float32, 'DoubleStorage': torch.float64, 'HalfStorage': torch.float16,
           'BFloat16Storage': torch.bfloat16, 'LongStorage': torch.int64, 'IntStorage': torch.int32,
           'ShortStorage': torch.int16, 'CharStorage': torch.int8, 'ByteStorage': torch.uint8,
           'BoolStorage': torch.bool}


def read_foreign_checkpoint(path):
    """The dict in a torch zip file, with tensors on the CPU and without entries that hold objects of unknown classes.

    Raises pickle.UnpicklingError if the file is not a dict or no tensor is left; zipfile.BadZipFile and others if it is
    broken.
    """
    with zipfile.ZipFile(path) as archive:
        records = {name.partition('/')[2]: name for name in archive.namelist()}
        if 'byteorder' in records and archive.read(records['byteorder']) != sys.byteorder.encode():
            raise pickle.UnpicklingError('numbers of another byte order')
        with archive.open(records['data.pkl']) as stream:
            content = _CheckpointUnpickler(stream, archive, records).load()
    if not isinstance(content, dict):
        raise pickle.UnpicklingError('no dictionary')
    kept = {}
    for name, entry in content.items():
        try:
            kept[name] = plain(entry)
        except pickle.UnpicklingError:
            continue
    if not any(isinstance(value, torch.Tensor) for entry in kept.values()
               for value in (entry.values() if isinstance(entry, dict) else [entry])):
        raise pickle.UnpicklingError('no tensors beside objects of unknown classes')
    return kept


class _CheckpointUnpickler(ArrayUnpickler):
    """Reads data.pkl of an archive. records: {name in the archive's folder: full name}."""

    def __init__(self, stream, archive, records):
        super().__init__(stream, encoding='utf-8')
        self._archive, self._records, self._storages = archive, records, {}

    def find_class(self, module, name):
        if module == 'torch' and name in _DTYPES:
            return _Storage(_DTYPES[name])
        if module == 'torch' and name == 'Size':
            return tuple
        if module == 'torch._utils' and name in _BUILDERS:
            return _BUILDERS[name]
        if module.split('.')[0] == 'torch':
            return unknown(module, name)
        return super().find_class(module, name)

    def persistent_load(self, key):
        """The numbers [N] of a storage, named by ('storage', kind, record, device, N)."""
        what, kind, record, _, count = key
        if what != 'storage' or not isinstance(kind, _Storage):
            raise pickle.UnpicklingError('a reference that is not to numbers')
        if record not in self._storages:
            self._storages[record] = self._numbers(self._archive.getinfo(self._records[f'data/{record}']), kind.dtype)
        numbers = self._storages[record]
        if numbers.dtype != kind.dtype or len(numbers) < count:
            raise pickle.UnpicklingError(f'record {record}: not {count} numbers of {kind.dtype}')
        return numbers

    def _numbers(self, entry, dtype):
        if entry.compress_type != zipfile.ZIP_STORED:  # an uncompressed entry cannot be larger than the file
            raise pickle.UnpicklingError(f'{entry.filename}: compressed')
        if not entry.file_size:
            return torch.empty(0, dtype=dtype)
        content = bytearray(entry.file_size)
        with self._archive.open(entry) as stream:
            stream.readinto(content)
        return torch.frombuffer(content, dtype=dtype)


class _Storage:
    """Stands for one of torch's storage classes."""

    def __init__(self, dtype):
        self.dtype = dtype


def _tensor(storage, offset, size, stride, *_):
    """torch's _rebuild_tensor_v2 without its further arguments: gradients, hooks and metadata."""
    if not isinstance(storage, torch.Tensor):
        raise pickle.UnpicklingError('a tensor without numbers')
    return torch.as_strided(storage, tuple(size), tuple(stride), int(offset))  # checks the bounds


def _parameter(data, *_):
    """torch's _rebuild_parameter: the tensor."""
    return data


_BUILDERS = {'_rebuild_tensor_v2': _tensor, '_rebuild_parameter': _parameter}

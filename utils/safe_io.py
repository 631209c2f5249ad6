"""Reads files without running code from them, and writes files completely or not at all.

Reading: pickles (SMPL `.pkl`, object arrays in `.npy` and `.npz`) go through an unpickler that builds only arrays,
sparse matrices and plain containers (utils/pickled_arrays.py). Chumpy objects, which the licensed SMPL files contain,
become the arrays that they represent, so chumpy is not needed. A file may contain objects of other classes: they are
not imported, and an error only if they are requested.
Writing: `atomic_write` writes a temporary file, syncs and renames it, so readers see the old file or the new one.
"""
import contextlib
import errno
import hashlib
import io
import json
import logging
import os
import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import scipy.io

from utils.errors import BadFile, MissingFile, ProjectError
from utils.logging import log_once
from utils.pickled_arrays import CHUMPY, SPARSE, StandIn, numpy_stand_in, plain, unknown


def _latin1_bytes(text, encoding):
    """The call with which Python 2 pickles restore byte strings: `_codecs.encode(text, 'latin1')`."""
    if encoding not in ('latin1', 'latin-1'):
        raise pickle.UnpicklingError(f'encoding {encoding!r} is not allowed')
    return text.encode('latin1')


def _from_content(kind):
    """Builder of bytes or bytearray from content only: a number as argument would allocate that many zeros."""
    def build(*content):
        if content and not isinstance(content[0], (bytes, str)):
            raise pickle.UnpicklingError(f'{kind.__name__} without content')
        return kind(*content)
    return build


_PLAIN_BUILTINS = {'dict': dict, 'list': list, 'tuple': tuple, 'set': set, 'frozenset': frozenset, 'int': int,
                   'float': float, 'bool': bool, 'complex': complex, 'str': str, 'slice': slice, 'object': object,
                   'bytes': _from_content(bytes), 'bytearray': _from_content(bytearray)}


def _instance(kind, _base, _state):
    """The call with which pickles of protocols 0 and 1 create an object: `copy_reg._reconstructor(kind, object, None)`.
    """
    if not issubclass(kind, StandIn):
        raise pickle.UnpicklingError(f'{kind.__name__} cannot be begun so')
    return kind()


class ArrayUnpickler(pickle.Unpickler):
    """Builds stand-ins of arrays and sparse matrices, and plain containers. Imports nothing."""

    def find_class(self, module, name):
        root = module.split('.')[0]
        if module in ('builtins', '__builtin__') and name in _PLAIN_BUILTINS:
            return _PLAIN_BUILTINS[name]
        if module == 'collections' and name == 'OrderedDict':
            return dict
        if module == '_codecs' and name == 'encode':
            return _latin1_bytes
        if module in ('copyreg', 'copy_reg') and name == '_reconstructor':
            return _instance
        if root == 'numpy' and (found := numpy_stand_in(module, name)):
            return found
        if root == 'scipy' and 'sparse' in module and name in SPARSE:
            return SPARSE[name]
        if root == 'chumpy' and name in CHUMPY:
            return CHUMPY[name]
        return unknown(module, name)


def unpickle_arrays(stream, name, keys=None):
    """Read one pickle from a binary stream. Anything but arrays and containers raises BadFile, which names `name`.

    keys: the requested ones of a dictionary; other entries may hold anything.
    """
    try:
        content = ArrayUnpickler(stream, encoding='latin1').load()
        if keys is not None and isinstance(content, dict):
            content = {key: content[key] for key in keys if key in content}
        return plain(content)
    except ProjectError as error:
        raise BadFile(f'{name}: {error}') from None
    except Exception as error:  # a malicious or broken stream can raise anything
        raise BadFile(f'{name}: not a readable pickle of arrays ({_one_line(error)})') from None


def load_pickle(path, keys=None):
    """Read a pickle of arrays, sparse matrices and plain containers. Raises MissingFile, BadFile.

    keys: the requested ones of a dictionary, as far as present; other entries may hold objects of any kind.
    """
    with _open(path) as stream:
        return unpickle_arrays(stream, path, keys)


def load_npy(path):
    """Read a `.npy` array. Object arrays go through the restricted unpickler."""
    with _open(path) as stream:
        return _read_npy(stream, path)


def load_npz(path, keys=None, others=False):
    """Read arrays of a `.npz` into a dict. Object arrays go through the restricted unpickler.

    keys: the requested arrays, as far as present; None: all. Others are not unpacked. others: read the remaining arrays
    too; one that cannot be read is left out, and the log says so. Raises MissingFile, BadFile.
    """
    with _open(path) as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                members = {member.removesuffix('.npy'): member for member in archive.namelist()}
                wanted = members if keys is None else [key for key in keys if key in members]
                arrays = {key: _read_member(archive, members[key], path) for key in wanted}
                for key in [key for key in members if others and key not in arrays]:
                    try:
                        arrays[key] = _read_member(archive, members[key], path)
                    except BadFile as error:
                        log_once(f'{error}; it is left out', logging.WARNING)
                return arrays
        except ProjectError:
            raise
        except Exception as error:
            raise BadFile(f'{path}: not a readable .npz file ({_one_line(error)})') from None


def _read_member(archive, member, path):
    return _read_npy(io.BytesIO(archive.read(member)), f'{path}: {member}')


def load_mat(path):
    """Read the variables of a MATLAB `.mat` file (version 4 to 7) into a dict. Raises MissingFile, BadFile.

    No code from the file runs, but a file made to exploit `scipy.io.loadmat` can crash the process.
    """
    with _open(path) as stream:
        try:
            content = scipy.io.loadmat(stream)
            return {name: value for name, value in content.items() if not name.startswith('__')}
        except Exception as error:
            raise BadFile(f'{path}: not a readable .mat file ({_one_line(error)})') from None


def load_json(path):
    """Read a JSON file. Raises MissingFile, BadFile."""
    with _open(path) as stream:
        try:
            return json.load(stream)
        except (ValueError, RecursionError) as error:
            raise BadFile(f'{path}: not readable as JSON ({_one_line(error)})') from None


def as_numbers(value, where, shape, dtype=np.float64, finite=True):
    """`value` as an array of real numbers with `dtype` and `shape`, in which None is any length.

    where: file and key, for the message. Raises BadFile for anything else, and for NaN and infinity if `finite`.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError):  # rows of different lengths, or integers that are too large
        array = np.empty((), object)
    fits = len(array.shape) == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape))
    if not fits or array.dtype.kind not in 'biuf':
        wanted = str(list(shape)).replace('None', 'N')
        raise BadFile(f'{where} has shape {list(array.shape)} of {array.dtype}, expected numbers of shape {wanted}')
    with np.errstate(over='ignore', invalid='ignore'):
        result = array.astype(dtype)
    if finite and not (np.isfinite(array).all() and np.isfinite(result).all()):
        raise BadFile(f'{where} has {(~np.isfinite(result)).sum()} values that are not finite')
    return result


def _read_npy(stream, name):
    try:
        version = np.lib.format.read_magic(stream)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = reader(stream)
        if dtype.hasobject:
            value = unpickle_arrays(stream, name)
            return value if isinstance(value, np.ndarray) else np.asarray(value, dtype=object)
        data = stream.read()
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(data, dtype=dtype, count=count).copy()
        return array.reshape(shape, order='F' if fortran else 'C')
    except ProjectError:
        raise
    except Exception as error:
        raise BadFile(f'{name}: not a readable numpy array ({_one_line(error)})') from None


def _open(path):
    try:
        return open(path, 'rb')
    except FileNotFoundError:
        raise MissingFile(f'{path}: no such file') from None
    except OSError as error:
        raise BadFile(f'{path}: cannot be opened ({error.strerror})') from None


def _one_line(error):
    return ' '.join(str(error).split())[:200] or type(error).__name__


@contextlib.contextmanager
def atomic_write(path, mode='wb'):
    """Open a temporary file beside `path` for writing. On leaving without an error, sync it and rename it to `path`.

    After an error the old file is unchanged and no temporary file is left. A full disk raises ProjectError.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix='.tmp')
    except OSError as error:
        raise _write_error(path, error) from None
    try:
        text = {} if 'b' in mode else {'encoding': 'utf-8', 'newline': '\n'}  # the same bytes on every system
        with os.fdopen(descriptor, mode, **text) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(aside, 0o666 & ~umask)
        os.replace(aside, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        cause = _failed_write(error)
        if cause is not None:
            raise _write_error(path, cause) from None
        raise


def _failed_write(error):
    """The OSError behind an error, or None. torch's writer raises its own error after a failed write."""
    while isinstance(error, (OSError, RuntimeError)):
        if isinstance(error, OSError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _write_error(path, error):
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ProjectError(f'{path}: the disk is full; the file was not written, an old one is unchanged')
    return ProjectError(f'{path}: cannot be written ({error.strerror or error})')


def _sync_folder(folder):
    """Flush a new name to disk. Windows cannot open folders, and keeps names on its own."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_npz(path, **arrays):
    """Write arrays to a compressed `.npz` atomically. Equal arrays give equal bytes."""
    with atomic_write(path) as stream, zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=True)
            entry = zipfile.ZipInfo(f'{name}.npy', date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=3)


def save_npy(path, array):
    """Write one array to `.npy` atomically."""
    buffer = io.BytesIO()  # numpy writes to files directly, and its error at a full disk has no name
    np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=False)
    with atomic_write(path) as stream:
        stream.write(buffer.getbuffer())


def save_json(path, value, indent=1):
    """Write a value as JSON atomically."""
    with atomic_write(path, 'w') as stream:
        json.dump(value, stream, indent=indent)
        stream.write('\n')


def save_mat(path, arrays):
    """Write arrays to a `.mat` file atomically, without scipy's time stamp in the header."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays, do_compression=True)
    content = bytearray(buffer.getvalue())
    content[:116] = b'MATLAB 5.0 MAT-file'.ljust(116)
    with atomic_write(path) as stream:
        stream.write(content)


def sha256_of(path):
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with _open(path) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

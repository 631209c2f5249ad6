"""Reads MATLAB's `.mat` files of version 5 to 7: numbers, text and cells, as `scipy.io.loadmat` gives them.

scipy's own reader takes type codes and sizes on trust and ends the process on a damaged file. Here every element lies
within the one around it (MathWorks, "MAT-File Format", Level 5).
"""
import math
import struct
import zlib

import numpy as np

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_DATA = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8', 12: 'i8', 13: 'u8'}
_TEXT = {1: 'latin1', 2: 'latin1', 4: 'utf-16', 16: 'utf-8', 17: 'utf-16', 18: 'utf-32'}
_CELL, _CHARACTERS = 1, 4
_NUMBERS = {6: 'f8', 7: 'f4', 8: 'i1', 9: 'u1', 10: 'i2', 11: 'u2', 12: 'i4', 13: 'u4', 14: 'i8', 15: 'u8'}
_LARGEST = 1 << 31  # bytes of one unpacked element


class NotReadable(ValueError):
    """What is wrong with a file."""


def read_mat(content):
    """{name: array} of a file's bytes. Sparse matrices, structures and objects are None. Raises NotReadable."""
    if len(content) < _HEADER or content[126:128] not in (b'IM', b'MI'):
        raise NotReadable('not of version 5 to 7')
    order = '<' if content[126:128] == b'IM' else '>'
    arrays = {}
    for kind, data in _elements(memoryview(content)[_HEADER:], order):
        if kind == _COMPRESSED:
            (kind, data), = _elements(_inflated(data), order)
        if kind == _MATRIX:
            name, array = _matrix(data, order)
            arrays[name] = array
    return arrays


def _inflated(data):
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, _LARGEST)
    except zlib.error as error:
        raise NotReadable(str(error)) from None
    if not unpacker.eof:
        raise NotReadable('a compressed element is cut short, or too large')
    return memoryview(content)


def _elements(data, order):
    """[(type, content)] of the elements that follow each other in `data`."""
    elements, start = [], 0
    while start < len(data):
        if len(data) - start < 8:
            raise NotReadable('an element is cut short')
        kind, size = struct.unpack_from(order + 'II', data, start)
        if kind >> 16:  # a small element: type, size and up to four bytes in eight
            kind, size, first, length = kind & 0xffff, kind >> 16, start + 4, 8
        else:
            first = start + 8
            # Compressed elements are not padded to a multiple of eight bytes, all others are.
            length = 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if first + size > len(data) or (length == 8 and size > 4):
            raise NotReadable('an element is longer than the file')
        elements.append((kind, data[first:first + size]))
        start += length
    return elements


def _matrix(data, order):
    """(name, array) of a matrix element; the array is None for a class that is not read."""
    parts = _elements(data, order)
    if len(parts) < 3:
        raise NotReadable('a matrix without flags, size and name')
    flags, shape = _numbers(parts[0], order), tuple(int(n) for n in _numbers(parts[1], order))
    if len(flags) != 2 or len(shape) < 2 or min(shape) < 0:
        raise NotReadable('a matrix of unknown size')
    name, kind, count = _text(parts[2], order), int(flags[0]) & 0xff, math.prod(shape)
    if kind == _CELL:
        return name, _cells(parts[3:], shape, count, order)
    if kind == _CHARACTERS:
        return name, _strings(_text(parts[3], order) if len(parts) > 3 else '', shape, count)
    if kind not in _NUMBERS:
        return name, None
    values = [_numbers(part, order) for part in parts[3:]] or [np.empty(0)]
    if any(len(part) != count for part in values) or len(values) > 2:
        raise NotReadable(f'{[len(part) for part in values]} numbers for shape {list(shape)}')
    whole = values[0] if len(values) == 1 else values[0] + 1j * values[1]
    return name, (whole.astype(_NUMBERS[kind]) if len(values) == 1 else whole).reshape(shape, order='F')


def _cells(parts, shape, count, order):
    if len(parts) != count or any(kind != _MATRIX for kind, _ in parts):
        raise NotReadable(f'{len(parts)} cells for shape {list(shape)}')
    cells = np.empty(count, object)
    for place, (_, data) in enumerate(parts):
        cells[place] = _matrix(data, order)[1] if len(data) else np.empty((0, 0))
    return cells.reshape(shape, order='F')


def _strings(text, shape, count):
    """Rows of text, as an array of strings."""
    if len(shape) != 2 or len(text) != count:
        raise NotReadable(f'{len(text)} characters for shape {list(shape)}')
    letters = np.array(list(text), '<U1').reshape(shape, order='F')
    return np.array([''.join(row) for row in letters.tolist()], np.str_)


def _numbers(part, order):
    kind, data = part
    if kind not in _DATA:
        raise NotReadable(f'numbers of unknown type {kind}')
    dtype = np.dtype(order + _DATA[kind])
    if len(data) % dtype.itemsize:
        raise NotReadable('a number is cut short')
    return np.frombuffer(data, dtype).astype(dtype.newbyteorder('='))


def _text(part, order):
    kind, data = part
    if kind not in _TEXT:
        raise NotReadable(f'text of unknown type {kind}')
    suffix = {'<': '-le', '>': '-be'}[order] if _TEXT[kind] in ('utf-16', 'utf-32') else ''
    return bytes(data).decode(_TEXT[kind] + suffix)

"""Reads and writes torch files: always `weights_only`, written completely or not at all, with a content digest."""
import hashlib
import pickle
import zipfile
from pathlib import Path

import safetensors.torch
import torch

from utils.errors import BadFile, MissingFile
from utils.foreign_checkpoints import read_foreign_checkpoint
from utils.pickled_arrays import PickledArray, PickledDtype, array_begin, plain, scalar
from utils.safe_io import atomic_write

DIGEST_KEY = 'content_sha256'
_SAFETENSORS = '.safetensors'
# Plain numbers that published checkpoints contain beside tensors.
_SAFE = [(PickledArray, 'numpy.ndarray'), (PickledDtype, 'numpy.dtype'),
         *((stand_in, f'numpy.{core}.multiarray.{name}') for core in ('core', '_core')
           for stand_in, name in ((scalar, 'scalar'), (array_begin, '_reconstruct')))]


def load_torch(path, map_location='cpu'):
    """Read a torch file with `weights_only=True`, and check its digest if it has one.

    Entries of a dictionary with tensors that hold objects of unknown classes are left out. No class is imported, and
    nothing that the file names is called. Raises MissingFile; BadFile if the file is truncated, altered, or contains
    only objects that need code.
    """
    if not Path(path).exists():
        raise MissingFile(f'{path}: no such checkpoint')
    try:
        content = _load(path, map_location)
        intact = _is_intact(content)
    except Exception as error:  # a malicious or broken file can raise anything
        reason = 'it asks for code to be run' if _asks_for_code(error) else 'truncated or not a torch file'
        raise BadFile(f'{path}: not a readable checkpoint ({reason})') from None
    if not intact:
        raise BadFile(f'{path}: its content does not match its digest; the file is damaged')
    return content


def _load(path, map_location):
    if Path(path).suffix == _SAFETENSORS:
        with safetensors.safe_open(str(path), 'pt', device=str(map_location)) as file:
            names = sorted(file.keys())
            return {**dict(sorted((file.metadata() or {}).items())), 'model': {name: file.get_tensor(name)
                                                                                for name in names}}
    try:
        with torch.serialization.safe_globals(_SAFE):
            return plain(torch.load(path, map_location=map_location, weights_only=True))
    except pickle.UnpicklingError as error:
        if not (_asks_for_code(error) and zipfile.is_zipfile(path)):
            raise
        try:
            return read_foreign_checkpoint(path)
        except Exception:  # that the file asks for code is the more useful error
            raise error from None


def _asks_for_code(error):
    return 'unsupported global' in str(error).lower()


def _is_intact(content):
    """Whether content matches the digest in it. Removes the digest. Content without a digest counts as intact."""
    if not isinstance(content, dict) or DIGEST_KEY not in content:
        return True
    wanted = content.pop(DIGEST_KEY)
    return content_digest(content) == wanted


def save_torch(path, content):
    """Write a dict of tensors and plain containers atomically, with its digest.

    A `.safetensors` file holds the tensors of content['model'] and texts. Other entries are not allowed.
    """
    if Path(path).suffix == _SAFETENSORS:
        write = _save_safetensors
    else:
        write = _save_pickled
    with atomic_write(path) as stream:
        write(stream, content)


def _save_pickled(stream, content):
    torch.save({**content, DIGEST_KEY: content_digest(content)}, stream)


def _save_safetensors(stream, content):
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in sorted(content['model'].items())}
    texts = {key: value for key, value in sorted(content.items()) if key != 'model'}
    digest = content_digest({**texts, 'model': tensors})  # in the order of reading
    stream.write(safetensors.torch.save(tensors, metadata={**texts, DIGEST_KEY: digest}))


def content_digest(value):
    """SHA-256 (hex) of nested dicts, lists, tensors and plain values. Equal content has equal digests."""
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest, value):
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu().contiguous()
        digest.update(f'tensor {tensor.dtype} {tuple(tensor.shape)} '.encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b'')
    elif isinstance(value, dict):
        digest.update(f'dict {len(value)} '.encode())
        for key, entry in value.items():
            digest.update(f'{key!r} '.encode())
            _feed(digest, entry)
    elif isinstance(value, (list, tuple)):
        digest.update(f'list {len(value)} '.encode())
        for entry in value:
            _feed(digest, entry)
    else:
        digest.update(f'{type(value).__name__} {value!r} '.encode())

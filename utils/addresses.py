"""Files by address: `hf://OWNER/REPO/FILE` out of huggingface_hub's cache, `https://...` out of torch.hub's."""
import contextlib
import functools
import hashlib
import http.client
import re
import urllib.request
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import huggingface_hub
import torch
from filelock import FileLock
from tqdm import tqdm

from utils.errors import BadConfig, BadFile, MissingFile
from utils.logging import get_logger
from utils.safe_io import atomic_write, sha256_of

_TIMEOUT_S, _PIECE = 60, 1 << 20

_ADDRESS = re.compile(r'(hf|https?)://')
_HUB = re.compile(r'hf://(?:(spaces|datasets)/)?([^/@#]+/[^/@#]+)(?:@([^/#]+))?/([^#]+)')
_PINNED = re.compile(r'#sha256=([0-9a-f]{8,64})$')


def is_address(path):
    """Whether this is an address, not a path."""
    return bool(_ADDRESS.match(str(path)))


def local_file(path):
    """Path of a file here: an address is fetched unless it is in its cache (of `hf://`, the hub is asked first
    whether there is a newer file), a path stays as it is.

    `hf://OWNER/REPO/FILE`, `hf://OWNER/REPO@REVISION/FILE`, `hf://spaces/OWNER/REPO/FILE`, `https://...`. With
    `#sha256=HEX` at its end (8 digits or more) the file is compared with it. Raises MissingFile where the address
    cannot be reached and the cache is empty, BadFile where the digest is another, BadConfig for what is no address.
    """
    return _fetched(str(path)) if is_address(path) else path


def cached_file(address):
    """Path of an address's file if the cache has it, else None. Asks nobody."""
    address = _PINNED.sub('', address)
    if not address.startswith('hf://'):
        return _web_place(address) if _web_place(address).is_file() else None
    kind, repository, revision, name = _hub_parts(address)
    found = huggingface_hub.try_to_load_from_cache(repository, name, revision=revision, repo_type=kind)
    return Path(found) if isinstance(found, str) else None


@functools.cache
def _fetched(address):
    pinned = _PINNED.search(address)
    address, digest = _PINNED.sub('', address), pinned[1] if pinned else ''
    if '#' in address:
        raise BadConfig(f'{address}: what follows # is no digest; write #sha256= and 8 to 64 hexadecimal digits')
    before = cached_file(address)
    path = _from_hub(address) if address.startswith('hf://') else before or _from_web(address)
    if digest or path != before:
        found = sha256_of(path)
        if not found.startswith(digest):
            raise BadFile(f'{address}: SHA-256 is {found}, not {digest}...; the file in the cache is {path}')
        get_logger().info(f'{address}: {path}, SHA-256 {found}' + ('' if digest else
                                                                  f' (add #sha256={found} to have it compared)'))
    return path


def _hub_parts(address):
    parts = _HUB.fullmatch(address)
    if parts is None:
        raise BadConfig(f'{address}: not an address of a file; write hf://OWNER/REPO/FILE')
    kind, repository, revision, name = parts.groups()
    return kind and kind.removesuffix('s'), repository, revision, name


def _from_hub(address):
    kind, repository, revision, name = _hub_parts(address)
    try:
        return Path(huggingface_hub.hf_hub_download(repository, name, revision=revision, repo_type=kind))
    except Exception as error:  # of the hub, of its transport, of the disk
        raise _unreachable(address, error) from None


def _from_web(address):
    """Fetch a file into the cache, whole or not at all; other processes that want it wait."""
    path = _web_place(address)
    with _network_errors(address):  # the cache may be a folder that cannot be written
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(path.name + '.lock')).acquire()
    with lock:
        if not path.is_file():
            get_logger().info(f'{address}: fetching')
            with _network_errors(address):
                request = urllib.request.Request(quote(address, safe=':/?&=%@,+~'),
                                                 headers={'User-Agent': 'human-mesh-recovery'})
                answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
            with answer, atomic_write(path) as stream:
                _copy(answer, stream, address, path.name)
    return path


def _copy(answer, stream, address, name):
    size = int(answer.headers.get('Content-Length') or 0)
    with tqdm(total=size or None, desc=name, unit='B', unit_scale=True, disable=None) as bar:
        while True:
            with _network_errors(address):
                piece = answer.read(_PIECE)
            if not piece:
                break
            stream.write(piece)
            bar.update(len(piece))
    if size and stream.tell() != size:  # urllib takes a connection that ends for the end of the file
        raise _unreachable(address, f'it ended after {stream.tell()} of {size} bytes')


@contextlib.contextmanager
def _network_errors(address):
    try:
        yield
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _unreachable(address, error) from None


def _web_place(address):
    """Two addresses may end in one name: each has a folder of its own in torch.hub's cache."""
    name = Path(unquote(urlsplit(address).path)).name
    if not name:
        raise BadConfig(f'{address}: not an address of a file; it ends in no name')
    return Path(torch.hub.get_dir()) / 'checkpoints' / hashlib.sha256(address.encode()).hexdigest()[:12] / name


def _unreachable(address, error):
    reason = ' '.join(str(error).split())[:120] or type(error).__name__
    return MissingFile(f'{address}: cannot be fetched, and is not in the cache ({reason}); fetch the file where there '
                       'is a network, and give its path')

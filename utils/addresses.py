"""Files by address: `hf://OWNER/REPO/FILE` through huggingface_hub's cache, `https://...` through torch.hub's."""
import contextlib
import functools
import hashlib
import http.client
import re
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import huggingface_hub
import torch
from filelock import FileLock
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import logging as hub_logging
from tqdm import tqdm

from utils.errors import BadConfig, BadFile, MissingFile
from utils.logging import get_logger
from utils.safe_io import atomic_write, sha256_of

_TIMEOUT_S, _PIECE = 60, 1 << 20

_ADDRESS = re.compile(r'(hf|https?)://')
_HUB = re.compile(r'hf://(?:(spaces|datasets)/)?([^/@#]+/[^/@#]+)(?:@([^/#]+))?/([^#]+)')
_PINNED = re.compile(r'#sha256=([0-9a-f]{8,64})$')


def is_address(path):
    """Whether this is an address and not a path."""
    return bool(_ADDRESS.match(str(path)))


def local_file(path):
    """Local path of a file. A path is returned unchanged; an address is downloaded unless it is in the cache.

    For `hf://` the hub is asked first whether there is a newer file. Addresses: `hf://OWNER/REPO/FILE`,
    `hf://OWNER/REPO@REVISION/FILE`, `hf://spaces/OWNER/REPO/FILE`, `https://...`. With `#sha256=HEX` at the end (8
    digits or more), the file's digest is checked. Raises MissingFile where the address is unreachable and not cached,
    BadFile for a wrong digest, BadConfig for an invalid address.
    """
    return _fetched(str(path)) if is_address(path) else path


def cached_file(address):
    """Path of an address's file in the cache, or None. Does not use the network."""
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
        raise BadConfig(f'{address}: the part after # is not a digest; write #sha256= and 8 to 64 hexadecimal digits')
    before = cached_file(address)
    path = _from_hub(address) if address.startswith('hf://') else before or _from_web(address)
    if digest or path != before:
        found = sha256_of(path)
        if not found.startswith(digest):
            raise BadFile(f'{address}: SHA-256 is {found}, not {digest}...; the file in the cache is {path}')
        get_logger().info(f'{address}: {path}, SHA-256 {found}' + ('' if digest else
                                                                  f' (add #sha256={found} to compare it)'))
    return path


def _hub_parts(address):
    parts = _HUB.fullmatch(address)
    if parts is None:
        raise BadConfig(f'{address}: not an address of a file; write hf://OWNER/REPO/FILE')
    kind, repository, revision, name = parts.groups()
    return kind and kind.removesuffix('s'), repository, revision, name


def _from_hub(address):
    kind, repository, revision, name = _hub_parts(address)
    file = {'repo_id': repository, 'filename': name, 'revision': revision, 'repo_type': kind}
    try:
        with _quiet_hub():
            if cached_file(address) is None:
                _ask_hub(huggingface_hub.hf_hub_url(**file))
            return Path(huggingface_hub.hf_hub_download(**file))
    except Exception as error:  # the hub, its transport and the disk raise many kinds
        raise _unreachable(address, error) from None


def _ask_hub(url):
    """Raise the transport's error if the hub does not answer two requests. hf_hub_download would make seven, in half a
    minute. An answer that is an error is left to it."""
    for wait in (1, 0):
        try:
            huggingface_hub.get_hf_file_metadata(url)
            return
        except HfHubHTTPError:
            return
        except Exception:  # the transport's kinds differ between versions
            if not wait:
                raise
            time.sleep(wait)


@contextlib.contextmanager
def _quiet_hub():
    """Without the hub's lines about retries. Errors are raised, and say the same."""
    before = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        hub_logging.set_verbosity(before)


def _from_web(address):
    """Download a file into the cache, completely or not at all. Other processes that want it wait."""
    path = _web_place(address)
    with _network_errors(address):  # the cache folder may not be writable
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
    if size and stream.tell() != size:  # urllib takes a broken connection for the end of the file
        raise _unreachable(address, f'the download ended after {stream.tell()} of {size} bytes')


@contextlib.contextmanager
def _network_errors(address):
    try:
        yield
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _unreachable(address, error) from None


def _web_place(address):
    """Path in torch.hub's cache. Each address has its own folder, because two may end in the same name."""
    name = Path(unquote(urlsplit(address).path)).name
    if not name:
        raise BadConfig(f'{address}: not an address of a file; it does not end in a file name')
    return Path(torch.hub.get_dir()) / 'checkpoints' / hashlib.sha256(address.encode()).hexdigest()[:12] / name


def _unreachable(address, error):
    reason = ' '.join(str(error).split())[:120] or type(error).__name__
    return MissingFile(f'{address}: cannot be fetched, and is not in the cache ({reason}); download the file '
                       'elsewhere, and give its path')

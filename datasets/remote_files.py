"""Downloads files of a web server into a cache folder and checks their digests."""
import contextlib
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock

from utils.errors import BadFile, MissingFile, ProjectError
from utils.safe_io import sha256_of

_PIECE = 1 << 20
_TIMEOUT_S = 60
_ATTEMPTS = 3
_ODD = r'[^\w.+-]'  # characters that some system forbids in file names


def is_url(name):
    return name.startswith(('http://', 'https://'))


def cache_folder(url, root=''):
    """Cache folder for the files below a URL. root: '' for ~/.cache/human_mesh_recovery."""
    root = Path(root) if root else Path.home() / '.cache' / 'human_mesh_recovery'
    return root / f'{re.sub(_ODD, "_", Path(url).name)}-{hashlib.sha256(url.encode()).hexdigest()[:16]}'


def read_url(url, limit=64 << 20):
    """Content of a file of at most `limit` bytes. Raises MissingFile, BadFile."""
    with _opened(url) as response:
        content = response.read(limit + 1)
    if len(content) > limit:
        raise BadFile(f'{url}: more than {limit} bytes')
    return content


def fetch(url, path, size, sha256):
    """Download a file of known size and SHA-256 to `path`, unless it exists.

    One process downloads; others that need the file wait. After an interruption the next call continues the download.
    Raises MissingFile, BadFile.
    """
    path = Path(path)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + '.part')
    with FileLock(path.with_name(path.name + '.lock')):
        if path.exists():
            return path
        for attempt in range(_ATTEMPTS):
            try:
                _go_on(url, partial, size)
                break
            except BadFile:
                if attempt == _ATTEMPTS - 1:
                    raise
        if sha256_of(partial) != sha256:
            partial.unlink()
            raise BadFile(f'{url}: its SHA-256 differs from that in shards.json')
        os.replace(partial, path)
    return path


def _go_on(url, partial, size):
    """Download the rest of `partial`, or all of it if the server does not support ranges."""
    have = partial.stat().st_size if partial.exists() else 0
    if have == size:
        return
    with (_opened(url, {'Range': f'bytes={have}-'} if 0 < have < size else {}) as response,
          open(partial, 'ab' if response.status == 206 else 'wb') as stream):
        while piece := response.read(_PIECE):
            stream.write(piece)
            if stream.tell() > size:
                raise BadFile(f'{url}: more than the {size} bytes of shards.json')
    if partial.stat().st_size != size:
        raise BadFile(f'{url}: ended after {partial.stat().st_size} of {size} bytes')


@contextlib.contextmanager
def _opened(url, headers=None):
    """Open a URL. Raises network errors as BadFile or MissingFile."""
    try:
        request = urllib.request.Request(quote(url, safe=':/?&=%@,+~'), headers=headers or {})
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            yield response
    except urllib.error.HTTPError as error:
        kind = MissingFile if error.code in (404, 410) else BadFile
        raise kind(f'{url}: the server answers {error.code} {error.reason}') from None
    except ProjectError:
        raise
    except (OSError, ValueError, http.client.HTTPException) as error:  # URLError, timeouts, broken connections
        raise BadFile(f'{url}: cannot be fetched ({" ".join(str(error).split())[:150]})') from None

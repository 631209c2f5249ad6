"""Serves one folder of files to a browser. Answers byte ranges, without which a browser cannot seek in a video."""
import functools
import http.server
import re
import socket
from pathlib import Path

from utils.errors import MissingFile, ProjectError
from utils.logging import get_logger

_LOOPBACK = ('127.0.0.1', 'localhost', '::1')
_BLOCK = 1 << 18


class _FolderHandler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, whole or in part; no listings; from this machine's own names only where bound to loopback."""
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        self._answer(with_content=True)

    def do_HEAD(self):
        self._answer(with_content=False)

    def _answer(self, with_content):
        if not self._is_own_name():
            # Another site's page could otherwise read this one by pointing its own name at this address.
            self.send_error(403)
            return
        path = Path(self.translate_path(self.path))
        path = path / 'index.html' if path.is_dir() else path
        try:
            with open(path, 'rb') as stream:
                self._send(stream, path, with_content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except (OSError, ValueError):
            self.send_error(404)

    def _is_own_name(self):
        if self.server.server_address[0] not in _LOOPBACK:
            return True
        host = self.headers.get('Host', '')
        return re.sub(r':\d+$', '', host).strip('[]') in _LOOPBACK

    def _send(self, stream, path, with_content):
        size = path.stat().st_size
        span = self._requested_range(size)
        if span is None:
            self.send_response(416)
            self.send_header('Content-Range', f'bytes */{size}')
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        first, last, is_part = span
        self.send_response(206 if is_part else 200)
        if is_part:
            self.send_header('Content-Range', f'bytes {first}-{last}/{size}')
        self.send_header('Accept-Ranges', 'bytes')
        self.send_header('Content-Type', self.guess_type(str(path)))
        self.send_header('Content-Length', str(last - first + 1))
        self.send_header('Cache-Control', 'no-cache')
        self.end_headers()
        if with_content:
            self._copy_part(stream, first, last)

    def _requested_range(self, size):
        """(first byte, last byte, whether that was asked for); None where it cannot be met (RFC 9110, section 14)."""
        found = re.fullmatch(r'bytes=(\d*)-(\d*)', self.headers.get('Range', '').strip())
        if not found or found.groups() == ('', ''):
            return 0, size - 1, False
        first, last = found.groups()
        if not first:
            return (max(0, size - int(last)), size - 1, True) if int(last) else None
        end = min(int(last), size - 1) if last else size - 1
        return (int(first), end, True) if int(first) <= end else None

    def _copy_part(self, stream, first, last):
        stream.seek(first)
        left = last - first + 1
        while left > 0 and (block := stream.read(min(_BLOCK, left))):
            self.wfile.write(block)
            left -= len(block)

    def log_message(self, format, *args):
        """Not a line a request: the page asks for many parts of its video."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, handler):
        if ':' in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)


def make_server(folder, port=8000, host='127.0.0.1'):
    """A server of a folder that listens already; port 0 takes a free one. Raises ProjectError, MissingFile."""
    if not (Path(folder) / 'index.html').is_file():
        raise MissingFile(f'{folder}: no index.html to serve')
    try:
        return _Server((host, port), functools.partial(_FolderHandler, directory=str(folder)))
    except (OSError, OverflowError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise ProjectError(f'cannot listen on {host}:{port} ({reason}); another port may be free') from None


def serve(folder, port=8000, host='127.0.0.1'):
    """Serve a page until interrupted. Other machines see it only where `host` is set, e.g. to 0.0.0.0."""
    with make_server(folder, port, host) as server:
        shown = f'[{host}]' if ':' in host else host
        get_logger().info(f'http://{shown}:{server.server_address[1]}/ shows the page; stop with Ctrl-C')
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            get_logger().info('stopped')

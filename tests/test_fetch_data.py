"""fetch_data.sh against a folder or a local server that stands in for the addresses."""
import functools
import hashlib
import http.server
import io
import os
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / 'fetch_data.sh'
pytestmark = pytest.mark.skipif(not (shutil.which('curl') and shutil.which('bash')), reason='curl and bash are needed')


def archive(path, members, links=()):
    with tarfile.open(path, 'w:gz') as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / 'mirror'
    folder.mkdir()
    return folder


def run(tmp_path, *arguments, mirror=None):
    environment = {**os.environ, 'DATA_DIR': str(tmp_path / 'data')}
    if mirror is not None:
        environment['FETCH_MIRROR'] = mirror if isinstance(mirror, str) else mirror.as_uri()
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, env=environment, cwd=tmp_path)
    return done.returncode, done.stdout, done.stderr


def test_files_and_archives(tmp_path, mirror):
    archive(mirror / 'data.tar.gz', {'data/gmm_08.pkl': b'prior', 'data/cube_parts.npy': b'parts'})
    archive(mirror / 'densepose_uv_data.tar.gz', {'UV_Processed.mat': b'uv', 'UV_symmetry_transforms.mat': b'flip'})
    archive(mirror / 'static_fits.tar.gz', {'static_fits/coco_fits.npy': b'fits'})
    (mirror / 'mesh_downsampling.npz').write_bytes(b'mesh')
    data = tmp_path / 'data'
    data.mkdir()
    (data / 'cube_parts.npy').write_bytes(b'mine')
    code, out, _ = run(tmp_path, '--only', 'spin_data', 'densepose_uv', 'static_fits', 'mesh_downsampling',
                       mirror=mirror)
    assert code == 0, out
    assert (data / 'gmm_08.pkl').read_bytes() == b'prior'
    assert (data / 'cube_parts.npy').read_bytes() == b'mine'
    assert (data / 'UV_data/UV_Processed.mat').read_bytes() == b'uv'
    assert (data / 'static_fits/coco_fits.npy').read_bytes() == b'fits'
    assert (data / 'mesh_downsampling.npz').read_bytes() == b'mesh'
    assert 'came without J_regressor_extra.npy' in out
    assert not (data / '.fetch').exists()
    _, out, _ = run(tmp_path, '--only', 'mesh_downsampling', mirror=mirror)
    assert 'mesh_downsampling: there already' in out
    assert f'To be fetched by hand:\n  {data}/smpl/SMPL_NEUTRAL.pkl' in out and 'https://smplify.is.tue.mpg.de' in out


@pytest.mark.parametrize('bad', ['/tmp/escaped', '../escaped', 'UV_data/../../escaped', 'link'])
def test_archives_that_reach_outside_are_refused(tmp_path, mirror, bad):
    links = [('UV_Processed.mat', '/etc/passwd')] if bad == 'link' else []
    members = {f'file{i}': b'x' for i in range(600)}
    archive(mirror / 'densepose_uv_data.tar.gz', {**({} if links else {bad: b'x'}), **members}, links)
    code, out, _ = run(tmp_path, '--only', 'densepose_uv', mirror=mirror)
    assert code == 1 and 'refused' in out
    assert not list(tmp_path.rglob('*escaped')) and not (tmp_path / 'data/UV_data').exists()


def test_wrong_checksum(tmp_path, mirror):
    (mirror / 'learned_ratio.pkl').write_bytes(b'not it')
    code, out, _ = run(tmp_path, '--only', 'danet_ratio', mirror=mirror)
    assert code == 1 and 'SHA-256 is not 9a40aec4' in out
    assert not (tmp_path / 'data/pretrained_model').exists() and not list((tmp_path / 'data').rglob('*.part'))


class _Ranges(http.server.SimpleHTTPRequestHandler):
    """A server that can go on in the middle of a file, and says where it was asked to."""
    asked = []

    def do_GET(self):
        content = Path(self.translate_path(self.path)).read_bytes()
        start = int(self.headers.get('Range', 'bytes=0-').split('=')[1].split('-')[0])
        self.asked.append(start)
        self.send_response(206 if start else 200)
        if start:
            self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
        self.send_header('Content-Length', str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, *_):
        pass


@pytest.mark.parametrize('ranges', [True, False])
def test_interrupted_download_goes_on(tmp_path, mirror, ranges):
    content = os.urandom(200_000)
    (mirror / 'mesh_downsampling.npz').write_bytes(content)
    parts = tmp_path / 'data/.fetch'
    parts.mkdir(parents=True)
    (parts / 'mesh_downsampling.npz.part').write_bytes(content[:120_000])
    kind = _Ranges if ranges else http.server.SimpleHTTPRequestHandler
    _Ranges.asked.clear()
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(kind, directory=str(mirror)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        code, out, err = run(tmp_path, '--only', 'mesh_downsampling',
                             mirror=f'http://127.0.0.1:{server.server_address[1]}')
    finally:
        server.shutdown()
        server.server_close()
    assert code == 0, out + err
    fetched = (tmp_path / 'data/mesh_downsampling.npz').read_bytes()
    assert hashlib.sha256(fetched).digest() == hashlib.sha256(content).digest()
    assert not ranges or _Ranges.asked == [120_000]


def test_what_cannot_be_fetched_is_kept_for_later(tmp_path, mirror):
    code, out, _ = run(tmp_path, '--only', 'mesh_downsampling', mirror=mirror)
    assert code == 1 and 'not fetched; run again' in out and '1 not fetched' in out


def test_check(tmp_path):
    data = tmp_path / 'data'
    for name in ('smpl/SMPL_NEUTRAL.pkl', 'datasets/coco/x', 'gmm_08.pkl'):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(b'')
    code, out, _ = run(tmp_path, '--check')
    assert code == 1
    assert '  present  smpl/SMPL_NEUTRAL.pkl' in out and '  missing  smpl/SMPL_MALE.pkl' in out
    assert '  ready    eval_coco.py' in out
    assert '  blocked  train.py --run_smplify: needs static_fits/coco_fits.npy\n' in out
    assert sorted(path.name for path in data.iterdir()) == ['datasets', 'gmm_08.pkl', 'smpl']


@pytest.mark.parametrize('folder', ['', 'body_models/smpl/', 'body_models/'])
def test_check_knows_the_other_layouts(tmp_path, folder):
    for name in (f'{folder}SMPL_NEUTRAL.pkl', f'{folder}SMPL_MALE.npz', 'body_models/J_regressor_h36m.npy'):
        (tmp_path / 'data' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'data' / name).write_bytes(b'')
    _, out, _ = run(tmp_path, '--check')
    assert '  present  smpl/SMPL_NEUTRAL.pkl' in out and '  missing  smpl/SMPL_FEMALE.pkl' in out
    assert "eval.py with SPIN's weights: needs smpl_mean_params.npz model_checkpoint.pt\n" in out


def test_wrong_options(tmp_path):
    assert run(tmp_path, '--onyl')[0] == 2
    assert run(tmp_path, '--only')[0] == 2
    code, _, err = run(tmp_path, '--only', 'spin')
    assert code == 2 and 'spin_data' in err

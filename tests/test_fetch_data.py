"""fetch_data.sh with a folder or local servers in place of the published addresses."""
import functools
import hashlib
import http.server
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

from core.config import load_config
from datasets.catalog import ANNOTATION_FOLDERS, CATALOG
from datasets.mixed import parse_mixture

REAL = Path(__file__).resolve().parent.parent.parent / 'shared/real/assets'
SCRIPT = Path(__file__).resolve().parent.parent / 'fetch_data.sh'
pytestmark = pytest.mark.skipif(not (shutil.which('curl') and shutil.which('bash')), reason='curl and bash are needed')


def archive(path, members, links=(), mode='w:gz'):
    with tarfile.open(path, mode) as tar:
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


def npz_bytes():
    stream = io.BytesIO()
    np.savez(stream, a=np.arange(20000))
    return stream.getvalue()


def run(tmp_path, *arguments, mirror=None, **more):
    environment = {**os.environ, 'DATA_DIR': str(tmp_path / 'data'), **more}
    if mirror is not None:
        environment['FETCH_MIRROR'] = mirror if isinstance(mirror, str) else mirror.as_uri()
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, env=environment, cwd=tmp_path)
    return done.returncode, done.stdout, done.stderr


def test_files_and_archives(tmp_path, mirror):
    archive(mirror / 'data.tar.gz', {'data/train.h5': b'list', 'data/cube_parts.npy': b'parts'})
    archive(mirror / 'densepose_uv_data.tar.gz', {'UV_symmetry_transforms.mat': b'flip', 'UV_Processed.mat': b'uv'})
    archive(mirror / 'static_fits.tar.gz', {'static_fits/coco_fits.npy': b'fits'})
    (mirror / 'h36m_train.npz').write_bytes(npz_bytes())
    data = tmp_path / 'data'
    data.mkdir()
    (data / 'cube_parts.npy').write_bytes(b'mine')
    code, out, _ = run(tmp_path, '--only', 'spin_data', 'densepose_uv', 'static_fits', 'h36m_train', mirror=mirror)
    assert code == 0, out
    assert (data / 'train.h5').read_bytes() == b'list'
    assert (data / 'cube_parts.npy').read_bytes() == b'mine'
    assert (data / 'UV_data/UV_symmetry_transforms.mat').read_bytes() == b'flip'
    assert (data / 'static_fits/coco_fits.npy').read_bytes() == b'fits'
    assert (data / 'preprocessed_datasets/h36m_train.npz').read_bytes() == npz_bytes()
    assert 'came without J_regressor_extra.npy' in out
    # The files of an archive are compared with their digests.
    assert 'UV_data/UV_Processed.mat: its SHA-256 is not ef109a96' in out
    assert not (data / 'UV_data/UV_Processed.mat').exists()
    assert not (data / '.fetch').exists()
    _, out, _ = run(tmp_path, '--only', 'h36m_train', mirror=mirror)
    assert 'h36m_train: there already' in out
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
    """A server of byte ranges. `asked` collects the first byte of each request."""
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
def test_interrupted_download_is_continued(tmp_path, mirror, ranges):
    content = os.urandom(200_000)
    (mirror / 'model_checkpoint.pt').write_bytes(content)
    parts = tmp_path / 'data/.fetch'
    parts.mkdir(parents=True)
    (parts / 'spin_checkpoint.1.part').write_bytes(content[:120_000])
    kind = _Ranges if ranges else http.server.SimpleHTTPRequestHandler
    _Ranges.asked.clear()
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(kind, directory=str(mirror)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        code, out, err = run(tmp_path, '--only', 'spin_checkpoint',
                             mirror=f'http://127.0.0.1:{server.server_address[1]}')
    finally:
        server.shutdown()
        server.server_close()
    assert code == 0, out + err
    fetched = (tmp_path / 'data/model_checkpoint.pt').read_bytes()
    assert hashlib.sha256(fetched).digest() == hashlib.sha256(content).digest()
    assert not ranges or _Ranges.asked == [120_000]


def test_failed_items_are_listed_at_the_end(tmp_path, mirror):
    """One absent item does not stop the others."""
    (mirror / 'coco_fits.npy').write_bytes(b'\x93NUMPY...')
    (mirror / 'model_checkpoint.pt').write_bytes(b'weights')
    code, out, _ = run(tmp_path, '--only', 'fits_coco', 'fits_mpii', 'spin_checkpoint', mirror=mirror)
    listed = 'again to continue):\n  fits_mpii                curl ended with status 37\n'
    assert code == 1 and out.endswith(listed)
    assert (tmp_path / 'data/static_fits/coco_fits.npy').exists() and (tmp_path / 'data/model_checkpoint.pt').exists()


SERVER = textwrap.dedent("""
    import http.server, sys, time
    from pathlib import Path

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            kind, name = self.path.strip('/').split('/')
            if kind == 'silent':
                time.sleep(60)
            content = Path(sys.argv[1], name).read_bytes()
            if kind == 'page':
                content = b'<!DOCTYPE html><html>This host has moved.</html>'
            if kind == 'wrong':
                content = content[:-1] + bytes([content[-1] ^ 1])
            self.send_response(200)
            if kind != 'endless':  # without a length, only the file's content shows that it is cut
                self.send_header('Content-Length', str(len(content)))
            self.end_headers()
            self.wfile.write(content[:len(content) // 2] if kind in ('cut', 'endless') else content)

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
""")


@pytest.fixture
def server(mirror):
    """Address of a server in another process. Its folders fail in different ways: silent, page, wrong, cut, endless."""
    process = subprocess.Popen([sys.executable, '-c', SERVER, str(mirror)], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.DEVNULL)
    yield f'http://127.0.0.1:{int(process.stdout.readline())}'
    process.kill()
    process.wait()


def closed_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize('kind, says', [
    ('dead', 'does not answer'), ('silent', 'does not answer'), ('page', 'is not a complete npz file'),
    ('cut', 'broke off'), ('endless', 'is not a complete npz file')])
def test_the_next_address_is_tried(tmp_path, mirror, server, kind, says):
    (mirror / 'eft_coco_all.npz').write_bytes(npz_bytes())
    first = f'http://127.0.0.1:{closed_port()}/x' if kind == 'dead' else f'{server}/{kind}'
    code, out, _ = run(tmp_path, '--only', 'eft_coco_all', mirror=f'{first} {mirror.as_uri()}', FETCH_TIMEOUT='1')
    assert code == 0 and f' {says}' in out, out
    assert (tmp_path / 'data/preprocessed_datasets/eft_coco_all.npz').read_bytes() == npz_bytes()
    assert not (tmp_path / 'data/.fetch').exists()


def test_a_dead_host_is_asked_once(tmp_path, mirror):
    (mirror / 'MPII_ver01.json').write_bytes(b'{}')
    dead = f'http://127.0.0.1:{closed_port()}'
    code, out, _ = run(tmp_path, '--only', 'fits_coco', 'fits_mpii', 'eft_fit_mpii', mirror=f'{dead} {mirror.as_uri()}')
    assert code == 1 and out.count('does not answer\n') == 1 and out.count('did not answer before') == 2
    assert (tmp_path / 'data/datasets/eft/MPII_ver01.json').exists()


@pytest.mark.skipif(not REAL.exists(), reason='../shared is not here')
def test_digests_are_those_of_the_real_files(tmp_path, mirror, server):
    """The real file passes. With one bit changed it fails, and the next address is tried."""
    names = {'gmm_08': 'gmm_08.pkl', 'J_regressor_extra': 'J_regressor_extra.npy',
             'vertex_texture': 'vertex_texture.npy', 'J_regressor_h36m': 'J_regressor_h36m.npy',
             'smpl_mean_params': 'smpl_mean_params.npz', 'cube_parts': 'cube_parts.npy',
             'mesh_downsampling': 'mesh_downsampling.npz'}
    for file in [*names.values(), 'static_fits/lsp-orig_fits.npy', 'pretrained_model/learned_ratio.pkl']:
        shutil.copy(REAL / file, mirror / Path(file).name)
    (mirror / 'lsp-orig_fits.npy').rename(mirror / 'lsp_fits.npy')  # mmhuman3d's name
    data = tmp_path / 'data'
    code, out, _ = run(tmp_path, '--only', *names, 'fits_lsp', 'danet_ratio', mirror=mirror)
    assert code == 0, out
    for file in [*names.values(), 'static_fits/lsp-orig_fits.npy', 'pretrained_model/learned_ratio.pkl']:
        assert (data / file).read_bytes() == (REAL / file).read_bytes()
    (data / 'gmm_08.pkl').unlink()
    code, out, _ = run(tmp_path, '--only', 'gmm_08', mirror=f'{server}/wrong {mirror.as_uri()}')
    assert code == 0 and 'its SHA-256 is not e1374908' in out
    assert (data / 'gmm_08.pkl').read_bytes() == (REAL / 'gmm_08.pkl').read_bytes()


@pytest.mark.skipif(not REAL.exists(), reason='../shared is not here')
def test_published_addresses_with_one_dead_host(tmp_path, mirror, server):
    """Without a mirror. A wrapper around curl fails for github.com and asks the local server for other hosts."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    (folder / 'curl').write_text(f"""#!/usr/bin/env bash
        url=${{@: -1}}
        case $url in *://github.com/*) exit 6 ;; esac
        exec {shutil.which('curl')} "${{@:1:$#-1}}" "{server}/plain/${{url##*/}}"
        """)
    (folder / 'curl').chmod(0o755)
    for name in ('J_regressor_extra.npy', 'gmm_08.pkl'):
        shutil.copy(REAL / name, mirror)
    code, out, _ = run(tmp_path, '--only', 'J_regressor_extra', 'cube_parts', 'gmm_08',
                       PATH=f'{folder}:{os.environ["PATH"]}')
    assert code == 1 and '  cube_parts               github.com did not answer before\n' in out
    for name in ('J_regressor_extra.npy', 'gmm_08.pkl'):
        assert (tmp_path / 'data' / name).read_bytes() == (REAL / name).read_bytes()
        assert f'openmmlab-share.oss-cn-hangzhou.aliyuncs.com/mmhuman3d/models/{name}' in out


@pytest.mark.skipif(not REAL.exists(), reason='../shared is not here')
def test_an_archive_of_real_files(tmp_path, mirror):
    """SPIN's data.tar.gz is an uncompressed tar."""
    files = ['J_regressor_extra.npy', 'J_regressor_h36m.npy', 'smpl_mean_params.npz', 'gmm_08.pkl', 'cube_parts.npy',
             'vertex_texture.npy']
    archive(mirror / 'data.tar.gz', {f'data/{file}': (REAL / file).read_bytes() for file in files}, mode='w')
    code, out, _ = run(tmp_path, '--only', 'spin_data', mirror=mirror)
    assert code == 0 and 'came without train.h5\n' in out and 'SHA-256' not in out
    assert all((tmp_path / 'data' / file).read_bytes() == (REAL / file).read_bytes() for file in files)


def test_a_truncated_archive_is_deleted(tmp_path, mirror):
    archive(mirror / 'whole.tar', {f'dataset_extras/{n}.npz': os.urandom(9000) for n in range(9)}, mode='w')
    whole = (mirror / 'whole.tar').read_bytes()
    (mirror / 'dataset_extras.tar.gz').write_bytes(whole[:len(whole) // 2])
    code, out, _ = run(tmp_path, '--only', 'dataset_extras', mirror=mirror)
    assert code == 1 and 'is not a readable archive' in out
    assert not list((tmp_path / 'data').rglob('*.npz')) and not list((tmp_path / 'data').rglob('*.part'))


@pytest.mark.parametrize('tool', ['shasum', 'openssl'])
def test_digests_without_sha256sum(tmp_path, mirror, tool):
    """macOS has shasum. openssl is used where both are absent."""
    if not shutil.which(tool):
        pytest.skip(f'needs {tool}')
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name in ('bash', 'env', 'curl', 'cut', 'dirname', 'find', 'grep', 'head', 'ls', 'mkdir', 'mv', 'rm', 'rmdir',
                 'sed', 'tail', 'tar', 'tr', 'wc', 'perl', tool):
        if shutil.which(name):
            (folder / name).symlink_to(shutil.which(name))
    content = b'not the ratio'
    (mirror / 'learned_ratio.pkl').write_bytes(content)
    code, out, err = run(tmp_path, '--only', 'danet_ratio', mirror=mirror, PATH=str(folder))
    assert code == 1 and 'SHA-256 is not 9a40aec4' in out and 'not found' not in err
    if REAL.exists():
        shutil.copy(REAL / 'pretrained_model/learned_ratio.pkl', mirror)
        code, out, err = run(tmp_path, '--only', 'danet_ratio', mirror=mirror, PATH=str(folder))
        assert code == 0, out + err


def table(name):
    """Rows of one of the script's tables, with its variables expanded."""
    text = SCRIPT.read_text()
    start = text.index(f'\n{name}="\n')
    variables = [line for line in text.splitlines() if line.partition('=')[0] in
                 ('spin', 'graphcmr', 'cliff', 'danet', 'mmhuman3d', 'mediapipe', 'eft', 'mesh', 'both', 'hmr',
                  'resnet')]
    block = text[start:text.index('\n"\n', start) + 3]
    done = subprocess.run(['bash', '-c', '\n'.join([*variables, block, f'printf %s "${name}"'])], capture_output=True,
                          text=True, check=True)
    return [line.split('|') for line in done.stdout.split('\n') if line]


def test_every_item_has_addresses_and_names_are_unique():
    items = table('items')
    assert len({item[0] for item in items}) == len(items)
    for name, kind, target, brings, addresses in items:
        assert kind in ('file', 'tar') and addresses.startswith('http'), name
        if kind == 'file':
            assert any(target in path.split(',') for path in brings.split()), name
    assert all(len(digest) in (8, 64) for _, digest in table('digests'))


def test_sets_are_those_of_the_catalog():
    for name, files, folders in table('sets'):
        split, name = name.split()
        entry = CATALOG[name]
        assert set(files.split()) == set(getattr(entry, split)), name
        theirs = [entry.mmhuman3d_images] if entry.mmhuman3d_images else []
        assert folders.split() == [f'datasets/{folder}' for folder in [entry.images, *theirs]], name


@pytest.mark.parametrize('config, command', [
    ('hmr', 'train.py --regressor hmr'), ('spin', 'train.py --regressor hmr --run_smplify'),
    ('pymaf', 'train.py --regressor pymaf_net'), ('danet', 'train.py --regressor danet'),
    ('multi_spin', 'train.py --regressor multi_spin')])
def test_commands_name_what_the_published_configs_train_on(config, command):
    cfg = load_config(SCRIPT.parent / f'configs/{config}.yaml')
    sets = [name for names, _ in parse_mixture(cfg.DATA.MIXTURE) for name in names]
    line = next(line for line in table('commands') if line[0] == command)
    assert line[2].split() == sets and line[3] == cfg.DATA.EVAL_DATASET
    # An item of the script or a download by hand provides each set.
    brought = {path for item in table('items') for path in item[3].replace(',', ' ').split()}
    by_hand = {path for line in table('by_hand') for path in line[0].split(',')}
    for name in sets:
        assert any(f'{folder}/{file}' in brought | by_hand for folder in ANNOTATION_FOLDERS
                   for file in CATALOG[name].train), name


def lay_out(data, *names):
    for name in names:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(b'x')


PYMAF = ('J_regressor_extra.npy', 'J_regressor_h36m.npy', 'smpl_mean_params.npz', 'mesh_downsampling.npz',
         'UV_data/UV_Processed.mat', 'pretrained_model/resnet50-19c8e357.pth', 'smpl/SMPL_NEUTRAL.pkl',
         'smpl/SMPL_MALE.pkl', 'smpl/SMPL_FEMALE.pkl', 'dataset_extras/3dpw_test.npz', 'datasets/3dpw/x')


def test_training_is_ready_with_one_whole_set_of_its_mixture(tmp_path):
    data = tmp_path / 'data'
    lay_out(data, *PYMAF)
    _, out, _ = run(tmp_path, '--check')
    assert ('  blocked  train.py --regressor pymaf_net: needs (annotations and pictures of one of: h36m lsp-orig '
            'mpii-eft lspet-eft coco-full mpi-inf-3dhp)\n') in out
    lay_out(data, 'preprocessed_datasets/eft_coco_all.npz')
    (data / 'datasets/coco').mkdir()
    assert '  blocked  train.py --regressor pymaf_net' in run(tmp_path, '--check')[1]  # an empty folder has no pictures
    lay_out(data, 'datasets/coco/train2014/a.jpg')
    _, out, _ = run(tmp_path, '--check')
    assert ('  ready    train.py --regressor pymaf_net on coco-full (missing: h36m lsp-orig mpii-eft lspet-eft '
            'mpi-inf-3dhp)\n') in out
    assert '  blocked  train.py --regressor hmr: needs (annotations' in out
    shutil.rmtree(data / 'datasets/3dpw')
    assert '  blocked  train.py --regressor pymaf_net: needs datasets/3dpw\n' in run(tmp_path, '--check')[1]


@pytest.mark.skipif(not REAL.exists(), reason='../shared is not here')
def test_fits_are_matched_by_their_rows(tmp_path):
    fits = tmp_path / 'data/static_fits'
    fits.mkdir(parents=True)
    shutil.copy(REAL / 'static_fits/lsp-orig_fits.npy', fits)
    np.save(fits / 'coco_fits.npy', np.zeros((28062, 82), np.float32))
    _, out, _ = run(tmp_path, '--check')
    assert '  matched  static_fits/lsp-orig_fits.npy: 1000 rows, of lsp_dataset_original_train.npz\n' in out
    assert '  wrong    static_fits/coco_fits.npy: 28062 rows, but coco_2014_train.npz has 28344\n' in out


def test_check(tmp_path):
    data = tmp_path / 'data'
    lay_out(data, 'smpl/SMPL_NEUTRAL.pkl', 'datasets/coco/x', 'gmm_08.pkl', 'J_regressor_extra.npy',
            'body_models/J_regressor_h36m.npy')
    code, out, _ = run(tmp_path, '--check')
    assert code == 1
    assert '  present  smpl/SMPL_NEUTRAL.pkl' in out and '  missing  smpl/SMPL_MALE.pkl' in out
    assert '  ready    eval_coco.py\n' in out
    assert '  blocked  eval.py --dataset lsp: needs cube_parts.npy vertex_texture.npy datasets/upi-s1h ' in out
    assert sorted(path.name for path in data.iterdir()) == ['J_regressor_extra.npy', 'body_models', 'datasets',
                                                            'gmm_08.pkl', 'smpl']


@pytest.mark.parametrize('folder', ['', 'body_models/smpl/', 'body_models/'])
def test_check_knows_the_other_layouts(tmp_path, folder):
    for name in (f'{folder}SMPL_NEUTRAL.pkl', f'{folder}SMPL_MALE.npz', 'body_models/J_regressor_h36m.npy'):
        (tmp_path / 'data' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'data' / name).write_bytes(b'')
    _, out, _ = run(tmp_path, '--check')
    assert '  present  smpl/SMPL_NEUTRAL.pkl' in out and '  missing  smpl/SMPL_FEMALE.pkl' in out
    assert "with SPIN's weights: needs J_regressor_extra.npy smpl_mean_params.npz model_checkpoint.pt\n" in out


def test_wrong_options(tmp_path):
    assert run(tmp_path, '--onyl')[0] == 2
    assert run(tmp_path, '--only')[0] == 2
    code, _, err = run(tmp_path, '--only', 'spin')
    assert code == 2 and 'spin_data' in err


def test_check_knows_smpl_as_it_is_downloaded(tmp_path):
    """File names of SMPLify's and SMPL's archives, in upper or lower case. A neutral body is not a female one."""
    folder = tmp_path / 'data' / 'smplify_public' / 'code' / 'models'
    folder.mkdir(parents=True)
    (folder / 'basicModel_neutral_lbs_10_207_0_v1.0.0.pkl').touch()
    (tmp_path / 'data' / 'basicmodel_m_lbs_10_207_0_v1.1.0.pkl').touch()
    _, out, _ = run(tmp_path, '--check')
    assert '  present  smpl/SMPL_NEUTRAL.pkl' in out and '  present  smpl/SMPL_MALE.pkl' in out
    assert '  missing  smpl/SMPL_FEMALE.pkl' in out

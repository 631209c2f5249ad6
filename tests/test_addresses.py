"""Checkpoints by address: fetched once, compared with their digest, a one-line error where they cannot be fetched."""
import hashlib
import http.server
import logging
import threading

import huggingface_hub.constants
import pytest
import torch

from core import zoo
from models.published_families import FAMILIES
from models.weights import checkpoint_regressor
from models.zoo import PUBLISHED
from utils.addresses import _fetched, cached_file, is_address, local_file
from utils.errors import BadConfig, BadFile, MissingFile
from utils.torch_io import save_torch


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server of the folder tmp_path/web -> (its address, the requests so far)."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path / 'web')

        def log_message(self, form, *args):
            asked.append(args[0])

    (tmp_path / 'web').mkdir()
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setattr(torch.hub, '_hub_dir', None)
    _fetched.cache_clear()
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}', asked
        server.shutdown()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """huggingface_hub offline, with a cache in its documented layout (models--OWNER--REPO/...)."""
    folder = tmp_path / 'hub'
    for kind in ('models', 'spaces'):
        snapshot = folder / f'{kind}--somebody--bodies' / 'snapshots' / ('a' * 40) / 'deep'
        snapshot.mkdir(parents=True)
        (snapshot / 'model.pt').write_bytes(kind.encode())
        (snapshot.parents[2] / 'refs').mkdir()
        (snapshot.parents[2] / 'refs/main').write_text('a' * 40)
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(folder))
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    _fetched.cache_clear()


def test_a_path_is_no_address():
    assert local_file('logs/best.pt') == 'logs/best.pt'
    assert is_address('hf://a/b/c.pt') and not is_address('C:/model.pt') and not is_address('data/hf.pt')


def test_a_file_of_the_web_is_fetched_once(server, tmp_path):
    address, asked = server
    (tmp_path / 'web/model.pt').write_bytes(b'weights')
    first = local_file(f'{address}/model.pt')
    _fetched.cache_clear()  # as another process
    assert local_file(f'{address}/model.pt') == first == cached_file(f'{address}/model.pt')
    assert first.read_bytes() == b'weights' and len(asked) == 1 and tmp_path / 'torch' in first.parents


def test_two_addresses_of_one_name_are_two_files(server, tmp_path):
    for folder in ('a', 'b'):
        (tmp_path / 'web' / folder).mkdir()
        (tmp_path / 'web' / folder / 'model.pt').write_bytes(folder.encode())
    assert [local_file(f'{server[0]}/{folder}/model.pt').read_bytes() for folder in 'ab'] == [b'a', b'b']


def test_the_digest_is_compared_fetched_and_cached(server, tmp_path):
    address, _ = server
    (tmp_path / 'web/model.pt').write_bytes(b'weights')
    right = hashlib.sha256(b'weights').hexdigest()
    path = local_file(f'{address}/model.pt#sha256={right}')
    with pytest.raises(BadFile, match='not 00000000') as caught:
        local_file(f'{address}/model.pt#sha256=00000000')
    assert '\n' not in str(caught.value)
    path.write_bytes(b'damaged')
    _fetched.cache_clear()
    with pytest.raises(BadFile, match=right[:8]):
        local_file(f'{address}/model.pt#sha256={right}')


def test_a_connection_that_ends_early_leaves_nothing(server, tmp_path, monkeypatch):
    address, _ = server
    (tmp_path / 'web/model.pt').write_bytes(b'weights')
    whole = http.server.SimpleHTTPRequestHandler.send_header
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, 'send_header', lambda self, name, value: whole(
        self, name, '1000' if name == 'Content-Length' else value))
    with pytest.raises(MissingFile, match='after 7 of 1000 bytes'):
        local_file(f'{address}/model.pt')
    assert cached_file(f'{address}/model.pt') is None
    assert not [path for path in (tmp_path / 'torch').rglob('*') if path.is_file() and path.suffix != '.lock']


@pytest.mark.parametrize('address, said', [
    ('hf://somebody/model.pt', 'hf://OWNER/REPO/FILE'), ('https://host.example/', 'does not end in a file name'),
    ('https://host.example/a.pt#sha1=12345678', 'is not a digest')])
def test_what_is_no_address_of_a_file(address, said):
    with pytest.raises(BadConfig, match=said):
        local_file(address)


def test_a_closed_port_and_an_absent_file_are_one_line(server):
    for address in ('http://127.0.0.1:9/model.pt', f'{server[0]}/absent.pt'):
        with pytest.raises(MissingFile, match='cannot be fetched') as caught:
            local_file(address)
        assert '\n' not in str(caught.value) and address in str(caught.value) and cached_file(address) is None


def test_the_hubs_cache_is_read_without_a_network(hub):
    assert local_file('hf://somebody/bodies/deep/model.pt').read_bytes() == b'models'
    assert local_file('hf://spaces/somebody/bodies/deep/model.pt').read_bytes() == b'spaces'
    assert local_file(f'hf://somebody/bodies@{"a" * 40}/deep/model.pt').read_bytes() == b'models'
    with pytest.raises(MissingFile, match='cannot be fetched') as caught:
        local_file('hf://somebody/bodies/absent.pt')
    assert '\n' not in str(caught.value)


def test_a_hub_that_does_not_answer_is_one_line_soon(tmp_path, monkeypatch, capfd):
    """One more attempt, and no line of huggingface_hub's."""
    waits, lines, hubs_logger = [], [], logging.getLogger('huggingface_hub')
    monkeypatch.setattr(huggingface_hub.constants, 'HUGGINGFACE_CO_URL_TEMPLATE',
                        'http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}')
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setattr('time.sleep', waits.append)
    handler = logging.Handler()
    handler.emit = lines.append
    hubs_logger.addHandler(handler)
    _fetched.cache_clear()
    try:
        with pytest.raises(MissingFile, match='hf://somebody/bodies/model.pt: cannot be fetched.*refused') as caught:
            local_file('hf://somebody/bodies/model.pt')
    finally:
        hubs_logger.removeHandler(handler)
    assert '\n' not in str(caught.value) and not lines and capfd.readouterr().err == ''
    assert sum(waits) <= 2


def test_a_checkpoint_is_read_by_its_address(server, tmp_path):
    names = ('conv1.weight', 'fc1.weight')  # SPIN's, by which it is recognized
    torch.save({'model': {name: torch.zeros(2, 2) for name in names}}, tmp_path / 'web/model_checkpoint.pt')
    assert checkpoint_regressor(f'{server[0]}/model_checkpoint.pt')[0] == 'hmr'


def test_the_zoo_lists_what_is_here(hub, capsys, standin_assets, tmp_path):
    zoo.main(['--data_dir', str(standin_assets)])
    out = capsys.readouterr().out
    for published in PUBLISHED:
        assert published.family in FAMILIES and published.file in out
    assert 'all here' in out and 'here        no' in out
    published = PUBLISHED[0]
    assert zoo.missing_assets(published, tmp_path) == ['smpl/SMPL_NEUTRAL.pkl']
    (tmp_path / 'pretrained_model').mkdir()
    (tmp_path / 'pretrained_model' / published.file).touch()
    assert zoo.place_of(published, tmp_path) == tmp_path / 'pretrained_model' / published.file


def test_the_zoo_lists_the_repositorys_own(tmp_path):
    save_torch(tmp_path / 'free_pymaf.safetensors', {'model': {'a': torch.zeros(1)}, 'regressor': 'pymaf_net',
                                                     'config': 'SEED: 0\n'})
    lines, = zoo.own_checkpoints(tmp_path)
    assert 'pymaf_net' in lines[0] and str(tmp_path / 'free_pymaf.safetensors') in lines[-1]

"""Tar shards give the samples of the picture folder, from disk and from a web server. Hostile shards are refused."""
import functools
import http.server
import io
import itertools
import json
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from core.config import default_config
from datasets import shards
from datasets.annotations import Annotations
from datasets.image_dataset import init_worker
from datasets.mixed import MixedDataset
from datasets.remote_files import fetch
from datasets.sampling import EpochSampler
from datasets.shard_dataset import ShardDataset, ShardOrder, shard_runs
from datasets.shard_format import (
    INDEX,
    INDEX_DTYPE,
    ShardWriter,
    check_member,
    parse_person,
    read_member,
    stream_shard,
)
from tests.test_datasets import DIGEST, add_dataset
from utils.errors import BadConfig, BadFile, MissingFile, WrongBody
from utils.safe_io import sha256_of


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'free').mkdir()
    (tmp_path / 'free/MANIFEST.json').write_text(json.dumps({'complete': True, 'body_digest': DIGEST}))
    return tmp_path


@pytest.fixture
def cfg(root):
    config = default_config()
    config.PATHS.DATA_DIR = str(root)
    config.DATA.IMG_RES = 32
    config.DATA.SHARD_CACHE = str(root / 'cache')
    return config


@pytest.fixture
def people(root):
    """(annotation file, picture folder) of 11 people in 9 pictures; two pictures show two people each."""
    folder = add_dataset(root, 'mine', 11)
    file = root / 'free/dataset_extras/mine_train.npz'
    annotations = Annotations.load(file)
    annotations.imgname[[5, 10]] = ['4.jpg', '0.jpg']
    annotations.joints_3d[:3, :, :] = 0.25
    annotations.has_joints_3d[:3] = True
    # Each row has a focal length, and some rows have a camera matrix.
    annotations.center[:, 0] += 7
    annotations.extra['focal'] = np.linspace(60, 90, 11)
    annotations.extra['cam_K'] = np.array([[70.0, 0, 20], [0, 70, 30], [0, 0, 1]]) * np.ones((11, 1, 1))
    annotations.extra['cam_K'][::2] = np.nan
    annotations.save(file)
    return file, folder


@pytest.fixture
def manifest(people, root, monkeypatch, capsys):
    file, folder = people
    monkeypatch.setattr('sys.argv', ['shards', '--annotations', str(file), '--images', str(folder), '--out',
                                     str(root / 'out'), '--name', 'mine', '--per_shard', '4'])
    assert shards.main() == 0
    assert 'shards.json' in capsys.readouterr().out
    return root / 'out/shards.json'


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder with byte ranges. broken: number of .tar responses that stop half way."""
    broken, asked = 0, []

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        content, given = path.read_bytes(), self.headers.get('Range')
        first = int(given.split('=')[1].rstrip('-')) if given else 0
        Handler.asked.append((path.name, first))
        self.send_response(206 if given else 200)
        self.send_header('Content-Length', str(len(content) - first))
        self.end_headers()
        content = content[first:]
        if Handler.broken and path.suffix == '.tar':
            Handler.broken -= 1
            content = content[:len(content) // 2]
        self.wfile.write(content)

    def log_message(self, *args):
        """Quiet."""


@pytest.fixture
def server(root):
    Handler.broken, Handler.asked = 0, []
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Handler, directory=root)) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{running.server_address[1]}'
        running.shutdown()


def assert_same_samples(found, wanted, skip=('imgname', 'dataset_name')):
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        if key not in skip:
            assert torch.equal(found[key], value), key


def mixture(cfg, *items):
    cfg.DATA.MIXTURE = list(items)
    return MixedDataset(cfg)


def test_a_mixture_of_shards_is_a_mixture_of_folders(cfg, root, manifest):
    add_dataset(root, 'other', 5)
    folders = mixture(cfg, 'mine:0.6', 'other:0.4')
    sharded = mixture(cfg, f'{manifest}:0.6', 'other:0.4')
    assert len(sharded) == len(folders) == 11 and sharded.datasets[0].name == 'mine'
    for epoch, index in itertools.product((0, 1), range(11)):
        assert_same_samples(sharded[epoch, index], folders[epoch, index])
    assert sharded.datasets[0][0, 5]['imgname'] == '4.jpg'


def test_shards_of_a_web_server_are_those_of_the_disk(cfg, manifest, server):
    local = mixture(cfg, f'{manifest}:1')
    remote = mixture(cfg, f'{server}/out/shards.json:1')
    for index in range(11):
        assert_same_samples(remote[0, index], local[0, index])
    asked = len(Handler.asked)
    again = mixture(cfg, f'{server}/out/shards.json:1')
    assert_same_samples(again[0, 3], local[0, 3])
    assert [name for name, _ in Handler.asked[asked:]] == ['shards.json']  # all else is in the cache


def test_loader_processes_give_the_same_batches(cfg, manifest, server):
    cfg.DATA.SHARD_BUFFER = 3
    dataset = mixture(cfg, f'{server}/out/shards.json:1')
    batches = [list(DataLoader(dataset, 4, sampler=EpochSampler(11, shuffle=False), num_workers=workers,
                               worker_init_fn=init_worker)) for workers in (0, 2)]
    for one, two in zip(*batches):
        assert_same_samples(one, two)
    rows = torch.cat([batch['sample_index'] for batch in batches[0]])
    assert sorted(rows.tolist()) == list(range(11)) and rows.tolist() != list(range(11))


def test_each_of_two_machines_fetches_its_own_shards(cfg, root, manifest, server):
    """Of 11 rows in three shards, one process visits rows 0 to 4 and the other rows 5 to 9."""
    fetched = []
    for rank in (0, 1):
        cfg.DATA.SHARD_CACHE, asked = str(root / f'cache{rank}'), len(Handler.asked)
        dataset = mixture(cfg, f'{server}/out/shards.json:1')
        for key in EpochSampler(11, shuffle=False, rank=rank, world=2):
            dataset[key]
        fetched.append([name for name, _ in Handler.asked[asked:] if name.endswith('.tar')])
    files = [entry['file'] for entry in json.loads(manifest.read_text())['shards']]
    assert fetched == [files[:2], files[1:]]


def test_epochs_shorter_than_the_shards_meet_every_row(cfg, manifest):
    cfg.DATA.SHARD_BUFFER, cfg.DATA.EPOCH_LENGTH = 3, 4
    dataset = mixture(cfg, f'{manifest}:1')
    seen = [int(dataset[epoch, index]['sample_index']) for epoch in range(6) for index in range(4)]
    assert sorted(seen[:11]) == sorted(seen[11:22]) == list(range(11)) and seen[:11] != seen[11:22]


def test_an_interrupted_transfer_is_continued(manifest, server, root):
    entry = json.loads(manifest.read_text())['shards'][0]
    Handler.broken = 2
    path = fetch(f'{server}/out/{entry["file"]}', root / 'got' / entry['file'], entry['bytes'], entry['sha256'])
    assert sha256_of(path) == entry['sha256']
    starts = [first for _, first in Handler.asked]
    assert len(starts) == 3 and 0 == starts[0] < starts[1] < starts[2]


def test_responses_of_a_server_are_checked(manifest, server, root):
    entry = json.loads(manifest.read_text())['shards'][0]
    url = f'{server}/out/{entry["file"]}'
    with pytest.raises(BadFile, match='SHA-256'):
        fetch(url, root / 'a.tar', entry['bytes'], '0' * 64)
    with pytest.raises(BadFile, match='more than the 10 bytes'):
        fetch(url, root / 'b.tar', 10, entry['sha256'])
    with pytest.raises(MissingFile, match='404'):
        fetch(f'{server}/out/none.tar', root / 'c.tar', 10, entry['sha256'])
    with pytest.raises(BadFile, match='cannot be fetched'):
        fetch('http://127.0.0.1:9/x.tar', root / 'd.tar', 10, entry['sha256'])
    assert not list(root.glob('*.tar'))


def test_shards_are_read_in_order_from_disk_and_from_a_response(manifest, server, people):
    import urllib.request
    file = json.loads(manifest.read_text())['shards'][1]['file']
    with open(manifest.parent / file, 'rb') as stream:
        local = list(stream_shard(stream, file))
    with urllib.request.urlopen(f'{server}/out/{file}') as response:
        assert list(stream_shard(response, file)) == local
    assert [name for name, _, _ in local] == [f'{number:09d}.jpg' for number in range(4, 8)]
    person, imgname = parse_person(local[0][2], 1, file)
    annotations = Annotations.load(people[0])
    assert imgname == '4.jpg' and np.array_equal(person.pose, annotations.pose[5])
    assert np.array_equal(person.keypoints_2d, annotations.keypoints_2d[5])


def test_interrupted_writing_is_continued(manifest, people, root):
    before = {path.name: path.stat().st_mtime_ns for path in manifest.parent.glob('*.tar')}
    sums = {name: sha256_of(manifest.parent / name) for name in before}
    lost = sorted(before)[1]
    (manifest.parent / lost).unlink()
    writer = ShardWriter(Annotations.load(people[0]), people[1], manifest.parent, 'mine', 4)
    writer.write()
    after = {path.name: path.stat().st_mtime_ns for path in manifest.parent.glob('*.tar')}
    assert {name for name in before if after[name] == before[name]} == set(before) - {lost}
    assert {name: sha256_of(manifest.parent / name) for name in after} == sums
    assert shards.verify(manifest) == 9
    with pytest.raises(MissingFile, match='absent.jpg'):
        ShardWriter(Annotations.blank(['absent.jpg'], [[1, 1]], [1]), root, root / 'x', 'x').write()


@pytest.mark.parametrize('buffer', [1, 7, 64, 1000])
def test_an_order_is_complete_repeatable_and_local(buffer):
    shard_of = np.repeat(np.arange(10), 50)
    runs = shard_runs(shard_of)

    def order(seed, epoch):
        drawn = ShardOrder(*runs, 500, seed, epoch, buffer)
        return [drawn.at(place)[0] for place in range(500)]

    rows = order(1, 0)
    assert sorted(rows) == list(range(500)) and rows == order(1, 0)
    assert rows != order(1, 1) and rows != order(2, 0)
    # A resumed order does not depend on earlier requests.
    resumed = ShardOrder(*runs, 500, 1, 0, buffer)
    assert [resumed.at(place)[0] for place in range(333, 500)] == rows[333:]
    if buffer <= 64:  # no more shards at a time than the buffer can span
        assert max(len(set(shard_of[rows[start:start + 50]])) for start in range(0, 450, 50)) <= 3 + 2 * buffer // 50


def hostile(name='x.jpg', kind=tarfile.REGTYPE, content=b'x'):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode='w') as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, '/etc/passwd'
        member.size = len(content) if kind == tarfile.REGTYPE else 0
        tar.addfile(member, io.BytesIO(content))
    return stream


@pytest.mark.parametrize('name, kind, said', [
    ('../../etc/cron.d/x.jpg', tarfile.REGTYPE, 'outside'), ('/etc/x.jpg', tarfile.REGTYPE, 'outside'),
    ('a/../../x.jpg', tarfile.REGTYPE, 'outside'), ('..\\x.jpg', tarfile.REGTYPE, 'outside'),
    ('C:/x.jpg', tarfile.REGTYPE, 'outside'), ('link.jpg', tarfile.SYMTYPE, 'link'),
    ('hard.jpg', tarfile.LNKTYPE, 'link'), ('dev.jpg', tarfile.CHRTYPE, 'link'), ('dir.jpg', tarfile.DIRTYPE, 'link')])
def test_hostile_members_are_refused_by_name(tmp_path, name, kind, said):
    content = hostile(name, kind)
    with pytest.raises(BadFile, match=said) as caught:
        list(stream_shard(io.BytesIO(content.getvalue()), 'evil.tar'))
    assert repr(name) in str(caught.value) and 'evil.tar' in str(caught.value)
    (tmp_path / 'evil.tar').write_bytes(content.getvalue())
    with open(tmp_path / 'evil.tar', 'rb') as stream, pytest.raises(BadFile, match=said):
        read_member(stream.fileno(), 512, 1 if kind == tarfile.REGTYPE else 0, 'evil.tar')


def test_members_of_other_sizes_and_places_are_refused(tmp_path):
    path = tmp_path / 'cut.tar'
    path.write_bytes(hostile(content=b'0123456789').getvalue()[:517])
    with open(path, 'rb') as stream:
        for start, size, said in ((512, 10, 'truncated'), (512, 5, 'another size'), (600, 5, 'no tar member'),
                                  (0, 5, 'points to'), (512, 1 << 31, 'points to'), (512, -1, 'points to')):
            with pytest.raises(BadFile, match=said):
                read_member(stream.fileno(), start, size, 'cut.tar')
        stream.seek(0)
        with pytest.raises(BadFile, match='not a readable tar'):
            list(stream_shard(stream, 'cut.tar'))
    huge = tarfile.TarInfo('huge.jpg')
    huge.size = 1 << 40
    with pytest.raises(BadFile, match='huge.jpg'):
        check_member(huge, 'x.tar')
    with pytest.raises(BadFile, match='does not follow its picture'):
        list(stream_shard(io.BytesIO(hostile('y.json', content=b'{}').getvalue()), 'x.tar'))


@pytest.mark.parametrize('labels', [b'', b'[]', b'{"people": []}', b'{"imgname": "a", "people": [3]}',
                                    b'{"imgname": "a", "people": [{"center": [1], "scale": 1}]}',
                                    b'{"imgname": "a", "people": [{"center": [1, 2], "scale": "x"}]}',
                                    b'{"imgname": "a", "people": [{"center": [1, [2]], "scale": 1}]}', b'[' * 100000])
def test_hostile_labels_are_one_line_errors(labels):
    with pytest.raises(BadFile, match='evil.tar') as caught:
        parse_person(labels, 0, 'evil.tar')
    assert '\n' not in str(caught.value)


def test_lists_and_indices_are_checked(cfg, manifest):
    text = manifest.read_text()
    for old, new, said in (('mine-000000.tar', '../mine-000000.tar', 'plain name'), ('"format": 1', '"format": 9', '9'),
                           ('"shards"', '"shard"', 'not a list of shards'), ('"rows": 11', '"rows": 12', '12 rows')):
        manifest.write_text(text.replace(old, new, 1))
        with pytest.raises(BadFile, match=said):
            ShardDataset(cfg, str(manifest))
    manifest.write_text(text)
    index = np.load(manifest.parent / INDEX)
    index['shard'][3] = 99
    np.save(manifest.parent / INDEX, index)
    with pytest.raises(BadFile, match='shard 99 of 3'):
        ShardDataset(cfg, str(manifest))[0, 3]
    np.save(manifest.parent / INDEX, np.zeros(11, object), allow_pickle=True)
    with pytest.raises(BadFile, match='not an index'):
        ShardDataset(cfg, str(manifest))
    with pytest.raises(MissingFile, match='datasets.shards'):
        ShardDataset(cfg, str(manifest.parent / 'none/shards.json'))


def test_shards_of_another_body_and_of_views_are_refused(cfg, manifest):
    manifest.write_text(manifest.read_text().replace(DIGEST, 'f' * 16))
    with pytest.raises(WrongBody):
        ShardDataset(cfg, str(manifest))
    cfg.DATA.N_VIEWS = 2
    with pytest.raises(BadConfig, match='N_VIEWS'):
        mixture(cfg, f'{manifest}:1')


def test_shards_of_smpl_keep_their_joints_on_the_free_body(cfg, manifest):
    before = ShardDataset(cfg, str(manifest))[0, 3]
    manifest.write_text(manifest.read_text().replace(f'"{DIGEST}"', 'null'))
    after = ShardDataset(cfg, str(manifest))[0, 3]
    assert before['has_smpl'] and not after['has_smpl'] and not after['pose'].any() and not after['betas'].any()
    for key in ('img', 'keypoints', 'joints_3d', 'has_joints_3d'):
        assert torch.equal(before[key], after[key])


def test_unreadable_pictures_are_skipped_or_named(cfg, manifest):
    path = manifest.parent / 'mine-000000.tar'
    index = np.load(manifest.parent / INDEX)
    content = bytearray(path.read_bytes())
    content[index['picture'][1]:index['picture'][1] + 20] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(BadFile, match=r'mine-000000.tar/000000001.jpg: not a readable picture'):
        ShardDataset(cfg, str(manifest))[0, 1]
    cfg.DATA.ON_BAD_IMAGE = 'skip'
    dataset = ShardDataset(cfg, str(manifest))
    assert int(dataset[0, 1]['sample_index']) == 2 and dataset.skipped == 1


def test_start_up_does_not_read_the_index(cfg, manifest):
    """An index of ten million rows in a sparse file is mapped, not loaded."""
    rows = 10_000_000
    path = manifest.parent / INDEX
    first = np.load(path)[:1]
    mapped = np.lib.format.open_memmap(path, 'w+', INDEX_DTYPE, (rows,))
    mapped[rows - 1] = first[0]
    del mapped
    manifest.write_text(manifest.read_text().replace('"rows": 11', f'"rows": {rows}', 1))
    before = resident_bytes()
    dataset = ShardDataset(cfg, str(manifest))
    sample = dataset[0, rows - 1]
    assert len(dataset) == rows and sample['img'].shape == (3, 32, 32)
    assert resident_bytes() - before < 50 << 20  # the index has 320 MB


def resident_bytes():
    return int(Path('/proc/self/statm').read_text().split()[1]) * 4096

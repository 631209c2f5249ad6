"""People in tar shards, from a folder or a web server, as training samples."""
import hashlib
import os
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasets.catalog import smpl_labels_usable
from datasets.image_dataset import RowsDataset
from datasets.image_io import decode_picture
from datasets.remote_files import cache_folder, fetch, is_url, read_url
from datasets.shard_format import INDEX, INDEX_DTYPE, MANIFEST, parse_person, read_manifest, read_member
from utils.errors import BadFile, MissingFile, ProjectError
from utils.logging import log_once

# Largest number of open files per process.
_MAX_OPEN = 64
# Without this flag Windows opens files as text.
_BINARY = getattr(os, 'O_BINARY', 0)


def is_shards(name):
    """Whether a name in DATA.MIXTURE is that of shards, a path or URL that ends in shards.json."""
    return name.endswith(MANIFEST)


class ShardDataset(RowsDataset):
    """The dataset of a shards.json. Row i is the same sample as in an ImageDataset of the annotation file.

    If cfg.DATA.SHARD_BUFFER is above 0, `sample` has its own order, which depends on (seed, epoch): shards are
    shuffled, then rows within blocks of that many rows. With TRAIN.SHUFFLE off, every shard is then read once and
    nearly in order. Shards of a web server are downloaded to DATA.SHARD_CACHE as whole files, the next one in advance.
    The constructor only maps the index into memory. Raises MissingFile, BadFile, WrongBody.
    """

    def __init__(self, cfg, name, seed=None, dataset_index=0):
        self.files = ShardFiles(name, cfg.DATA.SHARD_CACHE)
        manifest = self.files.manifest
        self._hides_smpl = (manifest['has_smpl'] and not cfg.DATA.IGNORE_3D
                            and not smpl_labels_usable(cfg, manifest.get('body_digest'), name))
        if self._hides_smpl:
            log_once(f'{name}: pose and shape belong to the licensed SMPL body and are left out, because the free '
                     'body is in use; the joints are used')
        super().__init__(cfg, manifest['name'], 'train', seed, dataset_index)
        self.index = self.files.index()
        self._runs = shard_runs(self.index['shard']) if cfg.DATA.SHARD_BUFFER else None
        self._order = None

    def __len__(self):
        return len(self.index)

    @property
    def source_name(self):
        return self.files.place

    def sample(self, epoch, index, rng):
        return super().sample(epoch, self.row_at(epoch, index), rng)

    def row_at(self, epoch, place):
        """The row at a position in the order of an epoch."""
        if not self.cfg.DATA.SHARD_BUFFER:
            return place
        if self._order is None or self._order.epoch != epoch:
            self._order = ShardOrder(*self._runs, len(self), self.seed, epoch, self.cfg.DATA.SHARD_BUFFER)
        row, following = self._order.at(place)
        if following is not None:
            self.files.fetch_ahead(following)
        return row

    def _read_row(self, row, box_factor):
        entry = self.index[row]
        file, descriptor = self.files.open(int(entry['shard']))
        _, labels = read_member(descriptor, int(entry['labels']), int(entry['labels_bytes']), file)
        member, content = read_member(descriptor, int(entry['picture']), int(entry['picture_bytes']), file)
        name = f'{file}/{member}'
        person, imgname = parse_person(labels, int(entry['person']), name)
        if self._hides_smpl:
            person = replace(person, has_smpl=False)
        shrink = 200 * person.scale * box_factor / self.cfg.DATA.IMG_RES
        return decode_picture(content, name, shrink), person, row, imgname


def shard_runs(shard_of):
    """(first row, shard) of each run of rows in one shard, from the shards [N] of the rows."""
    firsts = np.flatnonzero(np.diff(shard_of, prepend=shard_of[0] - 1))
    return firsts, np.asarray(shard_of[firsts])


class ShardOrder:
    """Order of `rows` rows: shards are shuffled, then rows within blocks of `buffer`. Depends only on seed and epoch.

    firsts, shards: from `shard_runs`.
    """

    def __init__(self, firsts, shards, rows, seed, epoch, buffer):
        self.epoch, self._seed, self._buffer, self._rows = epoch, seed, buffer, rows
        shuffled = np.random.default_rng([seed, epoch, 1]).permutation(len(firsts))
        lengths = np.diff(np.append(firsts, rows))[shuffled]
        self._shards, self._firsts = shards[shuffled], firsts[shuffled]
        self._ends = np.cumsum(lengths)
        self._begins = self._ends - lengths
        self._window, self._within = -1, None

    def at(self, place):
        """(row at a position, number of the next shard or None)."""
        window = place // self._buffer
        if window != self._window:
            size = min(self._buffer, self._rows - window * self._buffer)
            self._within = np.random.default_rng([self._seed, self.epoch, 2, window]).permutation(size)
            self._window = window
        shuffled = window * self._buffer + int(self._within[place % self._buffer])
        run = int(np.searchsorted(self._ends, shuffled, side='right'))
        following = int(self._shards[run + 1]) if run + 1 < len(self._shards) else None
        return int(self._firsts[run] + shuffled - self._begins[run]), following


class ShardFiles:
    """shards.json, index and shards of a folder or a URL. Shards are opened on first use."""

    def __init__(self, name, cache=''):
        self.place = name[:-len(MANIFEST)]
        self.remote = is_url(name)
        content = read_url(name) if self.remote else _content(Path(name))
        self.manifest = read_manifest(content, name)
        # Each version of a dataset has its own cache folder.
        version = hashlib.sha256(content).hexdigest()[:16]
        self.folder = cache_folder(self.place.rstrip('/'), cache) / version if self.remote else Path(name).parent
        self._descriptors, self._thread = OrderedDict(), None

    def index(self):
        """The index of the rows as a read-only, memory-mapped array."""
        path = self.folder / INDEX
        if self.remote:
            fetch(self.place + INDEX, path, self.manifest['index_bytes'], self.manifest['index_sha256'])
        try:
            index = np.load(path, mmap_mode='r', allow_pickle=False)
        except FileNotFoundError:
            raise MissingFile(f'{path}: no such file; make it: python -m datasets.shards') from None
        except Exception:  # numpy's header parser raises many types
            raise BadFile(f'{path}: not an index of shards; make it again: python -m datasets.shards') from None
        if index.dtype != INDEX_DTYPE or index.shape != (self.manifest['rows'],) or not len(index):
            raise BadFile(f'{path}: not the index of the {self.manifest["rows"]} rows of {self.place}{MANIFEST}')
        return index

    def open(self, number):
        """(name, file descriptor) of a shard. Processes may share it, because reads are by position."""
        shards = self.manifest['shards']
        if not 0 <= number < len(shards):
            raise BadFile(f'{self.folder / INDEX}: points to shard {number} of {len(shards)}')
        if number not in self._descriptors:
            try:
                self._descriptors[number] = os.open(self._path(number), os.O_RDONLY | _BINARY)
            except FileNotFoundError:
                raise MissingFile(f'{self.folder / shards[number]["file"]}: no such shard') from None
            if len(self._descriptors) > _MAX_OPEN:
                os.close(self._descriptors.popitem(last=False)[1])
        return shards[number]['file'], self._descriptors[number]

    def _path(self, number):
        entry = self.manifest['shards'][number]
        path = self.folder / entry['file']
        if self.remote:
            fetch(self.place + entry['file'], path, entry['bytes'], entry['sha256'])
        return path

    def fetch_ahead(self, number):
        """Start the download of a shard in the background, one at a time. Errors appear when the shard is opened."""
        if not self.remote or number in self._descriptors or (self._thread and self._thread.is_alive()):
            return
        if not (self.folder / self.manifest['shards'][number]['file']).exists():
            self._thread = threading.Thread(target=self._try_to_fetch, args=(number,), daemon=True)
            self._thread.start()

    def _try_to_fetch(self, number):
        try:
            self._path(number)
        except ProjectError:
            return

    def __getstate__(self):
        """State without open files. Spawned worker processes open their own."""
        return {**self.__dict__, '_descriptors': OrderedDict(), '_thread': None}


def _content(path):
    try:
        return path.read_bytes()
    except OSError:
        raise MissingFile(f'{path}: no such file; make it: python -m datasets.shards') from None

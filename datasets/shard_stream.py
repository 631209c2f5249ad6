"""Shards of a data set whose pictures come one after the other, such as out of somebody else's archives."""
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.annotations import Annotations
from datasets.shard_format import INDEX_DTYPE, existing_shard, labels_text, save_manifest, write_shard
from utils.errors import BadFile


@dataclass(frozen=True)
class PackedPicture:
    """A picture's name, its encoded content, and its people."""
    name: str
    content: bytes
    people: Annotations


class ShardStreamWriter:
    """Writes one shard for each source, in the order of `add`; what is whole already, of the same sources and
    `options`, is kept. Rows are the people in that order. `rows` and `pictures` count them.
    """

    def __init__(self, folder, name, options=''):
        self.folder, self.name, self._options = Path(folder), name, options
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rows = self.pictures = 0
        self._indices, self._shards, self._has_smpl = [], [], False

    def add(self, source, pictures):
        """Write a shard of the PackedPictures that `pictures()` gives, unless it is there. source: a text that names
        what they come from."""
        path = self.folder / f'{self.name}-{len(self._shards):06d}.tar'
        digest = hashlib.sha256(f'{self._options} {self.pictures} {source}'.encode()).hexdigest()
        entry = existing_shard(path, digest)
        if entry is None:
            about = {'people': [], 'has_smpl': False}
            entry = write_shard(path, self._members(pictures(), about), digest, about=about)
        about = entry.pop('about')
        self._indices += [np.array([(len(self._shards), person, *place) for person in range(people)], INDEX_DTYPE)
                          for place, people in zip(entry.pop('places'), about['people'])]
        self.pictures += len(about['people'])
        self.rows += sum(about['people'])
        self._has_smpl |= about['has_smpl']
        self._shards.append(entry)

    def _members(self, pictures, about):
        for number, picture in enumerate(pictures, self.pictures):
            about['people'].append(len(picture.people))
            about['has_smpl'] |= bool(picture.people.has_smpl.any())
            text = labels_text(picture.people, picture.name, range(len(picture.people)))
            yield number, Path(picture.name).suffix, picture.content, text

    def finish(self, source):
        """Write index and shards.json -> its path. Raises BadFile, naming `source`, where nobody was added."""
        if not self.rows:
            raise BadFile(f'{source}: no usable person')
        return save_manifest(self.folder, np.concatenate(self._indices), self._shards, name=self.name,
                             pictures=self.pictures, has_smpl=self._has_smpl, body_digest=None)

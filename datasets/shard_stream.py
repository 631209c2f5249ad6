"""Writes shards from a stream of pictures, such as the archives of another project."""
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.annotations import Annotations
from datasets.shard_format import INDEX_DTYPE, existing_shard, labels_text, save_manifest, write_shard
from utils.errors import BadFile


@dataclass(frozen=True)
class PackedPicture:
    """Name of a picture, its encoded content, and its people."""
    name: str
    content: bytes
    people: Annotations


class ShardStreamWriter:
    """Writes one shard per source, in the order of `add`. Complete shards of the same sources and `options` are kept.

    rows, pictures: numbers of people and pictures so far. Rows have the order of the people.
    """

    def __init__(self, folder, name, options=''):
        self.folder, self.name, self._options = Path(folder), name, options
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rows = self.pictures = 0
        self._indices, self._shards, self._has_smpl = [], [], False

    def add(self, source, pictures):
        """Write a shard of the PackedPictures that `pictures()` returns, unless it exists. source: text that identifies
        their source."""
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
        """Write the index and shards.json -> path of the latter. Raises BadFile if no people were added."""
        if not self.rows:
            raise BadFile(f'{source}: no usable person')
        return save_manifest(self.folder, np.concatenate(self._indices), self._shards, name=self.name,
                             pictures=self.pictures, has_smpl=self._has_smpl, body_digest=None)

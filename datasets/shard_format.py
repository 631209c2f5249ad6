"""Writes and reads pictures and labels as WebDataset tar shards, by row or in order.

A picture is two members, such as `000000012.jpg` and `000000012.json`. The JSON has the labels of its people under the
keys of a SPIN `.npz`. `shards.json` lists the shards. `index.npy` has the position of picture and labels for each row
of the annotation file, so that a row can be read without the rest of its shard, and no tar is read at the start.
"""
import hashlib
import io
import json
import os
import tarfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.annotations import Annotations
from utils.errors import BadFile, MissingFile
from utils.pixels import PIXEL_CENTER
from utils.safe_io import atomic_write, load_json, save_json, save_npy, sha256_of

FORMAT = 1
MANIFEST, INDEX = 'shards.json', 'index.npy'
INDEX_DTYPE = np.dtype([('shard', '<i4'), ('person', '<i4'), ('picture', '<i8'), ('labels', '<i8'),
                        ('picture_bytes', '<i4'), ('labels_bytes', '<i4')])
# Largest valid size of a member in bytes.
_LARGEST = 256 << 20
_BLOCK = 512
_SEEKING = threading.Lock()


@dataclass(frozen=True)
class ShardWriter:
    """Writes the shards of `annotations` to a folder, with `per_shard` pictures each.

    After an interruption a call continues after the last complete shard, because shards depend only on the annotations.
    `write` raises MissingFile for an absent picture.
    """
    annotations: Annotations
    images: Path
    folder: Path
    name: str
    per_shard: int = 1000

    def write(self, progress=iter):
        """Write the missing shards and the index -> path of shards.json. progress: wraps the list of shards."""
        self.folder.mkdir(parents=True, exist_ok=True)
        names, rows_of = _pictures(self.annotations.imgname)
        groups = [range(len(names))[start:start + self.per_shard] for start in range(0, len(names), self.per_shard)]
        index, shards = np.zeros(len(self.annotations), INDEX_DTYPE), []
        for number, group in enumerate(progress(groups)):
            path = self.folder / f'{self.name}-{number:06d}.tar'
            labels = [labels_text(self.annotations, names[picture], rows_of[picture]) for picture in group]
            digest = hashlib.sha256(b'\n'.join(labels)).hexdigest()
            entry = existing_shard(path, digest)
            if entry is None:
                entry = write_shard(path, self._members(group, names, labels), digest)
            for picture, place in zip(group, entry.pop('places')):
                for person, row in enumerate(rows_of[picture]):
                    index[row] = (number, person, *place)
            shards.append(entry)
        return save_manifest(self.folder, index, shards, name=self.name, pictures=len(names),
                             has_smpl=bool(self.annotations.has_smpl.any()), body_digest=self.annotations.body_digest)

    def _members(self, group, names, labels):
        for picture, text in zip(group, labels):
            yield picture, Path(names[picture]).suffix, _read(self.images / names[picture]), text


def labels_text(annotations, name, rows):
    """The JSON of a picture and its people. rows: their rows in the Annotations."""
    people = [person_labels(annotations, row) for row in rows]
    return json.dumps({'imgname': name, 'first_pixel': PIXEL_CENTER, 'people': people}, separators=(',', ':')).encode()


def existing_shard(path, digest):
    """The result of `write_shard` for a complete shard with the same digest, or None."""
    side = path.with_suffix('.json')
    if not (path.exists() and side.exists()):
        return None
    entry = load_json(side)
    return entry if entry['labels'] == digest and path.stat().st_size == entry['bytes'] else None


def write_shard(path, pictures, digest, **others):
    """Write a shard of pictures (number, suffix, content, labels) -> its entry in shards.json.

    `places` of the entry has, for each picture, the offsets of picture and labels, then their sizes. digest: identifies
    the source. others: added to the entry.
    """
    places = []
    with atomic_write(path) as stream, tarfile.open(fileobj=stream, mode='w', format=tarfile.USTAR_FORMAT) as tar:
        for number, suffix, content, text in pictures:
            at_picture = _add(tar, f'{number:09d}{suffix.lower() or ".jpg"}', content)
            places.append((at_picture, _add(tar, f'{number:09d}.json', text), len(content), len(text)))
    entry = {'file': path.name, 'bytes': path.stat().st_size, 'sha256': sha256_of(path), 'labels': digest,
             'places': places, **others}
    save_json(path.with_suffix('.json'), entry, indent=None)
    return entry


def save_manifest(folder, index, shards, **about):
    """Write the index, then shards.json -> its path. shards: entries without `places`. about: name, pictures, has_smpl
    and body_digest."""
    save_npy(folder / INDEX, index)
    save_json(folder / MANIFEST, {
        'format': FORMAT, 'rows': len(index), **about,
        'index_bytes': (folder / INDEX).stat().st_size, 'index_sha256': sha256_of(folder / INDEX), 'shards': shards})
    return folder / MANIFEST


def _pictures(imgnames):
    """(names [P] in the order of their first row, rows of each picture)."""
    names, first, which = np.unique(imgnames, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    rows = np.argsort(place[which], kind='stable')
    return names[order].tolist(), np.split(rows, np.cumsum(np.bincount(place[which]))[:-1])


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        raise MissingFile(f'{path}: no such picture') from None


def _add(tar, name, content):
    """Append a member -> offset of its content."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    start = tar.offset + _BLOCK
    tar.addfile(info, io.BytesIO(content))
    return start


def person_labels(annotations, row):
    """Labels of a row for JSON, under the keys of a SPIN `.npz`. Missing labels have no key."""
    person = annotations.person(row)
    labels = {'center': person.center, 'scale': person.scale, 'gender': person.gender}
    openpose, part = np.split(person.keypoints_2d, [25])
    for key, value, present in (('openpose', openpose, openpose[:, 2].any()), ('part', part, part[:, 2].any()),
                                ('S', person.joints_3d, person.has_joints_3d), ('pose', person.pose, person.has_smpl),
                                ('shape', person.betas, person.has_smpl),
                                ('smpl_2dkps', person.smpl_keypoints_2d, person.smpl_keypoints_2d is not None),
                                ('bbox_size', person.bbox_size, person.bbox_size is not None),
                                ('cam_K', person.intrinsics, person.intrinsics is not None),
                                ('focal', person.focal_length, person.focal_length is not None)):
        if present:
            labels[key] = value
    return {key: np.asarray(value).tolist() for key, value in labels.items()}


def parse_person(content, number, name):
    """(Person, image name) of person `number` in a picture's labels. name: for messages. Raises BadFile."""
    try:
        labels = json.loads(content)
        row = {**labels['people'][number], **{key: labels[key] for key in ('imgname', 'first_pixel') if key in labels}}
        raw = {key: np.asarray(value)[None] for key, value in row.items()}
    except (ValueError, RecursionError, KeyError, TypeError, IndexError):
        raise BadFile(f'{name}: not the labels of a picture with at least {number + 1} people') from None
    annotations = Annotations.from_spin(raw, name)
    return annotations.person(0), str(annotations.imgname[0])


def read_member(descriptor, start, size, shard):
    """Read the tar member whose content is at an offset -> (name, bytes).

    Raises BadFile unless it is a complete regular file of that size.
    """
    if start < _BLOCK or not 0 <= size <= _LARGEST:
        raise BadFile(f'{shard}: the index points to {size} bytes at {start}')
    block = _read_at(descriptor, _BLOCK + size, start - _BLOCK)
    try:
        member = tarfile.TarInfo.frombuf(block[:_BLOCK], 'utf-8', 'strict')
    except (tarfile.HeaderError, UnicodeDecodeError):
        raise BadFile(f'{shard}: no tar member at byte {start}; the index is of another file') from None
    check_member(member, shard)
    if member.size != size or len(block) != _BLOCK + size:
        raise BadFile(f'{shard}: member {member.name!r} is truncated or has another size than in the index')
    return member.name, block[_BLOCK:]


def _read_at(descriptor, count, start):
    """Read bytes at an offset of a file. `os.pread` needs no lock between threads, but Windows lacks it."""
    if hasattr(os, 'pread'):
        return os.pread(descriptor, count, start)
    with _SEEKING:
        os.lseek(descriptor, start, os.SEEK_SET)
        return os.read(descriptor, count)


def check_member(member, shard):
    """Raise BadFile for a tar member that is not a regular file, is too large, or has a path outside the shard."""
    parts = member.name.replace('\\', '/').split('/')
    if member.name.startswith(('/', '\\')) or '..' in parts or ':' in parts[0] or '\0' in member.name:
        raise BadFile(f'{shard}: member {member.name!r} has a path outside the shard')
    if not member.isreg():
        raise BadFile(f'{shard}: member {member.name!r} is a link, folder or device, not a file')
    if member.size > _LARGEST:
        raise BadFile(f'{shard}: member {member.name!r} has {member.size} bytes, which is too large')


def stream_shard(stream, shard):
    """Yield (name, picture, labels) of a shard in order, from a file or an unseekable stream. Raises BadFile."""
    try:
        with tarfile.open(fileobj=stream, mode='r|') as tar:
            waiting = None
            for member in tar:
                check_member(member, shard)
                content = tar.extractfile(member).read()
                key, _, suffix = member.name.rpartition('.')
                if suffix != 'json':
                    waiting = key, member.name, content
                elif waiting is None or waiting[0] != key:
                    raise BadFile(f'{shard}: member {member.name!r} does not follow its picture')
                else:
                    yield waiting[1], waiting[2], content
                    waiting = None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadFile(f'{shard}: not a readable tar file ({" ".join(str(error).split())[:150]})') from None


def read_manifest(content, name):
    """Parse and check shards.json. Raises BadFile."""
    wanted = {'format': int, 'name': str, 'rows': int, 'shards': list, 'has_smpl': bool, 'index_bytes': int,
              'index_sha256': str}
    try:
        manifest = json.loads(content)
        for key, kind in wanted.items():
            if type(manifest[key]) is not kind:
                raise TypeError
        files = [(entry['file'], int(entry['bytes']), str(entry['sha256'])) for entry in manifest['shards']]
    except (ValueError, OverflowError, RecursionError, KeyError, TypeError):
        raise BadFile(f'{name}: not a list of shards of `python -m datasets.shards`') from None
    if manifest['format'] != FORMAT:
        raise BadFile(f'{name}: shards of format {manifest["format"]}, but this version reads {FORMAT}; make them '
                      'again')
    for file, _, _ in files:
        if not isinstance(file, str) or Path(file).name != file or not file.endswith('.tar'):
            raise BadFile(f'{name}: shard {file!r} is not the plain name of a .tar file')
    return manifest

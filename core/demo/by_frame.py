"""Looks up a file's entries by a picture's name or a frame's number, and reports entries that were never asked for."""
from pathlib import PurePosixPath

from utils.errors import BadFile
from utils.file_names import number_in_name
from utils.logging import get_logger


class ByFrame:
    """Entries of one file. path: for messages. Keys are frame numbers, or names of pictures with or without folders.

    same_names: pictures of this run share names, so folders must match too. listed: number of pictures that the command
    line lists; None for videos and folders. A listed picture's number is its index, or, if the file has no such number,
    the number in its name.
    """

    def __init__(self, path, same_names=False, listed=None):
        self._path, self._same_names, self._listed = path, same_names, listed
        self._entries, self._names, self._by_place = {}, {}, listed is None
        self._asked, self._frames = set(), []

    def __bool__(self):
        return bool(self._entries)

    def add(self, key, entry):
        """Add an entry of a frame number or of a picture's name."""
        if isinstance(key, str):
            key = key.replace('\\', '/')
            self._names.setdefault(PurePosixPath(key).name, set()).add(key)
        elif self._listed is not None:
            self._by_place |= 0 <= key < self._listed
        self._entries.setdefault(key, []).append(entry)

    def __call__(self, frame):
        """The entries of a frame, in file order."""
        self._frames = [*self._frames[:1], frame.name or frame.index]
        keys = self._keys(frame)
        self._asked.update(keys)
        return [entry for key in keys for entry in self._entries[key]]

    def _keys(self, frame):
        named = [key for key in self._names.get(frame.name, ())
                 if not self._same_names or _ends_with(frame.path, key) or _ends_with(key, frame.path)]
        if named:
            return sorted(named)
        number = frame.index if self._by_place else number_in_name(frame.name)
        return [number] if number in self._entries else []

    def check(self):
        """Log which frames were never asked for. Raises BadFile if none was: the file belongs to other pictures."""
        if not self._entries or not self._frames:
            return
        missed = [key for key in self._entries if key not in self._asked]
        if not self._asked:
            raise BadFile(f'{self._path}: none of the frames that it names was read; it names {_span(missed)}, the '
                          f"run has {_span(self._frames)} (numbers count from 0, or are those in the pictures' names)")
        if missed:
            get_logger().warning(f'{self._path}: {len(missed)} of the {len(self._entries)} frames that it names were '
                                 f'not read: {_span(missed)}')


def _ends_with(path, end):
    return f'/{path}'.endswith(f'/{end}')


def _span(keys):
    first, last = str(keys[0]), str(keys[-1])
    return first if first == last else f'{first} to {last}'

"""Registries of named classes and functions, and a user's files that add to them."""
import importlib
import re
import sys
from pathlib import Path

from utils.errors import BadConfig, BadFile, MissingFile


class Registry:
    """Objects by name. Modules of `package` that register something are found automatically.

    kind: what the objects are, for messages. package: a package of this project. A module in it belongs to the registry
    if a line begins with `@register(`. Such modules are imported when the registry is first read.
    """

    def __init__(self, kind, package=''):
        self.kind, self._package, self._entries, self._is_read = kind, package, {}, False

    def register(self, name):
        """A decorator that registers a class or function under `name`. Raises BadConfig if the name is taken."""
        if not isinstance(name, str) or not name:
            raise BadConfig(f'a {self.kind} needs a name, as in @register("my_name"); got {name!r}')

        def enter(entry):
            if not entry.__module__.startswith(f'{self._package}.'):
                self._read_package()  # so that a user's file cannot take one of the project's names
            known = self._entries.get(name)
            if known is not None and _place(known) != _place(entry):
                raise BadConfig(f'the {self.kind} {name!r} is registered twice: in {_file_of(known)} and in '
                                f'{_file_of(entry)}; rename one')
            self._entries[name] = entry
            return entry
        return enter

    def names(self):
        """All names, in the order of registration."""
        self._read_package()
        return tuple(self._entries)

    def __contains__(self, name):
        return name in self.names()

    def __getitem__(self, name):
        """The object with a name. Raises BadConfig, which mentions --plugin."""
        if name not in self:
            raise BadConfig(f'unknown {self.kind} {name!r}; known are {", ".join(self.names())}; '
                            '--plugin FILE loads another')
        return self._entries[name]

    def entries(self):
        """The objects, each one once."""
        self._read_package()
        return list(dict.fromkeys(self._entries.values()))

    def file_of(self, name):
        """Path of the file that defines an object."""
        return _file_of(self[name])

    def _read_package(self):
        if self._is_read or not self._package:
            return
        self._is_read = True
        package = importlib.import_module(self._package)
        for root in map(Path, package.__path__):
            for path in sorted(root.rglob('*.py')):
                if re.search(r'^@register\(', path.read_text(encoding='utf-8'), re.MULTILINE):
                    parts = path.relative_to(root).with_suffix('').parts
                    importlib.import_module('.'.join([self._package, *parts]))


def load_plugin(path):
    """Import a user's Python file, which registers its objects. A file is loaded only once.

    The module's name is the file's stem. Its folder is appended to sys.path, so that loader processes find it too.
    Raises MissingFile; BadFile if the file cannot be imported or another module has its name.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise MissingFile(f'{path}: no such file (--plugin)')
    if path.suffix != '.py' or not path.stem.isidentifier():
        raise BadFile(f'{path}: a plugin is a Python file whose name can be imported, such as my_net.py')
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        module = importlib.import_module(path.stem)
    except Exception as error:  # whatever the user's file raises
        raise BadFile(f'{path}: cannot be imported ({type(error).__name__}: {" ".join(str(error).split())[:200]})'
                      ) from error
    if Path(getattr(module, '__file__', None) or '').resolve() != path:
        raise BadFile(f'{path}: another module is called {path.stem!r}; rename the file')
    return module


def _place(entry):
    return entry.__module__, entry.__qualname__


def _file_of(entry):
    return Path(sys.modules[entry.__module__].__file__)

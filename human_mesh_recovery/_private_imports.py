"""Imports the project's packages below `human_mesh_recovery`, and their imports of each other likewise."""
import ast
import importlib.machinery
import sys
from pathlib import Path

_PACKAGE = __name__.rpartition('.')[0]
_ROOT = Path(__file__).resolve().parent.parent
_OURS = ('core', 'datasets', 'models', 'utils')


def install():
    """From now on `human_mesh_recovery.core` and the others can be imported. Called again, it does nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds `human_mesh_recovery.NAME...` of the project's packages in the folder of the project."""

    def find_spec(self, name, path=None, target=None):
        package, _, rest = name.partition('.')
        if package != _PACKAGE or rest.partition('.')[0] not in _OURS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path if '.' in rest else [str(_ROOT)])
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles a file with the project's own names put below the package's. Lines keep their numbers."""

    def get_code(self, fullname):
        # Never from the cache of compiled files, in which the scripts' own names are.
        return self.source_to_code(self.get_data(self.path), self.path)

    def source_to_code(self, data, path, *, _optimize=-1):
        tree = _Renamer().visit(ast.parse(data, filename=path))
        return compile(ast.fix_missing_locations(tree), path, 'exec', dont_inherit=True, optimize=_optimize)


class _Renamer(ast.NodeTransformer):
    def visit_ImportFrom(self, node):
        if node.level == 0 and _is_ours(node.module):
            node.module = f'{_PACKAGE}.{node.module}'
        return node

    def visit_Import(self, node):
        if not any(_is_ours(name.name) for name in node.names):
            return node
        raise SyntaxError(f'line {node.lineno}: the project imports its modules by `from`')


def _is_ours(module):
    return module.partition('.')[0] in _OURS

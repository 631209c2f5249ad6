"""Imports go one way: utils <- models, datasets <- core <- scripts. docs/architecture.md has the rule."""
import ast
from pathlib import Path

import pytest

from models import REGRESSORS

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {'utils': {'utils'}, 'models': {'models', 'utils'}, 'datasets': {'datasets', 'utils'},
           'core': {'core', 'models', 'datasets', 'utils'}}
# Entry points of `python -m`. Nothing imports them; they are thin, as the scripts at the root.
ENTRY_POINTS = {'models/smplify/fit_dataset.py', 'datasets/from_pictures.py'}
OURS = set(ALLOWED) | {'tests', 'benchmarks'}


def imported(tree):
    """Modules that a file imports, and modules of this project that its strings name (importlib, patches)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module
            yield from (f'{node.module}.{name.name}' for name in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and is_module(node.value):
            yield node.value


def is_module(text):
    """Whether a text is the dotted name of a file or folder of this project."""
    if not all(part.isidentifier() for part in text.split('.')) or text.split('.')[0] not in OURS or '.' not in text:
        return False
    path = ROOT.joinpath(*text.split('.'))
    return path.is_dir() or path.with_suffix('.py').exists()


def files_of(layer):
    for path in (ROOT / layer).rglob('*.py'):
        yield path.relative_to(ROOT), ast.parse(path.read_text())


@pytest.mark.parametrize('layer', ALLOWED)
def test_layer_imports_only_lower_layers(layer):
    for path, tree in files_of(layer):
        if str(path) in ENTRY_POINTS:
            continue
        wrong = ({module.split('.')[0] for module in imported(tree)} & OURS) - ALLOWED[layer]
        assert not wrong, f'{path} imports {wrong}'


def test_harness_knows_no_architecture_by_name():
    """core names neither modules that register a regressor, nor regressors, nor their classes and sections."""
    modules = {cls.__module__ for cls in REGRESSORS.entries()}
    modules |= {module.rpartition('.')[0] for module in modules} - {'models'}
    classes = {cls.__name__ for cls in REGRESSORS.entries()} | set(map(section_of, REGRESSORS.entries()))
    assert {'models.pymaf', 'models.danet'} <= modules
    for path, tree in files_of('core'):
        named = set(imported(tree))
        assert not {module for module in named if any(f'{module}.'.startswith(f'{own}.') for own in modules)}, path
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
            assert text not in REGRESSORS.names(), f'{path}:{node.lineno} names the regressor {text!r}'
            name = node.id if isinstance(node, ast.Name) else getattr(node, 'attr', None)
            assert name not in classes, path


def section_of(cls):
    """The name of a regressor's section of cfg.MODEL, or ''."""
    from yacs.config import CfgNode
    model = CfgNode()
    cls.add_config(model)
    return next(iter(model), '')


def test_modules_import_each_other_by_from():
    """`human_mesh_recovery` renames these imports (docs/api.md). `import a.b` would bind another module than it
    names."""
    for layer in ALLOWED:
        for path, tree in files_of(layer):
            names = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
            assert not {name.split('.')[0] for name in names} & set(ALLOWED), path

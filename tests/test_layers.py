"""Imports go one way: utils <- models, datasets <- core <- scripts. The rule is in docs/architecture.md."""
import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {'utils': {'utils'}, 'models': {'models', 'utils'}, 'datasets': {'datasets', 'utils'},
           'core': {'core', 'models', 'datasets', 'utils'}}
# Entry points run by `python -m`, which nothing imports: thin, like the scripts at the root.
ENTRY_POINTS = {'models/smplify/fit_dataset.py'}
OURS = set(ALLOWED) | {'tests', 'benchmarks'}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.split('.')[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split('.')[0]


@pytest.mark.parametrize('layer', ALLOWED)
def test_layer_imports_only_what_lies_below(layer):
    for path in (ROOT / layer).rglob('*.py'):
        if str(path.relative_to(ROOT)) in ENTRY_POINTS:
            continue
        wrong = (set(imported(path)) & OURS) - ALLOWED[layer]
        assert not wrong, f'{path.relative_to(ROOT)} imports {wrong}'


def test_harness_knows_no_architecture_by_name():
    names = {'models.hmr', 'models.pymaf', 'models.danet', 'models.multiview'}
    for path in (ROOT / 'core').rglob('*.py'):
        modules = {node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
        assert not modules & names, path

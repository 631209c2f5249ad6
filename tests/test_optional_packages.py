"""Every `pip install` in the project names an extra or a package of pyproject.toml."""
import ast
import json
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from utils.errors import MissingPackage
from utils.optional_packages import import_package

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
LAYERS = ('core', 'datasets', 'models', 'utils')
# `make neural-renderer` builds the first one; pyrender's import also fails where it is installed.
NOT_BY_IMPORT_PACKAGE = {'neural_renderer', 'pyrender'}
# Tools of the build; the project does not import them.
TOOLS = {'pip', 'uv'}
IGNORED = {'.git', '.venv', '.versions', '.pytest_cache', 'tests', 'build', 'output', 'logs', 'results', 'node_modules'}
TEXTS = ('Makefile', 'run', 'tools', 'versions',
         '*.py', '*.md', '*.yaml', '*.yml', '*.toml', '*.sh', '*.ipynb', '*.slurm')
# The command ends at a quote or bracket of the text around it, or at the end of the line.
COMMAND = re.compile(r'pip3? install((?:[ \t]+(?:-[\w-]+|\'[^\'\s]+\'|"[^"\s]+"|[\w.\[\]$({}=><~-]+))+)')


def packages_of(extra):
    """Canonical names of an extra's packages, including those of extras that it names. '' is the base install."""
    wanted = PROJECT['optional-dependencies'][extra] if extra else PROJECT['dependencies']
    names = set()
    for requirement in map(Requirement, wanted):
        if requirement.name == PROJECT['name']:
            names = names.union(*map(packages_of, requirement.extras))
        else:
            names.add(canonicalize_name(requirement.name))
    return names


EXTRAS = {extra: packages_of(extra) for extra in ('', *PROJECT['optional-dependencies'])}


def files():
    """Sources, pages and recipes, without optional_packages.py, whose message another test checks."""
    found = {path for pattern in TEXTS for path in ROOT.rglob(pattern) if path.is_file()}
    return sorted(path for path in found
                  if not IGNORED & set(path.relative_to(ROOT).parts) and path.name != 'optional_packages.py')


def pip_arguments(text):
    """Arguments of each `pip install` of a text: names, paths and extras, without options and their values."""
    for command in COMMAND.findall(text):
        words = [word.strip('\'"`') for word in command.split()]
        values = {at + 1 for at, word in enumerate(words) if word in ('-c', '-r', '--constraint')}
        yield from (word for at, word in enumerate(words) if not word.startswith('-') and at not in values)


def test_the_search_finds_what_it_should():
    text = ("run `pip install yt-dlp`, or give\n\t$(PY) -m pip install -q -c constraints.txt '.[dev]'\n"
            "pip install torch torchvision\n(`pip install OpenEXR`) for `pip install '.[onnx]'`.")
    assert list(pip_arguments(text)) == ['yt-dlp', '.[dev]', 'torch', 'torchvision', 'OpenEXR', '.[onnx]']


@pytest.mark.parametrize('path', files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_pip_install_names_what_exists(path):
    known = set.union(*EXTRAS.values()) | TOOLS
    for argument in pip_arguments(path.read_text(encoding='utf-8')):
        extra = re.fullmatch(r'\.(?:\[([\w,-]+)\])?', argument)
        if extra:
            assert set((extra[1] or '').split(',')) <= set(EXTRAS), f'pip install {argument}: no such extra'
        elif not argument.startswith('$'):
            assert canonicalize_name(Requirement(argument).name) in known, f'pip install {argument}'


def test_the_tests_have_every_extra():
    assert EXTRAS['dev'] >= set.union(*(EXTRAS[extra] for extra in PROJECT['optional-dependencies']))


def test_an_error_names_an_extra_that_brings_the_package():
    found = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'import_package':
                module = node.args[0].value.split('.')[0]
                extra = node.args[2].value if len(node.args) > 2 else ''
                assert canonicalize_name(module) in EXTRAS[extra], f'{path}: {module}, {extra}'
                found.add(module)
    assert {'anny', 'onnxruntime', 'smplx', 'yt_dlp'} <= found


def test_a_package_that_may_be_absent_is_imported_with_a_message():
    """Modules of extras are imported inside functions, and `import_package` says how to install them."""
    optional = {name.replace('-', '_') for name in set.union(*EXTRAS.values()) - EXTRAS['']} | NOT_BY_IMPORT_PACKAGE
    for path in sources():
        text = path.read_text(encoding='utf-8')
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
                [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else [])
            for package in {name.split('.')[0].lower() for name in names} & optional - NOT_BY_IMPORT_PACKAGE:
                assert node.col_offset and re.search(rf"import_package\('{package}\b", text), f'{path}:{node.lineno}'


def sources():
    return [path for layer in LAYERS for path in sorted((ROOT / layer).rglob('*.py'))]


def test_absent_and_broken_packages_are_told_apart(tmp_path, monkeypatch):
    (tmp_path / 'half_there.py').write_text('import not_a_package_of_anybody')
    (tmp_path / 'broken.py').write_text('raise ImportError("libGL.so.1: cannot open shared object file\\nat line 2")')
    monkeypatch.syspath_prepend(tmp_path)
    assert import_package('json', 'a test') is json
    for module, extra, message in (
            ('not_a_package_of_anybody', 'onnx', "a test needs the package not_a_package_of_anybody, which is not "
                                                 "installed; run `pip install '.[onnx]'` in the project's folder"),
            ('not_a_package_of_anybody.part', '', "a test needs the package not_a_package_of_anybody, which is not "
                                                  "installed; run `pip install .` in the project's folder"),
            ('half_there', 'web', "a test needs the package half_there, which lacks not_a_package_of_anybody; run "
                                  "`pip install '.[web]'` in the project's folder"),
            ('broken', 'web', 'a test needs the package broken, which cannot be imported (libGL.so.1: cannot open '
                              'shared object file at line 2)')):
        with pytest.raises(MissingPackage) as caught:
            import_package(module, 'a test', extra)
        assert str(caught.value) == message

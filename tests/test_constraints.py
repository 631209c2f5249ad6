"""The tested releases of constraints/: pyproject.toml admits them, they allow any build of torch, and the Makefile
installs them."""
import re
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_optional_packages import EXTRAS, PROJECT, ROOT

FILES = sorted((ROOT / 'constraints').glob('python3.*.txt'))


def wanted():
    """Requirements of the project and of all its extras, without those that name the project's extras."""
    texts = [*PROJECT['dependencies'], *(text for extra in PROJECT['optional-dependencies'].values() for text in extra)]
    return [requirement for requirement in map(Requirement, texts) if requirement.name != PROJECT['name']]


def pins(file):
    return [Requirement(line) for line in file.read_text().splitlines() if not line.startswith('#')]


def environment(file):
    """Values of environment markers on Linux with the file's Python version."""
    version = file.stem.removeprefix('python')
    return {'python_version': version, 'python_full_version': f'{version}.7', 'sys_platform': 'linux',
            'platform_machine': 'x86_64', 'platform_system': 'Linux', 'implementation_name': 'cpython'}


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_each_package_has_one_release_that_the_project_admits(file):
    here = [pin for pin in pins(file) if pin.marker is None or pin.marker.evaluate(environment(file))]
    assert all(re.fullmatch(r'==[^,+*]+', str(pin.specifier)) and not pin.url for pin in here)
    found = {canonicalize_name(pin.name): str(pin.specifier).removeprefix('==') for pin in here}
    assert len(found) == len(here)
    for requirement in wanted():
        if requirement.marker is None or requirement.marker.evaluate(environment(file)):
            assert requirement.specifier.contains(found[canonicalize_name(requirement.name)]), requirement
    assert set.union(*EXTRAS.values()) <= set(found)


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_builds_of_torch_are_left_open(file):
    """A CPU build needs no CUDA packages, and a build for another CUDA needs other ones."""
    names = {canonicalize_name(pin.name) for pin in pins(file)}
    assert {'torch', 'torchvision'} <= names
    assert not [name for name in names if name.startswith(('nvidia-', 'cuda-', 'triton'))]


def test_the_makefile_installs_by_the_file_of_its_python(tmp_path):
    version = f'{sys.version_info[0]}.{sys.version_info[1]}'
    recipe = (ROOT / 'Makefile').read_text()
    assert all(file.stem.removeprefix('python') in re.search('LOCKED := (.*)', recipe)[1].split() for file in FILES)
    (tmp_path / 'Makefile').write_text(recipe)
    (tmp_path / 'pyproject.toml').touch()
    python = tmp_path / '.venv/bin/python'
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} "$@"\necho "$@"\n')
    python.chmod(0o755)

    def installed():
        done = subprocess.run(['make', '-s', 'dev'], cwd=tmp_path, capture_output=True, text=True)
        for stamp in ('installed', 'installed-dev'):
            (tmp_path / '.venv' / stamp).unlink()
        assert done.returncode == 0, done.stderr
        return done.stdout
    said = installed()
    assert '-m pip install -q .\n' in said and '-m pip install -q .[dev]' in said
    assert 'no tested versions for this Python' in said
    (tmp_path / 'constraints').mkdir()
    (tmp_path / f'constraints/python{version}.txt').touch()
    said = installed()
    for what in ('.', '.[dev]'):
        assert f'-m pip install -q -c constraints/python{version}.txt {what}\n' in said
    assert 'no tested' not in said


def test_readme_names_the_tested_releases():
    """torch's release, and each Python version that has a file."""
    text = (ROOT / 'README.md').read_text()
    for file in FILES:
        torch, = (pin for pin in pins(file) if pin.name == 'torch' and (
            pin.marker is None or pin.marker.evaluate(environment(file))))
        assert file.stem.removeprefix('python') in text and str(torch.specifier).removeprefix('==') in text, file


def test_ci_only_warns_of_other_releases():
    job = yaml.safe_load((ROOT / '.github/workflows/test.yml').read_text())['jobs']['versions']
    assert job['continue-on-error'] is True
    assert {entry['releases'] for entry in job['strategy']['matrix']['include']} == {'newest', 'lowest'}
    assert subprocess.run([ROOT / '.ci/versions', 'oldest'], capture_output=True).returncode == 2

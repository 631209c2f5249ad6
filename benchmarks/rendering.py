"""Processor time of a rendered picture, over that of another revision: `python -m benchmarks.rendering --against REV`.

Two processes of one thread render the same pictures in turns, with all realism options or with none: this tree in
batches, as the loader does, and the revision one by one. Revisions from before realism draw plain pictures only.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from benchmarks.table import one_line
from utils.assets import find_assets
from utils.errors import ProjectError, run_main

_ROOT = Path(__file__).resolve().parent.parent
_BATCH = 16
# Run in the root of a tree, whichever its age. A line (epoch, pictures) on the input gives milliseconds a picture.
_RENDERER = '''
import importlib.util, sys, time
from pathlib import Path
from utils.threads import use_one_thread
from datasets.synthetic.stream import FreeStream

root, size, photos, plain, batch = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] == '1', int(sys.argv[5])
use_one_thread()
options = {}
if importlib.util.find_spec('datasets.synthetic.realism'):
    from datasets.synthetic.realism import REALISM
    options = {'realism': () if plain else tuple(REALISM)}
if photos:
    options['photos'] = photos
stream = FreeStream(Path(root), size=size, **options)

def render(epoch, count):
    if batch == 1:
        return [stream.sample(epoch, index) for index in range(count)]
    return [stream.samples([(epoch, index) for index in range(first, first + batch)])
            for first in range(0, count, batch)]

# Photographs are read as they are drawn, and kept.
render(0, 256)
print('ready', flush=True)
for line in sys.stdin:
    epoch, count = map(int, line.split())
    start = time.process_time()
    render(epoch, count)
    print(1e3 * (time.process_time() - start) / count, flush=True)
'''


def unpack(revision, folder):
    """Write the code of a revision that renders into a folder. Raises ProjectError."""
    made = subprocess.run(['git', 'archive', revision, 'datasets', 'utils'], cwd=_ROOT, capture_output=True)
    if made.returncode:
        raise ProjectError(f'--against {revision}: {one_line(made.stderr.decode())}')
    with tarfile.open(fileobj=BytesIO(made.stdout)) as archive:
        archive.extractall(folder, filter='data')


def start(tree, *arguments):
    """A process that renders with the code of a tree."""
    process = subprocess.Popen([sys.executable, '-c', _RENDERER, *map(str, arguments)], cwd=tree, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**os.environ, 'PYTHONPATH': str(tree), 'OMP_NUM_THREADS': '1'})
    if process.stdout.readline() != 'ready\n':
        raise ProjectError(f'{tree}: {process.communicate()[1].strip().splitlines()[-1]}')
    return process


def compare(trees, rounds, pictures):
    """Milliseconds a picture of each [(tree, arguments of the renderer)], one list a tree, in turns."""
    processes, times = [start(tree, *arguments) for tree, arguments in trees], [[] for _ in trees]
    for epoch in range(1, rounds + 1):
        for process, taken in zip(processes, times):
            process.stdin.write(f'{epoch} {pictures}\n')
            process.stdin.flush()
            taken.append(float(process.stdout.readline()))
    for process in processes:
        process.communicate()
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--against', required=True, help='revision to compare with')
    parser.add_argument('--data', type=Path, default=_ROOT / 'data', help='folder that holds the free assets')
    parser.add_argument('--photos', default='', help='folder of photographs (docs/synthetic_data.md)')
    parser.add_argument('--plain', action='store_true', help='without realism')
    parser.add_argument('--size', type=int, default=146, help='longer side of a picture in pixels')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--pictures', type=int, default=48, help=f'of a round, a multiple of {_BATCH}')
    options = parser.parse_args()
    common = (find_assets(options.data).root.resolve(), options.size, options.photos, int(options.plain))
    with tempfile.TemporaryDirectory() as folder:
        unpack(options.against, folder)
        before, now = compare([(folder, (*common, 1)), (_ROOT, (*common, _BATCH))], options.rounds, options.pictures)
    for name, taken in ((options.against, before), ('this tree', now)):
        print(f'{name:12} {statistics.mean(taken):6.2f} ms a picture ({min(taken):.2f} to {max(taken):.2f})')
    print(f'pictures a second, over those of {options.against}: {statistics.mean(before) / statistics.mean(now):.2f}')
    return 0


if __name__ == '__main__':
    run_main(main)

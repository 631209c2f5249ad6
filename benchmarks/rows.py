"""Measures start-up time and memory over the number of annotation rows: python -m benchmarks.rows

Shards: the people of free-studio's validation set are written as shards, and their index is repeated to the number of
rows. Annotation files: the `.npz` of the set is repeated. Each line is measured in a new process: the seconds until the
dataset is open and its first sample is read, and the growth of the process.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from core.config import load_config
from datasets.annotations import Annotations
from datasets.catalog import find_dataset
from datasets.image_dataset import ImageDataset
from datasets.shard_dataset import ShardDataset
from datasets.shard_format import INDEX, ShardWriter
from utils.errors import run_main
from utils.safe_io import load_json, save_json, save_npy, save_npz, sha256_of

SET = 'free-studio'
SHARD_ROWS = (10 ** 5, 10 ** 6, 10 ** 7)
FILE_ROWS = (10 ** 4, 10 ** 5)


def configured(data_dir, images=''):
    return load_config(None, ['PATHS.DATA_DIR', data_dir, 'PATHS.IMAGE_DIRS', [images] if images else []])


def resident_mib():
    """Private memory of this process in MiB, without mapped files."""
    status = Path('/proc/self/status').read_text()
    return int(status.partition('RssAnon:')[2].split()[0]) / 1024


def write_shards(data_dir, folder):
    """Shards of the set -> path of shards.json."""
    source = find_dataset(configured(data_dir), SET, 'eval')
    return ShardWriter(Annotations.load(source.annotations), Path(source.images), folder, SET).write()


def repeat_index(manifest, rows):
    """Repeat the rows of shards until there are `rows`."""
    index = np.load(manifest.parent / INDEX)
    save_npy(manifest.parent / INDEX, np.resize(index, rows))
    content, path = load_json(manifest), manifest.parent / INDEX
    save_json(manifest, content | {'rows': rows, 'index_bytes': path.stat().st_size, 'index_sha256': sha256_of(path)})
    return path.stat().st_size


def repeat_annotations(data_dir, rows, folder):
    """Write an annotation file of `rows` rows -> (path, 'dataset=folder' of its pictures)."""
    source = find_dataset(configured(data_dir), SET, 'eval')
    with np.load(source.annotations) as arrays:
        count = len(arrays['imgname'])
        take = np.arange(rows) % count
        of_rows = [name for name in arrays.files if arrays[name].shape[:1] == (count,)]
        repeated = {name: arrays[name][take] for name in of_rows}
        save_npz(folder / 'many.npz', body_digest=arrays['body_digest'], **repeated)
    return folder / 'many.npz', f'many={source.images}'


def opened(name, data_dir, images):
    """{'seconds', 'mib'} of opening a dataset and reading its last row."""
    cfg, before, start = configured(data_dir, images), resident_mib(), time.perf_counter()
    dataset = ShardDataset(cfg, name) if name.endswith('.json') else ImageDataset(cfg, name)
    dataset[0, len(dataset) - 1]
    return {'seconds': time.perf_counter() - start, 'mib': resident_mib() - before}


def measured(name, data_dir, images=''):
    command = [sys.executable, '-m', 'benchmarks.rows', '--data_dir', data_dir, '--open', str(name), '--images', images]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def measure(data_dir, shard_rows=SHARD_ROWS, file_rows=FILE_ROWS):
    """Yields (name, MiB of the file, seconds, MiB of memory)."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(write_shards(data_dir, Path(folder) / 'shards'))
        for rows in shard_rows:
            size = repeat_index(manifest, rows)
            row = measured(manifest, data_dir)
            yield f'{rows:,} in shards', size / 2 ** 20, row['seconds'], row['mib']
        for rows in file_rows:
            file, images = repeat_annotations(data_dir, rows, Path(folder))
            row = measured(file, data_dir, images)
            yield f'{rows:,} in an annotation file', file.stat().st_size / 2 ** 20, row['seconds'], row['mib']


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data_dir', default='data')
    parser.add_argument('--shard_rows', type=int, nargs='+', default=SHARD_ROWS)
    parser.add_argument('--file_rows', type=int, nargs='+', default=FILE_ROWS)
    parser.add_argument('--open', help=argparse.SUPPRESS)
    parser.add_argument('--images', default='', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        opened(options.open, options.data_dir, options.images)  # imports and caches of the first sample
        print(json.dumps(opened(options.open, options.data_dir, options.images)))
        return 0
    print('| rows | file, MiB | start-up and a first sample, s | memory, MiB |\n| --- | ---: | ---: | ---: |')
    for name, size, seconds, mib in measure(options.data_dir, options.shard_rows, options.file_rows):
        print(f'| {name} | {size:.0f} | {seconds:.2f} | {mib:.0f} |', flush=True)
    return 0


if __name__ == '__main__':
    run_main(main)

"""Make tar shards of a dataset: python -m datasets.shards --annotations FILE.npz --images FOLDER --out FOLDER

It takes every annotation file that training reads. An interrupted call continues when it is repeated. Training reads
shards from a folder or a web server: DATA.MIXTURE "['OUT/shards.json:1']" or "['https://HOST/OUT/shards.json:1']".
"""
import argparse
from pathlib import Path

from tqdm import tqdm

from datasets.annotations import Annotations
from datasets.shard_format import ShardWriter, read_manifest, stream_shard
from utils.errors import BadConfig, BadFile, MissingFile, run_main


def verify(manifest_path):
    """Read all shards of a shards.json -> number of pictures. Raises MissingFile, BadFile."""
    path = Path(manifest_path)
    try:
        manifest = read_manifest(path.read_bytes(), path)
    except OSError:
        raise MissingFile(f'{path}: no such file') from None
    pictures = 0
    for entry in tqdm(manifest['shards'], unit='shard'):
        file = path.parent / entry['file']
        if not file.exists():
            raise MissingFile(f'{file}: no such shard')
        with open(file, 'rb') as stream:
            pictures += sum(1 for _ in stream_shard(stream, entry['file']))
    if pictures != manifest.get('pictures'):
        raise BadFile(f'{path}: {pictures} pictures in the shards, but {manifest.get("pictures")} in the list; make '
                      'them again')
    return pictures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--annotations', type=Path, help='SPIN .npz or HumanData .npz')
    parser.add_argument('--images', type=Path, help='folder that imgname is relative to')
    parser.add_argument('--out', type=Path, help='folder for the shards')
    parser.add_argument('--name', help='name of the dataset (default: stem of the annotation file)')
    parser.add_argument('--per_shard', type=int, default=1000, help='pictures per shard')
    parser.add_argument('--verify', type=Path, help='only check the shards of a shards.json')
    options = parser.parse_args()
    if options.verify:
        print(f'{options.verify}: {verify(options.verify)} pictures')
        return 0
    for flag in ('annotations', 'images', 'out'):
        if getattr(options, flag) is None:
            raise BadConfig(f'--{flag} is required; see --help')
    if options.per_shard < 1:
        raise BadConfig(f'--per_shard is {options.per_shard}; use at least 1')
    annotations = Annotations.load(options.annotations)
    if not len(annotations):
        raise BadFile(f'{options.annotations}: no rows')
    writer = ShardWriter(annotations, options.images, options.out, options.name or options.annotations.stem,
                         options.per_shard)
    print(f'shards: {writer.write(lambda groups: tqdm(groups, unit="shard"))}')
    return 0


if __name__ == '__main__':
    run_main(main)

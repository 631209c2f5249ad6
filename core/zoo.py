"""List the published checkpoints and those of this repository: python -m core.zoo [--data_dir FOLDER]

For each it prints the regressor, the address for --checkpoint, the licence, the assets it needs, and its local path.
The list is part of the program. The command reads only folders and caches, not the network.
"""
import argparse
from pathlib import Path

from core.pretrained import PRETRAINED
from models.published_families import FAMILIES
from models.weights import checkpoint_regressor
from models.zoo import PUBLISHED
from utils.addresses import cached_file
from utils.assets import find_assets
from utils.errors import MissingFile, run_main

_FOLDERS = ('pretrained_model', '', 'pretrained', 'ckpt')


def place_of(published, data_dir):
    """Path of a published checkpoint in the data folder or a cache, or None."""
    for folder in _FOLDERS:
        if (path := Path(data_dir) / folder / published.file).is_file():
            return path
    return cached_file(published.address) if published.address else None


def missing_assets(published, data_dir):
    """Names of the assets that a checkpoint needs and the data folder lacks."""
    try:
        assets = find_assets(data_dir)
    except MissingFile:
        assets = None
    if assets is None or assets.is_free:
        return ['smpl/SMPL_NEUTRAL.pkl', *published.needs]
    return [name for name in published.needs if not assets.has(name)]


def describe(published, data_dir):
    """Lines of text about one checkpoint."""
    place, missing = place_of(published, data_dir), missing_assets(published, data_dir)
    needs = ', '.join(['smpl/SMPL_NEUTRAL.pkl', *published.needs])
    return [f'{published.file}  ({FAMILIES[published.family].title}; --regressor {published.regressor})',
            f'  checkpoint  {published.address or "no direct address; fetch it with a browser"}',
            f'  page        {published.page}',
            f'  licence     {published.licence}; the body SMPL: non-commercial, by registration',
            f'  needs       {needs}; {"missing: " + ", ".join(missing) if missing else "all here"}',
            f'  here        {place or "no"}']


def own_checkpoints(folder=PRETRAINED):
    """Lines of text about each checkpoint in the repository."""
    for path in sorted(folder.glob('*.safetensors')):
        regressor, _ = checkpoint_regressor(path)
        yield [f'{path.name}  (of this repository; --regressor {regressor})', f'  checkpoint  {path}',
               '  licence     that of this repository', '  needs       the free body, data/free',
               f'  here        {path}']


def main(argv=None):
    parser = argparse.ArgumentParser(prog='python -m core.zoo', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_dir', default='data', help='asset folder (default: data)')
    folder = parser.parse_args(argv).data_dir
    known = [*own_checkpoints(), *(describe(published, folder) for published in PUBLISHED)]
    print('\n\n'.join('\n'.join(lines) for lines in known))
    return 0


if __name__ == '__main__':
    run_main(main)

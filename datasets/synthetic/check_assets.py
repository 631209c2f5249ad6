"""Checks the free assets against their manifest: `python -m datasets.synthetic.check_assets [--folder data/free]`.

They come with the repository and are not rebuilt silently: a checkpoint belongs to the body it was trained on.
"""
import argparse
import sys
from pathlib import Path

from utils.assets import MANIFEST, RESTORE, check_free_folder
from utils.errors import BadFile, MissingFile, run_main
from utils.logging import get_logger
from utils.safe_io import load_json, sha256_of


def check_assets(folder):
    """Return the manifest of a free asset folder. Raises MissingFile or BadFile if the folder is incomplete."""
    folder = Path(folder)
    check_free_folder(folder)
    manifest = load_json(folder / MANIFEST)
    for name, digest in manifest.get('files', {}).items():
        if not (folder / name).is_file():
            raise MissingFile(f'{folder / name}: no such file; {RESTORE}')
        if sha256_of(folder / name) != digest:
            raise BadFile(f'{folder / name}: not the file that {MANIFEST} names (SHA-256 differs); {RESTORE}')
    return manifest


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split(':')[0] + '.')
    parser.add_argument('--folder', default='data/free', help='folder to check (default: data/free)')
    folder = parser.parse_args(arguments).folder
    manifest = check_assets(folder)
    get_logger().info('%s is complete: body %s', folder, manifest['body_digest'])
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))

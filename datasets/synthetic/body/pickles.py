"""The free body as pickles for older tools, such as smplx:
`python -m datasets.synthetic.body.pickles FOLDER [--assets data/free]` writes FOLDER/SMPL_{NEUTRAL,MALE,FEMALE}.pkl.

Each has 20 MB, mostly the zeros of `posedirs`. This project does not read them if there is a `.npz`.
"""
import argparse
import pickle
import sys
from pathlib import Path

from utils.assets import GENDERS, Assets
from utils.errors import run_main
from utils.logging import get_logger
from utils.safe_io import atomic_write, load_npz


def write_pickles(folder, assets):
    """Write the body files of `assets` (utils.assets.Assets) as plain pickles into `folder`."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for gender in GENDERS:
        arrays = load_npz(assets.body_file(gender))
        names = {key: str(arrays.pop(key)) for key in ('body_origin', 'body_digest')}
        with atomic_write(Path(folder) / f'SMPL_{gender.upper()}.pkl') as stream:
            pickle.dump({**arrays, **names, 'bs_style': 'lbs', 'bs_type': 'lrotmin'}, stream, protocol=2)


def main(arguments=None):
    parser = argparse.ArgumentParser(description='Write the free body as pickles.')
    parser.add_argument('folder')
    parser.add_argument('--assets', default='data/free', type=Path, help='free asset folder (default: data/free)')
    options = parser.parse_args(arguments)
    write_pickles(options.folder, Assets(options.assets, is_free=True))
    get_logger().info('%s: %s', options.folder, ', '.join(f'SMPL_{gender.upper()}.pkl' for gender in GENDERS))
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))

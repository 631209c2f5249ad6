"""Measures how far a free asset folder is from another: `python -m datasets.synthetic.body.compare FOLDER OTHER`.

A rebuilt body differs from the tracked one only by the rounding of another machine's linear algebra.
"""
import argparse
import sys
from pathlib import Path

import numpy as np
import scipy.sparse

from utils.assets import MANIFEST
from utils.errors import BadFile, run_main
from utils.logging import get_logger
from utils.safe_io import load_json, load_mat, load_npy, load_npz, load_pickle

ROUNDING = 1e-4  # in metres, weights and shares: a tenth of a millimetre
_READERS = {'.npz': load_npz, '.npy': load_npy, '.mat': load_mat, '.pkl': load_pickle, '.json': load_json}


def differences(folder, other):
    """{file: largest absolute difference of its numbers} of the files in the manifest of `folder`.

    Raises BadFile where names, keys or shapes differ. Digests and other texts are not compared.
    """
    folder, other = Path(folder), Path(other)
    named = [sorted(load_json(root / MANIFEST)['files']) for root in (folder, other)]
    if named[0] != named[1]:
        raise BadFile(f'{folder} and {other}: other files ({", ".join(sorted(set(named[0]) ^ set(named[1])))})')
    return {name: _difference(*(_READERS[Path(name).suffix](root / name) for root in (folder, other)), name)
            for name in named[0]}


def _difference(one, two, where):
    if isinstance(one, dict):
        if set(one) != set(two):
            raise BadFile(f'{where}: other keys ({", ".join(sorted(set(one) ^ set(two)))})')
        return max((_difference(one[key], two[key], f'{where}: {key}') for key in one), default=0.0)
    one, two = (value.toarray() if scipy.sparse.issparse(value) else np.asarray(value) for value in (one, two))
    if one.shape != two.shape:
        raise BadFile(f'{where}: shape {list(one.shape)} and {list(two.shape)}')
    if one.dtype == object:
        return max((_difference(*pair, where) for pair in zip(one.flat, two.flat)), default=0.0)
    if one.dtype.kind not in 'biuf' or not one.size:
        return 0.0
    return float(np.nan_to_num(np.abs(one.astype(np.float64) - two.astype(np.float64)), nan=np.inf).max())


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split(':')[0] + '.')
    parser.add_argument('folder')
    parser.add_argument('other')
    options = parser.parse_args(arguments)
    found = differences(options.folder, options.other)
    for name, difference in found.items():
        get_logger().info('%-36s %.1e', name, difference)
    worst = max(found, key=found.get)
    if found[worst] > ROUNDING:
        raise BadFile(f'{worst}: differs by {found[worst]:.1e}, more than rounding ({ROUNDING:.0e})')
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))

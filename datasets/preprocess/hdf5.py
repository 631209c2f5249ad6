"""Opens HDF5 files, including MATLAB's version 7.3, with the optional package h5py."""
from datasets.preprocess import existing
from utils.errors import BadFile
from utils.optional_packages import import_package


def open_hdf5(path):
    """Open an h5py.File for reading. Raises MissingFile, BadFile, and ProjectError without h5py."""
    h5py = import_package('h5py', f'{path}: reading HDF5', 'preprocess')
    try:
        return h5py.File(existing(path, 'annotation file'), 'r')
    except OSError:
        raise BadFile(f'{path}: not a readable HDF5 file') from None

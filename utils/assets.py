"""Where the body model and what hangs on it lie on disk (DESIGN: "Assets").

`find_assets(data_dir)` picks one folder as a whole: the given one where it holds body models in one of the
known layouts, else its `free/` subfolder, which `make assets` makes. Files are never mixed between the two.
"""
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.errors import BadFile, MissingFile
from utils.safe_io import load_json

MANIFEST = 'MANIFEST.json'
# What the free folder's manifest must name. Raise it when the program makes other files, or means other things by them:
# folders of older versions are then refused until they are made again. 5: Human3.6M's joints have the left leg first.
FREE_GENERATOR = 'datasets.synthetic.make_assets 5'
GENDERS = ('neutral', 'male', 'female')
# Folders, below the asset folder, where the three known layouts keep SMPL_NEUTRAL.pkl and its siblings.
_BODY_FOLDERS = ('smpl', '.', 'body_models/smpl', 'body_models')
# Where SPIN and PyMAF keep small files, and mmhuman3d's name for the same folder.
_SIDE_FOLDERS = ('.', 'body_models', 'body_models/smpl')


@dataclass(frozen=True)
class Assets:
    """One asset folder. `root` is the folder; `is_free` says that the project made it."""
    root: Path
    is_free: bool

    def body_file(self, gender='neutral'):
        """Path of the body model of a gender: neutral, male or female."""
        if gender not in GENDERS:
            raise BadFile(f'unknown gender {gender!r}: use one of {", ".join(GENDERS)}')
        file = _body_file(self.root, gender)
        if file is None:
            raise MissingFile(f'{self.root}/smpl/SMPL_{gender.upper()}.pkl: no such body model; get it from '
                              'https://smpl.is.tue.mpg.de, or run `make assets` for the free one')
        return file

    def file(self, name):
        """Path of a named asset, such as 'J_regressor_extra.npy' or 'UV_data/UV_Processed.mat'."""
        for folder in _SIDE_FOLDERS:
            if (self.root / folder / name).exists():
                return self.root / folder / name
        hint = 'run `make assets`' if self.is_free else 'run `./fetch_data.sh`, which fetches it or says where it is'
        raise MissingFile(f'{self.root / name}: no such file; {hint}')

    def has(self, name):
        return any((self.root / folder / name).exists() for folder in _SIDE_FOLDERS)


def _body_file(root, gender):
    for folder in _BODY_FOLDERS:
        for suffix in ('npz', 'pkl'):
            file = root / folder / f'SMPL_{gender.upper()}.{suffix}'
            if file.exists():
                return file
    return None


def find_assets(data_dir):
    """Choose the asset folder: `data_dir` if it holds a body model, else `data_dir/free`.

    Raises MissingFile when neither does, and BadFile when the free folder is the remains of a run that was
    interrupted (its manifest, written last, is absent) or was made by another version of this program.
    """
    root = Path(data_dir)
    if _body_file(root, 'neutral'):
        is_free = is_complete_free_folder(root)
        if is_free:
            check_free_version(root)
        return Assets(root, is_free)
    free = root / 'free'
    if is_complete_free_folder(free):
        check_free_version(free)
        return Assets(free, is_free=True)
    if free.exists():
        raise BadFile(f'{free}: unfinished asset folder (no {MANIFEST}); run `make assets` to make it again')
    raise MissingFile(f'{root}: no body model here (smpl/SMPL_NEUTRAL.pkl) and no free one (free/); '
                      'run `make assets` to make the free body')


def is_complete_free_folder(folder):
    """Whether `folder` is a finished asset folder made by this project."""
    return (Path(folder) / MANIFEST).exists() and load_json(Path(folder) / MANIFEST).get('complete') is True


def check_free_version(folder):
    """Raise BadFile where a finished free folder was made by another version of this program: its files may have
    another meaning."""
    generator = load_json(Path(folder) / MANIFEST).get('generator', FREE_GENERATOR)
    if generator != FREE_GENERATOR:
        raise BadFile(f'{folder}: made by another version of this program ({generator}, wanted is {FREE_GENERATOR}); '
                      f'run `python -m datasets.synthetic.make_assets --out {folder}`, which makes it again')


def body_digest(v_template, faces, shapedirs):
    """16 hex digits that name a body by its template [V,3], faces [F,3] and shape space [V,3,>=10].

    Taken in float32 and rounded to micrometres, so that copies of one body in either precision agree.
    """
    digest = hashlib.sha256()
    for array in (np.asarray(v_template), np.asarray(shapedirs)[..., :10]):
        single = np.asarray(array, np.float32).astype(np.float64)
        digest.update(np.round(single * 1e6).astype(np.int64).tobytes())
    digest.update(np.asarray(faces).astype(np.int64).tobytes())
    return digest.hexdigest()[:16]

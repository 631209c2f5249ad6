"""Finds the body model and the files that belong to it on disk.

`find_assets(data_dir)` chooses one folder: `data_dir` if it holds body models in a known layout, else its `free/`
subfolder, which is part of the repository. Files of the two are never mixed.
"""
import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.errors import BadFile, MissingFile
from utils.logging import log_once
from utils.safe_io import load_json

MANIFEST = 'MANIFEST.json'
# The generator that the free folder's manifest must name. Increase it when the program makes other files or their
# meaning changes: folders of older versions are then rejected. 5: Human3.6M's joints have the left leg first.
FREE_GENERATOR = 'datasets.synthetic.make_assets 5'
# Advice if files of the free folder are missing or differ.
RESTORE = 'the repository has it: `git checkout -- data/free`'
GENDERS = ('neutral', 'male', 'female')
# Folders below the asset folder that are searched for body files, ignoring case: those of SPIN and PyMAF, of mmhuman3d,
# of smplx, and those in SMPL's and SMPLify's archives.
_BODY_FOLDERS = ('smpl', '', 'body_models/smpl', 'body_models', 'models/smpl', 'models', 'smpl/models',
                 'smpl_python_v.1.0.0/smpl/models', 'smpl_python_v.1.1.0/smpl/models', 'smplify_public/code/models')
# SMPL_NEUTRAL.pkl and its siblings; basicModel_neutral_lbs_10_207_0_v1.0.0.pkl and its siblings, as downloaded.
_BODY_NAME = re.compile(r'(smpl|basicmodel)_(neutral|male|female|[nmf])(_lbs_10_207_0)?(_v[\d.]+)?\.(npz|pkl)')
_ARCHIVE_NAME = re.compile(r'(smpl_python|mpips_smplify|smplify)\w*[\w.]*\.(zip|tar\.gz|tgz)')
# Folders in which unused files of SMPL may be, and how deep to search. Picture folders are not searched.
_LIKELY_NAME = re.compile(r'smpl|body|model|code')
_DEEPEST = 5
# Folders of small files: those of SPIN and PyMAF, and mmhuman3d's.
_SIDE_FOLDERS = ('.', 'body_models', 'body_models/smpl')


@dataclass(frozen=True)
class Assets:
    """One asset folder. root: the folder; is_free: the project made it."""
    root: Path
    is_free: bool

    def body_file(self, gender='neutral'):
        """Path of the body model of a gender ('neutral', 'male', 'female')."""
        if gender not in GENDERS:
            raise BadFile(f'unknown gender {gender!r}: use one of {", ".join(GENDERS)}')
        file = _body_files(self.root).get(gender)
        if file is None:
            raise MissingFile(f'{self.root}/smpl/SMPL_{gender.upper()}.pkl: no such body model, under this name or '
                              f'{_download_name(gender)}; get it from https://smpl.is.tue.mpg.de, or use the free one '
                              '(PATHS.DATA_DIR data/free)')
        return file

    def file(self, name):
        """Path of a named asset, such as 'J_regressor_extra.npy' or 'UV_data/UV_Processed.mat'."""
        for folder in _SIDE_FOLDERS:
            if (self.root / folder / name).exists():
                return self.root / folder / name
        hint = RESTORE if self.is_free else 'run `./fetch_data.sh`, which fetches it or says where it is'
        raise MissingFile(f'{self.root / name}: no such file; {hint}')

    def has(self, name):
        return any((self.root / folder / name).exists() for folder in _SIDE_FOLDERS)


def _body_files(root):
    """{gender: path} of the body files in the known places. The first folder wins; within it SMPL_* before the
    downloads' names, .npz before .pkl, and version 1.0.0, with which published weights were trained, before 1.1.0."""
    found = {}
    for parts in _BODY_FOLDERS:
        names = [path for folder in _folders(root, parts.split('/') if parts else []) for path in _listing(folder)]
        for path in sorted(names, key=lambda path: (not path.name.lower().startswith('smpl'), path.name.lower())):
            if (match := _BODY_NAME.fullmatch(path.name.lower())) and path.is_file():
                found.setdefault(next(name for name in GENDERS if name.startswith(match[2])), path)
    return found


def _folders(root, parts):
    """Folders below `root` with path `parts`, ignoring case; an exact match comes first."""
    if not parts:
        return [root]
    below = [path for path in _listing(root) if path.name.lower() == parts[0] and path.is_dir()]
    return [folder for path in sorted(below, key=lambda path: path.name != parts[0])
            for folder in _folders(path, parts[1:])]


def _listing(folder):
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _download_name(gender):
    return f'basicModel_{gender if gender == "neutral" else gender[0]}_lbs_10_207_0_v1.0.0.pkl'


def find_assets(data_dir):
    """Choose the asset folder: `data_dir` if it holds a neutral body model, else `data_dir/free`.

    If the free folder is chosen although `data_dir` contains files of SMPL, the log says why they are not used. Raises
    MissingFile if neither exists, and BadFile if the free folder is unfinished (its manifest, written last, is absent)
    or was made by another version of this program.
    """
    root = Path(data_dir)
    if 'neutral' in _body_files(root):
        is_free = is_complete_free_folder(root)
        if is_free:
            check_free_version(root)
        return Assets(root, is_free)
    free, unused = root / 'free', _unused(root)
    if is_complete_free_folder(free):
        check_free_version(free)
        if unused:
            log_once(f'{unused}; {free} is used instead', logging.WARNING)
        return Assets(free, is_free=True)
    if free.exists():
        raise BadFile(f'{free}: incomplete asset folder (no {MANIFEST}); {RESTORE}')
    raise MissingFile(f'{unused or f"{root}: no body model here (smpl/SMPL_NEUTRAL.pkl)"}, and no free one (free/); '
                      'set PATHS.DATA_DIR to the repository\'s data folder, or copy its data/free')


def _unused(root):
    """Why SMPL's files in `root` cannot be used without a neutral body; '' if there are none."""
    bodies = _body_files(root)
    if bodies:
        return (f'{", ".join(str(path) for path in bodies.values())}: SMPL without its neutral body, which every '
                f'network needs ({root}/smpl/SMPL_NEUTRAL.pkl, or {_download_name("neutral")})')
    for path in _files_below(root, _DEEPEST):
        if _BODY_NAME.fullmatch(path.name.lower()):
            return f'{path}: SMPL where it is not looked for; move it to {root}/smpl/'
        if _ARCHIVE_NAME.fullmatch(path.name.lower()):
            return f'{path}: an archive of SMPL; unpack it, and put its .pkl files into {root}/smpl/'
    return ''


def _files_below(root, depth):
    """Files in `root` and in likely folders below it, down to `depth` levels."""
    for path in _listing(root):
        if path.is_file():
            yield path
        elif depth and _LIKELY_NAME.search(path.name.lower()):
            yield from _files_below(path, depth - 1)


def is_complete_free_folder(folder):
    """Whether `folder` is a finished asset folder made by this project."""
    return (Path(folder) / MANIFEST).exists() and load_json(Path(folder) / MANIFEST).get('complete') is True


def check_free_version(folder):
    """Raise BadFile if another version of this program made the finished free folder: its files may differ in
    meaning."""
    generator = load_json(Path(folder) / MANIFEST).get('generator', FREE_GENERATOR)
    if generator != FREE_GENERATOR:
        raise BadFile(f'{folder}: made by another version of this program ({generator}, expected {FREE_GENERATOR}); '
                      f'move it away; {RESTORE}')


def check_free_folder(folder):
    """Raise MissingFile unless `folder` is a finished free asset folder, BadFile if another version made it."""
    if not is_complete_free_folder(folder):
        raise MissingFile(f'{folder}: no complete free asset folder here ({MANIFEST}); {RESTORE}')
    check_free_version(folder)


def body_digest(v_template, faces, shapedirs):
    """16 hex digits that identify a body by its template [V,3], faces [F,3] and shape space [V,3,>=10].

    The values are converted to float32 and rounded to micrometres, so copies in float32 and float64 agree.
    """
    digest = hashlib.sha256()
    for array in (np.asarray(v_template), np.asarray(shapedirs)[..., :10]):
        single = np.asarray(array, np.float32).astype(np.float64)
        digest.update(np.round(single * 1e6).astype(np.int64).tobytes())
    digest.update(np.asarray(faces).astype(np.int64).tobytes())
    return digest.hexdigest()[:16]

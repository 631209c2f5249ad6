"""Names of datasets and where their annotations and images lie."""
from dataclasses import dataclass
from pathlib import Path

from datasets.annotations import Annotations
from utils.assets import MANIFEST, find_assets
from utils.body_file import read_body_file
from utils.errors import BadConfig, MissingFile, WrongBody
from utils.logging import log_once
from utils.safe_io import load_json

# Where annotation files lie below the asset folder: SPIN's and PyMAF's folder, and mmhuman3d's.
_MMHUMAN3D_FOLDER = 'preprocessed_datasets'
ANNOTATION_FOLDERS = ('dataset_extras', _MMHUMAN3D_FOLDER)
STREAM = 'free-stream'


@dataclass(frozen=True)
class Entry:
    """One dataset: annotation files for training and evaluation (the first that exists counts), the name of its image
    folder, the command that makes the annotations, the stem of its file in static_fits/ ('' where labels need no
    fits), and mmhuman3d's name of the image folder where it is another."""
    train: tuple = ()
    eval: tuple = ()
    images: str = ''
    maker: str = ''
    fits: str = ''
    mmhuman3d_images: str = ''


def _preprocess(name):
    return f'python -m datasets.preprocess.{name}'


_H36M_EVAL = 'h36m_valid_protocol'
# Names that start with spin_ or eft_, and those without hr- and _dataset_, are mmhuman3d's.
CATALOG = {
    'h36m': Entry(('h36m_mosh_train.npz', 'h36m_train.npz', 'spin_h36m_train.npz'), (), 'h36m', _preprocess('h36m'),
                  'h36m'),
    'h36m-mosh': Entry(('h36m_mosh_train.npz',), (), 'h36m', _preprocess('h36m'), ''),
    'h36m-spin': Entry(('h36m_train.npz', 'spin_h36m_train.npz'), (), 'h36m', _preprocess('h36m'), 'h36m'),
    'h36m-p1': Entry((), (f'{_H36M_EVAL}1_newpath.npz', f'{_H36M_EVAL}1.npz'), 'h36m', _preprocess('h36m')),
    'h36m-p2': Entry((), (f'{_H36M_EVAL}2_newpath.npz', f'{_H36M_EVAL}2.npz'), 'h36m', _preprocess('h36m')),
    'h36m-p2-mosh': Entry((), ('h36m_mosh_valid_p2.npz',), 'h36m', _preprocess('h36m')),
    'lsp': Entry((), ('lsp_dataset_test.npz',), 'lsp', _preprocess('lsp')),
    'lsp-orig': Entry(('lsp_dataset_original_train.npz', 'spin_lsp_train.npz', 'lsp_train.npz'), (), 'lsp-orig',
                      _preprocess('lsp_original'), 'lsp-orig', 'lsp'),
    'lspet': Entry(('hr-lspet_train.npz', 'spin_lspet_train.npz', 'lspet_train.npz'), (), 'lspet',
                   _preprocess('lspet'), 'lspet'),
    'lspet-eft': Entry(('hr-lspet_train_eft.npz', 'eft_lspet.npz'), (), 'lspet', _preprocess('eft')),
    'mpii': Entry(('mpii_train.npz', 'spin_mpii_train.npz'), (), 'mpii', _preprocess('mpii'), 'mpii'),
    'mpii-eft': Entry(('mpii_train_eft.npz', 'eft_mpii.npz'), (), 'mpii', _preprocess('eft')),
    'coco': Entry(('coco_2014_train.npz', 'spin_coco_2014_train.npz'), ('coco_2014_val.npz',), 'coco',
                  _preprocess('coco'), 'coco'),
    'coco-eft': Entry(('coco_2014_train_eft.npz',), (), 'coco', _preprocess('eft')),
    'coco-full': Entry(('coco-full_train_eft.npz', 'eft_coco_all.npz'), (), 'coco', _preprocess('eft')),
    'dp_coco': Entry(('dp_coco_2014_train.npz',), ('dp_coco_2014_minival.npz',), 'coco', _preprocess('dp_coco'),
                     'dp_coco'),
    'mpi-inf-3dhp': Entry(('mpi_inf_3dhp_train.npz', 'spin_mpi_inf_3dhp_train.npz'),
                          ('mpi_inf_3dhp_test.npz', 'mpi_inf_3dhp_valid.npz'), 'mpi-inf-3dhp',
                          _preprocess('mpi_inf_3dhp'), 'mpi-inf-3dhp', 'mpi_inf_3dhp'),
    '3dpw': Entry(('3dpw_train.npz', 'pw3d_train.npz'), ('3dpw_test.npz', 'spin_pw3d_test.npz', 'pw3d_test.npz'),
                  '3dpw', _preprocess('pw3d'), '', 'pw3d'),
    '3doh50k': Entry(('threeDOH50K_trainset.npz',), ('threeDOH50K_testset.npz',), '3doh50k', _preprocess('oh50k')),
    'surreal': Entry(('surreal_train.npz',), ('surreal_val.npz',), 'surreal'),
    'upi-s1h': Entry(('upi-s1h_train.npz',), ('upi-s1h_test.npz',), 'upi-s1h', _preprocess('up3d')),
    'free-multiview': Entry(('free_multiview_train.npz',), ('free_multiview_val.npz',), 'free-multiview',
                            'python -m datasets.synthetic.generate --what multiview'),
    'free-studio-multiview': Entry(('free-studio-multiview_train.npz',), ('free-studio-multiview_val.npz',),
                                   'free-studio-multiview',
                                   'python -m datasets.synthetic.generate --what studio-multiview'),
}


def entry_of(name):
    """The catalog's Entry of a dataset, or what the naming rule gives for a user's own."""
    if name in CATALOG:
        return CATALOG[name]
    maker = 'python -m datasets.synthetic.generate' if is_free(name) else 'see docs/data.md, "Your own data"'
    return Entry((f'{name}_train.npz',), (f'{name}_val.npz', f'{name}_test.npz'), name, maker, name)


def is_free(name):
    """Whether a dataset is one that the project renders itself."""
    return name == 'free' or name.startswith('free-')


@dataclass(frozen=True)
class Source:
    """A dataset found on disk: its name, annotation file and image folder."""
    name: str
    annotations: Path
    images: Path


def find_dataset(cfg, name, split='train'):
    """Locate a dataset: a catalog name, a user's `<name>` with `<name>_train.npz` in place, or the path of an `.npz`.

    split: 'train' or 'eval'. Raises MissingFile with what was looked for and the command that makes it.
    """
    assets = find_assets(cfg.PATHS.DATA_DIR)
    if name.endswith('.npz'):
        file = Path(name)
        stem = file.stem
        if not file.exists():
            raise MissingFile(f'{file}: no such annotation file')
        return Source(stem, file, _image_folder(cfg, assets, stem, stem))
    entry = entry_of(name)
    candidates = entry.train if split == 'train' else entry.eval
    if not candidates:
        other = 'evaluation' if split == 'train' else 'training'
        raise BadConfig(f'dataset {name!r} is for {other} only')
    for folder in ANNOTATION_FOLDERS:
        for candidate in candidates:
            file = assets.root / folder / candidate
            if file.exists():
                if len(candidates) > 1:  # which differ in labels
                    log_once(f'{name}: annotations of {file}')
                theirs = entry.mmhuman3d_images if folder == _MMHUMAN3D_FOLDER else ''
                return Source(name, file, _image_folder(cfg, assets, name, entry.images, theirs))
    wanted = assets.root / ANNOTATION_FOLDERS[0] / ' or '.join(candidates)
    raise MissingFile(f'{wanted}: no such annotation file for dataset {name!r}; '
                      f'{"make it: " + entry.maker if entry.maker else "it has to be fetched (see docs/data.md)"}')


def image_folder(cfg, name):
    """The image folder of a dataset whose annotations need not be there. Raises MissingFile, BadConfig."""
    return _image_folder(cfg, find_assets(cfg.PATHS.DATA_DIR), name, entry_of(name).images)


def _image_folder(cfg, assets, name, default, theirs=''):
    """The folder that PATHS.IMAGE_DIRS names, else the `default` one, else mmhuman3d's, `theirs`."""
    folders = dict(item.split('=', 1) for item in cfg.PATHS.IMAGE_DIRS if '=' in item)
    if len(folders) < len(cfg.PATHS.IMAGE_DIRS):
        raise BadConfig(f"PATHS.IMAGE_DIRS takes one 'dataset=folder' a dataset, got {list(cfg.PATHS.IMAGE_DIRS)}")
    chosen = folders.get(name, folders.get(default))
    folder = Path(chosen) if chosen else assets.root / ('images' if is_free(name) else f'datasets/{default}')
    if not chosen and theirs and not folder.is_dir() and (assets.root / 'datasets' / theirs).is_dir():
        folder = assets.root / 'datasets' / theirs
    if not folder.is_dir():
        raise MissingFile(f"{folder}: no such image folder for dataset {name!r}; set PATHS.IMAGE_DIRS to "
                          f"['{name}=FOLDER']")
    return folder


def load_annotations(cfg, source, labels_count=True):
    """Read a Source's annotations. Raises WrongBody where its SMPL labels count and belong to another body than the
    assets."""
    annotations = Annotations.load(source.annotations)
    if labels_count:
        check_body_digest(cfg, bool(annotations.has_smpl.any()), annotations.body_digest, source.annotations)
    return annotations


def check_body_digest(cfg, has_smpl, digest, path):
    """Raise WrongBody where a file's SMPL labels are not those of the body in use. No digest: they are SMPL's own."""
    if not has_smpl:
        return
    assets = find_assets(cfg.PATHS.DATA_DIR)
    if digest is None:
        if assets.is_free:
            raise WrongBody(f"{path}: its SMPL labels belong to the licensed SMPL body, but the body in use is the "
                            f"free one of {assets.root}; set DATA.IGNORE_3D, or PATHS.DATA_DIR to SMPL's folder")
        return
    in_use = _digest_of(assets)
    if digest != in_use:
        raise WrongBody(f'{path}: its SMPL labels belong to body {digest}, but the body in use, of {assets.root}, is '
                        f'{in_use}')


def _digest_of(assets):
    if (assets.root / MANIFEST).exists() and 'body_digest' in (manifest := load_json(assets.root / MANIFEST)):
        return manifest['body_digest']
    return read_body_file(assets.body_file())['body_digest']

"""Names of datasets, and the paths of their annotations and images."""
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from datasets.annotations import Annotations
from datasets.mpi_inf_3dhp import SUBJECTS, read_shot
from utils.assets import MANIFEST, find_assets
from utils.body_file import read_body_file
from utils.errors import BadConfig, BadFile, MissingFile, WrongBody
from utils.logging import log_once
from utils.safe_io import load_json, load_npz

# Folders of annotation files in the asset folder: that of SPIN and PyMAF, and that of mmhuman3d.
_MMHUMAN3D_FOLDER = 'preprocessed_datasets'
ANNOTATION_FOLDERS = ('dataset_extras', _MMHUMAN3D_FOLDER)
STREAM = 'free-stream'
# Key of an annotation file with the folder of its pictures, relative to the folder of the file.
IMAGE_FOLDER = 'image_folder'


@dataclass(frozen=True)
class Entry:
    """One dataset.

    train, eval: annotation files; the first that exists is used. val: files for validation during training. A file in
    `eval` and not in `val` is a test set. images: name of the image folder. mmhuman3d_images: its name in mmhuman3d, if
    different. maker: command that makes the annotations. fits: stem of its file in static_fits/; '' if it needs none.
    subjects: {'train': numbers, 'eval': numbers} of MPI-INF-3DHP's people, if a split is a part of the rows of a file.
    view_seed: seed of the random groups of views in the published evaluation. poses_of_crops: the poses were fitted to
    crops and are relative to the crop's ray (EFT).
    """
    train: tuple = ()
    eval: tuple = ()
    images: str = ''
    maker: str = ''
    fits: str = ''
    mmhuman3d_images: str = ''
    val: tuple = ()
    subjects: dict = field(default_factory=dict)
    view_seed: int | None = None
    poses_of_crops: bool = False


def _preprocess(name):
    return f'python -m datasets.preprocess.{name}'


_H36M_EVAL = 'h36m_valid_protocol'
_3DHP_TRAIN = ('spin_mpi_inf_3dhp_train.npz', 'mpi_inf_3dhp_train.npz')
# Names that start with spin_ or eft_, and those without hr- and _dataset_, are mmhuman3d's. Its conversion of SPIN's
# file comes before its own conversion, because the static fits belong to the rows of SPIN's file.
_GENERATE = 'python -m datasets.synthetic.generate'
# Commands that render the free datasets: (for training and validation, for validation alone).
_FREE_MAKERS = {
    'free': (f'{_GENERATE} --preset quick', f'{_GENERATE} --what images --train 0'),
    'free-studio': (f'{_GENERATE} --preset studio', f'{_GENERATE} --what studio --train 0'),
    'free-multiview': (f'{_GENERATE} --what multiview',) * 2,
    'free-studio-multiview': (f'{_GENERATE} --what studio-multiview',) * 2}
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
    'lspet-eft': Entry(('hr-lspet_train_eft.npz', 'eft_lspet.npz'), (), 'lspet', _preprocess('eft'),
                       poses_of_crops=True),
    'mpii': Entry(('spin_mpii_train.npz', 'mpii_train.npz'), (), 'mpii', _preprocess('mpii'), 'mpii'),
    'mpii-eft': Entry(('mpii_train_eft.npz', 'eft_mpii.npz'), (), 'mpii', _preprocess('eft'), poses_of_crops=True),
    'coco': Entry(('spin_coco_2014_train.npz', 'coco_2014_train.npz'), ('coco_2014_val.npz',), 'coco',
                  _preprocess('coco'), 'coco'),
    'coco-eft': Entry(('coco_2014_train_eft.npz',), (), 'coco', _preprocess('eft'), poses_of_crops=True),
    # CLIFF's pseudo ground truth (Huawei's files), and mmhuman3d's conversions of it.
    'coco-cliff': Entry(('coco2014part_cliffGT.npz', 'cliff_coco_train.npz'), (), 'coco'),
    'mpii-cliff': Entry(('mpii_cliffGT.npz', 'cliff_mpii_train.npz'), (), 'mpii'),
    'muco': Entry(('muco3dhp_train.npz',), (), 'muco'),
    'coco-full': Entry(('coco-full_train_eft.npz', 'eft_coco_all.npz'), (), 'coco', _preprocess('eft'),
                       poses_of_crops=True),
    'dp_coco': Entry(('dp_coco_2014_train.npz',), ('dp_coco_2014_minival.npz',), 'coco', _preprocess('dp_coco'),
                     'dp_coco'),
    'mpi-inf-3dhp': Entry(_3DHP_TRAIN, ('mpi_inf_3dhp_test.npz', 'mpi_inf_3dhp_valid.npz'), 'mpi-inf-3dhp',
                          _preprocess('mpi_inf_3dhp'), 'mpi-inf-3dhp', 'mpi_inf_3dhp'),
    # Multi-SPIN's protocol trains on subjects 1 to 7 and evaluates pairs of views of subject 8, drawn with seed 10.
    'mpi-inf-3dhp-s8': Entry(('mpi_inf_3dhp_train_s1-7.npz', *_3DHP_TRAIN), ('mpi_inf_3dhp_test_s8.npz', *_3DHP_TRAIN),
                             'mpi-inf-3dhp', _preprocess('mpi_inf_3dhp'), 'mpi-inf-3dhp-s8', 'mpi_inf_3dhp',
                             subjects={'train': SUBJECTS[:7], 'eval': SUBJECTS[7:]}, view_seed=10),
    '3dpw': Entry(('3dpw_train.npz', 'pw3d_train.npz'), ('3dpw_test.npz', 'spin_pw3d_test.npz', 'pw3d_test.npz'),
                  '3dpw', _preprocess('pw3d'), '', 'pw3d', ('3dpw_validation.npz', 'pw3d_validation.npz')),
    'rich': Entry((), ('rich_test.npz',), 'rich'),
    'bedlam': Entry(('bedlam_train.npz',), (), 'bedlam', _preprocess('bedlam')),
    'emdb1': Entry((), ('emdb1_test.npz',), 'emdb', _preprocess('emdb')),
    'emdb2': Entry((), ('emdb2_test.npz',), 'emdb', _preprocess('emdb')),
    '3doh50k': Entry(('threeDOH50K_trainset.npz',), ('threeDOH50K_testset.npz',), '3doh50k', _preprocess('oh50k')),
    'surreal': Entry(('surreal_train.npz',), ('surreal_val.npz',), 'surreal', val=('surreal_val.npz',)),
    'upi-s1h': Entry(('upi-s1h_train.npz',), ('upi-s1h_test.npz',), 'upi-s1h', _preprocess('up3d')),
    'free-multiview': Entry(('free_multiview_train.npz',), ('free_multiview_val.npz',), 'free-multiview',
                            val=('free_multiview_val.npz',)),
    'free-studio-multiview': Entry(('free-studio-multiview_train.npz',), ('free-studio-multiview_val.npz',),
                                   'free-studio-multiview',
                                   val=('free-studio-multiview_val.npz',)),
}


def entry_of(name):
    """The Entry of a dataset in the catalog. For other names, file names follow from the name of the dataset."""
    if name in CATALOG:
        return CATALOG[name]
    return Entry((f'{name}_train.npz',), (f'{name}_val.npz', f'{name}_test.npz'), name,
                 'see docs/data.md, "Your own data"', name,
                 val=(f'{name}_val.npz',))


def split_names(group):
    """Split 'a+b+c' into names. A '+' is part of a name if the whole is a file on disk or an address of shards."""
    words, names = group.split('+'), []
    while words:
        size = next((size for size in range(len(words), 1, -1) if _is_one_name('+'.join(words[:size]))), 1)
        names.append('+'.join(words[:size]).strip())
        words = words[size:]
    return names


def _is_one_name(text):
    text = text.strip()
    if text.startswith(('http://', 'https://')):
        return text.endswith('.json') and '.json+' not in text
    return text.endswith(('.npz', '.json')) and Path(text).exists()


def is_free(name):
    """Whether the project renders this dataset."""
    return name == 'free' or name.startswith('free-')


def maker_of(name, split='train'):
    """What makes a dataset's annotations: a command, or where the docs say it. '' for what is only downloaded."""
    if name in _FREE_MAKERS:
        return _FREE_MAKERS[name][split != 'train']
    return entry_of(name).maker


@dataclass(frozen=True)
class Source:
    """A dataset on disk: its name, annotation file and image folder. subjects: people of MPI-INF-3DHP whose rows are
    used; all if empty. view_seed, poses_of_crops: as in Entry."""
    name: str
    annotations: Path
    images: Path
    subjects: tuple = ()
    view_seed: int | None = None
    poses_of_crops: bool = False


def find_dataset(cfg, name, split='train'):
    """Find a dataset by its name in the catalog, a user's `<name>` of a file `<name>_train.npz`, or an `.npz` path.

    split: 'train', 'val' or 'eval'. Raises MissingFile, which names the missing file and the command that makes it.
    """
    assets = find_assets(cfg.PATHS.DATA_DIR)
    if name.endswith('.npz'):
        file = Path(name)
        stem = file.stem
        if not file.exists():
            raise MissingFile(f'{file}: no such annotation file; check the name')
        return Source(stem, file, _image_folder(cfg, assets, stem, stem, own=_folder_of(file)))
    if name == STREAM:
        raise BadConfig(f'dataset {name!r} is rendered while training; use free for validation and evaluation')
    entry = entry_of(name)
    candidates = {'train': entry.train, 'val': entry.val, 'eval': entry.eval}[split]
    if not candidates:
        other = 'evaluation' if split == 'train' else 'training'
        raise BadConfig(f'dataset {name!r} is for {other} only; use another one')
    for folder in ANNOTATION_FOLDERS:
        for candidate in candidates:
            file = assets.root / folder / candidate
            if file.exists():
                if len(candidates) > 1:  # their labels differ
                    log_once(f'{name}: annotations of {file}')
                theirs = entry.mmhuman3d_images if folder == _MMHUMAN3D_FOLDER else ''
                images = _image_folder(cfg, assets, name, entry.images, theirs)
                return Source(name, file, images, entry.subjects.get(split, ()), entry.view_seed,
                              entry.poses_of_crops)
    if is_free(name) and name not in _FREE_MAKERS:
        raise BadConfig(f'dataset {name!r}: the project renders no such people; use one of '
                        f'{", ".join((*_FREE_MAKERS, STREAM))}, and another name for your own data')
    wanted, maker = assets.root / ANNOTATION_FOLDERS[0] / ' or '.join(candidates), maker_of(name, split)
    raise MissingFile(f'{wanted}: no such annotation file for dataset {name!r}; '
                      f'{"make it: " + maker if maker else "download it (see docs/data.md)"}'
                      + ('' if name in CATALOG or is_free(name) else '; your own code needs --plugin FILE'))


def has_validation_split(cfg, name):
    """Whether a dataset has a file on disk that may select the best weights in training. The path of a file counts
    unless its stem ends in _test."""
    if name.endswith('.npz'):
        return Path(name).exists() and not Path(name).stem.endswith('_test')
    root = find_assets(cfg.PATHS.DATA_DIR).root
    return any((root / folder / file).exists() for folder in ANNOTATION_FOLDERS for file in entry_of(name).val)


def image_folder(cfg, name):
    """The image folder of a dataset. Its annotations may be absent. Raises MissingFile, BadConfig."""
    return _image_folder(cfg, find_assets(cfg.PATHS.DATA_DIR), name, entry_of(name).images)


def _folder_of(file):
    """The folder of pictures that an annotation file names, or None. Raises BadFile."""
    named = load_npz(file, (IMAGE_FOLDER,)).get(IMAGE_FOLDER)
    return None if named is None else file.parent / str(named)


def _image_folder(cfg, assets, name, default, theirs='', own=None):
    """The image folder: that of PATHS.IMAGE_DIRS, else `own` (of the annotation file), else `default`, else `theirs`
    (of mmhuman3d)."""
    folders = dict(item.split('=', 1) for item in cfg.PATHS.IMAGE_DIRS if '=' in item)
    if len(folders) < len(cfg.PATHS.IMAGE_DIRS):
        raise BadConfig(f"PATHS.IMAGE_DIRS is {list(cfg.PATHS.IMAGE_DIRS)}; use 'DATASET=FOLDER' for each dataset")
    chosen = folders.get(name, folders.get(default))
    chosen = chosen or own
    folder = Path(chosen) if chosen else assets.root / ('images' if is_free(name) else f'datasets/{default}')
    if not chosen and theirs and not folder.is_dir() and (assets.root / 'datasets' / theirs).is_dir():
        folder = assets.root / 'datasets' / theirs
    if not folder.is_dir():
        raise MissingFile(f"{folder}: no such image folder for dataset {name!r}; set PATHS.IMAGE_DIRS to "
                          f"['{name}=FOLDER']")
    return folder


def load_annotations(cfg, source, labels_count=True, measured=False):
    """Read the annotations of a Source, or those of its subjects.

    With the free body, SMPL's pose and shape are left out, and a log line says so. Joints apply to both bodies.
    labels_count: whether 3D labels are used. measured: whether estimates are compared with them. Raises BadFile if no
    rows belong to the subjects. Raises WrongBody if no labels remain, or if the file names another body.
    """
    annotations, path = Annotations.load(source.annotations), source.annotations
    if source.subjects:
        annotations = _of_subjects(annotations, source)
    counts = labels_count and annotations.has_smpl.any()
    if not counts or smpl_labels_usable(cfg, annotations.body_digest, path):
        return annotations
    rows, solid = annotations.has_smpl, annotations.has_joints_3d
    if not (solid.any() or (not measured and annotations.keypoints_2d[..., 2].any())):
        raise WrongBody(f"{path}: its {'3D labels' if measured else 'labels'} are only pose and shape of the licensed "
                        f'SMPL body, but the body in use is the free one of {find_assets(cfg.PATHS.DATA_DIR).root}; '
                        "set PATHS.DATA_DIR to a folder with SMPL's body (smpl/SMPL_NEUTRAL.pkl)")
    log_once(f'{path}: pose and shape of {rows.sum()} rows belong to the licensed SMPL body and are left out, because '
             f'the free body is in use; {(rows & solid).sum()} of these rows have 3D joints, which are used')
    n = len(annotations)
    return replace(annotations, pose=np.zeros((n, 72), np.float32), betas=np.zeros((n, 10), np.float32),
                   has_smpl=np.zeros(n, bool))


def _of_subjects(annotations, source):
    shots = [read_shot(name) for name in annotations.imgname]
    rows = [row for row, shot in enumerate(shots) if shot is not None and shot.subject in source.subjects]
    if not rows:
        raise BadFile(f'{source.annotations}: no rows of subjects {", ".join(map(str, source.subjects))}, which '
                      f'dataset {source.name!r} needs; use a file that has them')
    return annotations.subset(rows)


def smpl_labels_usable(cfg, digest, path):
    """Whether pose and shape of a file belong to the body in use. Without a digest they belong to SMPL's body.

    Raises WrongBody if the file names another body.
    """
    assets = find_assets(cfg.PATHS.DATA_DIR)
    if digest is None:
        return not assets.is_free
    in_use = _digest_of(assets)
    if digest != in_use:
        raise WrongBody(f'{path}: its SMPL labels belong to body {digest}, but the body in use, of {assets.root}, is '
                        f"{in_use}; make the file again, or set PATHS.DATA_DIR to the folder of its body")
    return True


def _digest_of(assets):
    if (assets.root / MANIFEST).exists() and 'body_digest' in (manifest := load_json(assets.root / MANIFEST)):
        return manifest['body_digest']
    return read_body_file(assets.body_file())['body_digest']

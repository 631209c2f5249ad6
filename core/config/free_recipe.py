"""What the programs use where the published data is missing: free training recipes, and free people to evaluate on.

A config file or data that the user names is never replaced; if it is missing, that is an error.
"""
from pathlib import Path

import yaml

from core.config.files import CONFIG_FOLDER, load_config
from core.config.keys import default_config
from datasets.catalog import STREAM, find_dataset, has_validation_split, maker_of
from datasets.coco_keypoints import default_annotations
from datasets.mixed import parse_mixture
from datasets.registered import DATASETS
from datasets.shard_dataset import is_shards
from models import regressor_class
from utils.assets import find_assets
from utils.errors import MissingFile
from utils.logging import log_once

# Keys that name data on the command line.
_NAMES_TRAINING = {'DATA.MIXTURE', 'DATA.SINGLE_NAME'}
_NAMES_COCO = {'TEST.COCO_ANNOTATIONS', 'TEST.COCO_IMAGES', 'TEST.COCO_SUBSET', 'TEST.COCO_DETECTIONS'}
_STREAM_EPOCH = 14_000  # pictures, as many as `make train` renders
_COCO_PEOPLE = 'python -m datasets.synthetic.generate --what images,coco --train 0'


def with_free_recipe(cfg, path, overrides):
    """The free recipe in place of the published one, where the free body is in use and none of the recipe's data is
    here; otherwise `cfg` itself.

    The free recipe is the regressor's file in configs/free/. It trains on the rendered pictures that the file names,
    or, where there are none, on pictures that are rendered during training. A regressor without such a file, which is
    one outside of the project, keeps its own config and trains on the same pictures, unless the config names data of
    its own. The log says what is used.
    cfg: config of the published recipe `path` (or None). overrides: [KEY, VALUE, ...] of the command line, which hold
    in both recipes.
    """
    names = _training_sets(cfg)
    if _NAMES_TRAINING & set(overrides[::2]) or any(_has(cfg, name) for name in names) or not _uses_free_body(cfg):
        return cfg
    file = free_yaml(cfg.MODEL.REGRESSOR)
    if file is None:
        if names != _training_sets(default_config()):
            return cfg
        file, wanted = path, [*_own_data(cfg), *overrides, 'DATA.SINGLE_DATASET', False]
    else:  # A run without a name takes the regressor's and never overwrites another run.
        wanted = ['NAME', '', 'TRAIN.OVERWRITE', False, 'MODEL.REGRESSOR', cfg.MODEL.REGRESSOR, *overrides,
                  'DATA.SINGLE_DATASET', False]
    free = load_config(file, wanted)
    if not any(_has(free, name) for name in _training_sets(free)) and not free.DATA.N_VIEWS:
        wanted = ['DATA.EPOCH_LENGTH', _STREAM_EPOCH, *wanted, 'DATA.MIXTURE', [f'{STREAM}:1']]
    evaluated = free.DATA.EVAL_DATASET
    if not ('DATA.EVAL_DATASET' in overrides[::2] or evaluated in DATASETS or has_validation_split(free, evaluated)):
        wanted += ['DATA.EVAL_DATASET', '']
    free = load_config(file, wanted)
    shown = cfg.MODEL.REGRESSOR if file == path else short_path(file)
    log_once(f'none of {", ".join(names)} is here: training {shown} on {", ".join(_training_sets(free))}'
             + (f'; --cfg_file {short_path(path)} keeps the published recipe' if path not in (None, file) else ''))
    return free


def _own_data(cfg):
    """[KEY, VALUE, ...] of the free data for a regressor without a free recipe."""
    kind = 'free-studio-multiview' if cfg.DATA.N_VIEWS else 'free'
    evaluated = [] if cfg.DATA.EVAL_DATASET != default_config().DATA.EVAL_DATASET else ['DATA.EVAL_DATASET', kind]
    return ['DATA.MIXTURE', [f'{kind}:1'], *evaluated]


def free_yaml(regressor):
    """Path of the file in configs/free/ that trains a regressor under any of its names, or None."""
    wanted = regressor_class(regressor)
    for path in sorted((CONFIG_FOLDER / 'free').glob('*_quick.yaml')):
        tree = yaml.safe_load(path.read_text(encoding='utf-8'))
        if regressor_class(tree['MODEL']['REGRESSOR']) is wanted:
            return path
    return None


def own_pictures_yaml(data_dir):
    """Path of the file that fine-tunes the repository's weights on a user's pictures; None on another body, or where
    its weights are absent."""
    path = CONFIG_FOLDER / 'free' / 'own_pictures.yaml'
    weights = Path(load_config(path).TRAIN.PRETRAINED_CHECKPOINT)
    return path if weights.is_file() and on_free_body(data_dir) else None


def free_people(cfg, overrides):
    """[KEY, VALUE] that evaluates on free people, or [].

    Free people are used where the command line names no dataset, the config's is not here and the free body is in
    use. Raises MissingFile where they are needed and not rendered.
    """
    name = cfg.DATA.EVAL_DATASET
    if 'DATA.EVAL_DATASET' in overrides[::2] or not _uses_free_body(cfg) or name and _has(cfg, name, 'eval'):
        return []
    kinds = ('free-multiview', 'free-studio-multiview') if cfg.TEST.N_VIEWS else ('free', 'free-studio')
    found = next((kind for kind in kinds if _has(cfg, kind, 'eval')), None)
    missing = f'{name} is not here' if name else 'no dataset is named (--dataset)'
    if found is None:
        raise MissingFile(f'{missing}, and no free people are rendered; run `{maker_of(kinds[0], "eval")}`')
    log_once(f'{missing}: evaluating on {found}')
    return ['DATA.EVAL_DATASET', found]


def free_coco(cfg, overrides):
    """[KEY, VALUE, ...] that evaluates on free people in COCO's format, or [].

    They are used where the command line names no file of COCO, COCO is not here and the free body is in use. Raises
    MissingFile where neither COCO nor free people are here.
    """
    if _NAMES_COCO & set(overrides[::2]) or not _uses_free_body(cfg):
        return []
    try:
        default_annotations(cfg)
        return []
    except MissingFile as error:
        root = find_assets(cfg.PATHS.DATA_DIR).root
        file = root / 'annotations' / 'free_val_keypoints.json'
        if not file.exists():
            raise MissingFile(f'{error}; or make free people in its form: `{_COCO_PEOPLE}`') from None
        log_once(f'COCO is not here: evaluating on {file}')
        return ['TEST.COCO_ANNOTATIONS', str(file), 'TEST.COCO_IMAGES', str(root / 'images')]


def _training_sets(cfg):
    if cfg.DATA.SINGLE_DATASET:
        return [cfg.DATA.SINGLE_NAME]
    return [name for names, _ in parse_mixture(cfg.DATA.MIXTURE) for name in names]


def _has(cfg, name, split='train'):
    """Whether a dataset is here or needs no files."""
    if name in DATASETS or name == STREAM or is_shards(name):
        return True
    try:
        find_dataset(cfg, name, split)
    except MissingFile:
        return False
    return True


def _uses_free_body(cfg):
    return on_free_body(cfg.PATHS.DATA_DIR)


def on_free_body(data_dir):
    """Whether an asset folder holds the free body and no licensed one."""
    try:
        return find_assets(data_dir).is_free
    except MissingFile:  # the program reports it where it reads the assets
        return False


def short_path(path):
    """A config's path as users write it."""
    path = Path(path).resolve()
    return path.relative_to(CONFIG_FOLDER.parent) if CONFIG_FOLDER in path.parents else path

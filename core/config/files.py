"""Configs from YAML: a file, the files it builds on, and the text stored in a checkpoint."""
from pathlib import Path

import yaml

from core.config.keys import YAML_FAULTS, check_values, default_config, get_key, set_key
from models import REGRESSORS, regressor_class
from utils.errors import BadConfig, MissingFile
from utils.logging import get_logger

CONFIG_FOLDER = Path(__file__).resolve().parent.parent.parent / 'configs'
# Key of YAML files only: the file that this one builds on.
_BASE = '_BASE_'
# Largest number of dots in a key that holds a section.
_DEEPEST = 3
# Keys that say what is written, and where. A checkpoint's config does not set them.
_WRITTEN = ('TEST.RESULT_FILE', 'TEST.REPORT', 'TEST.OVERWRITE', 'TEST.OUTPUT_DIR', 'TEST.VIS_DEMO', 'LOG_DIR',
            'TRAIN.OVERWRITE', 'DATA.SHARD_CACHE', 'LOG.TRACKERS')

# Keys that say how a run starts. They are not stored: each start sets them anew.
_ONE_START = ('TRAIN.RESUME', 'TRAIN.RESUME_IF_EXISTS', 'TRAIN.CHECKPOINT', 'TRAIN.OVERWRITE')
# Values for older stored configs, which do not contain these keys.
_BEFORE = {'MODEL.CAMERA': 'picture', 'TRAIN.BATCH_PER_PROCESS': True}


def load_config(path=None, overrides=()):
    """Merge the defaults, a YAML file and overrides [KEY, VALUE, ...], in this order, into a frozen CfgNode.

    The file may build on another, `_BASE_: other.yaml`, which lies beside it or in configs/ and is merged first.
    Raises BadConfig for an unknown key (it names the nearest), a value of the wrong type or an unknown regressor, and
    MissingFile for a missing YAML file.
    """
    cfg = default_config()
    for file, tree in _with_bases(path) if path else ():
        _check_regressor(tree, str(file))
        _merge_tree(cfg, tree, str(file))
    return _finished(cfg, overrides)


def load_stored_config(text, where, overrides=()):
    """The config in a checkpoint's YAML text, with overrides, as a frozen CfgNode. `where` names it in errors.

    A section of MODEL that no registered regressor has is dropped: it belongs to a regressor that was registered when
    the checkpoint was saved.
    """
    if not isinstance(text, str):
        raise BadConfig(f'{where}: expected YAML text')
    cfg, defaults = _stored(_parse_yaml(text, where), where), default_config()
    for key in _WRITTEN:  # a foreign file must not choose what is written on this machine
        set_key(cfg, key, get_key(defaults, key))
    return _finished(cfg, overrides)


def load_run_config(path, overrides=()):
    """The config.yaml in a run's folder, with overrides, as a frozen CfgNode."""
    return _finished(_stored(_parse_yaml(_read(Path(path), path), path), str(path)), overrides)


def _stored(tree, where):
    """A config that this or an earlier version of the project wrote."""
    cfg = default_config()
    _check_regressor(tree, where)
    _drop_foreign_sections(cfg, tree, where)
    for key, value in _BEFORE.items():
        set_key(cfg, key, value)
    _merge_tree(cfg, tree, where)
    return cfg


def default_yaml(regressor, fits=False):
    """Path of a regressor's default YAML file, or None: NAME.yaml beside the file that defines it, or in configs/.

    The file of another name of the same class serves too. fits: for training with SMPLify in the loop. Raises
    BadConfig for an unknown regressor.
    """
    cls = regressor_class(regressor)
    names = [regressor, *(name for name in REGRESSORS.names() if regressor_class(name) is cls)]
    stems = [cls.fits_config, *names] if fits and cls.fits_config else names
    for stem in stems:
        for folder in (REGRESSORS.file_of(regressor).parent, CONFIG_FOLDER):
            if (folder / f'{stem}.yaml').exists():
                return folder / f'{stem}.yaml'
    return None


def to_text(cfg):
    """The config as YAML text."""
    return cfg.dump()


def lasting_text(cfg):
    """The config as YAML text for a run's folder and checkpoints: without the keys that concern a single start."""
    cfg, defaults = cfg.clone(), default_config()
    cfg.defrost()
    for key in _ONE_START:
        set_key(cfg, key, get_key(defaults, key))
    return to_text(cfg)


def _finished(cfg, overrides):
    if len(overrides) % 2:
        raise BadConfig(f'overrides are KEY VALUE pairs, but {overrides[-1]!r} has no value')
    for key, value in zip(overrides[::2], overrides[1::2]):
        set_key(cfg, key, value)
    regressor_class(cfg.MODEL.REGRESSOR)
    check_values(cfg)
    cfg.freeze()
    return cfg


def _with_bases(path):
    """[(file, tree)] of a YAML file and the files it builds on, the base first. Raises BadConfig for a cycle."""
    chain, seen = [], set()
    while path:
        asked_by = chain[-1][0] if chain else None
        file = _find(path, asked_by and asked_by.parent)
        if file.resolve() in seen:
            raise BadConfig(f'{file}: is its own base ({_BASE})')
        seen.add(file.resolve())
        tree = _parse_yaml(_read(file, f'{asked_by}: {_BASE} {path}' if asked_by else path), file)
        path = tree.pop(_BASE, None)
        if path is not None and not isinstance(path, str):
            raise BadConfig(f'{file}: {_BASE} must be one YAML file, got {path!r}')
        chain.append((file, tree))
    return chain[::-1]


def _find(path, beside):
    """Path of a YAML file: beside the file that names it (else in the working folder), or in configs/."""
    folders = [beside] if beside else [Path()]
    for folder in (*folders, CONFIG_FOLDER):
        if (folder / path).exists():
            return folder / path
    return Path(path)


def config_files():
    """Paths of the YAML files in configs/, sorted. Those of configs/accelerate/ are accelerate's."""
    return [path for path in sorted(CONFIG_FOLDER.rglob('*.yaml')) if path.parent.name != 'accelerate']


def _read(file, path):
    try:
        return file.read_text(encoding='utf-8')
    except FileNotFoundError:
        known = ', '.join(str(path.relative_to(CONFIG_FOLDER)) for path in config_files())
        raise MissingFile(f'{path}: no such config file; configs/ has {known}') from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f'{path}: not readable as YAML ({" ".join(str(error).split())[:150]})') from None


def _parse_yaml(text, path):
    try:
        tree = yaml.safe_load(text)
    except YAML_FAULTS as error:
        raise BadConfig(f'{path}: not readable as YAML ({" ".join(str(error).split())[:150]})') from None
    if not isinstance(tree or {}, dict):
        raise BadConfig(f'{path}: not a config file (expected a mapping of keys)')
    return tree or {}


def _check_regressor(tree, where):
    """Raise BadConfig where the tree's regressor is not registered, before its section counts as an unknown key."""
    model = tree.get('MODEL')
    name = model.get('REGRESSOR') if isinstance(model, dict) else None
    if isinstance(name, str):
        try:
            regressor_class(name)
        except BadConfig as error:
            raise BadConfig(f'{where}: {error}') from None


def _drop_foreign_sections(cfg, tree, where):
    model = tree.get('MODEL')
    if not isinstance(model, dict) or 'REGRESSOR' not in model:  # not a config that this project stored
        return
    for name in [name for name, value in model.items() if isinstance(value, dict) and name not in cfg.MODEL]:
        get_logger().info(f'{where}: MODEL.{name} belongs to a regressor that is not loaded; left out')
        del model[name]


def _merge_tree(cfg, tree, where, prefix=''):
    for name, value in tree.items():
        key = f'{prefix}{name}'
        if isinstance(value, dict) and key.count('.') < _DEEPEST:  # a YAML anchor may contain itself
            _merge_tree(cfg, value, where, key + '.')
        else:
            set_key(cfg, key, value, where)

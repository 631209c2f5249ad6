"""Configs from YAML: a file, the files it builds on, and the text that a checkpoint holds."""
from pathlib import Path

import yaml

from core.config.keys import YAML_FAULTS, check_values, default_config, get_key, set_key
from models import REGRESSORS, regressor_class
from utils.errors import BadConfig, MissingFile
from utils.logging import get_logger

CONFIG_FOLDER = Path(__file__).resolve().parent.parent.parent / 'configs'
# A key of YAML files alone: the file that this one builds on.
_BASE = '_BASE_'
# Sections within sections of a config.
_DEEPEST = 3
# Keys that say what is written, and where.
_WRITTEN = ('TEST.RESULT_FILE', 'TEST.REPORT', 'TEST.OVERWRITE', 'TEST.OUTPUT_DIR', 'TEST.VIS_DEMO', 'LOG_DIR',
            'TRAIN.OVERWRITE', 'DATA.SHARD_CACHE', 'LOG.TRACKERS')

# How a run began. What goes on from its folder says so anew.
_ONE_START = ('TRAIN.RESUME', 'TRAIN.CHECKPOINT', 'TRAIN.OVERWRITE')
# What configs meant that were stored before these keys were there.
_BEFORE = {'MODEL.CAMERA': 'picture', 'TRAIN.BATCH_PER_PROCESS': True}


def load_config(path=None, overrides=()):
    """Defaults, then the YAML file, then overrides [KEY, VALUE, ...] -> frozen CfgNode.

    The file may name another, `_BASE_: other.yaml`, which comes first: beside it, or in configs/.
    Raises BadConfig for an unknown key, naming the nearest, for a value of the wrong type and for an unknown
    regressor; MissingFile for a missing YAML file.
    """
    cfg = default_config()
    for file, tree in _with_bases(path) if path else ():
        _check_regressor(tree, str(file))
        _merge_tree(cfg, tree, str(file))
    return _finished(cfg, overrides)


def load_stored_config(text, where, overrides=()):
    """The config that YAML text of a checkpoint holds (`where` names it), then overrides -> frozen CfgNode.

    A section of MODEL that no registered regressor has is left out: it is of another regressor, which was known when
    the checkpoint was made.
    """
    if not isinstance(text, str):
        raise BadConfig(f'{where}: YAML text is wanted')
    cfg, defaults = _stored(_parse_yaml(text, where), where), default_config()
    for key in _WRITTEN:  # a file from elsewhere must not choose what is written here
        set_key(cfg, key, get_key(defaults, key))
    return _finished(cfg, overrides)


def load_run_config(path, overrides=()):
    """The config.yaml that a run left in its folder, then overrides -> frozen CfgNode."""
    return _finished(_stored(_parse_yaml(_read(Path(path), path), path), str(path)), overrides)


def _stored(tree, where):
    """A config that this project wrote, of this version or an earlier one."""
    cfg = default_config()
    _check_regressor(tree, where)
    _drop_foreign_sections(cfg, tree, where)
    for key, value in _BEFORE.items():
        set_key(cfg, key, value)
    _merge_tree(cfg, tree, where)
    return cfg


def default_yaml(regressor, fits=False):
    """Path of the YAML file that a regressor gets where none is named, or None: NAME.yaml beside the file that
    defines it, or in configs/. Another name of the same class serves too.

    fits: for training with SMPLify in the loop. Raises BadConfig for an unknown regressor.
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
    """The same for a run's folder and checkpoints: without what holds for one start alone."""
    cfg, defaults = cfg.clone(), default_config()
    cfg.defrost()
    for key in _ONE_START:
        set_key(cfg, key, get_key(defaults, key))
    return to_text(cfg)


def _finished(cfg, overrides):
    if len(overrides) % 2:
        raise BadConfig(f'overrides come as KEY VALUE pairs, but {overrides[-1]!r} has no value')
    for key, value in zip(overrides[::2], overrides[1::2]):
        set_key(cfg, key, value)
    regressor_class(cfg.MODEL.REGRESSOR)
    check_values(cfg)
    cfg.freeze()
    return cfg


def _with_bases(path):
    """[(file, tree)] of a YAML file and what it builds on, the last of these first. Raises BadConfig for a circle."""
    chain, seen = [], set()
    while path:
        asked_by = chain[-1][0] if chain else None
        file = _find(path, asked_by and asked_by.parent)
        if file.resolve() in seen:
            raise BadConfig(f'{file}: builds on itself ({_BASE})')
        seen.add(file.resolve())
        tree = _parse_yaml(_read(file, f'{asked_by}: {_BASE} {path}' if asked_by else path), file)
        path = tree.pop(_BASE, None)
        if path is not None and not isinstance(path, str):
            raise BadConfig(f'{file}: {_BASE} names one YAML file, got {path!r}')
        chain.append((file, tree))
    return chain[::-1]


def _find(path, beside):
    """A YAML file: beside the one that names it, as it stands, or in configs/."""
    folders = [beside] if beside else [Path()]
    for folder in (*folders, CONFIG_FOLDER):
        if (folder / path).exists():
            return folder / path
    return Path(path)


def _read(file, path):
    try:
        return file.read_text(encoding='utf-8')
    except FileNotFoundError:
        known = ', '.join(sorted(str(p.relative_to(CONFIG_FOLDER)) for p in CONFIG_FOLDER.rglob('*.yaml')))
        raise MissingFile(f'{path}: no such config file; configs/ has {known}') from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f'{path}: not readable as YAML ({" ".join(str(error).split())[:150]})') from None


def _parse_yaml(text, path):
    try:
        tree = yaml.safe_load(text)
    except YAML_FAULTS as error:
        raise BadConfig(f'{path}: not readable as YAML ({" ".join(str(error).split())[:150]})') from None
    if not isinstance(tree or {}, dict):
        raise BadConfig(f'{path}: not a config file (a mapping of keys is wanted)')
    return tree or {}


def _check_regressor(tree, where):
    """Raise BadConfig where the tree's regressor is not registered: its own section would be unknown too."""
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
        if isinstance(value, dict) and key.count('.') < _DEEPEST:  # an anchor may hold itself
            _merge_tree(cfg, value, where, key + '.')
        else:
            set_key(cfg, key, value, where)

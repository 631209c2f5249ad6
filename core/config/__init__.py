"""Configs: `load_config` merges defaults, a YAML file and overrides. The keys are in core/config/defaults.py."""
import contextlib
import copy
import difflib
from pathlib import Path

import yaml
from yacs.config import CfgNode as CN

from core.config.defaults import DEFAULTS
from utils.errors import BadConfig, MissingFile

# What PyYAML raises on text that is no YAML; dates and numbers that do not exist come as ValueError.
_YAML_FAULTS = (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError, RecursionError)
# Sections within sections of a config.
_DEEPEST = 3
# Keys that say what is written, and where.
_WRITTEN = ('TEST.RESULT_FILE', 'TEST.REPORT', 'TEST.OVERWRITE', 'TEST.OUTPUT_DIR', 'TEST.VIS_DEMO', 'LOG_DIR',
            'TRAIN.OVERWRITE', 'DATA.SHARD_CACHE')

CONFIG_FOLDER = Path(__file__).resolve().parent.parent.parent / 'configs'
# The config that a regressor gets where none is named.
DEFAULT_CONFIGS = {'hmr': 'hmr.yaml', 'spin': 'spin.yaml', 'pymaf_net': 'pymaf.yaml', 'danet': 'danet.yaml',
                   'multi_spin': 'multi_spin.yaml'}


def default_config():
    """A fresh copy of the defaults, not frozen."""
    return DEFAULTS.clone()


def load_config(path=None, overrides=()):
    """Defaults, then the YAML file, then overrides [KEY, VALUE, ...] -> frozen CfgNode.

    Raises BadConfig for an unknown key, naming the nearest, and for a value of the wrong type; MissingFile for a
    missing YAML file.
    """
    cfg = default_config()
    if path:
        _merge_tree(cfg, _read_yaml(path), str(path))
    return _finished(cfg, overrides)


def load_stored_config(text, where, overrides=()):
    """The config that YAML text of a checkpoint holds (`where` names it), then overrides -> frozen CfgNode."""
    if not isinstance(text, str):
        raise BadConfig(f'{where}: YAML text is wanted')
    cfg = default_config()
    _merge_tree(cfg, _parse_yaml(text, where), where)
    for key in _WRITTEN:  # a file from elsewhere must not choose what is written here
        set_key(cfg, key, _value_of(DEFAULTS, key))
    return _finished(cfg, overrides)


def _value_of(cfg, key):
    for name in key.split('.'):
        cfg = cfg[name]
    return cfg


def _finished(cfg, overrides):
    if len(overrides) % 2:
        raise BadConfig(f'overrides come as KEY VALUE pairs, but {overrides[-1]!r} has no value')
    for key, value in zip(overrides[::2], overrides[1::2]):
        set_key(cfg, key, value)
    _check_values(cfg)
    cfg.freeze()
    return cfg


def set_key(cfg, key, value, where='the command line'):
    """Set one dotted key to a value or to its text. Raises BadConfig."""
    *folders, leaf = key.split('.')
    node = cfg
    for name in folders:
        node = node.get(name) if isinstance(node, CN) else None
    if not isinstance(node, CN) or leaf not in node or isinstance(node[leaf], CN):
        raise BadConfig(f'{where}: unknown config key {key!r}; {_suggest(key)}')
    node[leaf] = _converted(value, node[leaf], key, where)


def to_text(cfg):
    """The config as YAML text."""
    return cfg.dump()


def _read_yaml(path):
    file = Path(path)
    if not file.exists() and (CONFIG_FOLDER / file).exists():
        file = CONFIG_FOLDER / file
    try:
        text = file.read_text()
    except FileNotFoundError:
        known = ', '.join(sorted(str(p.relative_to(CONFIG_FOLDER)) for p in CONFIG_FOLDER.rglob('*.yaml')))
        raise MissingFile(f'{path}: no such config file; configs/ has {known}') from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f'{path}: not readable as YAML ({" ".join(str(error).split())[:150]})') from None
    return _parse_yaml(text, path)


def _parse_yaml(text, path):
    try:
        tree = yaml.safe_load(text)
    except _YAML_FAULTS as error:
        raise BadConfig(f'{path}: not readable as YAML ({" ".join(str(error).split())[:150]})') from None
    if not isinstance(tree or {}, dict):
        raise BadConfig(f'{path}: not a config file (a mapping of keys is wanted)')
    return tree or {}


def _merge_tree(cfg, tree, where, prefix=''):
    for name, value in tree.items():
        key = f'{prefix}{name}'
        if isinstance(value, dict) and key.count('.') < _DEEPEST:  # an anchor may hold itself
            _merge_tree(cfg, value, where, key + '.')
        else:
            set_key(cfg, key, value, where)


def _converted(value, current, key, where):
    """`value` in the type of `current`; text is read as YAML where the key does not hold text."""
    kind = type(current)
    if isinstance(value, str) and kind is not str:
        try:
            value = yaml.safe_load(value)
        except _YAML_FAULTS:
            raise BadConfig(f'{where}: {key} wants {kind.__name__}, got {value!r}') from None
        if isinstance(value, str):  # YAML 1.1 leaves 1e-4 a text
            with contextlib.suppress(ValueError):
                value = float(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    if kind is str and value is None:
        return ''
    if kind is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if kind is list and isinstance(value, tuple):
        return list(value)
    if type(value) is not kind:
        raise BadConfig(f'{where}: {key} wants {kind.__name__}, got {value!r}')
    return copy.deepcopy(value)


def _all_keys(node=None, prefix=''):
    for name, value in (node if node is not None else DEFAULTS).items():
        if isinstance(value, CN):
            yield from _all_keys(value, f'{prefix}{name}.')
        else:
            yield prefix + name


def _suggest(key):
    keys = list(_all_keys())
    by_lower = {k.lower(): k for k in keys}
    close = difflib.get_close_matches(key.lower(), by_lower, n=1, cutoff=0)
    return f'the nearest is {by_lower[close[0]]!r}'


_CHOICES = {
    'DEVICE': ('auto', 'cuda', 'cpu'), 'DATA.ON_BAD_IMAGE': ('stop', 'skip'),
    'LOSS.KP_CRITERION': ('mse', 'smooth_l1', 'l1'), 'LOSS.KP_MEAN': ('all', 'visible'),
    'IUV.SHADING': ('smooth', 'flat'), 'IUV.BACKEND': ('auto', 'warp', 'neural_renderer'),
    'SOLVER.SCHEDULE': ('step', 'cosine'),
    'MODEL.PyMAF.POINT_ACTIVATION': ('relu', 'leaky_relu'), 'TRAIN.MIXED_PRECISION': ('no', 'bf16', 'fp16', 'auto'),
    'SMPLIFY.METHOD': ('lm', 'adam'), 'SMPLIFY.OBJECTIVE': ('pixels', 'normalized'),
    'SMPLIFY.TORSO': ('seen', 'annotated'), 'SMPLIFY.THRESHOLD_ON': ('mean', 'sum'),
    'MULTIVIEW.SUPERVISED': ('all', 'first'),
    'TEST.OCCLUDE': ('', 'face', 'grid'), 'TEST.COCO_SUBSET': ('val2014', 'val2017')}
_POSITIVE = ('DATA.IMG_RES', 'TRAIN.BATCH_SIZE', 'TEST.BATCH_SIZE', 'SOLVER.ACCUMULATE', 'TRAIN.SUMMARY_STEPS',
             'TRAIN.VIS_INTERVAL', 'TRAIN.CHECKPOINT_STEPS', 'MODEL.HMR.N_ITER', 'SMPLIFY.NUM_ITERS',
             'TEST.OCCLUSION_PATCH', 'TEST.OCCLUSION_STRIDE')


def get_key(cfg, key):
    """The value of a dotted key."""
    for name in key.split('.'):
        cfg = cfg[name]
    return cfg


def _check_values(cfg):
    for key, choices in _CHOICES.items():
        if get_key(cfg, key) not in choices:
            raise BadConfig(f'{key} is {get_key(cfg, key)!r}; use one of {", ".join(choices)}')
    for key in _POSITIVE:
        if get_key(cfg, key) < 1:
            raise BadConfig(f'{key} is {get_key(cfg, key)}; it must be at least 1')

"""Single config keys: defaults, types, choices and error messages."""
import contextlib
import copy
import difflib
from numbers import Real

import yaml
from yacs.config import CfgNode as CN

from core.config.defaults import DEFAULTS
from datasets.photometric import PROBABILITIES
from models import add_model_config
from utils.errors import BadConfig

# What PyYAML raises on malformed text. Dates and numbers that do not exist raise ValueError.
YAML_FAULTS = (yaml.YAMLError, ValueError, OverflowError, TypeError, AttributeError, RecursionError)
_CHOICES = {
    'DEVICE': ('auto', 'cuda', 'cpu'), 'DATA.ON_BAD_IMAGE': ('stop', 'skip'),
    'LOSS.KP_CRITERION': ('mse', 'smooth_l1', 'l1'), 'LOSS.KP_MEAN': ('all', 'visible'),
    'MULTIVIEW.SUPERVISED': ('all', 'first'), 'IUV.SHADING': ('smooth', 'flat'),
    'IUV.BACKEND': ('auto', 'warp', 'neural_renderer'), 'SOLVER.SCHEDULE': ('step', 'cosine'),
    'MODEL.CAMERA': ('crop', 'picture'), 'SOLVER.NAME': ('adam', 'adamw'),
    'TRAIN.MIXED_PRECISION': ('no', 'bf16', 'fp16', 'auto'), 'SMPLIFY.METHOD': ('lm', 'adam'),
    'SMPLIFY.OBJECTIVE': ('pixels', 'normalized'), 'SMPLIFY.TORSO': ('seen', 'annotated'),
    'SMPLIFY.THRESHOLD_ON': ('mean', 'sum'), 'INFERENCE.BACKEND': ('torch', 'onnx'),
    'TEST.OCCLUDE': ('', 'face', 'grid'), 'TEST.COCO_SUBSET': ('val2014', 'val2017')}
_POSITIVE = ('DATA.IMG_RES', 'TRAIN.BATCH_SIZE', 'TEST.BATCH_SIZE', 'SOLVER.ACCUMULATE', 'TRAIN.SUMMARY_STEPS',
             'TRAIN.VIS_INTERVAL', 'TRAIN.CHECKPOINT_STEPS', 'SMPLIFY.NUM_ITERS', 'TEST.OCCLUSION_PATCH',
             'TEST.OCCLUSION_STRIDE', 'ADVERSARY.REAL_PER_ESTIMATE')
# Keys that hold [from, to], with the bounds of both values.
_RANGES = {'BLUR_SIGMA': (0.01, 20.0), 'JPEG_QUALITY': (1, 100), 'NOISE_SIGMA': (0.0, 1.0), 'CUTOUT_AREA': (0.001, 0.9),
           'LOW_RES_SHARE': (0.01, 1.0)}


def default_config():
    """A fresh, unfrozen copy of all defaults, with those of the registered regressors."""
    cfg = DEFAULTS.clone()
    add_model_config(cfg.MODEL)
    return cfg


def get_key(cfg, key):
    """The value of a dotted key."""
    for name in key.split('.'):
        cfg = cfg[name]
    return cfg


def set_key(cfg, key, value, where='the command line'):
    """Set one dotted key to a value or to its text. Raises BadConfig; for an unknown key it names the nearest."""
    *folders, leaf = key.split('.')
    node = cfg
    for name in folders:
        node = node.get(name) if isinstance(node, CN) else None
    if not isinstance(node, CN) or leaf not in node or isinstance(node[leaf], CN):
        raise BadConfig(f'{where}: unknown config key {key!r}; {_suggest(cfg, key)}')
    node[leaf] = _converted(value, node[leaf], key, where)


def check_values(cfg):
    """Raise BadConfig for a value outside of its key's choices or range."""
    for key, choices in _CHOICES.items():
        if get_key(cfg, key) not in choices:
            raise BadConfig(f'{key} is {get_key(cfg, key)!r}; use one of {", ".join(choices)}')
    for key in _POSITIVE:
        if get_key(cfg, key) < 1:
            raise BadConfig(f'{key} is {get_key(cfg, key)}; it must be at least 1')
    _check_photometric(cfg.DATA.PHOTOMETRIC)


def _check_photometric(section):
    for name in (*PROBABILITIES, 'COLOR_STRENGTH'):
        if not 0 <= section[name] <= 1:
            raise BadConfig(f'DATA.PHOTOMETRIC.{name} is {section[name]}; it must be from 0 to 1')
    for name, (least, most) in _RANGES.items():
        kind = int if name == 'JPEG_QUALITY' else Real
        given = section[name]
        if len(given) != 2 or not all(isinstance(value, kind) for value in given) or \
                not least <= given[0] <= given[1] <= most:
            raise BadConfig(f'DATA.PHOTOMETRIC.{name} is {given}; it must be [from, to] within {least} to {most}')


def unquoted(value):
    """`value`, or '' where it is an empty text whose quotes were passed on, as in --misc KEY "''"."""
    return '' if value in ("''", '""') else value


def _converted(value, current, key, where):
    """`value` in the type of `current`; text is read as YAML where the key does not hold text."""
    kind = type(current)
    if isinstance(value, str) and kind is not str:
        try:
            value = yaml.safe_load(value)
        except YAML_FAULTS:
            raise BadConfig(f'{where}: {key} wants {kind.__name__}, got {value!r}') from None
        if isinstance(value, str):  # YAML 1.1 reads 1e-4 as text
            with contextlib.suppress(ValueError):
                value = float(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    if kind is str and (value is None or unquoted(value) == ''):
        return ''
    if kind is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if kind is list and isinstance(value, tuple):
        return list(value)
    if type(value) is not kind:
        raise BadConfig(f'{where}: {key} wants {kind.__name__}, got {value!r}')
    return copy.deepcopy(value)


def _all_keys(node, prefix=''):
    for name, value in node.items():
        if isinstance(value, CN):
            yield from _all_keys(value, f'{prefix}{name}.')
        else:
            yield prefix + name


def _suggest(cfg, key):
    by_lower = {known.lower(): known for known in _all_keys(cfg)}
    close = difflib.get_close_matches(key.lower(), by_lower, n=1, cutoff=0)
    return f'the nearest is {by_lower[close[0]]!r}'

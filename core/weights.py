"""Loads a checkpoint into the network of a config. The error of a checkpoint that does not fit names the config that
does."""
from core.config import config_files, get_key, load_config, load_stored_config
from core.config.free_recipe import short_path
from models import regressor_class
from models.weights import WrongShape, checkpoint_regressor, load_weights, log_report
from utils.errors import BadFile

# Keys of MODEL that do not change the network's entries.
_NOT_OF_SHAPES = ('MODEL.REGRESSOR', 'MODEL.BACKBONE.PRETRAINED', 'MODEL.CAMERA', 'MODEL.HEAD_DROPOUT')
_OF_SHAPES = ('DATA.IMG_RES', 'IUV.SIZE', 'MULTIVIEW.FUSION', 'MULTIVIEW.N_VIEWS')
_NAMED_KEYS = 4  # keys that an error lists


def load_checkpoint(cfg, regressor, path):
    """Load a checkpoint into the regressor of `cfg` and log how.

    Raises BadFile for weights of another network. Where the checkpoint holds its own config, the error names the keys
    that differ and a file in configs/ with this network. Raises what `models.weights.load_weights` raises.
    """
    try:
        report = load_weights(regressor, path)
    except WrongShape as error:
        raise BadFile(_advice(cfg, path) or str(error)) from None
    log_report(report, path)


def _advice(cfg, path):
    """The error of a checkpoint whose own config differs from `cfg`; '' where it has none or no key differs."""
    _, text = checkpoint_regressor(path)
    if text is None:
        return ''
    own = load_stored_config(text, f'{path}: config')
    keys = _differing_keys(own, cfg)
    if not keys:
        return ''
    told = ', '.join(f'{key} is {get_key(own, key)}, not {get_key(cfg, key)}' for key in keys[:_NAMED_KEYS])
    more = f', and {len(keys) - _NAMED_KEYS} more keys differ' if len(keys) > _NAMED_KEYS else ''
    file = _file_with_network(own)
    advice = f'--cfg_file {short_path(file)} has its network' if file else 'use --misc ' + ' '.join(
        f'{key} {_as_word(get_key(own, key))}' for key in keys)
    return f'{path}: of another network than that of the config: its {told}{more}; {advice}'


def _differing_keys(own, other):
    keys = [*_keys_of(own.MODEL, 'MODEL'), *_OF_SHAPES]
    return [key for key in keys if key not in _NOT_OF_SHAPES and get_key(own, key) != get_key(other, key)]


def _keys_of(node, name):
    for key, value in node.items():
        yield from _keys_of(value, f'{name}.{key}') if isinstance(value, dict) else (f'{name}.{key}',)


def _file_with_network(own):
    """The file in configs/ that builds the network of a config, that of its NAME first; None without one."""
    fitting = []
    for path in config_files():
        cfg = load_config(path)
        if regressor_class(cfg.MODEL.REGRESSOR) is regressor_class(own.MODEL.REGRESSOR) and not _differing_keys(
                own, cfg):
            fitting.append((cfg.NAME != own.NAME, path))
    return min(fitting)[1] if fitting else None


def _as_word(value):
    """A value as one word of a shell command."""
    text = str(value)
    return text if text and not set(text) & set(' []\'"') else f'"{text}"'

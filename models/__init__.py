"""Regressors by name."""
import importlib

from utils.errors import BadConfig

# Where each regressor lives; imported when asked for, so that one architecture's needs are not another's.
_REGRESSORS = {
    'hmr': ('models.hmr', 'HMR'),
    'spin': ('models.hmr', 'HMR'),
    'pymaf_net': ('models.pymaf', 'PyMAF'),
    'danet': ('models.danet.regressor', 'DaNet'),
    'multi_spin': ('models.multiview', 'MultiSPIN'),
}


def regressor_names():
    return tuple(_REGRESSORS)


def build_regressor(cfg):
    """The regressor that cfg.MODEL.REGRESSOR names, with random weights; reads assets only.

    Raises BadConfig for an unknown name, MissingFile where assets are absent.
    """
    if cfg.MODEL.REGRESSOR not in _REGRESSORS:
        raise BadConfig(f'MODEL.REGRESSOR is {cfg.MODEL.REGRESSOR!r}; use one of {", ".join(_REGRESSORS)}')
    module, name = _REGRESSORS[cfg.MODEL.REGRESSOR]
    return getattr(importlib.import_module(module), name)(cfg)

"""Regressors by name.

A regressor is a class under a name: `@register('my_net')` on a subclass of `Regressor`. One in a file of this package
is found by itself; one that lies elsewhere is loaded by `utils.plugins.load_plugin` (the scripts' --plugin).
"""
from utils.plugins import Registry

REGRESSORS = Registry('regressor', package=__name__)
DEFAULT_REGRESSOR = 'pymaf_net'
register = REGRESSORS.register

from models.regressor import Regressor  # noqa: E402  its users import it from here

__all__ = ['DEFAULT_REGRESSOR', 'REGRESSORS', 'Regressor', 'add_model_config', 'build_regressor', 'register',
           'regressor_class', 'regressor_names']


def regressor_names():
    """Names of all registered regressors."""
    return REGRESSORS.names()


def regressor_class(name):
    """The class registered under `name`. Raises BadConfig for an unknown name."""
    return REGRESSORS[name]


def add_model_config(model):
    """Give cfg.MODEL (a CfgNode) the sections of all registered regressors."""
    for cls in REGRESSORS.entries():
        cls.add_config(model)


def build_regressor(cfg):
    """The regressor that cfg.MODEL.REGRESSOR names, with random weights; reads assets only.

    Raises BadConfig for an unknown name, MissingFile where assets are absent.
    """
    return regressor_class(cfg.MODEL.REGRESSOR)(cfg)

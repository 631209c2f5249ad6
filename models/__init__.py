"""Regressors by name.

A regressor is a subclass of `Regressor` that is registered under a name, `@register('my_net')`. Files of this package
are found on their own. `utils.plugins.load_plugin` loads a file from elsewhere (the scripts' --plugin).
"""
from utils.plugins import Registry

REGRESSORS = Registry('regressor', package=__name__)
DEFAULT_REGRESSOR = 'pymaf_net'
register = REGRESSORS.register

from models.regressor import Regressor  # noqa: E402  regressors import it from here

__all__ = ['DEFAULT_REGRESSOR', 'REGRESSORS', 'Regressor', 'add_model_config', 'build_regressor', 'register',
           'regressor_class', 'regressor_names']


def regressor_names():
    """Names of all registered regressors."""
    return REGRESSORS.names()


def regressor_class(name):
    """The class registered under `name`. Raises BadConfig for an unknown name."""
    return REGRESSORS[name]


def add_model_config(model):
    """Add the sections of all registered regressors to cfg.MODEL (a CfgNode)."""
    for cls in REGRESSORS.entries():
        cls.add_config(model)


def build_regressor(cfg):
    """The regressor that cfg.MODEL.REGRESSOR names, with random weights.

    Raises BadConfig for an unknown name, MissingFile where assets are absent.
    """
    return regressor_class(cfg.MODEL.REGRESSOR)(cfg)

"""Configs: defaults, YAML files and overrides, merged and checked.

The harness's keys are in core/config/defaults.py; a regressor adds its own section (`Regressor.add_config`).
"""
from core.config.files import (
    CONFIG_FOLDER,
    config_files,
    default_yaml,
    lasting_text,
    load_config,
    load_run_config,
    load_stored_config,
    to_text,
)
from core.config.keys import default_config, get_key, set_key

__all__ = ['CONFIG_FOLDER', 'config_files', 'default_config', 'default_yaml', 'get_key', 'lasting_text', 'load_config',
           'load_run_config', 'load_stored_config', 'set_key', 'to_text']

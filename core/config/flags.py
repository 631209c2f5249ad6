"""Command-line flags that are aliases of config keys, and a parser with one-line errors."""
import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from datasets.registered import DATASETS
from models import regressor_names
from utils.errors import BadConfig, BadFile
from utils.plugins import load_plugin


@dataclass(frozen=True)
class Flag:
    """One flag. value: what the flag sets if it takes no argument; None: it takes an argument."""
    name: str
    keys: tuple
    help: str
    value: object = None


def flag(name, keys, text, value=None):
    """A Flag for one key or several."""
    return Flag(name, (keys,) if isinstance(keys, str) else keys, text, value)


BACKEND_FLAGS = (
    flag('backend', 'INFERENCE.BACKEND', 'library that runs the network: torch, or onnx (onnxruntime, on the CPU)'),
    flag('onnx_file', 'INFERENCE.ONNX_FILE', 'the network\'s ONNX file for --backend onnx, made where it is not there'),
)


class Parser(argparse.ArgumentParser):
    """argparse with the project's one-line errors."""

    def error(self, message):
        raise BadConfig(f'{message}; see {self.prog} --help')


def add_flags(parser, flags):
    """Add Flags to a parser with argument_default=SUPPRESS: flags that are not given stay out of the result."""
    for entry in flags:
        text = f'{entry.help} [{", ".join(entry.keys)}]'.replace('%', '%%')
        add_plain(parser, entry.name, entry.value is None, text)


def add_plain(parser, name, has_value, text):
    """Add a flag that is not an alias of a key."""
    if has_value:
        parser.add_argument(f'--{name}', help=text)
    else:
        parser.add_argument(f'--{name}', action='store_true', help=text)


def add_plugin_flag(parser):
    """Add --plugin, for regressors and datasets outside of this project."""
    parser.add_argument('--plugin', nargs='+', action='extend', metavar='FILE',
                        help='Python files that register a regressor (models.register) or a dataset '
                             f'(datasets.register_dataset); built-in regressors: {", ".join(regressor_names())}')


def load_plugins(given):
    """Import the files of --plugin in {flag name: value}. Raises MissingFile, BadFile, BadConfig."""
    for path in given.get('plugin') or ():
        known, is_new = (regressor_names(), DATASETS.names()), Path(path).stem not in sys.modules
        load_plugin(path)
        if is_new and known == (regressor_names(), DATASETS.names()):
            raise BadFile(f'{path}: registers nothing; put @register(NAME) before the class of a regressor, or '
                          '@register_dataset(NAME) before the function of a dataset')


def overrides_of(given, flags):
    """[KEY, VALUE, ...] of the flags in {flag name: value}, in the order of `flags`."""
    pairs = []
    for entry in flags:
        if given.get(entry.name) not in (None, False):
            value = given[entry.name] if entry.value is None else entry.value
            for key in entry.keys:
                pairs += [key, value]
    return pairs

"""Weights that come with the repository, pretrained/NAME.safetensors, and which weights a program takes by default."""
from pathlib import Path

from core.config import CONFIG_FOLDER
from core.config.free_recipe import on_free_body
from core.training.checkpoint import CheckpointStore
from utils.errors import BadConfig, MissingFile
from utils.logging import log_once

PRETRAINED = CONFIG_FOLDER.parent / 'pretrained'
DEFAULT_NAME = 'free_pymaf'
DEFAULT_RUN = Path('logs/pymaf_quick')
NO_NETWORK = 'none'  # the checkpoint's name that asks for no network


def repository_checkpoint(name):
    """Path of a checkpoint that comes with the repository, pretrained/NAME.safetensors. Raises MissingFile."""
    path = PRETRAINED / f'{name}.safetensors'
    if not path.is_file():
        raise MissingFile(f'{path}: this copy of the repository has no weights of {name}; train some with `make train` '
                          'and give them as checkpoint=FILE to the entry of their regressor')
    return path


def default_checkpoint(data_dir, folder=Path()):
    """Path of the weights that a program takes where none are given: the repository's where the free body is in use,
    else what `make train` made in `folder`; None where neither is there. The log says which."""
    own = PRETRAINED / f'{DEFAULT_NAME}.safetensors'
    if own.is_file() and on_free_body(data_dir):
        log_once(f'no checkpoint given: using {own.parent.name}/{own.name}, which comes with the repository')
        return str(own)
    try:
        path = CheckpointStore(folder / DEFAULT_RUN / 'checkpoints').best()
    except MissingFile:
        return None
    log_once(f'no checkpoint given: using {path}, which `make train` made')
    return str(path)


def demo_checkpoint(given, read_config, folder=Path()):
    """Path of the weights that the demo and its API take: `given`, None for 'none', and the default for ''.
    read_config: returns the config, whose body decides about the default."""
    if given == NO_NETWORK:
        return None
    return given or default_checkpoint(read_config().PATHS.DATA_DIR, folder)


def no_checkpoint():
    """The error where weights are needed and none are there."""
    return MissingFile(f'no --checkpoint given, and {DEFAULT_RUN} holds none; run `make train` first, or give one')


def check_estimates(cfg, checkpoint, given):
    """Raise BadConfig or MissingFile if there is neither a network nor a fit to estimate bodies with.

    checkpoint, given: the value and the argument of `demo_checkpoint`.
    """
    if checkpoint or cfg.DEMO.FIT != 'none':
        return
    if given == NO_NETWORK:
        raise BadConfig('nothing to estimate bodies with: --fit none needs a network, and --checkpoint none leaves it '
                        'out; leave out one of them')
    raise no_checkpoint()


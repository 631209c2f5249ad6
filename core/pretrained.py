"""Weights that come with the repository, pretrained/NAME.safetensors, and which weights a program takes by default."""
from pathlib import Path

from core.config import CONFIG_FOLDER
from core.config.free_recipe import on_free_body
from core.training.checkpoint import CheckpointStore
from utils.errors import MissingFile
from utils.logging import log_once

PRETRAINED = CONFIG_FOLDER.parent / 'pretrained'
DEFAULT_NAME = 'free_pymaf'
DEFAULT_RUN = Path('logs/pymaf_quick')


def repository_checkpoint(name):
    """Path of a checkpoint that comes with the repository, pretrained/NAME.safetensors. Raises MissingFile."""
    path = PRETRAINED / f'{name}.safetensors'
    if not path.is_file():
        raise MissingFile(f'{path}: this copy of the repository has no weights of {name}; train some with `make train` '
                          'and give them as checkpoint=FILE to the entry of their regressor')
    return path


def default_checkpoint(data_dir):
    """Path of the weights that a program takes where none are given: the repository's where the free body is in use,
    else what `make train` made; None where neither is there. The log says which."""
    own = PRETRAINED / f'{DEFAULT_NAME}.safetensors'
    if own.is_file() and on_free_body(data_dir):
        log_once(f'no --checkpoint given: using {own.parent.name}/{own.name}, which comes with the repository')
        return str(own)
    try:
        path = CheckpointStore(DEFAULT_RUN / 'checkpoints').best()
    except MissingFile:
        return None
    log_once(f'no --checkpoint given: using {path}, which `make train` made')
    return str(path)


def no_checkpoint():
    """The error where weights are needed and none are there."""
    return MissingFile(f'no --checkpoint given, and {DEFAULT_RUN} holds none; run `make train` first, or give one')


"""The command that trains on a user's labelled pictures."""
import shlex
from pathlib import Path

from core.config import CONFIG_FOLDER, load_config
from core.config.free_recipe import own_pictures_yaml


def training_command(cfg, out, count):
    """One line of shell that trains on the annotation file `out` of `count` people.

    On the free body it is the recipe that fine-tunes the repository's weights, beside rendered people. On another body
    it trains on the file alone, with its fits, and an epoch repeats a file that is shorter than a batch.
    """
    recipe, plain = own_pictures_yaml(cfg.PATHS.DATA_DIR), load_config()
    keys = []
    if recipe:
        mixture = load_config(recipe).DATA.MIXTURE
        if Path(out) != Path(_file_of(mixture[-1])):
            keys = ['DATA.MIXTURE', [mixture[0], f'{Path(out).as_posix()}:0.5']]
    else:
        keys = ['DATA.MIXTURE', [f'{Path(out).as_posix()}:1'], 'SMPLIFY.USE_FITS', True]
        if count < plain.TRAIN.BATCH_SIZE:
            keys += ['DATA.EPOCH_LENGTH', plain.TRAIN.BATCH_SIZE]
    if cfg.PATHS.DATA_DIR != plain.PATHS.DATA_DIR:
        keys += ['PATHS.DATA_DIR', cfg.PATHS.DATA_DIR]
    words = ['python', 'train.py']
    if recipe:
        words += ['--cfg_file', recipe.relative_to(CONFIG_FOLDER.parent).as_posix()]
    return ' '.join(_quoted(str(word)) for word in [*words, *(['--misc', *keys] if keys else [])])


def _file_of(item):
    """The file of an entry of DATA.MIXTURE, FILE:SHARE."""
    return item.rpartition(':')[0]


def _quoted(word):
    """A word for a shell. A list in double quotes, as in the documentation, is easier to read than shlex's."""
    if "'" in word and not set(word) & set('"$`\\!'):
        return f'"{word}"'
    return shlex.quote(word)

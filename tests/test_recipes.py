"""Values of the published trainings and ours (tests/published_recipes.py): every difference has a reason."""
import pytest

from core.config import CONFIG_FOLDER, default_config, get_key, load_config
from core.config.training_options import parse_training_options
from datasets.mixed import parse_mixture
from tests.published_recipes import RECIPES

# This project's own variants.
OWN = {'spin_lm', 'multi_spin_lm', 'pymaf_net'}
# Keys that change a training's data, losses and weights. Other keys are paths and the use of the machine.
SECTIONS = ('LOSS.', 'SOLVER.', 'SMPLIFY.')
KEYS = ('DATA.IMG_RES', 'DATA.MIXTURE', 'DATA.EPOCH_LENGTH', 'DATA.FLIP', 'DATA.ROT_FACTOR', 'DATA.ROT_PROB',
        'DATA.NOISE_FACTOR', 'DATA.SCALE_FACTOR', 'DATA.EVAL_DATASET', 'MODEL.BACKBONE.NAME',
        'MODEL.BACKBONE.PRETRAINED', 'TRAIN.BATCH_SIZE', 'TRAIN.NUM_EPOCHS', 'TRAIN.SYNC_BATCHNORM',
        'TRAIN.MIXED_PRECISION', 'TRAIN.EMA', 'MODEL.CAMERA')
DENSE = {'LOSS.INDEX_WEIGHTS', 'LOSS.PART_WEIGHTS', 'LOSS.POINT_REGRESSION_WEIGHTS'}
LEVENBERG_MARQUARDT = {'SMPLIFY.TOLERANCE', 'SMPLIFY.STAY_WEIGHT'}
FITS = {'SMPLIFY.RUN', 'SMPLIFY.USE_FITS', 'SMPLIFY.USE_FINAL_FIT'}
# Keys that name things.
UNCOUNTED = {'MODEL.REGRESSOR', 'TRAIN.PRETRAINED_CHECKPOINT'}


def keys_of(node, prefix=''):
    for name, value in node.items():
        if hasattr(value, 'items'):
            yield from keys_of(value, f'{prefix}{name}.')
        else:
            yield prefix + name


def wanted_keys(cfg):
    """Keys that a table must have."""
    keys = {key for key in keys_of(default_config()) if key.startswith(SECTIONS)} | set(KEYS)
    if cfg.MODEL.REGRESSOR in ('pymaf_net', 'danet'):
        keys |= {'IUV.SIZE', 'IUV.SHADING'}
    else:
        keys -= DENSE
    if not (cfg.SMPLIFY.RUN or cfg.SMPLIFY.USE_FITS) or (cfg.SMPLIFY.USE_FINAL_FIT and not cfg.SMPLIFY.RUN):
        keys -= {key for key in keys if key.startswith('SMPLIFY.')} - FITS
    return keys - LEVENBERG_MARQUARDT


def found(cfg, key):
    """A value in the tables' form: the mixture is {names: share}."""
    value = get_key(cfg, key)
    return {'+'.join(names): share for names, share in parse_mixture(value)} if key == 'DATA.MIXTURE' else value


def rows_of(name):
    return [row for rows in RECIPES[name].values() for row in rows]


@pytest.mark.parametrize('name', RECIPES)
def test_values_are_the_published_ones_or_say_why_not(name):
    cfg = load_config(f'{name}.yaml')
    wrong = []
    for row in rows_of(name):
        if row.key is None:  # no key sets it
            assert row.reason and row.ours != row.published, row
        else:
            value = found(cfg, row.key)
            if value != (row.ours if row.reason else row.published):
                wrong.append(f'{row.key} is {value!r}; published ({row.name}): {row.published!r}')
            if row.reason and value == row.published:
                wrong.append(f'{row.key} is as published; its reason is out of date')
    assert not wrong, '\n'.join(wrong)


@pytest.mark.parametrize('name', RECIPES)
def test_a_table_leaves_nothing_out(name):
    """It has all keys of SECTIONS and KEYS, and all that the YAML file sets."""
    cfg, default = load_config(f'{name}.yaml'), default_config()
    set_here = {key for key in keys_of(default) if get_key(cfg, key) != get_key(default, key)} - UNCOUNTED
    listed = [row.key for row in rows_of(name) if row.key]
    assert len(listed) == len(set(listed)), sorted(key for key in listed if listed.count(key) > 1)
    assert not (wanted_keys(cfg) | set_here) - set(listed)


def test_every_file_repeats_a_publication_or_is_our_own():
    assert {path.stem for path in CONFIG_FOLDER.glob('*.yaml')} == set(RECIPES) | OWN
    for recipe in RECIPES.values():
        assert all(source.count('/') >= 2 for source in recipe)  # owner/repository/file


def test_final_fits_come_with_danets_mixture(no_assets):
    """DaNet's trainer uses SPIN's final fits for the in-the-wild datasets, and no fits for DensePose-COCO."""
    def parse(*line):
        return parse_training_options(['--regressor', 'danet', *line])[0]

    assert parse('--train_data', 'h36m_coco_itw').SMPLIFY.USE_FINAL_FIT
    assert not parse('--train_data', 'h36m_dp').SMPLIFY.USE_FINAL_FIT and not parse().SMPLIFY.USE_FINAL_FIT

"""Config files, overrides and flags: the keys that they set, and their errors."""
import shlex

import pytest

from core.config import config_files, default_config, get_key, load_config
from core.config.training_options import FLAGS, build_parser, parse_training_options
from core.loading import worker_options
from utils.errors import BadConfig, MissingFile
from utils.safe_io import save_json
from utils.torch_io import save_torch

pytestmark = pytest.mark.usefixtures('no_assets')


def parse(line):
    return parse_training_options(shlex.split(line))[0]


@pytest.mark.parametrize('path', config_files(), ids=lambda p: p.stem)
def test_every_config_file_loads(path):
    cfg = load_config(path)
    assert cfg.is_frozen()


def test_unknown_key_names_the_nearest():
    with pytest.raises(BadConfig, match="unknown config key 'TRAIN.BATCHSIZE'.*'TRAIN.BATCH_SIZE'"):
        load_config(None, ['TRAIN.BATCHSIZE', '4'])


def test_unknown_key_in_a_file_names_file_and_key(tmp_path):
    path = tmp_path / 'x.yaml'
    path.write_text('LOSS: {KP_2W: 1.0}')
    with pytest.raises(BadConfig, match=r"x\.yaml: unknown config key 'LOSS\.KP_2W'.*'LOSS\.KP_2D_W'"):
        load_config(path)


@pytest.mark.parametrize('key, value', [('TRAIN.BATCH_SIZE', 'many'), ('TRAIN.BATCH_SIZE', '1.5'),
                                        ('SOLVER.EPOCHS', '3'), ('TRAIN.SHUFFLE', '7'), ('LOSS', '1')])
def test_wrong_type(key, value):
    with pytest.raises(BadConfig, match=key):
        load_config(None, [key, value])


def test_values_are_read_as_the_key_holds_them():
    cfg = load_config(None, ['SOLVER.BASE_LR', '1e-4', 'SOLVER.EPOCHS', '[3, 5]', 'LOSS.KP_2D_W', '5', 'NAME', '12'])
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.EPOCHS, cfg.LOSS.KP_2D_W, cfg.NAME) == (1e-4, [3, 5], 5.0, '12')


def test_value_outside_its_choices():
    with pytest.raises(BadConfig, match='KP_CRITERION'):
        load_config(None, ['LOSS.KP_CRITERION', 'huber'])


def test_missing_config_file():
    with pytest.raises(MissingFile, match='nothing.yaml'):
        load_config('nothing.yaml')


def test_flags_are_aliases_of_keys():
    cfg = default_config()
    for flag in FLAGS:
        for key in flag.keys:
            get_key(cfg, key)


def test_published_command_lines():
    cfg = parse('--regressor pymaf_net --single_dataset --misc TRAIN.BATCH_SIZE 64')
    assert cfg.MODEL.REGRESSOR == 'pymaf_net' and cfg.DATA.SINGLE_DATASET and cfg.DATA.SINGLE_NAME == 'coco-full'
    assert cfg.TRAIN.BATCH_SIZE == 64 and cfg.NAME == 'pymaf_net'
    cfg = parse('--name train_example --run_smplify --num_epoch=10 --summary_steps=300 --checkpoint_steps=300')
    assert cfg.MODEL.REGRESSOR == 'pymaf_net' and cfg.SMPLIFY.RUN and cfg.TRAIN.NUM_EPOCHS == 10
    assert cfg.TRAIN.SUMMARY_STEPS == 300 and cfg.TRAIN.CHECKPOINT_STEPS == 300 and cfg.NAME == 'train_example'


def test_regressor_comes_from_the_checkpoint(tmp_path):
    import torch
    path = tmp_path / 'model_checkpoint.pt'
    save_torch(path, {'model': {'conv1.weight': torch.zeros(1), 'fc1.weight': torch.zeros(1)}})
    assert parse(f'--name x --pretrained_checkpoint={path}').MODEL.REGRESSOR == 'hmr'
    assert parse(f'--name x --pretrained_checkpoint={path} --regressor pymaf_net').MODEL.REGRESSOR == 'pymaf_net'


def test_misc_can_stand_before_other_flags():
    cfg = parse('--misc SOLVER.BASE_LR 0.1 TRAIN.EMA 0.5 --batch_size 3')
    assert (cfg.SOLVER.BASE_LR, cfg.TRAIN.EMA, cfg.TRAIN.BATCH_SIZE) == (0.1, 0.5, 3)


def test_negative_flags_and_spin_weights():
    cfg = parse('--regressor hmr --no_pin_memory --no_shuffle_train --keypoint_loss_weight 2.5 --ignore_3d')
    assert not cfg.TRAIN.PIN_MEMORY and not cfg.TRAIN.SHUFFLE and cfg.DATA.IGNORE_3D
    assert cfg.LOSS.KP_2D_W == cfg.LOSS.KP_3D_W == 2.5 and cfg.LOSS.SCALE == 60


def test_options_from_json(tmp_path):
    path = tmp_path / 'config.json'
    save_json(path, {'name': 'old', 'batch_size': 7, 'pin_memory': False, 'lr': 1e-3, 'summary_dir': '/x'})
    cfg = parse(f'--from_json {path} --lr 1e-2')
    assert (cfg.NAME, cfg.TRAIN.BATCH_SIZE, cfg.TRAIN.PIN_MEMORY, cfg.SOLVER.BASE_LR) == ('old', 7, False, 1e-2)


@pytest.mark.parametrize('line, said', [
    ('--regresor hmr', 'unrecognized arguments'), ('--regressor hmmr', 'unknown regressor'),
    ('--p 3', 'ambiguous'), ('--misc TRAIN.BATCH_SIZE', 'no value')])
def test_bad_command_lines_are_one_line(line, said):
    with pytest.raises(BadConfig, match=said) as raised:
        parse(line)
    assert '\n' not in str(raised.value)


def test_help_names_the_keys():
    assert 'TRAIN.BATCH_SIZE' in build_parser().format_help()


def test_published_flags_choose_the_mixture():
    """DaNet's own flags, and --no_3dhp on top of any mixture."""
    itw = ['h36m:0.3', 'lsp-orig+mpii+lspet+coco:0.6']
    for flags, mixture in (('--dp_itw', ['h36m:0.5', 'dp_coco:0.5']), ('--use_coco', [*itw, 'mpi-inf-3dhp:0.1']),
                           ('--train_data h36m_dp', ['h36m:0.5', 'dp_coco:0.5']), ('--use_coco --no_3dhp', itw),
                           ('--train_data h36m_coco_itw --no_3dhp', itw)):
        cfg = parse(f'--regressor danet {flags}')
        assert mixture == cfg.DATA.MIXTURE and cfg.DATA.DENSE_POINTS
    assert itw == parse('--regressor hmr --no_3dhp').DATA.MIXTURE
    with pytest.raises(BadConfig, match="--train_data is 'dp'; use one of h36m_dp, h36m_coco_itw"):
        parse('--regressor danet --train_data dp')


@pytest.mark.parametrize('key', ['MODEL.BACKBONE.PRETRAINED', 'DATA.EVAL_DATASET', 'TRAIN.CHECKPOINT'])
@pytest.mark.parametrize('empty', ["''", '""', ''])
def test_an_empty_text_in_quotes_is_empty(no_assets, key, empty):
    """A shell hands on the inner quotes of --misc KEY "''"."""
    cfg, _ = parse_training_options(['--regressor', 'hmr', '--misc', key, empty])
    assert get_key(cfg, key) == ''


def test_loader_processes_are_no_more_than_cores(monkeypatch):
    monkeypatch.setattr('os.sched_getaffinity', lambda _: {4, 5, 9}, raising=False)
    found = [worker_options(load_config(None, ['TRAIN.NUM_WORKERS', wanted]), most)['num_workers']
             for wanted, most in ((8, None), (2, None), (0, None), (8, 2))]
    assert found == [3, 2, 0, 2]

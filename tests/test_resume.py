"""What --resume and --resume_if_exists do where a run is absent, unreadable or finished."""
import os

import pytest
import torch

from core.config.training_options import parse_training_options
from core.training.trainer import Trainer
from tests.test_training import tiny_config
from utils.errors import BadFile, MissingFile
from utils.torch_io import load_torch, save_torch

pytestmark = pytest.mark.usefixtures('without_panels')


def hmr(tiny_assets, folder, *overrides):
    return tiny_config(tiny_assets, folder, *overrides, regressor='hmr')


def write_runs(folder, *names):
    """Empty checkpoints of runs, the first the oldest."""
    for age, name in enumerate(names):
        path = folder / name / 'checkpoints/step_00000001.pt'
        path.parent.mkdir(parents=True)
        save_torch(path, {'model': {'weight': torch.zeros(1)}})
        os.utime(path, (age, age))


def step_of(folder):
    return load_torch(folder / 'run/checkpoints/latest.pt')['global_step']


@pytest.mark.parametrize('words', [['--resume'], ['--cfg_file', 'spin.yaml', '--resume'],
                                   ['--misc', 'TRAIN.RESUME', 'True']])
def test_a_misspelled_name_is_an_error_that_lists_the_runs(tmp_path, words):
    write_runs(tmp_path, *'abcdef', 'group/deep')
    with pytest.raises(MissingFile) as caught:
        parse_training_options(['--name', 'my_nett', '--log_dir', str(tmp_path), *words])
    told = str(caught.value)
    assert f'{tmp_path / "my_nett"}: no checkpoint to resume from' in told and '\n' not in told
    assert 'group/deep, f, e, d, c, ...' in told and '--name' in told and '--resume_if_exists' in told


def test_an_empty_log_folder_is_said(tmp_path):
    with pytest.raises(MissingFile, match='has no run; check --log_dir'):
        parse_training_options(['--resume', '--name', 'run', '--log_dir', str(tmp_path / 'absent')])


def test_the_trainer_resumes_no_absent_run(tiny_assets, tmp_path):
    """A config from Python or from YAML."""
    with pytest.raises(MissingFile, match='no checkpoint to resume from'):
        Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.RESUME', True))
    assert not (tmp_path / 'run').exists()


def test_a_job_that_restarts_has_one_command(tiny_assets, tmp_path, caplog):
    """The first start is a new run, the second continues it."""
    options = 'TRAIN.RESUME_IF_EXISTS', True, 'DATA.EVAL_DATASET', ''
    Trainer(hmr(tiny_assets, tmp_path, *options, 'TRAIN.TIME_TO_RUN', 1e-9)).fit()
    assert step_of(tmp_path) == 1 and 'starting a new run' in caplog.text
    Trainer(hmr(tiny_assets, tmp_path, *options, 'TRAIN.MAX_STEPS', 2)).fit()
    assert step_of(tmp_path) == 2 and 'epoch 0, step 1' in caplog.text


def test_the_flag_takes_the_config_of_a_run_that_exists(tiny_assets, tmp_path):
    words = ['--resume_if_exists', '--name', 'run', '--log_dir', str(tmp_path)]
    assert parse_training_options([*words, '--regressor', 'hmr'])[0].TRAIN.RESUME_IF_EXISTS
    Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.MAX_STEPS', 1, 'DATA.EVAL_DATASET', '')).fit()
    cfg, _ = parse_training_options(words)
    assert cfg.MODEL.HMR.HIDDEN == 32 and cfg.TRAIN.RESUME_IF_EXISTS  # tiny_config's


@pytest.mark.parametrize('key', ['TRAIN.RESUME', 'TRAIN.RESUME_IF_EXISTS'])
def test_unreadable_checkpoints_are_an_error_and_stay(tiny_assets, tmp_path, key):
    folder = tmp_path / 'run/checkpoints'
    folder.mkdir(parents=True)
    damaged = {'step_00000002.pt': b'', 'step_00000007.pt': b'PK damaged', 'latest.pt': b'PK damaged'}
    for name, content in damaged.items():
        (folder / name).write_bytes(content)
    with pytest.raises(BadFile, match=r'step_00000007\.pt: .*no checkpoint of this run can be resumed') as caught:
        Trainer(hmr(tiny_assets, tmp_path, key, True))
    assert '\n' not in str(caught.value) and '--checkpoint' in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == damaged


def test_a_run_of_whose_checkpoints_only_the_best_is_left_is_an_error(tiny_assets, tmp_path):
    """--checkpoint takes it; --resume does not go back in secret."""
    Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.MAX_STEPS', 1)).fit()
    for name in ('step_00000001.pt', 'latest.pt'):
        (tmp_path / 'run/checkpoints' / name).unlink()
    with pytest.raises(BadFile, match='neither step.*--checkpoint'):
        Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.RESUME_IF_EXISTS', True))
    best = str(tmp_path / 'run/checkpoints/best.pt')
    assert Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.CHECKPOINT', best)).state.progress.global_step == 1


def test_a_copy_of_latest_alone_is_resumed(tiny_assets, tmp_path):
    Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.MAX_STEPS', 1, 'DATA.EVAL_DATASET', '')).fit()
    (tmp_path / 'run/checkpoints/step_00000001.pt').unlink()
    Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.RESUME', True, 'TRAIN.MAX_STEPS', 2, 'DATA.EVAL_DATASET', '')).fit()
    assert step_of(tmp_path) == 2


@pytest.mark.parametrize('limit', [('TRAIN.MAX_STEPS', 2), ('TRAIN.NUM_EPOCHS', 1)])
def test_a_finished_run_trains_no_step_more(tiny_assets, tmp_path, caplog, limit):
    """Finished by steps or by epochs: one line that names the key, and the files are unchanged."""
    Trainer(hmr(tiny_assets, tmp_path, *limit)).fit()
    files = {path: path.read_bytes() for path in (tmp_path / 'run').rglob('*.pt')}
    report = tmp_path / 'run/evaluation.md'
    written = report.stat().st_mtime_ns
    assert Trainer(hmr(tiny_assets, tmp_path, *limit, 'TRAIN.RESUME', True)).fit() is None
    line, = [line for line in caplog.messages if 'nothing is left to train' in line]
    assert limit[0] in line and {'TRAIN.MAX_STEPS': '--misc TRAIN.MAX_STEPS N', 'TRAIN.NUM_EPOCHS': '--num_epochs N'}[
        limit[0]] in line
    assert {path: path.read_bytes() for path in (tmp_path / 'run').rglob('*.pt')} == files
    assert report.stat().st_mtime_ns == written


def test_a_finished_run_without_its_report_is_validated(tiny_assets, tmp_path):
    """It was stopped between the last step and the report."""
    whole = Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.MAX_STEPS', 2)).fit()
    (tmp_path / 'run/evaluation.md').unlink()
    again = Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.MAX_STEPS', 2, 'TRAIN.RESUME', True)).fit()
    assert torch.equal(again.errors['mpjpe'], whole.errors['mpjpe']) and (tmp_path / 'run/evaluation.md').exists()
    assert step_of(tmp_path) == 2

"""The main commands on a machine with the free body and without published data."""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.config import load_config
from core.config.free_recipe import free_yaml
from core.config.training_options import parse_training_options
from core.evaluation.coco_evaluator import run_coco
from core.evaluation.options import parse_coco_options, parse_pose_options
from datasets.catalog import STREAM, find_dataset
from datasets.coco_keypoints import CocoKeypoints
from datasets.mixed import MixedDataset
from datasets.synthetic.generate import main as generate
from models import REGRESSORS, Regressor
from tests.demo_data import write_checkpoint
from tests.tiny_data import write_tiny_dataset
from utils.errors import BadConfig, MissingFile

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 3 * 120  # characters: three lines
PAGE = ROOT / 'docs' / 'architecture.md'


def copy_body(free_assets, folder):
    """Copy the free body, as a fresh clone has it."""
    shutil.copytree(free_assets, folder,
                    ignore=lambda _, names: {'images', 'dataset_extras', 'video', 'annotations'} & set(names))


@pytest.fixture
def bare(free_assets, tmp_path, monkeypatch):
    """A working folder with the free body alone."""
    copy_body(free_assets, tmp_path / 'data/free')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope='module')
def people(free_assets, tmp_path_factory):
    """A free folder with a few rendered people, and their COCO file."""
    folder = tmp_path_factory.mktemp('people') / 'free'
    copy_body(free_assets, folder)
    generate(['--out', str(folder), '--train', '2', '--val', '2', '--size', '64', '--what', 'images,coco', '--workers',
              '1'])
    return folder


@pytest.fixture
def rendered(bare, people):
    """A working folder with the free body and these people."""
    shutil.copytree(people, bare / 'data/free', dirs_exist_ok=True)
    return bare


def parse(line):
    return parse_training_options(line.split())[0]


@pytest.mark.parametrize('regressor', ['hmr', 'spin', 'pymaf_net', 'danet', 'hmr2', 'cliff'])
def test_every_regressor_trains_its_free_recipe_on_the_stream(bare, said, regressor):
    cfg = parse(f'--regressor {regressor} --batch_size 3')
    assert regressor == cfg.MODEL.REGRESSOR and cfg.TRAIN.BATCH_SIZE == 3
    assert [f'{STREAM}:1'] == cfg.DATA.MIXTURE and cfg.DATA.EVAL_DATASET == ''
    assert regressor == cfg.NAME and not cfg.TRAIN.OVERWRITE  # an earlier run is kept
    line, = said
    assert 'configs/free/' in line and STREAM in line and len(line) < LONGEST
    assert parse(f'--regressor {regressor} --eval_dataset 3dpw').DATA.EVAL_DATASET == '3dpw'
    shown = load_config(free_yaml(regressor))
    assert cfg.DATA.IMG_RES == shown.DATA.IMG_RES and cfg.SOLVER == shown.SOLVER


def test_published_flags_work_as_they_are(bare):
    for line in ('--regressor pymaf_net --single_dataset --misc TRAIN.BATCH_SIZE 64',
                 '--name danet --regressor danet --batch_size 16 --vis_interval 1000 --pretr_step 5000'):
        dataset = MixedDataset(parse(line))
        assert [part.name for part in dataset.datasets] == [STREAM] and len(dataset) == 14_000


def test_rendered_pictures_come_first(rendered, said):
    cfg = parse('--regressor pymaf_net')
    assert cfg.DATA.MIXTURE == ['free:1'] and cfg.DATA.EVAL_DATASET == 'free' and cfg.DATA.EPOCH_LENGTH == 0
    assert any('on free;' in line for line in said)


def test_views_cannot_be_streamed_and_the_error_names_the_command(bare):
    with pytest.raises(MissingFile, match='generate --what studio-multiview') as caught:
        MixedDataset(parse('--regressor multi_spin'))
    assert len(str(caught.value)) < LONGEST


@pytest.mark.parametrize('line', ['--cfg_file pymaf.yaml',
                                  '--regressor pymaf_net --single_dataset --single_dataname coco',
                                  "--regressor pymaf_net --misc DATA.MIXTURE ['h36m:1','coco:1']"])
def test_a_named_config_or_dataset_keeps_the_published_recipe(bare, said, line):
    cfg = parse(line)
    assert cfg.MODEL.BACKBONE.NAME == 'resnet50' and not said
    with pytest.raises(MissingFile) as caught:
        MixedDataset(cfg, groups=[((cfg.DATA.SINGLE_NAME,), 1.0)] if cfg.DATA.SINGLE_DATASET else None)
    assert len(str(caught.value)) < LONGEST and '\n' not in str(caught.value)


def test_a_part_of_the_data_keeps_the_published_recipe(bare, said):
    write_tiny_dataset(bare / 'data/free', 'mpi-inf-3dhp', 'train', count=2)
    (bare / 'data/free/dataset_extras/mpi-inf-3dhp_train.npz').rename(
        bare / 'data/free/dataset_extras/mpi_inf_3dhp_train.npz')
    cfg = parse('--regressor pymaf_net')
    assert cfg.MODEL.BACKBONE.NAME == 'resnet50' and 'h36m:0.5' in cfg.DATA.MIXTURE
    assert not any('free' in line.split('annotations')[0] for line in said)


def test_another_body_keeps_the_published_recipe(standin_assets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = parse(f'--regressor hmr --misc PATHS.DATA_DIR {standin_assets}')
    assert cfg.MODEL.BACKBONE.NAME == 'resnet50'


def test_evaluation_takes_free_people(rendered, said):
    checkpoint = write_checkpoint(rendered / 'hmr.pt', 'data')
    cfg, _ = parse_pose_options(['--checkpoint', checkpoint])
    assert cfg.DATA.EVAL_DATASET == 'free' and '3dpw is not here: evaluating on free' in said
    assert parse_pose_options(['--checkpoint', checkpoint, '--dataset', '3dpw'])[0].DATA.EVAL_DATASET == '3dpw'


def test_coco_evaluation_takes_free_people(rendered, said):
    checkpoint = write_checkpoint(rendered / 'hmr.pt', 'data')
    cfg, _ = parse_coco_options(['--checkpoint', checkpoint, '--num_workers', '0'])
    truth = json.loads((rendered / 'data/free/annotations/free_val_keypoints.json').read_text())
    assert len(CocoKeypoints(cfg)) == len(truth['annotations']) == 2
    assert said == ['COCO is not here: evaluating on data/free/annotations/free_val_keypoints.json']
    assert np.isfinite(run_coco(cfg, checkpoint).stats['AP'])
    assert (rendered / 'output/keypoints_free_val_keypoints_results_hmr.json').exists()


def test_without_rendered_people_the_error_names_the_command(bare):
    checkpoint = write_checkpoint(bare / 'hmr.pt', 'data')
    for parse_options, command in ((parse_pose_options, '--what images'), (parse_coco_options, '--what images,coco')):
        with pytest.raises(MissingFile, match=f'generate {command}') as caught:
            parse_options(['--checkpoint', checkpoint])
        assert len(str(caught.value)) < LONGEST and '\n' not in str(caught.value)


def test_evaluation_without_weights_of_the_repository_takes_those_of_make_train(rendered, without_own_weights):
    with pytest.raises(MissingFile, match='make train'):
        parse_pose_options([])
    (rendered / 'logs/pymaf_quick/checkpoints').mkdir(parents=True)
    write_checkpoint(rendered / 'logs/pymaf_quick/checkpoints/best.pt', 'data')
    assert parse_pose_options([])[1] == 'logs/pymaf_quick/checkpoints/best.pt' == parse_coco_options([])[1]


def test_the_command_itself_trains(bare):
    """Two steps of the script."""
    done = subprocess.run([sys.executable, ROOT / 'train.py', '--regressor', 'hmr', '--batch_size', '2', '--misc',
                           'TRAIN.MAX_STEPS', '2', 'TRAIN.NUM_WORKERS', '0', 'DEVICE', 'cpu'], cwd=bare,
                          env={**os.environ, 'PYTHONPATH': str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((bare / 'logs/hmr/checkpoints').glob('*.pt'))


def run_as_printed(command, folder):
    """Run a command of the docs, `python3 SCRIPT ...`, in a folder -> what it printed."""
    python, script, *words = shlex.split(command)
    assert python == 'python3'
    done = subprocess.run([sys.executable, ROOT / script, *words], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, 'PYTHONPATH': str(ROOT), 'CUDA_VISIBLE_DEVICES': ''})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_the_regressor_of_the_page_trains_and_is_evaluated(bare):
    """docs/architecture.md's own class and commands, with the free body and two rendered people to evaluate on."""
    code, commands = re.search(r"```python\n([^`]*@register\('my_net'\)[^`]*)```\n```sh\n([^`]*)```",
                               PAGE.read_text()).groups()
    assert 15 <= len([line for line in code.splitlines() if line.strip()]) <= 25
    (bare / 'my_net.py').write_text(code)
    generate(['--out', 'data/free', '--train', '0', '--val', '2', '--size', '64', '--what', 'images', '--workers', '1'])
    trained, evaluated = (run_as_printed(command, bare) for command in commands.strip().splitlines())
    assert 'training my_net on free-stream' in trained and 'stopped by TRAIN.MAX_STEPS at step 2' in trained
    assert 'PA-MPJPE' in evaluated and 'max number of worker' not in evaluated


def test_the_first_command_of_the_page_trains(bare):
    command, = re.findall(r'^python3 train.py --plugin tests/plugins/toy_net.py.*$', PAGE.read_text(), re.MULTILINE)
    (bare / 'tests').symlink_to(ROOT / 'tests')
    run_as_printed(command, bare)
    assert (bare / 'logs/toy_net/checkpoints/best.pt').exists()


@pytest.fixture
def own_net(monkeypatch):
    """Registers a regressor without YAML file, as a plug-in does -> its name."""
    name = 'net_without_recipe'
    monkeypatch.setitem(REGRESSORS._entries, name, type('NetWithoutRecipe', (Regressor,), {}))
    return name


def test_an_own_regressor_without_data_takes_free_people(bare, said, own_net):
    cfg = parse(f'--regressor {own_net}')
    assert [f'{STREAM}:1'] == cfg.DATA.MIXTURE and cfg.DATA.EVAL_DATASET == '' and cfg.DATA.EPOCH_LENGTH == 14_000
    line, = [line for line in said if 'is here' in line]
    assert f'training {own_net} on {STREAM}' in line and '--cfg_file' not in line
    with pytest.raises(MissingFile, match='mine_train.npz'):
        MixedDataset(parse(f"--regressor {own_net} --misc DATA.MIXTURE ['mine:1']"))


def test_an_own_regressor_takes_rendered_people_first(rendered, own_net):
    cfg = parse(f'--regressor {own_net}')
    assert cfg.DATA.MIXTURE == ['free:1'] and cfg.DATA.EVAL_DATASET == 'free'


def test_the_data_of_an_own_yaml_file_are_not_replaced(bare, own_net, monkeypatch):
    path = bare / 'net.yaml'
    path.write_text("DATA: {MIXTURE: ['mine:1']}")
    monkeypatch.setattr('core.config.training_options.default_yaml', lambda *_, **__: path)
    with pytest.raises(MissingFile, match='mine_train.npz'):
        MixedDataset(parse(f'--regressor {own_net}'))


@pytest.mark.parametrize('name, split, command', [
    ('free', 'train', '--preset quick'), ('free', 'val', '--what images --train 0'),
    ('free', 'eval', '--what images --train 0'), ('free-studio', 'train', '--preset studio'),
    ('free-studio', 'eval', '--what studio --train 0'), ('free-studio-multiview', 'train', '--what studio-multiview')])
def test_absent_people_are_made_by_the_named_command(bare, name, split, command):
    """The command, with fewer people, makes the file."""
    cfg = load_config()
    with pytest.raises(MissingFile) as caught:
        find_dataset(cfg, name, split)
    named = str(caught.value).partition('make it: python -m datasets.synthetic.generate ')[2]
    assert named == command
    fewer = [] if '--train' in named else ['--train', '1']
    generate([*named.split(), *fewer, '--out', 'data/free', '--val', '1', '--multiview', '1', '--size', '64',
              '--workers', '1'])
    assert find_dataset(cfg, name, split).annotations.exists()


@pytest.mark.parametrize('name, said', [('free-stream', 'rendered while training'), ('free-video', 'use one of free,')])
def test_people_that_the_project_does_not_render_are_said(bare, name, said):
    with pytest.raises(BadConfig, match=said):
        find_dataset(load_config(), name, 'eval')

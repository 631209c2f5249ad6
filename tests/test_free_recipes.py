"""The main commands on a machine with the free body and without published data."""
import json
import os
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
from datasets.catalog import STREAM
from datasets.coco_keypoints import CocoKeypoints
from datasets.mixed import MixedDataset
from datasets.synthetic.generate import main as generate
from tests.demo_data import write_checkpoint
from tests.tiny_data import write_tiny_dataset
from utils.errors import MissingFile

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 3 * 120  # characters: three lines


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

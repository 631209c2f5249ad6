"""The Python API from another folder, beside installed packages with the names of this project's packages."""
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as pictures_of_skimage

from core.api import BodyEstimator, _frame, load_regressor
from core.config import load_config, to_text
from core.pretrained import repository_checkpoint
from models import build_regressor, regressor_names
from tests.blazepose import there
from utils.errors import BadConfig, BadFile, MissingFile
from utils.torch_io import load_torch, save_torch

ROOT = Path(__file__).resolve().parent.parent
NAMES = ('core', 'datasets', 'models', 'utils')
CHECKS = """
import datasets as after
assert after.OWNER == 'somebody else' and after is sys.modules['datasets']
assert not [path for path in sys.path if path.endswith('human-mesh-recovery')], sys.path
for name in ('core', 'models', 'utils'):
    assert __import__(name).OWNER == 'somebody else'
assert len(bodies) == 1
projected = bodies.joints[0] @ bodies.camera.T
assert abs(projected[:, :2] / projected[:, 2:] - bodies.keypoints_2d[0]).max() < 0.1
print('whole', type(torch.hub.load('human-mesh-recovery', 'hmr', source='local')).__module__)
"""


@pytest.fixture(scope='module')
def astronaut():
    return pictures_of_skimage.astronaut()


@pytest.fixture
def elsewhere(tmp_path, astronaut):
    """A folder with a clone of the repository, a picture, and other packages with the project's package names."""
    for name in NAMES:
        (tmp_path / 'installed' / name).mkdir(parents=True)
        (tmp_path / 'installed' / name / '__init__.py').write_text("OWNER = 'somebody else'\n")
    (tmp_path / 'human-mesh-recovery').symlink_to(ROOT)
    Image.fromarray(astronaut).save(tmp_path / 'person.jpg')
    return tmp_path


def readme_lines():
    """README's Python example, with a path of the test's folder."""
    block, = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(encoding='utf-8'), re.DOTALL)
    assert block.count("'/path/to/human-mesh-recovery'") == 1
    return block.replace('/path/to/', '')


@there
@pytest.mark.parametrize('first', ['import datasets\n', ''], ids=['datasets imported', 'datasets not imported'])
def test_readmes_lines_run_beside_other_packages_of_these_names(elsewhere, first):
    code = f'import sys\nsys.modules["smplx"] = None  # not installed\n{first}{readme_lines()}{CHECKS}'
    result = subprocess.run([sys.executable, '-c', code], cwd=elsewhere, capture_output=True, text=True,
                            env={**os.environ, 'PYTHONPATH': str(elsewhere / 'installed')})
    assert result.returncode == 0, result.stderr
    assert 'whole human_mesh_recovery.models.' in result.stdout and '(1, 6843, 3)' in result.stdout


@there
def test_a_picture_a_path_and_an_array_give_the_same_body(elsewhere, astronaut):
    estimator = BodyEstimator()
    Image.fromarray(astronaut).save(elsewhere / 'person.png')
    bodies = [estimator(given) for given in (astronaut, Image.fromarray(astronaut), str(elsewhere / 'person.png'))]
    for other in bodies[1:]:
        np.testing.assert_array_equal(bodies[0].vertices, other.vertices)
    body, = bodies[0].vertices
    # Her head is in the upper third of the 512 x 512 pixels, at columns 150 to 300.
    seen = body @ bodies[0].camera.T
    top = (seen[:, :2] / seen[:, 2:])[body[:, 1].argmin()]
    assert 150 < top[0] < 300 and top[1] < 170
    assert len(estimator(np.zeros((64, 64, 3), np.uint8))) == 0


def test_what_is_no_picture_is_named(tmp_path):
    with pytest.raises(BadFile, match='a folder, not a picture'):
        _frame(tmp_path)
    with pytest.raises(BadConfig, match=r'float32 \[4, 4\]'):
        _frame(np.zeros((4, 4), np.float32))


def test_torch_hub_has_an_entry_for_each_regressor():
    code = ('import torch; print(*[name for name in dir(torch.hub._import_module("hubconf", "hubconf.py")) '
            'if not name.startswith("_")])')
    listed = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(listed.split()) == {*regressor_names(), 'body_estimator', 'free_pymaf', 'dependencies'}


def test_weights_of_the_repository_or_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr('core.pretrained.PRETRAINED', tmp_path)
    with pytest.raises(MissingFile, match='has no weights of free_pymaf') as caught:
        repository_checkpoint('free_pymaf')
    assert '\n' not in str(caught.value)


def test_a_safetensors_checkpoint_is_read_whole(free_assets, tmp_path):
    cfg = load_config('free/hmr_quick.yaml', ['PATHS.DATA_DIR', str(free_assets), 'DEVICE', 'cpu',
                                              'MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.BACKBONE.PRETRAINED', ''])
    regressor = build_regressor(cfg).eval()
    path = tmp_path / 'hmr.safetensors'
    save_torch(path, {'model': regressor.state_dict(), 'regressor': 'hmr', 'config': to_text(cfg),
                      'body_digest': regressor.body.digest})
    read = load_regressor('hmr', path, free_assets, 'cpu')
    with torch.no_grad():
        images = torch.rand(1, 3, cfg.DATA.IMG_RES, cfg.DATA.IMG_RES)
        torch.testing.assert_close(read(images).final.vertices, regressor(images).final.vertices)
    with pytest.raises(BadConfig, match='not of cliff'):
        load_regressor('cliff', path, free_assets, 'cpu')
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # in the last tensor
    path.write_bytes(content)
    with pytest.raises(BadFile, match='digest'):
        load_torch(path)

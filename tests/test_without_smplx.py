"""Everything on the free body runs without the package smplx, whose licence does not allow every use."""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Imports of smplx fail, as on a machine without it.
BLOCKED = 'import sys; sys.modules["smplx"] = None\n'
BODY_AND_NETWORK = """
import torch
from core.config import load_config
from models import build_regressor
from datasets.preprocess.body_joints import BodyJoints
from utils.assets import find_assets
import numpy as np
regressor = build_regressor(load_config('free/pymaf_quick.yaml', ['PATHS.DATA_DIR', 'data/free'])).eval()
with torch.no_grad():
    joints = regressor(torch.zeros(1, 3, 224, 224)).final.joints
assert joints.shape == (1, 49, 3)
assert BodyJoints(find_assets('data/free'), 'neutral')(np.zeros(10), np.zeros(72))[1].shape == (49, 3)
"""
HELP = """
import runpy
for script in ('train.py', 'eval.py', 'demo.py', 'eval_coco.py'):
    sys.argv = [script, '--help']
    try:
        runpy.run_path(script, run_name='__main__')
    except SystemExit as end:
        assert not end.code, script
"""
LICENSED = """
from models.body import BodyModel
from utils.errors import MissingFile
try:
    BodyModel(sys.argv[1])
except MissingFile as error:
    text = str(error)
    assert 'smplx' in text and 'pip install' in text and '\\n' not in text, text
else:
    raise SystemExit('SMPL without its landmarks')
"""


def run(code, *arguments):
    command = [sys.executable, '-c', BLOCKED + code, *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_free_body_needs_no_smplx_and_smpl_without_it_is_one_line(free_assets, standin_assets):
    run(BODY_AND_NETWORK + LICENSED, str(standin_assets))


def test_scripts_start_without_smplx():
    run(HELP)


def test_no_module_imports_smplx_at_its_top():
    wanted = [path for layer in ('utils', 'models', 'datasets', 'core') for path in (ROOT / layer).rglob('*.py')
              if re.search(r'^(import|from) smplx', path.read_text(encoding='utf-8'), re.MULTILINE)]
    assert not wanted

"""Tests, regressors and files that the pages name exist."""
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from models import REGRESSORS, regressor_names

ROOT = Path(__file__).resolve().parent.parent
REPRODUCED = (ROOT / 'docs/reproduced.md').read_text(encoding='utf-8')


def test_every_regressor_has_a_row_in_the_tables_of_reproduced_md():
    networks, benchmarks = REPRODUCED.split('## Operations')[0], REPRODUCED.split('## Benchmarks')[1]
    for cls in REGRESSORS.entries():
        names = [f'`{name}`' for name in regressor_names() if REGRESSORS[name] is cls]
        assert any(name in networks for name in names) and any(name in benchmarks for name in names), names


def test_the_tests_that_are_named_exist():
    file = None
    for path, name in re.findall(r'`(tests/\w+\.py)?(?:::(\w+))?`', REPRODUCED):
        file = path or file
        if path:
            assert (ROOT / path).exists(), path
        if name:
            assert f'def {name}(' in (ROOT / file).read_text(encoding='utf-8'), f'{file}::{name}'


@pytest.mark.parametrize('page', ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'data/README.md', *(
    f'docs/{path.name}' for path in sorted((ROOT / 'docs').glob('*.md')))])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding='utf-8')
    for target in re.findall(r'\]\(([^)#\s]+)', text):
        assert target.startswith('http') or ((ROOT / page).parent / target).exists(), target


def test_git_tracks_only_the_free_body_and_the_page_in_the_data_folder(tmp_path):
    names = json.loads((ROOT / 'data/free/MANIFEST.json').read_text(encoding='utf-8'))['files']
    kept = ['data/README.md', 'data/free/MANIFEST.json', *(f'data/free/{name}' for name in names)]
    lost = ['data/smpl/SMPL_NEUTRAL.pkl', 'data/keypoints/pose_detection.tflite', 'data/free/images/free_train/0.jpg']
    shutil.copy(ROOT / '.gitignore', tmp_path)
    subprocess.run(['git', 'init', '-q'], cwd=tmp_path, check=True)
    ignored = subprocess.run(['git', 'check-ignore', *kept, *lost], cwd=tmp_path, capture_output=True, text=True)
    assert ignored.stdout.split() == lost


def test_the_page_of_the_data_folder_names_its_parts():
    page = (ROOT / 'data/README.md').read_text(encoding='utf-8')
    assert all(f'`{name}' in page for name in ('free/', 'keypoints/', 'smpl/', 'dataset_extras/', 'pretrained_model/'))


def test_citation_names_every_regressor():
    """The notes of the references are names of regressors. citation-file-format 1.2.0, "Required fields", lists
    cff-version, message, title and authors."""
    tree = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    assert {'cff-version', 'message', 'title', 'authors'} <= set(tree)
    cited = {reference['notes'] for reference in tree['references']}
    assert cited <= set(regressor_names()) and {REGRESSORS[name] for name in cited} == set(REGRESSORS.entries())
    for reference in tree['references']:
        assert {'type', 'title', 'authors'} <= set(reference)


def test_the_workflow_runs_what_ci_runs():
    tree = yaml.safe_load((ROOT / '.github/workflows/test.yml').read_text(encoding='utf-8'))
    assert '.ci/run' in [step.get('run') for step in tree['jobs']['test']['steps']]

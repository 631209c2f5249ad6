"""The notebook: stored without results, and run from its first cell to its last on few pictures."""
import ast
import json
import shutil
from pathlib import Path

import pytest

from core.config.training_options import build_parser as train_parser
from core.demo.options import build_parser as demo_parser
from datasets.synthetic.people import Cast
from datasets.synthetic.walking import write_walking
from utils.assets import Assets

NOTEBOOK = Path(__file__).resolve().parent.parent / 'notebooks' / 'demo.ipynb'


def sources(kind='code'):
    cells = json.loads(NOTEBOOK.read_text(encoding='utf-8'))['cells']
    return [''.join(cell['source']) for cell in cells if cell['cell_type'] == kind]


def test_stored_without_results():
    cells = json.loads(NOTEBOOK.read_text(encoding='utf-8'))['cells']
    assert all(cell['outputs'] == [] and cell['execution_count'] is None for cell in cells if 'outputs' in cell)


def test_every_command_is_understood():
    """The scripts' parsers accept the notebook's flags."""
    parsers = {'train.py': train_parser(), 'demo.py': demo_parser()}
    commands = [node for source in sources() for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'python']
    seen = []
    for command in commands:
        words = [argument.value if isinstance(argument, ast.Constant) else '1' for argument in command.args]
        seen.append(words[1] if words[0] == '-m' else words[0])
        if words[0] in parsers:
            parsers[words[0]].parse_args(words[1:])
    assert sorted(seen) == ['datasets.synthetic.generate', 'demo.py', 'demo.py', 'train.py']


@pytest.fixture
def small_assets(free_assets, tmp_path):
    """The free body without its pictures, and a video of one second."""
    folder = tmp_path / 'free'
    shutil.copytree(free_assets, folder, ignore=lambda path, names: {'images', 'dataset_extras', 'video'} & set(names))
    (folder / 'video').mkdir()
    cast = Cast(Assets(folder, is_free=True))
    write_walking(folder / 'video' / 'walking.mp4', folder / 'video' / 'walking.npz', cast, seconds=1, fps=10,
                  width=320, height=240)
    return folder


@pytest.mark.slow
def test_runs_from_first_cell_to_last(small_assets, tmp_path):
    nbformat = pytest.importorskip('nbformat', reason="the notebook's test needs nbclient and ipykernel")
    nbclient = pytest.importorskip('nbclient', reason="the notebook's test needs nbclient and ipykernel")
    pytest.importorskip('ipykernel', reason="the notebook's test needs nbclient and ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    parameters = next(cell for cell in notebook.cells if 'parameters' in cell.metadata.get('tags', ()))
    parameters.source = '\n'.join([
        "REPOSITORY = ''", f'DATA = {str(small_assets)!r}', f'LOGS = {str(tmp_path / "logs")!r}',
        f'RESULTS = {str(tmp_path / "results")!r}', 'TRAIN_PICTURES, HELD_OUT_PICTURES, EPOCHS = 48, 8, 1'])
    nbclient.NotebookClient(notebook, timeout=900, resources={'metadata': {'path': str(NOTEBOOK.parent)}}).execute()

    outputs = [output for cell in notebook.cells for output in cell.get('outputs', ())]
    shown = [output.data for output in outputs if output.output_type == 'display_data']
    assert sum('image/png' in data for data in shown) == 3
    pages = [data['text/html'] for data in shown if 'text/html' in data]
    assert any('<video' in page for page in pages) and any('__VISER_EMBED_DATA__' in page for page in pages)
    written = {path.name for path in (tmp_path / 'results' / 'walking').iterdir()}
    assert {'walking_result.mp4', 'walking.glb', 'walking_viewer.html'} <= written
    assert 'left wrist' in ''.join(output.get('text', '') for output in outputs)

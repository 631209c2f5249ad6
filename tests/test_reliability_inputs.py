"""Dirty data: every broken file is read, or raises a one-line ProjectError that names the file."""
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dirty_inputs import cases, picture_variants, read_to_sample
from tests.test_training import tiny_config
from tests.tiny_data import write_tiny_dataset
from utils.errors import ProjectError


class Chooser:
    """Choices of a mutation. hypothesis draws, shrinks and repeats them."""

    def __init__(self, data):
        self._data = data

    def number(self, low, high):
        return self._data.draw(st.integers(low, high))

    def one_of(self, values):
        return values[self.number(0, len(values) - 1)]


@pytest.fixture(scope='module')
def table(standin_assets, tmp_path_factory):
    write_tiny_dataset(standin_assets, 'tiny', 'train')
    return cases(tmp_path_factory.mktemp('cases'), standin_assets)


def try_mutants(table, folder, count):
    """Read at least `count` broken variants, equally many of each kind -> Counter of (kind, outcome)."""
    outcomes = Counter()

    @settings(max_examples=-(-count // len(table)), deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def attempt(name, data):
        reader, mutants = table[name]
        file, content = mutants(Chooser(data))
        path = folder / file
        path.write_bytes(content)
        outcome = read(reader, path, name)
        outcomes[name, outcome] += 1
        path.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for name in table:
            attempt(name)
    return outcomes


def read(reader, path, name):
    """'read' or 'refused'. Fails for other exceptions, for messages of several lines or without the file's name."""
    try:
        reader(path)
    except ProjectError as error:
        text = str(error)
        assert '\n' not in text, text
        # Where an annotation's picture is wrong, the error names the picture.
        assert path.name in text or '.jpg' in text or '/datasets/tiny/' in text, f'{name}: {text}'
        return 'refused'
    return 'read'


def report(outcomes):
    kinds = sorted({name for name, _ in outcomes})
    print(f'{sum(outcomes.values())} broken files of {len(kinds)} kinds: '
          + ', '.join(f'{name} {outcomes[name, "refused"]} refused {outcomes[name, "read"]} read' for name in kinds))


def test_dirty_data(table, tmp_path):
    outcomes = try_mutants(table, tmp_path, 150)
    report(outcomes)
    assert sum(outcomes.values()) >= 150 and len({name for name, _ in outcomes}) == len(table)


@pytest.mark.slow
def test_a_thousand_dirty_files(table, tmp_path):
    outcomes = try_mutants(table, tmp_path, 1000)
    report(outcomes)
    assert sum(outcomes.values()) >= 1000
    assert all(outcomes[name, 'refused'] for name in table)


def test_intact_files_are_read(table, tmp_path):
    """So mutants are refused because of their damage."""
    class Unharmed:
        def number(self, low, high):
            raise NotImplementedError

        def one_of(self, values):
            raise NotImplementedError
    from tests import dirty_inputs
    whole = {'mutated_arrays': lambda arrays, draw, write: write(dict(arrays)),
             'mutated_json': lambda value, draw: dirty_inputs.json.dumps(value).encode(),
             '_picture_mutant': lambda pictures, draw: ('plain.jpg', pictures['plain.jpg'])}
    kept = {name: getattr(dirty_inputs, name) for name in whole}
    try:
        for name, function in whole.items():
            setattr(dirty_inputs, name, function)
        for name, (reader, mutants) in table.items():
            file, content = mutants(Unharmed())
            (tmp_path / file).write_bytes(content)
            try:
                reader(tmp_path / file)
            except ProjectError as error:
                pytest.fail(f'{name}: {error}')
            (tmp_path / file).unlink()
    finally:
        for name, function in kept.items():
            setattr(dirty_inputs, name, function)


@pytest.mark.parametrize('name', picture_variants())
def test_unusual_pictures_are_read(standin_assets, tmp_path, name):
    content = picture_variants()[name]
    path = tmp_path / name
    path.write_bytes(content)
    reader = read_to_sample(tiny_config(standin_assets, tmp_path))
    assert read(reader, path, name) == 'read' or name == 'float.tiff'  # some versions of OpenCV cannot read it


def test_turned_pictures_stand_upright(standin_assets, tmp_path):
    from datasets.image_io import read_picture
    shapes = {}
    for orientation in range(1, 9):
        path = tmp_path / f'{orientation}.jpg'
        path.write_bytes(picture_variants()[f'turned_{orientation}.jpg'])
        picture = read_picture(path)
        shapes[orientation] = (picture.height, picture.width)
        assert picture.pixels.shape[:2] == shapes[orientation]
    assert all(shapes[n] == ((40, 60) if n < 5 else (60, 40)) for n in shapes)
    sixteen = tmp_path / 'sixteen.png'
    sixteen.write_bytes(picture_variants()['sixteen_rgb.png'])
    assert read_picture(sixteen).pixels.dtype == np.uint8

"""Datasets that are Python functions: their samples, and errors about wrong people."""
import numpy as np
import pytest
import torch

from core.config import load_config
from datasets.mixed import MixedDataset
from datasets.registered import DATASETS, RegisteredDataset, register_dataset
from tests.tiny_data import write_tiny_dataset
from utils.errors import BadConfig, BadFile, ProjectError

GOOD = {'image': np.full((60, 50, 3), 90, np.uint8), 'bbox': (10, 10, 20, 40)}


def dataset_of(people, *overrides, split='train'):
    """A RegisteredDataset of these people."""
    DATASETS._entries.pop('people', None)
    register_dataset('people')(lambda cfg, split: people)
    return RegisteredDataset(load_config(None, ['DATA.IMG_RES', 32, 'DATA.FLIP', False, 'DATA.ROT_PROB', 0.0,
                                                'DATA.SCALE_FACTOR', 0.0, *overrides]), 'people', split)


def test_a_person_becomes_a_sample():
    """The box (10, 10, 20, 40) has its centre at (20, 30) and a side of 1.2 x 40. A keypoint is at its corner."""
    keypoints = np.zeros((49, 3), np.float32)
    keypoints[30] = (20 - 24, 30 + 24, 1)
    sample = dataset_of([{**GOOD, 'keypoints_2d': keypoints, 'gender': 'f', 'focal': 80.0, 'mine': [1.0, 2.0]}])[0]
    assert sample['center'].tolist() == [20, 30] and sample['scale'].item() == pytest.approx(48 / 200)
    assert torch.allclose(sample['keypoints'][30], torch.tensor([-1.0, 1, 1]), atol=1e-5)
    assert sample['gender'] == 1 and sample['focal_length'] == 80 and sample['mine'].tolist() == [1, 2]
    assert sample['has_mine'] and not sample['has_smpl']


def test_absent_labels_are_zeros_with_a_mask(standin_assets):
    dataset = dataset_of([{**GOOD, 'mine': 3.0}, GOOD])
    assert [(dataset[row]['mine'].item(), bool(dataset[row]['has_mine'])) for row in (0, 1)] == [(3, True), (0, False)]
    write_tiny_dataset(standin_assets, 'tiny', 'train')
    cfg = load_config(None, ['PATHS.DATA_DIR', str(standin_assets), 'DATA.MIXTURE', ['people:1', 'tiny:1'],
                             'DATA.IMG_RES', 32])
    mixed = MixedDataset(cfg)
    seen = {(sample['dataset_name'], bool(sample['has_mine'])) for sample in (mixed[0, i] for i in range(len(mixed)))}
    assert seen <= {('people', True), ('people', False), ('tiny', False)} and ('tiny', False) in seen


@pytest.mark.parametrize('people, said', [
    ([{**GOOD, 'mine': [1.0]}, {**GOOD, 'mine': [1.0, 2.0]}], r'row 1: mine has shape \[2\], but must be \[1\]'),
    ([GOOD, {**GOOD, 'mine': 1.0}], 'row 1: mine has shape .* absent as in row 0'),
    ([GOOD, {**GOOD, 'keypoints_2d': np.zeros((17, 3))}], r'row 1: keypoints_2d has shape \[17, 3\]'),
    ([GOOD, {**GOOD, 'pose': np.zeros((24, 3))}], r'row 1: pose has shape \[24, 3\]'),
    ([GOOD, {**GOOD, 'bbox': (5, 5, 0, 0)}], 'row 1: its box is empty'),
    ([GOOD, {**GOOD, 'bbox': (5, 5, np.nan, 1)}], 'row 1: its box is empty or not finite'),
    ([GOOD, {'image': GOOD['image']}], 'row 1 has no box'), ([GOOD, {'bbox': (1, 2, 3, 4)}], "row 1 has no 'image'"),
    ([GOOD, {**GOOD, 'gender': 'woman'}], "gender is 'woman'"), ([GOOD, {**GOOD, 'mine': 'x'}], 'mine has type'),
    ([{**GOOD, 'keypoints': 1.0}], "label 'keypoints' has the name"),
    ([{**GOOD, 'img': 1.0}], "label 'img' has the name"),
    ((person for person in [GOOD]), 'returns generator'), (None, 'returns NoneType'), ([], 'has no people'),
    (['person'], 'row 0 is str')])
def test_bad_people_are_named(people, said):
    with pytest.raises((BadFile, BadConfig), match=said) as raised:
        dataset = dataset_of(people)
        for row in range(len(dataset)):
            dataset[row]
    assert '\n' not in str(raised.value) and "'people'" in str(raised.value)


def test_names_of_the_projects_own_sets_are_taken():
    for name in ('coco', 'free', 'free-studio', 'free-stream'):
        with pytest.raises(BadConfig, match='already'):
            register_dataset(name)


def test_a_label_with_a_similar_name_is_logged(caplog):
    dataset_of([{**GOOD, 'keypoint_2d': np.zeros((49, 3))}])
    assert "did you mean 'keypoints_2d'?" in caplog.text


def test_several_views_are_refused():
    with pytest.raises(ProjectError, match='DATA.N_VIEWS'):
        dataset_of([GOOD], 'DATA.N_VIEWS', 2)


def test_a_tight_box_is_framed_as_by_spins_converters():
    """Box (10, 10, 20, 40): 1.2 * 40 / 200 = 0.24. A square of that side, given as `bbox`, is enlarged to 0.288."""
    tight, framed, again = (dataset_of([{'image': GOOD['image'], **box}])[0] for box in (
        {'bbox': (10, 10, 20, 40)}, {'center': (20, 30), 'scale': 0.24}, {'bbox': (20 - 24, 30 - 24, 48, 48)}))
    assert tight['center'].tolist() == framed['center'].tolist() == again['center'].tolist() == [20, 30]
    assert tight['scale'].item() == pytest.approx(0.24) and again['scale'].item() == pytest.approx(0.288)
    assert torch.equal(tight['img'], framed['img']) and not torch.equal(tight['img'], again['img'])

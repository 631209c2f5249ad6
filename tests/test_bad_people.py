"""Pictures without people, with many or with small people: demo.py and from_pictures invent nobody."""
import cv2
import numpy as np
import pytest
import skimage.data

import core.demo.keypoints
from core.config import load_config
from core.demo.options import parse_options
from core.demo.run import run_demo
from core.own_data.run import label_own_data
from datasets.annotations import Annotations
from models.keypoints import PersonKeypoints, build_pose_estimator
from tests.blazepose import there
from utils.errors import BadFile
from utils.keypoints import NUM_JOINTS, NUM_OPENPOSE

NOBODY = ('a_cup', 'b_cat', 'c_hand', 'd_noise')


def bad_pictures():
    """{name: RGB picture}, from scikit-image's data, which are in the public domain."""
    astronaut, cup, cat = skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()
    small = cup.copy()
    small[200:230, 300:330] = cv2.resize(astronaut, (30, 30), interpolation=cv2.INTER_AREA)
    return {'a_cup': cup, 'b_cat': cat, 'c_hand': astronaut[400:500, 90:200],
            'd_noise': np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8),
            'e_painting': cv2.stylization(cv2.pyrDown(astronaut), sigma_s=60, sigma_r=0.45),
            'f_small': small, 'g_nine': np.tile(cv2.resize(astronaut, (128, 128)), (3, 3, 1))}


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp('bad')
    for name, picture in bad_pictures().items():
        cv2.imwrite(str(folder / f'{name}.png'), picture[..., ::-1])
    return folder


@pytest.fixture
def quick(monkeypatch):
    """The smaller of BlazePose's networks."""
    monkeypatch.setattr(core.demo.keypoints, 'build_pose_estimator',
                        lambda name, device, **options: build_pose_estimator(name, device, model='full'))


@there
def test_the_demo_makes_nobody_up(quick, pictures, free_assets, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # where no training has left a checkpoint
    [recording] = run_demo(*parse_options([
        '--image_folder', str(pictures), '--image_based', '--output_folder', str(tmp_path / 'o'), '--misc',
        'PATHS.DATA_DIR', str(free_assets)]))
    bodies = dict.fromkeys(recording.names, 0)
    for person in recording.people:
        assert np.isfinite(person.joints).all()
        for frame in person.frames:
            bodies[recording.names[frame]] += 1
    assert len(bodies) == 7 and not any(bodies[f'{name}.png'] for name in NOBODY)
    assert bodies['e_painting.png'] <= 1 and bodies['f_small.png'] <= 1 and 1 <= bodies['g_nine.png'] <= 9
    assert f'7 frames, {sum(bodies.values())} bod' in capsys.readouterr().out


@there
def test_from_pictures_labels_nobody_who_is_not_there(quick, pictures, free_assets, tmp_path, capsys):
    cfg = load_config(None, ['DEMO.RENDER', False, 'PATHS.DATA_DIR', str(free_assets), 'DEVICE', 'cpu'])
    label_own_data(cfg, pictures, tmp_path / 'mine.npz')
    labels = Annotations.load(tmp_path / 'mine.npz')
    assert not set(labels.imgname) & {f'{name}.png' for name in NOBODY}
    crowd = labels.subset(labels.imgname == 'g_nine.png')
    assert 1 <= len(crowd) <= 9
    cells = {tuple((center // 128).astype(int)) for center in crowd.center}
    assert len(cells) == len(crowd)  # nobody twice
    assert f'7 frames, {len(labels)} people; {7 - len(set(labels.imgname))} without a person' in capsys.readouterr().out


@pytest.mark.parametrize('confidence', [0.9, 0.0, np.nan])
def test_keypoints_that_are_all_wrong(free_assets, tmp_path, monkeypatch, capsys, confidence):
    """Random points, with a confidence of 0.9, 0 or NaN: nobody is labelled, and a line says so."""
    rng = np.random.default_rng(1)

    class Wrong:
        name = 'wrong'

        def __call__(self, image, boxes=None):
            points = np.concatenate([rng.uniform(0, 100, (NUM_JOINTS, 2)), np.full((NUM_JOINTS, 1), confidence)], 1)
            points[:NUM_OPENPOSE] = 0
            return [PersonKeypoints([0, 0, 100, 100], 0.9, points)]
    monkeypatch.setattr(core.demo.keypoints, 'build_pose_estimator', lambda name, device, **options: Wrong())
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((100, 100, 3), np.uint8))
    cfg = load_config(None, ['DEMO.RENDER', False, 'PATHS.DATA_DIR', str(free_assets), 'DEVICE', 'cpu'])
    with pytest.raises(BadFile, match='nobody was found') as raised:
        label_own_data(cfg, tmp_path / 'a.png', tmp_path / 'mine.npz')
    assert '\n' not in str(raised.value) and '1 left out: no body explains the keypoints' in capsys.readouterr().out
    assert not (tmp_path / 'mine.npz').exists()

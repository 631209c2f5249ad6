"""4D-Humans' training tars: the converter, and training samples of the shards that it writes."""
import io
import pickle
import tarfile

import cv2
import numpy as np
import pytest
from PIL import Image

from core.config import load_config
from datasets.mixed import MixedDataset
from datasets.preprocess.hmr2_tars import convert_tars
from datasets.shard_dataset import ShardDataset
from datasets.shards import verify
from utils.errors import BadFile, MissingFile
from utils.safe_io import load_json

RNG = np.random.default_rng(0)
WIDTH, HEIGHT = 120, 90
# The 44 keypoints: OpenPose's 25, then LSP's 14, MPII's pelvis and thorax, Human3.6M's spine, jaw and head.
RIGHT_ANKLE_LSP, PELVIS_MPII, HEAD_H36M = 25, 25 + 14, 25 + 18


def person(**others):
    """One entry of data.pyd with the keys, types and shapes that process_webdataset_tar_item reads."""
    points = np.concatenate([RNG.uniform(10, 80, (44, 2)), np.ones((44, 1))], 1).astype(np.float32)
    solid = np.concatenate([RNG.normal(0, .3, (44, 3)), np.ones((44, 1))], 1).astype(np.float32)
    return {'keypoints_2d': points, 'keypoints_3d': solid, 'center': np.array([60., 45.]),
            'scale': np.array([40., 80.]) / 200, 'body_pose': RNG.normal(0, .2, 72).astype(np.float32),
            'betas': RNG.normal(size=10).astype(np.float32), 'has_body_pose': np.array(1.), 'has_betas': np.array(1.),
            'image_file': 'x.jpg',
            'extra_info': {'detection_npz_idx': 0, 'fitting_loss': np.array({'reprojection_loss': 500.})}, **others}


def picture(exif=None):
    stream = io.BytesIO()
    Image.fromarray(RNG.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(stream, 'JPEG', **(exif or {}))
    return stream.getvalue()


def add(tar, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def write_tar(path, samples):
    """samples: {key: {extension: content, or people to pickle}}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, 'w') as tar:
        for key, members in samples.items():
            for extension, content in members.items():
                add(tar, f'{key}.{extension}', content if isinstance(content, bytes) else pickle.dumps(content))


def config(assets, *overrides):
    return load_config(None, ['PATHS.DATA_DIR', str(assets), 'DATA.IMG_RES', 32, 'TRAIN.NUM_WORKERS', 0, *overrides])


def labels_of(cfg, manifest):
    dataset = ShardDataset(cfg, str(manifest))
    return [dataset._read_row(row, 1.0) for row in range(len(dataset))]


def test_people_of_the_tars(tmp_path, standin_assets, log):
    first, second = person(), person(has_betas=np.array(0.))
    third = person(keypoints_3d=np.zeros((44, 4), np.float32))
    content = picture()
    write_tar(tmp_path / 'in/000000.tar', {
        'coco-train/a': {'jpg': picture(), 'data.pyd': [person()]},
        'coco-train/c': {'jpg': content, 'data.pyd': [first, second], 'detection.npz': b'no masks are read'},
        'coco-train/d': {'jpg': picture()}})
    write_tar(tmp_path / 'in/000001.tar', {
        'aic-train/0a047f0124ae48f8eee15a9506ce1449ee1ba669': {'jpg': picture(), 'data.pyd': [person()]},
        'aic-train/e': {'png': cv2.imencode('.png', np.full((HEIGHT, WIDTH, 3), 9, np.uint8))[1].tobytes(),
                        'data.pyd': [third, person(scale=np.zeros(2))]}})
    manifest = convert_tars(tmp_path / 'in', tmp_path / 'out', 'coco', progress=False)
    assert verify(manifest) == 3
    assert load_json(manifest)['name'] == 'coco' and load_json(manifest)['rows'] == 4
    for reason in ('1 pictures without labels', '1 pictures that are broken or turned', '1 people without a box'):
        assert reason in log.text
    rows = labels_of(config(standin_assets), manifest)
    (shown, found, row, name), (_, other, _, _), (_, last, _, last_name) = rows[1:]
    assert name == 'coco-train/c.jpg' and row == 1 and last_name == 'aic-train/e.png'
    assert (shown.height, shown.width) == (HEIGHT, WIDTH)
    # 4D-Humans warps with OpenCV, whose first pixel has its centre at 0; here it is at 0.5.
    half = np.array([.5, .5, 0])
    assert np.allclose(found.keypoints_2d[:44], first['keypoints_2d'] + half, atol=1e-4)
    assert not found.keypoints_2d[44:].any()
    assert np.allclose(found.joints_3d[0], first['keypoints_3d'][RIGHT_ANKLE_LSP], atol=1e-6)
    assert np.allclose(found.joints_3d[14], first['keypoints_3d'][PELVIS_MPII], atol=1e-6)
    assert np.allclose(found.joints_3d[18], first['keypoints_3d'][HEAD_H36M], atol=1e-6)
    assert np.allclose(found.center, [60, 45]) and found.scale == pytest.approx(80 / 200)
    assert np.allclose(found.bbox_size, [40, 80])
    assert found.has_smpl and np.allclose(found.pose, first['body_pose']) and np.allclose(found.betas, first['betas'])
    assert not other.has_smpl and other.has_joints_3d and not last.has_joints_3d and last.has_smpl


def test_training_reads_them(tmp_path, standin_assets):
    write_tar(tmp_path / 'in/000000.tar', {'k': {'jpg': picture(), 'data.pyd': [person(), person()]}})
    manifest = convert_tars(tmp_path / 'in', tmp_path / 'out', progress=False)
    sample = MixedDataset(config(standin_assets, 'DATA.MIXTURE', [f'{manifest}:1']))[0, 1]
    assert sample['img'].shape == (3, 32, 32) and sample['has_smpl'] and sample['dataset_name'] == 'in'


def test_bad_fits_are_left_out_where_asked(tmp_path, standin_assets):
    worse = person(extra_info={'fitting_loss': np.array({'reprojection_loss': 40000.})})
    people = [person(), worse, person(extra_info={'fitting_loss': np.array({})}), person(extra_info={})]
    write_tar(tmp_path / 'in/000000.tar', {'k': {'jpg': picture(), 'data.pyd': people}})
    for most, rows in ((31000., 3), (0., 4)):
        manifest = convert_tars(tmp_path / 'in', tmp_path / f'out{rows}', '', most, progress=False)
        assert load_json(manifest)['rows'] == rows


def test_an_interrupted_call_goes_on(tmp_path, monkeypatch):
    for number in range(3):
        write_tar(tmp_path / f'in/{number:06d}.tar', {f'k{number}': {'jpg': picture(), 'data.pyd': [person()] * 2}})
    whole = convert_tars(tmp_path / 'in', tmp_path / 'whole', 'x', progress=False).read_bytes()
    from datasets.preprocess import hmr2_tars
    read, done = hmr2_tars._pictures_of, []

    def stop_at_the_last(path, *arguments):
        if path.stem == '000002':
            raise KeyboardInterrupt
        done.append(path.stem)
        return read(path, *arguments)
    monkeypatch.setattr(hmr2_tars, '_pictures_of', stop_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        convert_tars(tmp_path / 'in', tmp_path / 'out', 'x', progress=False)
    monkeypatch.setattr(hmr2_tars, '_pictures_of', lambda path, *rest: done.append(path.stem) or read(path, *rest))
    assert convert_tars(tmp_path / 'in', tmp_path / 'out', 'x', progress=False).read_bytes() == whole
    assert done == ['000000', '000001', '000002']


class Hostile:
    def __reduce__(self):
        return eval, ("open('hostile', 'w')",)


def test_pickles_run_no_code_and_errors_are_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content, message in (([Hostile()], r'k\.data\.pyd'), ({'a': 1}, 'not a list of people'),
                             ([{'center': np.zeros(2), 'scale': np.ones(2)}], "a person has no 'keypoints_2d'"),
                             ([person(keypoints_2d=np.zeros((25, 3)))], r'keypoints_2d has shape \[1, 25, 3\]')):
        write_tar(tmp_path / 'in/000000.tar', {'k': {'jpg': picture(), 'data.pyd': content}})
        with pytest.raises(BadFile, match=message) as caught:
            convert_tars(tmp_path / 'in', tmp_path / 'out', 'x', progress=False)
        assert '\n' not in str(caught.value)
    assert not (tmp_path / 'hostile').exists() and not list((tmp_path / 'out').glob('*.tar'))
    (tmp_path / 'in/000000.tar').write_bytes(b'x' * 2000)
    with pytest.raises(BadFile, match=r'000000\.tar: not a readable tar file'):
        convert_tars(tmp_path / 'in', tmp_path / 'out', 'x', progress=False)
    with pytest.raises(MissingFile, match=r'no \.tar in this folder'):
        convert_tars(tmp_path / 'out', tmp_path / 'other', progress=False)


def test_turned_pictures_are_left_out(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    write_tar(tmp_path / 'in/000000.tar', {'k': {'jpg': picture({'exif': exif}), 'data.pyd': [person()]},
                                           'l': {'jpg': picture(), 'data.pyd': [person()]}})
    assert load_json(convert_tars(tmp_path / 'in', tmp_path / 'out', progress=False))['rows'] == 1

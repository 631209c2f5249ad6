"""COCO keypoints: a perfect predictor, boxes, flips, files, and scores that equal a separate call of pycocotools."""
import contextlib
import io
import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

from core.config import load_config, to_text
from core.evaluation.coco_evaluator import as_results, estimate_keypoints, run_coco, score_results
from core.evaluation.options import parse_coco_options
from datasets.coco_keypoints import CocoKeypoints
from models import build_regressor
from tests.conftest import ROOT
from utils.errors import BadFile, MissingFile, ProjectError
from utils.keypoints import J24_TO_COCO, J49_FLIP
from utils.torch_io import save_torch

CPU = torch.device('cpu')
REAL = ROOT.parent / 'shared/real/coco'


def person(number, image, seed, **changes):
    rng = np.random.default_rng(seed)
    keypoints = np.column_stack([rng.uniform(20, 100, 17), rng.uniform(10, 80, 17), np.full(17, 2)]).round(2)
    return {'id': number, 'image_id': image, 'category_id': 1, 'iscrowd': 0, 'area': 5000.0, 'num_keypoints': 17,
            'bbox': [15, 8, 90, 75], 'keypoints': keypoints.ravel().tolist(), 'segmentation': [], **changes}


def write_coco(folder, people, images=3):
    """Noise pictures of 120 x 90 pixels and an annotation file."""
    (folder / 'images').mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(1, images + 1):
        cv2.imwrite(str(folder / f'images/{number:012d}.jpg'), rng.integers(0, 255, (90, 120, 3), dtype=np.uint8))
    content = {'images': [{'id': n, 'file_name': f'{n:012d}.jpg', 'width': 120, 'height': 90}
                          for n in range(1, images + 1)],
               'annotations': people, 'categories': [{'id': 1, 'name': 'person'}]}
    (folder / 'coco.json').write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path):
    write_coco(tmp_path, [person(1, 1, 1), person(2, 1, 2, bbox=[5, 2, 100, 85]), person(3, 2, 3), person(4, 3, 4),
                          person(5, 3, 5, keypoints=[0] * 51, num_keypoints=0), person(6, 3, 6, iscrowd=1)])
    return tmp_path


def config(folder, assets, *overrides):
    return load_config(None, ['PATHS.DATA_DIR', str(assets), 'DATA.IMG_RES', 64, 'TRAIN.NUM_WORKERS', 0,
                              'TEST.BATCH_SIZE', 3, 'DEVICE', 'cpu', 'TEST.COCO_ANNOTATIONS', str(folder / 'coco.json'),
                              'TEST.COCO_IMAGES', str(folder / 'images'), *overrides])


class KeypointOracle(nn.Module):
    """Returns a crop's annotated keypoints, and mirrored ones for the crop's mirror image."""

    def __init__(self, dataset):
        super().__init__()
        self.known = {}
        for i in range(len(dataset)):
            sample = dataset[i]
            points = sample['keypoints'][:, :2]
            mirrored = points[J49_FLIP] * torch.tensor([-1, 1])
            self.known[sample['img'].numpy().tobytes()] = points
            self.known[sample['img'].flip(-1).numpy().tobytes()] = mirrored

    def forward(self, images):
        points = torch.stack([self.known[image.contiguous().numpy().tobytes()] for image in images])
        stage = type('Stage', (), {'keypoints_2d': points})()
        return type('Out', (), {'final': stage})()


@pytest.mark.parametrize('overrides', [(), ('TEST.FLIP', True), ('DATA.LEGACY_CROP_EVAL', True),
                                       ('DATA.BOX_ASPECT', 4 / 3)])
def test_perfect_predictor(folder, standin_assets, overrides):
    cfg = config(folder, standin_assets, *overrides)
    dataset = CocoKeypoints(cfg)
    assert len(dataset) == 4
    keypoints = estimate_keypoints(KeypointOracle(dataset), dataset, cfg, CPU, progress=False)
    truth = dataset.annotations.keypoints_2d[:, 25:][:, J24_TO_COCO, :2]
    # The published crop truncates keypoints to whole pixels.
    assert np.abs(keypoints - truth).max() < (4 if 'DATA.LEGACY_CROP_EVAL' in overrides else 1e-3)
    stats = score_results(dataset.coco, as_results(dataset, keypoints))
    if 'DATA.LEGACY_CROP_EVAL' not in overrides:
        assert stats['AP'] == stats['AR'] == pytest.approx(1)
        shuffled = score_results(dataset.coco, as_results(dataset, keypoints[::-1]))
        assert shuffled['AP'] < .5


def test_boxes(folder, standin_assets):
    dataset = CocoKeypoints(config(folder, standin_assets))
    # The published box is clipped to the picture and one pixel narrower; the crop is 1.25 times its longer side.
    assert np.allclose(dataset.annotations.center[0], [15 + 89 / 2, 8 + 74 / 2])
    assert dataset.annotations.scale[0] == pytest.approx(1.25 * 89 / 200)
    found = [{'image_id': 2, 'category_id': 1, 'bbox': [10, 20, 30, 40], 'score': .9},
             {'image_id': 2, 'category_id': 1, 'bbox': [10, 20, 30, 40], 'score': .1},
             {'image_id': 1, 'category_id': 7, 'bbox': [10, 20, 30, 40], 'score': .9}]
    (folder / 'found.json').write_text(json.dumps(found))
    detected = CocoKeypoints(config(folder, standin_assets, 'TEST.COCO_DETECTIONS', str(folder / 'found.json'),
                                    'TEST.MIN_SCORE', .5))
    assert detected.image_ids.tolist() == [2] and detected.scores.tolist() == [.9]
    assert detected.annotations.center.tolist() == [[25, 40]]
    np.savez(folder / 'val.npz', imgname=['val2014/000000000003.jpg'], center=[[50., 40.]], scale=[.4])
    listed = CocoKeypoints(config(folder, standin_assets, 'TEST.COCO_DETECTIONS', str(folder / 'val.npz')))
    assert listed.image_ids.tolist() == [3] and listed.annotations.scale.tolist() == [.4]
    named = CocoKeypoints(config(folder, standin_assets, 'TEST.VIS_IMNAME', '0002.jpg'))
    assert named.image_ids.tolist() == [2]


@pytest.fixture
def published_assets(standin_assets, tmp_path):
    """Assets with a coco_2014_val.npz of two people in different pictures, whose boxes differ from COCO's."""
    root = tmp_path / 'assets'
    shutil.copytree(standin_assets, root, symlinks=True)
    (root / 'dataset_extras').mkdir(exist_ok=True)
    np.savez(root / 'dataset_extras/coco_2014_val.npz', center=[[61., 44.5], [50., 40.]], scale=[.45, .4],
             imgname=['val2014/000000000001.jpg', 'val2014/000000000003.jpg'])
    return root


def test_the_published_protocol_takes_its_rows_and_boxes(folder, published_assets, checkpoint, capsys):
    """Two of four people are estimated. All four are ground truth, so at most half can be found."""
    path = folder / 'person_keypoints_val2014.json'
    (folder / 'coco.json').rename(path)
    cfg = config(folder, published_assets, 'TEST.COCO_ANNOTATIONS', str(path))
    dataset = CocoKeypoints(cfg)
    assert dataset.image_ids.tolist() == [1, 3] and dataset.annotations.center.tolist() == [[61, 44.5], [50, 40]]
    assert dataset.boxes == f'rows and boxes of {published_assets}/dataset_extras/coco_2014_val.npz'
    truth = np.array([dataset.coco.anns[number]['keypoints'] for number in (1, 4)]).reshape(2, 17, 3)[..., :2]
    stats = score_results(dataset.coco, as_results(dataset, truth + 0.5))
    assert stats['AR'] == pytest.approx(2 / 4)
    assert stats['AP'] == pytest.approx(51 / 101)  # precision 1 at the recalls 0, 0.01, ..., 0.50 of 101
    annotated = CocoKeypoints(config(folder, published_assets, 'TEST.COCO_ANNOTATIONS', str(path),
                                     'TEST.COCO_DETECTIONS', 'annotated'))
    assert len(annotated) == 4 and annotated.boxes.startswith('annotated boxes of')
    run_coco(*parse_coco_options(['--checkpoint', str(checkpoint), '--annotations', str(path), '--images',
                                  str(folder / 'images'), '--output_dir', str(folder / 'out'),
                                  '--misc', 'PATHS.DATA_DIR', str(published_assets)]))
    assert 'small.pt, 2 people (rows and boxes of ' in capsys.readouterr().out


def test_other_sets_are_evaluated_on_annotated_boxes(folder, published_assets, standin_assets):
    assert len(CocoKeypoints(config(folder, published_assets))) == 4
    path = folder / 'person_keypoints_val2014.json'
    (folder / 'coco.json').rename(path)
    assert len(CocoKeypoints(config(folder, standin_assets, 'TEST.COCO_ANNOTATIONS', str(path)))) == 4


@pytest.fixture(scope='module')
def checkpoint(standin_assets, tmp_path_factory):
    """A randomly initialized small HMR in this project's format."""
    path = tmp_path_factory.mktemp('weights') / 'small.pt'
    torch.manual_seed(0)
    cfg = load_config('hmr.yaml', ['PATHS.DATA_DIR', str(standin_assets), 'MODEL.BACKBONE.NAME', 'resnet18',
                                   'DATA.IMG_RES', 64, 'MODEL.HMR.HIDDEN', 32, 'TRAIN.NUM_WORKERS', 0])
    regressor = build_regressor(cfg)
    save_torch(path, {'regressor': 'hmr', 'regressor_class': type(regressor).__name__, 'config': to_text(cfg),
                      'body_digest': regressor.body.digest, 'model': regressor.state_dict()})
    return path


def separate_scores(annotations, results):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(annotations))
        scorer = COCOeval(coco, coco.loadRes(str(results)), 'keypoints')
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    return scorer.stats


def run(checkpoint, folder, *arguments):
    return run_coco(*parse_coco_options([
        '--checkpoint', str(checkpoint), '--annotations', str(folder / 'coco.json'), '--images',
        str(folder / 'images'), '--output_dir', str(folder / 'out'), *arguments]))


def test_run_and_files(folder, checkpoint, capsys):
    report = folder / 'table.json'
    evaluation = run(checkpoint, folder, '--flip', '--vis_demo', '--ratio', '1.5', '--report', str(report))
    results = folder / 'out/keypoints_coco_results_small.json'
    stats = separate_scores(folder / 'coco.json', results)
    for ours, theirs in zip(evaluation.stats.values(), stats):
        assert ours == theirs or (np.isnan(ours) and theirs == -1)
    content = json.loads(results.read_text())
    assert len(content) == 4 and content[0]['category_id'] == 1 and len(content[0]['keypoints']) == 51
    picture = cv2.imread(str(folder / 'out/small_coco.png'))
    assert picture.shape == (96, 4 * 2 * 96, 3) and picture.std() > 20
    assert json.loads(report.read_text())['rows'][0]['scores']['AP']['count'] == 4
    assert 'AP (M)' in capsys.readouterr().out
    with pytest.raises(ProjectError, match=r'small\.json: exists already; use --overwrite'):
        run(checkpoint, folder)
    run(checkpoint, folder, '--overwrite', '--max_samples', '2')
    assert len(json.loads(results.read_text())) == 2


@pytest.mark.skipif(not REAL.is_dir(), reason='../shared is not here')
def test_real_pictures(checkpoint, tmp_path):
    annotations = REAL / 'person_keypoints_sample.json'
    evaluation = run_coco(*parse_coco_options([
        '--checkpoint', str(checkpoint), '--annotations', str(annotations), '--images', str(REAL / 'images'),
        '--result_file', str(tmp_path / 'r.json'), '--output_dir', str(tmp_path)]))
    assert evaluation.people == 5
    assert list(evaluation.stats.values()) == separate_scores(annotations, tmp_path / 'r.json').tolist()


def test_perfect_predictor_on_real_pictures(standin_assets):
    if not REAL.is_dir():
        pytest.skip('../shared is not here')
    cfg = config(REAL, standin_assets, 'TEST.COCO_ANNOTATIONS', str(REAL / 'person_keypoints_sample.json'))
    dataset = CocoKeypoints(cfg)
    keypoints = estimate_keypoints(KeypointOracle(dataset), dataset, cfg, CPU, progress=False)
    assert score_results(dataset.coco, as_results(dataset, keypoints))['AP'] == pytest.approx(1)


@pytest.mark.parametrize('content, message', [
    ([], 'not a COCO'), ({'images': []}, 'not a COCO'), ({'images': [], 'annotations': []}, 'no person'),
    ({'images': [], 'annotations': [person(1, 1, 1)]}, 'not a COCO'),
    ({'images': [{'id': 1}], 'annotations': []}, 'not a COCO')])
def test_wrong_annotation_files(folder, standin_assets, content, message):
    (folder / 'coco.json').write_text(json.dumps(content))
    with pytest.raises(BadFile, match=rf'coco\.json: {message}') as caught:
        CocoKeypoints(config(folder, standin_assets))
    assert '\n' not in str(caught.value)


def test_missing_inputs(folder, standin_assets, tmp_path):
    with pytest.raises(MissingFile, match='person_keypoints_val2014.json: no such annotation file'):
        CocoKeypoints(config(folder, standin_assets, 'TEST.COCO_ANNOTATIONS', ''))
    with pytest.raises(MissingFile, match='give --images'):
        CocoKeypoints(config(folder, standin_assets, 'TEST.COCO_IMAGES', str(tmp_path / 'none')))
    (folder / 'found.json').write_text('[{"image_id": 77, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]')
    with pytest.raises(BadFile, match=r'found\.json: image 77 is not in'):
        CocoKeypoints(config(folder, standin_assets, 'TEST.COCO_DETECTIONS', str(folder / 'found.json')))
    (folder / 'found.json').write_text('{"a": 1}')
    with pytest.raises(BadFile, match=r'found\.json: not a detection file'):
        CocoKeypoints(config(folder, standin_assets, 'TEST.COCO_DETECTIONS', str(folder / 'found.json')))

"""The coordinate of a pixel's centre in every format, compared with dots in pictures, drawn points and real files."""
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import scipy.io
import torch

from core.evaluation.coco_evaluator import as_results, estimate_keypoints, score_results
from datasets.annotations import Annotations
from datasets.augmentation import Augmentation
from datasets.coco_keypoints import CocoKeypoints
from datasets.humandata import write_humandata
from datasets.image_io import read_picture
from datasets.preprocess.coco import convert_coco
from datasets.preprocess.lsp import convert_lsp
from datasets.sample import make_sample
from datasets.shard_format import parse_person, person_labels
from datasets.synthetic.coco_file import write_coco_keypoints
from datasets.synthetic.scene import Camera
from tests.conftest import ROOT
from tests.test_coco_evaluation import config, write_coco
from tests.test_coco_evaluation import person as coco_person
from utils.errors import BadFile
from utils.keypoints import COCO_JOINTS, COMMON_JOINTS, J24_TO_COCO
from utils.rasterizer import rasterize
from utils.safe_io import load_npz

REAL = ROOT.parent / 'shared/real'
NOSE = 25 + COMMON_JOINTS.index('nose')
needs_real_files = pytest.mark.skipif(not REAL.is_dir(), reason='../shared is not here')


@pytest.fixture
def dot(tmp_path):
    """(file, Person) of a picture with one white pixel at column 10, row 20, annotated in COCO's form as a nose."""
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[20, 10] = 255
    cv2.imwrite(str(tmp_path / 'dot.png'), picture)
    keypoints = [[10, 20, 2] if name == 'nose' else [0, 0, 0] for name in COCO_JOINTS]
    (tmp_path / 'dot.json').write_text(json.dumps({
        'images': [{'id': 1, 'file_name': 'dot.png', 'width': 40, 'height': 40}],
        'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'iscrowd': 0, 'bbox': [4, 13, 15, 12],
                         'area': 100, 'keypoints': np.ravel(keypoints).tolist()}]}))
    convert_coco(tmp_path, tmp_path / 'dot.json', tmp_path / 'out.npz', min_keypoints=0, progress=False)
    return tmp_path / 'dot.png', Annotations.load(tmp_path / 'out.npz').person(0)


@pytest.mark.parametrize('res', [40, 97, 224])
@pytest.mark.parametrize('flip, rotation, scale', [(False, 0.0, 1.0), (True, 0.0, 1.0), (False, 31.0, 0.9),
                                                   (True, -47.0, 1.1)])
def test_an_annotated_pixel_is_where_the_crop_shows_it(dot, res, flip, rotation, scale):
    file, person = dot
    cfg = SimpleNamespace(MODEL=SimpleNamespace(CAMERA='crop'), DATA=SimpleNamespace(IMG_RES=res))
    sample = make_sample(read_picture(file), person, Augmentation(flip, rotation, scale), cfg)
    light = sample['img'].double().sum(0)
    light = (light - light.min()).numpy()
    zoom = res / (200 * person.scale * scale)
    y, x = np.mgrid[:res, :res] + 0.5  # centres of the crop's pixels
    seen = np.array([(light * x).sum(), (light * y).sum()]) / light.sum()
    stated = (sample['keypoints'][NOSE, :2].numpy() + 1) * res / 2
    assert zoom > 2 and np.abs(seen - stated).max() < 0.05 * zoom  # half a pixel of the picture is 0.5 * zoom


def test_a_rendered_point_is_where_its_label_says():
    """The centre of pixel (20, 10) is at (20.5, 10.5) in the labels of rendered datasets."""
    camera = Camera(100.0, (32.0, 32.0), 64, 64)
    middle = np.array([(20.5 - 32) / 100 * 3, (10.5 - 32) / 100 * 3, 3.0])
    assert np.allclose(camera.project(middle[None])[0, :2], [20.5, 10.5])
    corners = middle + 0.4 * 3 / 100 * np.array([[-1, -1, 0], [1, -1, 0], [0, 1, 0]])  # 0.4 pixels about it
    pixels = torch.from_numpy(camera.project(corners)).float()[None]
    both_sides = torch.tensor([[0, 1, 2], [0, 2, 1]])
    seen = rasterize(pixels, both_sides, 64, 64)[0][0] >= 0
    assert seen.nonzero().tolist() == [[10, 20]]


class Answers(torch.nn.Module):
    """Returns fixed crop keypoints [N,49,2], batch by batch."""

    def __init__(self, points):
        super().__init__()
        self.points, self.given = torch.as_tensor(points), 0

    def forward(self, images):
        self.given += len(images)
        stage = SimpleNamespace(keypoints_2d=self.points[self.given - len(images):self.given])
        return SimpleNamespace(final=stage)


@pytest.fixture(params=['real', 'small'])
def coco_people(request, tmp_path):
    """(folder, annotation file) of COCO's pictures, or of people with an area of 400, where half a pixel matters."""
    if request.param == 'small':
        write_coco(tmp_path, [coco_person(n, n, n, area=400.0) for n in (1, 2, 3)])
        return tmp_path, tmp_path / 'coco.json'
    if not REAL.is_dir():
        pytest.skip('../shared is not here')
    return REAL / 'coco', REAL / 'coco/person_keypoints_sample.json'


def test_perfect_predictions_score_one(coco_people, standin_assets):
    """The estimates are the centres of the annotated pixels, computed here."""
    folder, path = coco_people
    cfg = config(folder, standin_assets, 'TEST.COCO_ANNOTATIONS', str(path))
    dataset = CocoKeypoints(cfg)
    people = [person for person in json.loads(path.read_text())['annotations']
              if person['category_id'] == 1 and not person['iscrowd'] and any(person['keypoints'])]
    people.sort(key=lambda person: dataset.coco.getAnnIds(catIds=[1], iscrowd=False).index(person['id']))
    assert [person['image_id'] for person in people] == dataset.image_ids.tolist()
    points = np.zeros((len(people), 49, 2))
    for row, person in enumerate(people):
        centres = np.reshape(person['keypoints'], (17, 3))[:, :2] + 0.5
        points[row, 25:][J24_TO_COCO] = (centres - dataset.annotations.center[row]) / (
            100 * dataset.annotations.scale[row])
    keypoints = estimate_keypoints(Answers(points), dataset, cfg, torch.device('cpu'), progress=False)
    assert score_results(dataset.coco, as_results(dataset, keypoints))['AP'] == pytest.approx(1)
    shifted = score_results(dataset.coco, as_results(dataset, keypoints + 0.5))['AP']
    assert shifted < 1 or folder == REAL / 'coco'


def test_results_count_pixels_from_zero(dot, standin_assets, tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'dot.png').rename(tmp_path / 'images/dot.png')
    (tmp_path / 'dot.json').rename(tmp_path / 'coco.json')
    dataset = CocoKeypoints(config(tmp_path, standin_assets))
    middle = np.full((1, 17, 2), [10.5, 20.5])
    assert dataset.annotations.keypoints_2d[0, NOSE].tolist() == [10.5, 20.5, 1]
    assert as_results(dataset, middle)[0]['keypoints'][:3] == [10, 20, 1]


def test_a_rendered_sets_coco_file_counts_pixels_from_zero(tmp_path):
    part = np.tile(np.array([10.5, 20.5, 1], np.float32), (1, 24, 1))
    np.savez(tmp_path / 's.npz', imgname=['a.jpg'], part=part, visibility=np.full((1, 49), 2), area=[9.0],
             bbox=[[1.0, 2, 3, 4]], body_digest='x', first_pixel=0.5, image_size=[[64, 48]])
    write_coco_keypoints(tmp_path / 's.npz', tmp_path / 's.json')
    written = json.loads((tmp_path / 's.json').read_text())
    assert (written['images'][0]['width'], written['images'][0]['height']) == (64, 48)
    person = written['annotations'][0]
    assert person['keypoints'][:3] == [10, 20, 2] and person['bbox'] == [1, 2, 3, 4]


def spin_file(path, **changes):
    point = np.tile([10.0, 20, 1], (1, 25, 1))
    np.savez(path, imgname=['a.jpg'], center=[[30.0, 40]], scale=[1.0], openpose=point, part=point[:, :24],
             smpl_2dkps=point[:, :24], **changes)
    return Annotations.load(path)


@pytest.mark.parametrize('name, first', [('coco_2014_train', 0), ('3dpw_test', 0), ('mpii_train', 1),
                                         ('lsp_dataset_original_train', 1), ('my_people', 0.5)])
def test_published_files_are_known_by_their_names(tmp_path, name, first):
    a = spin_file(tmp_path / f'{name}.npz')
    assert a.keypoints_2d[0, 30].tolist() == [10.5 - first, 20.5 - first, 1]
    assert a.smpl_keypoints_2d[0, 3].tolist() == [10.5 - first, 20.5 - first, 1]
    assert a.keypoints_2d[0, 3].tolist() == [10, 20, 1]  # OpenPose's points are continuous
    assert a.center.tolist() == [[30, 40]]
    a.save(tmp_path / f'{name}.npz')  # a saved file has the key first_pixel, so its name does not matter
    b = Annotations.load(tmp_path / f'{name}.npz')
    assert np.array_equal(a.keypoints_2d, b.keypoints_2d) and 'first_pixel' not in b.whole
    write_humandata(b, tmp_path / f'{name}.npz')
    assert np.array_equal(a.keypoints_2d, Annotations.load(tmp_path / f'{name}.npz').keypoints_2d)
    people = json.dumps({'imgname': 'a.jpg', 'first_pixel': 0.5, 'people': [person_labels(b, 0)]})
    assert np.array_equal(parse_person(people, 0, f'{name}.json')[0].keypoints_2d, a.keypoints_2d[0])


def test_a_file_may_say_its_rule(tmp_path):
    assert spin_file(tmp_path / 'a.npz', first_pixel=1.0).keypoints_2d[0, [3, 30]].tolist() == [[9.5, 19.5, 1]] * 2
    with pytest.raises(BadFile, match=r"a\.npz: key 'first_pixel' is .*, but must be one number"):
        spin_file(tmp_path / 'a.npz', first_pixel='half')


@needs_real_files
def test_a_converted_file_is_the_published_one(tmp_path):
    """SPIN's file has the numbers of LSP's joints.mat unchanged."""
    published = REAL / 'assets/dataset_extras/lsp_dataset_test.npz'
    joints = np.zeros((3, 14, 2000))
    joints[:2, :, 1000:] = load_npz(published)['part'][:, :14, :2].transpose(2, 1, 0)
    scipy.io.savemat(tmp_path / 'joints.mat', {'joints': joints})
    convert_lsp(tmp_path, tmp_path / 'ours.npz', progress=False)
    ours, theirs = Annotations.load(tmp_path / 'ours.npz'), Annotations.load(published)
    assert np.allclose(ours.keypoints_2d, theirs.keypoints_2d, atol=1e-4)
    assert np.allclose(ours.center, theirs.center) and np.allclose(ours.scale, theirs.scale)


@needs_real_files
def test_annotators_and_openpose_agree_on_a_thousand_people():
    """LSP's people face either way, so the median horizontal offset between annotated and detected limbs is 0."""
    a = Annotations.load(REAL / 'assets/dataset_extras/lsp_dataset_original_train.npz')
    limbs = [11, 10, 9, 12, 13, 14, 4, 3, 2, 5, 6, 7]
    detected, annotated = a.keypoints_2d[:, limbs], a.keypoints_2d[:, 25:37]
    both = (detected[..., 2] > 0.6) & (annotated[..., 2] > 0)
    assert both.sum() > 9000 and abs(np.median((annotated - detected)[both][:, 0])) < 0.2

"""Rendered people: the same seed gives the same bytes, labels lie on the person, no half-made set is trusted."""
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
import torch

from datasets.annotations import Annotations
from datasets.synthetic import generate, sets
from datasets.synthetic.free_body import FreeBody
from datasets.synthetic.people import MAX_BETA, Cast
from datasets.synthetic.photographs import PhotoFolder
from datasets.synthetic.realism import DEFAULT_REALISM
from datasets.synthetic.render import compose, draw, label
from datasets.synthetic.scene import sample_scene
from datasets.synthetic.sets import Recipe, write_set
from datasets.synthetic.stream import FreeStream
from datasets.synthetic.walking import write_walking
from models.body import BodyModel
from utils.assets import MANIFEST, Assets
from utils.errors import BadConfig, MissingFile, ProjectError
from utils.keypoints import J24_TO_COCO, JOINT_NAMES
from utils.safe_io import load_npz

ROOT = Path(__file__).resolve().parent.parent
SMALL = Recipe('free_train', 'train', count=6, size=96, seed=0, realism=DEFAULT_REALISM)


def linked_assets(free_assets, folder):
    """An asset folder of its own whose body files are links: sets can be written beside them."""
    folder.mkdir()
    for name in ('smpl', 'J_regressor_extra.npy', 'vertex_ids.json', 'garments.npz', MANIFEST):
        (folder / name).symlink_to(Path(free_assets) / name)
    return folder


@pytest.fixture(scope='module')
def rendered(free_assets, tmp_path_factory):
    """An asset folder with a small training set, a validation set, its COCO file and multi-view sets."""
    root = linked_assets(free_assets, tmp_path_factory.mktemp('rendered') / 'free')
    assert generate.main(['--out', str(root), '--train', '6', '--val', '5', '--multiview', '2', '--size', '96',
                          '--workers', '1', '--what', 'images,multiview,studio-multiview,coco']) == 0
    return root


def picture_bytes(root, name='free_train'):
    return [f.read_bytes() for f in sorted((root / 'images' / name).glob('*/*.jpg'))]


def test_bytes_depend_on_the_seed_and_not_on_the_workers(free_assets, rendered, tmp_path):
    again = linked_assets(free_assets, tmp_path / 'again')
    assert write_set(again, SMALL, workers=2)
    assert picture_bytes(again) == picture_bytes(rendered)
    assert (again / 'dataset_extras/free_train.npz').read_bytes() == \
        (rendered / 'dataset_extras/free_train.npz').read_bytes()
    other = linked_assets(free_assets, tmp_path / 'other')
    write_set(other, replace(SMALL, seed=1), workers=1)
    assert not set(picture_bytes(other)) & set(picture_bytes(rendered))
    assert not set(picture_bytes(rendered, 'free_val')) & set(picture_bytes(rendered))


def test_a_complete_set_is_left_alone_and_another_recipe_replaces_it(free_assets, tmp_path):
    root = linked_assets(free_assets, tmp_path / 'free')
    assert write_set(root, SMALL, workers=1)
    before = (root / 'dataset_extras/free_train.npz').stat().st_mtime_ns
    assert not write_set(root, SMALL, workers=1)
    assert (root / 'dataset_extras/free_train.npz').stat().st_mtime_ns == before
    shorter, other = (replace(SMALL, count=4, seed=seed) for seed in (0, 1))
    assert not write_set(root, shorter, workers=1), 'the longer set holds the shorter one'
    assert len(picture_bytes(root)) == 6
    assert write_set(root, other, workers=1)
    assert len(picture_bytes(root)) == 4
    os.unlink(root / 'images/free_train/00000/000002.jpg')
    assert write_set(root, other, workers=1), 'a picture was lost'


def test_files_have_spins_keys_and_shapes(rendered):
    raw = load_npz(rendered / 'dataset_extras/free_train.npz')
    shapes = {'imgname': (), 'center': (2,), 'scale': (), 'part': (24, 3), 'openpose': (25, 3), 'pose': (72,),
              'shape': (10,), 'S': (24, 4), 'gender': (), 'has_smpl': (), 'smpl_2dkps': (24, 3), 'visibility': (49,)}
    for key, shape in shapes.items():
        assert raw[key].shape == (6, *shape), key
    people = Annotations.load(rendered / 'dataset_extras/free_train.npz')
    assert people.has_smpl.all()
    assert people.has_joints_3d.all()
    assert (people.gender == -1).all()
    assert people.body_digest == Cast(Assets(rendered, is_free=True)).digest
    assert np.abs(people.betas).max() <= MAX_BETA
    for name in people.imgname:
        assert max(cv2.imread(str(rendered / 'images' / name)).shape) == 96
    inside = people.keypoints_2d[people.keypoints_2d[..., 2] > 0]
    assert (inside[:, :2] >= 0).all()
    assert (inside[:, :2] < 96).all()


def test_joints_lie_on_the_person_and_outside_joints_have_no_confidence(cast):
    on_person, seen = 0, 0
    for index in range(12):
        rng = np.random.default_rng([11, index])
        scene = sample_scene(rng, cast, 128)
        drawing = draw(rng, scene)
        row = label(scene, drawing)
        assert drawing.image.shape == (128, 128, 3)
        assert drawing.image.dtype == np.uint8
        person = cv2.dilate((drawing.mask | drawing.covered).astype(np.uint8), np.ones((5, 5))) > 0
        pixels = scene.camera.project(scene.person.joints)
        for point, exact in zip(np.concatenate([row['openpose'], row['part']]), pixels):
            if point[2]:
                assert np.allclose(point[:2], exact[:2], atol=1e-3)
                on_person += person[int(point[1]), int(point[0])]
                seen += 1
            else:
                assert not ((exact[:2] >= 0).all() and (exact[:2] < 128).all())
        box = row['bbox']
        rows, columns = np.nonzero(drawing.mask)
        assert columns.min() >= box[0] - 2
        assert columns.max() <= box[0] + box[2] + 2
        assert row['scale'] == pytest.approx(max(box[2:]) * 1.2 / 200, rel=1e-5)
    assert seen > 200
    assert on_person / seen > .97


def test_hidden_joints_are_told_from_seen_ones(cast):
    rng = np.random.default_rng(5)
    scene = sample_scene(rng, cast, 128)
    while label(scene, draw(rng, scene))['visibility'].min() == 0:
        scene = sample_scene(rng, cast, 128)
    drawing = compose(rng, scene, np.zeros((128, 128, 3), np.float32), things=False)
    seen = label(scene, drawing)['visibility']
    everything = SimpleNamespace(mask=drawing.mask, depth=drawing.depth, covered=np.ones((128, 128), bool))
    assert set(np.unique(seen)) <= {1, 2}
    assert (label(scene, everything)['visibility'] == 1).all()


def test_labels_are_those_of_the_training_body(cast, free_assets):
    """The renderer's body and the networks' give the same mesh and joints from the same labels."""
    rng = np.random.default_rng(2)
    scene = sample_scene(rng, cast, 96)
    row = label(scene, draw(rng, scene))
    body = BodyModel(Path(free_assets), 'neutral')
    out = body(torch.from_numpy(row['shape'])[None], pose=torch.from_numpy(row['pose'])[None])
    bare = FreeBody(Assets(Path(free_assets), is_free=True)).pose(row['shape'], row['pose'])
    assert np.abs(out.vertices[0].numpy() - bare.vertices).max() < 1e-4
    assert np.abs(out.joints[0].numpy() - scene.person.posed.joints).max() < 1e-4
    pelvis = out.smpl_joints[0, 0].numpy()
    assert np.abs(out.joints[0, 25:].numpy() - pelvis - row['S'][:, :3]).max() < 1e-4
    pixels = scene.camera.project(out.joints[0].numpy() + row['translation'])
    inside = row['part'][:, 2] > 0
    assert np.abs(pixels[25:][inside, :2] - row['part'][inside, :2]).max() < .05


def test_left_is_left(cast):
    """In pictures of people who face the camera, the left shoulder is on the right."""
    left, right = (JOINT_NAMES.index(f'{side}_shoulder') for side in ('left', 'right'))
    agree = 0
    for index in range(40):
        scene = sample_scene(np.random.default_rng([4, index]), cast, 96)
        root = scene.person.posed.rotations[0]
        joints = scene.camera.project(scene.person.joints)
        facing = -root[2, 2]
        upright = -root[1, 1]
        if facing > .5 and upright > .5:
            agree += 1
            assert joints[left, 0] > joints[right, 0]
    assert agree > 5


def test_studio_people_are_whole(cast):
    for index in range(15):
        rng = np.random.default_rng([8, index])
        scene = sample_scene(rng, cast, 96, studio=True)
        row = label(scene, draw(rng, scene, studio=True))
        assert row['part'][:, 2].mean() > .95
        assert row['openpose'][:, 2].mean() > .95


@pytest.mark.parametrize('name', ['free_multiview', 'free-studio-multiview'])
def test_views_of_a_scene_agree_on_one_person(rendered, name):
    raw = load_npz(rendered / f'dataset_extras/{name}_train.npz')
    assert raw['group'].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert raw['view'].tolist() == [0, 1, 2, 3] * 2
    body = BodyModel(rendered, 'neutral')
    out = body(torch.from_numpy(raw['shape']), pose=torch.from_numpy(raw['pose']))
    camera = out.joints.numpy() + raw['translation'][:, None]
    world = np.einsum('nba,nkb->nka', raw['cam_R'], camera - raw['cam_t'][:, None])
    for group in (0, 1):
        views = world[raw['group'] == group]
        assert np.abs(views - views[0]).max() < 1e-3
    pixels = np.einsum('nab,nkb->nka', raw['cam_K'], camera)
    pixels = pixels[..., :2] / pixels[..., 2:]
    inside = raw['part'][..., 2] > 0
    assert np.abs(pixels[:, 25:][inside] - raw['part'][inside][:, :2]).max() < .1


def test_coco_file_is_one_pycocotools_reads(rendered):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    truth = COCO(str(rendered / 'annotations/free_val_keypoints.json'))
    assert len(truth.getImgIds()) == 5
    raw = load_npz(rendered / 'dataset_extras/free_val.npz')
    annotation = truth.loadAnns([1])[0]
    points = np.reshape(annotation['keypoints'], (17, 3))
    labelled = points[:, 2] > 0
    assert annotation['num_keypoints'] == labelled.sum()
    # COCO counts pixels: the first one's centre, 0.5 here, is its 0.
    assert np.abs(points[labelled, :2] + .5 - raw['part'][0][J24_TO_COCO][labelled, :2]).max() < .01
    perfect = [{'image_id': a['image_id'], 'category_id': 1, 'keypoints': a['keypoints'], 'score': 1.0}
               for a in truth.loadAnns(truth.getAnnIds())]
    evaluation = COCOeval(truth, truth.loadRes(perfect), 'keypoints')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_stream_depends_on_epoch_and_index_alone(free_assets, cast):
    stream = FreeStream(Path(free_assets), length=10, seed=3, size=96)
    assert len(stream) == 10
    image, row = stream.sample(1, 4)
    stream.sample(0, 0)
    again, row_again = pickle.loads(pickle.dumps(stream)).sample(1, 4)
    assert np.array_equal(image, again)
    assert np.array_equal(row['pose'], row_again['pose'])
    assert not np.array_equal(image, stream.sample(2, 4)[0])
    assert row['body_digest'] == cast.digest


def read_json(path):
    return json.loads(path.read_text())


def check_boxes(rows, truth, frames):
    """Each frame has one box: it holds the joints, and the person, who alone moves in the video, fills it."""
    still = np.median(np.stack(frames).astype(float), 0)
    assert [row['image_id'] for row in rows] == list(range(len(frames)))
    for row, joints, frame in zip(rows, truth['joints_2d'], frames):
        left, top, width, height = row['bbox']
        assert (joints >= [left, top]).all() and (joints <= [left + width, top + height]).all()
        # Surface beyond the joints is less than a hand.
        beyond = [joints.min(0) - [left, top], [left + width, top + height] - joints.max(0)]
        assert np.max(beyond) < .2 * height
        assert (width, height) <= frame.shape[1::-1] and row['category_id'] == 1 and row['track_id'] == 0
        inside = np.zeros(frame.shape[:2], bool)
        inside[int(top):int(np.ceil(top + height)), int(left):int(np.ceil(left + width))] = True
        moved = np.abs(frame - still).max(-1) > 60
        assert moved[~inside].mean() < .01


def test_boxes_of_the_walk_are_made_where_they_lack(free_assets, tmp_path, monkeypatch):
    """A folder of before is not taken for complete."""
    made = []
    monkeypatch.setattr(generate, 'write_walking', lambda video, truth, cast, seed: made.append(video))
    root = linked_assets(free_assets, tmp_path / 'free')
    (root / 'video').mkdir(exist_ok=True)
    digest = json.loads((root / 'MANIFEST.json').read_text())['body_digest']
    (root / 'video/walking.mp4').write_bytes(b'a video')
    np.savez(root / 'video/walking.npz', body_digest=digest, seed=0)
    generate._write_video(root, 0)
    assert made == [root / 'video/walking.mp4']


def test_walking_video_has_the_truth_of_every_frame(cast, tmp_path):
    write_walking(tmp_path / 'walking.mp4', tmp_path / 'walking.npz', cast, seconds=1, fps=12, width=160, height=120)
    truth = load_npz(tmp_path / 'walking.npz')
    with av.open(str(tmp_path / 'walking.mp4')) as container:
        assert container.streams.video[0].codec_context.name == 'h264'
        frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
    assert len(frames) == 12 == len(truth['pose'])
    assert frames[0].shape == (120, 160, 3)
    pixels = truth['joints_3d'] @ truth['K'].T
    assert np.abs(pixels[..., :2] / pixels[..., 2:] - truth['joints_2d']).max() < .01
    check_boxes(read_json(tmp_path / 'walking_detections.json'), truth, frames)
    # The foot on the ground does not slide: in each step one foot moves far less than the body.
    feet = truth['smpl_joints_3d'][:, [10, 11]]
    moved = np.linalg.norm(np.diff(feet, axis=0), axis=-1)
    body = np.linalg.norm(np.diff(truth['smpl_joints_3d'][:, 0], axis=0), axis=-1)
    assert np.median(moved.min(1)) < .5 * np.median(body)


# --- bad input ---------------------------------------------------------------------------------------------------


def test_a_killed_run_leaves_nothing_that_is_trusted(free_assets, tmp_path):
    root = linked_assets(free_assets, tmp_path / 'free')
    command = [sys.executable, '-m', 'datasets.synthetic.generate', '--out', str(root), '--train', '3000', '--val', '1',
               '--size', '96', '--workers', '2', '--what', 'images']
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    aside = root / 'images/.free_train.partial'
    deadline = time.monotonic() + 120
    while len(list(aside.glob('*/*.jpg'))) < 4:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (root / 'dataset_extras/free_train.npz').exists()
    assert not (root / 'images/free_train').exists()

    count = -1
    while count != (count := len(list(aside.glob('*/*.jpg')))):
        assert time.monotonic() < deadline, 'rendering processes outlive the run'
        time.sleep(1)
    assert write_set(root, SMALL, workers=1)
    assert not aside.exists()
    assert len(picture_bytes(root)) == 6


def test_a_worker_that_dies_ends_the_run_with_one_line(free_assets, tmp_path, monkeypatch):
    root = linked_assets(free_assets, tmp_path / 'free')
    monkeypatch.setattr(sets, '_work', print)  # ends without having sent anything
    with pytest.raises(ProjectError, match='ended before its work was done'):
        write_set(root, SMALL, workers=2)
    assert not (root / 'dataset_extras/free_train.npz').exists()


def test_two_runs_do_not_write_into_one_folder(free_assets, tmp_path):
    root = linked_assets(free_assets, tmp_path / 'free')
    with sets.only_run(root), pytest.raises(ProjectError, match='another run'):
        write_set(root, SMALL, workers=1)


def test_too_little_space_is_said_before_anything_is_written(free_assets, tmp_path, monkeypatch):
    root = linked_assets(free_assets, tmp_path / 'free')
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: SimpleNamespace(free=10 << 20))
    with pytest.raises(ProjectError, match='MiB') as error:
        write_set(root, SMALL, workers=1)
    assert '\n' not in str(error.value)
    assert not list((root / 'images').glob('*free*')) + list((root / 'images').glob('.*partial'))


def test_background_folders(free_assets, tmp_path, rendered):
    with pytest.raises(MissingFile, match='no such folder'):
        generate.main(['--out', str(rendered), '--backgrounds', str(tmp_path / 'nowhere')])
    (tmp_path / 'pictures').mkdir()
    with pytest.raises(ProjectError, match='no readable picture among 0 files'):
        PhotoFolder(tmp_path / 'pictures')
    (tmp_path / 'pictures/broken.jpg').write_bytes(b'not a picture')
    with pytest.raises(ProjectError, match='no readable picture among 1 files'):
        PhotoFolder(tmp_path / 'pictures')
    cv2.imwrite(str(tmp_path / 'pictures/red.png'), np.full((40, 60, 3), (0, 0, 255), np.uint8))
    pictures = PhotoFolder(tmp_path / 'pictures')
    assert pictures.skipped == 1
    crop = pictures.sample(np.random.default_rng(0), 32, 32)
    assert crop.shape == (32, 32, 3)
    assert np.allclose(crop, (1, 0, 0), atol=.02)

    root = linked_assets(free_assets, tmp_path / 'free')
    recipe = Recipe('free_train', 'train', count=4, size=96, seed=0, backgrounds=str(tmp_path / 'pictures'))
    assert write_set(root, recipe, workers=1)
    red = [cv2.imread(str(f))[..., ::-1].reshape(-1, 3).mean(0) for f in (root / 'images/free_train').glob('*/*.jpg')]
    assert np.mean(red, 0)[0] > 1.5 * np.mean(red, 0)[1:].max()
    assert not write_set(root, recipe, workers=1)


def test_a_set_of_no_pictures_is_left_out(free_assets, tmp_path):
    """For evaluation alone: a training set of one picture would be trained on."""
    root = linked_assets(free_assets, tmp_path / 'free')
    assert generate.main(['--out', str(root), '--what', 'images', '--train', '0', '--val', '2', '--size', '96',
                          '--workers', '1']) == 0
    assert {file.name for file in (root / 'dataset_extras').glob('free*')} == {'free_val.npz'}


@pytest.mark.parametrize('flags, error, message', [
    (['--what', 'pictures'], BadConfig, 'unknown'), (['--train', '-1'], BadConfig, 'at least 0'),
    (['--size', '9'], BadConfig, '64 to 2048'), (['--gendered', '2'], BadConfig, 'share'),
    (['--out', 'no/such/folder'], MissingFile, 'git checkout -- data/free')])
def test_flags_that_cannot_be_used(rendered, flags, error, message):
    with pytest.raises(error, match=message):
        generate.main(['--out', str(rendered), *flags])


def test_a_set_of_an_older_format_is_made_anew(free_assets, tmp_path):
    root = linked_assets(free_assets, tmp_path / 'free')
    assert write_set(root, SMALL, workers=1)
    file = root / 'dataset_extras/free_train.npz'
    old = dict(load_npz(file))
    old['recipe'] = np.array(json.dumps(json.loads(str(old['recipe'])) | {'format': 1}))
    np.savez(file, **old)
    assert write_set(root, SMALL, workers=1) and not write_set(root, SMALL, workers=1)


def test_an_unfinished_asset_folder_is_not_rendered_from(free_assets, tmp_path):
    root = linked_assets(free_assets, tmp_path / 'free')
    os.unlink(root / MANIFEST)
    with pytest.raises(MissingFile, match='git checkout -- data/free'):
        write_set(root, SMALL, workers=1)


def test_garments_want_their_file(free_assets, tmp_path):
    root = linked_assets(free_assets, tmp_path / 'free')
    (root / 'garments.npz').unlink()
    with pytest.raises(MissingFile, match='garments.npz'):
        FreeStream(root, size=96).sample(0, 0)
    assert FreeStream(root, size=96, realism=()).sample(0, 0)[0].shape == (96, 96, 3)

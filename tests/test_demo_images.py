"""demo.py on pictures: flags, names of the results, places of the bodies, and bad input."""
import shutil
import sys

import cv2
import numpy as np
import pytest

from core.demo.options import parse_options
from tests.demo_data import (  # noqa: F401
    SMALL,
    demo,
    networks_are_read_once,
    write_checkpoint,
    write_json,
    write_video,
)
from utils.errors import BadConfig, BadFile, MissingFile, ProjectError
from utils.keypoints import JOINT_NAMES

BACKGROUND = (90, 120, 60)
JPEG = cv2.imencode('.jpg', np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8))[1].tobytes()
pytestmark = pytest.mark.usefixtures('networks_are_read_once')


@pytest.fixture(scope='module')
def checkpoint(free_assets, tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('demo') / 'hmr.pt', free_assets)


@pytest.fixture
def picture(tmp_path):
    return write_picture(tmp_path / 'photos' / 'street.v2.png')


@pytest.fixture
def unchecked(monkeypatch):
    """The files of a command line need not be there."""
    monkeypatch.setattr('core.demo.options.check_inputs', lambda inputs: None)


def write_picture(path, size=(200, 150)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size[::-1], 3), BACKGROUND[::-1], np.uint8))
    return path


def drawn(path, background=BACKGROUND):
    """Box (left, top, right, bottom) of the pixels that are not background."""
    image = cv2.imread(str(path))[..., ::-1].astype(int)
    rows, columns = np.nonzero(np.abs(image - background).max(-1) > 12)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


SPIN = ['--img', 'a.png', '--bbox', 'b.json', '--openpose', 'o.json', '--outfile', 'out']
PYMAF = ['--vid_file', 'v.mp4', '--output_folder', 'o', '--tracking_method', 'bbox', '--detector', 'yolo',
         '--yolo_img_size', '416', '--tracker_batch_size', '3', '--staf_dir', 's', '--regressor', 'hmr-spin',
         '--model_batch_size', '2', '--display', '--no_render', '--with_raw', '--empty_bg', '--sideview',
         '--image_based', '--use_gt', '--anno_file', 'g.json', '--render_ratio', '0.5', '--recon_result_file', 'r.npz',
         '--pre_load_imgs', '--save_obj', '--misc', 'SEED', '3']
DANET = ['--img_dir', 'd', '--out_dir', 'o', '--use_opendr']


@pytest.mark.parametrize('line', [SPIN, PYMAF, DANET], ids=['spin', 'pymaf', 'danet'])
def test_published_command_lines_are_understood(line, checkpoint, unchecked):
    cfg, inputs = parse_options(['--checkpoint', checkpoint, *line])
    assert inputs.kind == line[0][2:] and inputs.paths == (line[1],)
    if line is PYMAF:
        demo_cfg = cfg.DEMO
        assert (demo_cfg.OUTPUT_FOLDER, demo_cfg.DETECTOR, demo_cfg.TRACKER_BATCH_SIZE) == ('o', 'fasterrcnn', 3)
        assert (demo_cfg.MODEL_BATCH_SIZE, demo_cfg.RENDER_RATIO, cfg.SEED, demo_cfg.RENDER) == (2, .5, 3, False)
        assert demo_cfg.DISPLAY and demo_cfg.WITH_RAW and demo_cfg.EMPTY_BG and demo_cfg.SIDEVIEW
        assert demo_cfg.FORMATS == ['npz', 'json', 'obj'] and inputs.results == 'r.npz' and inputs.truth == 'g.json'


def test_danet_flag_for_its_config_is_understood(checkpoint, unchecked):
    cfg, _ = parse_options(['--checkpoint', checkpoint, '--cfg', 'hmr.yaml', '--img_dir', 'd'])
    assert cfg.MODEL.REGRESSOR == 'hmr' and cfg.MODEL.BACKBONE.NAME == 'resnet50'


@pytest.mark.parametrize('line, message', [
    ([], 'nothing to look at'), (['--img', 'a', '--vid_file', 'b'], 'exclude each other'),
    (['--img', 'a', 'b', '--bbox', 'c'], 'one for each'), (['--vid_file', 'a', '--use_gt'], 'go together'),
    (['--vid_file', 'a', '--tracking_method', 'pose'], '--openpose FOLDER'),
    (['--img', 'a', '--tracking_method', 'staf'], 'bbox or pose'), (['--img', 'a', '--boxx', 'c'], '--boxx')])
def test_wrong_flags_are_one_line_errors(line, message, checkpoint, unchecked):
    with pytest.raises(BadConfig, match=message) as error:
        parse_options(['--checkpoint', checkpoint, *line])
    assert '\n' not in str(error.value)


def test_without_weights_of_the_repository_the_quick_training_is_used(checkpoint, picture, tmp_path, monkeypatch,
                                                                      without_own_weights):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFile, match='make train'):
        demo('--img', picture)
    folder = tmp_path / 'logs' / 'pymaf_quick' / 'checkpoints'
    folder.mkdir(parents=True)
    shutil.copy(checkpoint, folder / 'best.pt')
    demo('--img', picture)
    assert (picture.parent / 'street.v2_shape.png').exists()


def test_a_centred_picture_gets_spins_files_beside_it(checkpoint, picture):
    [recording] = demo('--checkpoint', checkpoint, '--img', picture, '--save_glb')
    front, side = (picture.parent / f'street.v2_{name}.png' for name in ('shape', 'shape_side'))
    assert cv2.imread(str(front)).shape == cv2.imread(str(side)).shape == (150, 200, 3)
    left, top, right, bottom = drawn(front)
    assert abs((left + right) / 2 - 100) < 6 and bottom - top > 100
    assert drawn(side, (255, 255, 255))[3] > 100
    assert {path.suffix for path in picture.parent.glob('street.v2_person0.*')} == {'.npz', '.json'}
    assert (picture.parent / 'street.v2.glb').exists()
    assert (recording.width, recording.height, len(recording.people)) == (200, 150, 1)


def test_the_body_stands_upright_and_unmirrored_in_its_box(checkpoint, picture, tmp_path):
    box = write_json(tmp_path / 'box.json', {'bbox': [110, 20, 50, 100]})
    prefix = tmp_path / 'made' / 'x'
    [recording] = demo('--checkpoint', checkpoint, '--img', picture, '--bbox', box, '--outfile', prefix)
    left, top, right, bottom = drawn(tmp_path / 'made' / 'x_shape.png')
    assert left >= 80 and right <= 190 and top >= 18 and bottom <= 122
    assert abs((left + right) / 2 - 135) < 4
    points = dict(zip(JOINT_NAMES, recording.people[0].keypoints_2d[0]))
    assert points['head_top'][1] < points['pelvis_mpii'][1] < points['right_ankle'][1]
    # The mean pose faces the camera, so its right is on the picture's left.
    assert points['right_shoulder'][0] < points['left_shoulder'][0]
    assert np.abs(points['head_top'][1] - top) < 5


def test_openpose_decides_the_crop_as_in_spin(checkpoint, picture, tmp_path):
    joints = np.zeros((25, 3))
    joints[:6] = [[60, 30, .9], [60, 50, .9], [50, 60, .9], [70, 110, .9], [55, 90, .9], [190, 140, .1]]
    people = [{'pose_keypoints_2d': joints.ravel().tolist()}, {'pose_keypoints_2d': [0.0] * 75}]
    file = write_json(tmp_path / 'keypoints.json', {'people': people})
    [recording] = demo('--checkpoint', checkpoint, '--img', picture, '--openpose', file, '--outfile', tmp_path / 'x')
    assert np.allclose(recording.people[0].boxes[0], [50, 30, 70, 110])
    left, top, right, bottom = drawn(tmp_path / 'x_shape.png')
    # The crop's centre is the mean of the joints, its side 1.2 times their extent.
    assert abs((left + right) / 2 - 59) < 4 and bottom - top < 96 and top > 68 - 48 - 2 and bottom < 68 + 48 + 2


def test_pymafs_and_danets_names(checkpoint, picture, tmp_path):
    demo('--checkpoint', checkpoint, '--img_file', picture, '--output_folder', tmp_path / 'o')
    assert {path.name for path in (tmp_path / 'o' / 'photos').glob('*.png')} == {
        'street.v2_smpl.png', 'street.v2_smpl_side.png'}
    demo('--checkpoint', checkpoint, '--img_dir', picture.parent, '--out_dir', tmp_path / 'd', '--use_opendr')
    # Input, the body's IUV, front and side view. This network has no dense maps.
    assert cv2.imread(str(tmp_path / 'd' / 'street.v2_result.png')).shape == (224, 4 * 224, 3)


def test_danets_montage_shows_its_dense_maps(free_assets, picture, tmp_path):
    danet = write_checkpoint(tmp_path / 'danet.pt', free_assets, 'danet', ['MODEL.BACKBONE.PRETRAINED', ''],
                             'free/danet_quick.yaml')
    demo('--checkpoint', danet, '--img_dir', picture.parent, '--out_dir', tmp_path / 'd')
    montage = cv2.imread(str(tmp_path / 'd' / 'street.v2_result.png'))
    # Input, global IUV, the part IUVs in 4 rows of 6, the body's IUV, front and side view.
    assert montage.shape == (224, 5 * 224 + 336, 3)
    assert all(np.ptp(montage[:, a:a + 224].reshape(-1, 3), axis=0).max() > 50 for a in range(224, 1400, 224))


def test_two_pictures_with_a_multi_view_network_are_views_of_one_body(free_assets, tmp_path):
    checkpoint = write_checkpoint(tmp_path / 'mv.pt', free_assets, 'multi_spin', [*SMALL, 'MULTIVIEW.FUSION', 'avg'])
    first, second = (write_picture(tmp_path / name / 'view.png') for name in 'ab')
    recordings = demo('--checkpoint', checkpoint, '--img', first, second, '--output_folder', tmp_path / 'o')
    [recording] = recordings
    [person] = recording.people
    assert person.frames.tolist() == [0, 1] and recording.names == ['view.png', 'view.png']
    assert np.array_equal(person.betas[0], person.betas[1])
    assert {path.name for path in (tmp_path / 'o').glob('*.png')} == {
        f'view{number}_shape{side}.png' for number in ('', '_2') for side in ('', '_side')}


def test_a_folder_of_unrelated_pictures(checkpoint, tmp_path, capsys):
    folder = tmp_path / 'holiday'
    write_picture(folder / 'a.png')
    write_picture(folder / 'b.jpg', (120, 180))
    (folder / 'c.png').write_bytes(b'no picture')
    [recording] = demo('--checkpoint', checkpoint, '--image_folder', folder, '--image_based', '--with_raw',
                       '--empty_bg', '--sideview', '--render_ratio', '2', '--output_folder', tmp_path / 'o')
    output = tmp_path / 'o' / 'holiday' / 'holiday_output'
    assert cv2.imread(str(output / 'a.png')).shape == (300, 4 * 400, 3)
    assert cv2.imread(str(output / 'b.png')).shape == (360, 4 * 240, 3)
    assert '1 skipped: unreadable pictures' in capsys.readouterr().out
    assert recording.names == ['a.png', 'b.jpg']


def test_detections_name_pictures(checkpoint, tmp_path):
    folder = tmp_path / 'holiday'
    for name in ('a.png', 'b.png', 'c.png'):
        write_picture(folder / name)
    boxes = write_json(tmp_path / 'boxes.json', [
        {'image_id': 'a.png', 'bbox': [10, 10, 40, 90], 'score': .9}, {'image_id': 'a.png', 'bbox': [120, 10, 40, 90]},
        {'image_id': 'c.png', 'bbox': [60, 30, 40, 90]}, {'image_id': 'c.png', 'bbox': [60, 30, 40, 90], 'score': .1},
        {'image_id': 'c.png', 'bbox': [0, 0, 9, 9], 'category_id': 2}])
    [recording] = demo('--checkpoint', checkpoint, '--image_folder', folder, '--image_based', '--detections', boxes,
                       '--output_folder', tmp_path / 'o')
    assert [person.frames.tolist() for person in recording.people] == [[0, 2], [0]]
    assert drawn(tmp_path / 'o/holiday/holiday_output/a.png')[2] > 130
    assert not (tmp_path / 'o/holiday/holiday_output/b.png').exists()


@pytest.mark.parametrize('box, message', [
    ([50, 50, 1, 1], 'smaller than 8 pixels'), ([-300, 20, 100, 100], 'outside the picture'),
    ([500, 20, 100, 100], 'outside the picture'), ([50, 50, float('nan'), 60], 'finite')])
def test_boxes_in_which_nothing_can_be_seen(box, message, checkpoint, picture, tmp_path):
    file = write_json(tmp_path / 'box.json', {'bbox': box})
    with pytest.raises(ProjectError, match=f'no person found.*1 person left out: a box.*{message}'):
        demo('--checkpoint', checkpoint, '--img', picture, '--bbox', file)


def test_bad_files_are_one_line_errors(checkpoint, picture, tmp_path):
    broken = tmp_path / 'broken.png'
    broken.write_bytes(picture.read_bytes()[:60])
    taken = tmp_path / 'taken'
    taken.write_text('a file where a folder should be')
    wrong = write_json(tmp_path / 'wrong.json', {'box': [1, 2, 3]})
    cases = [(['--img', tmp_path / 'absent.png'], MissingFile, 'no such picture'),
             (['--img', broken], BadFile, 'broken'),
             (['--img_dir', tmp_path / 'none'], MissingFile, 'no such folder'),
             (['--img_dir', tmp_path], BadFile, 'broken'),
             (['--img', picture, '--bbox', wrong], BadFile, 'left, top'),
             (['--img', picture, '--openpose', wrong], BadFile, 'OpenPose'),
             (['--img', picture, '--detections', wrong], BadFile, 'a list'),
             (['--img', picture, '--output_folder', taken], ProjectError, 'cannot be written here'),
             (['--img', picture, '--renderer', 'opengl'], BadConfig, 'own or pyrender'),
             (['--img', picture, '--render_ratio', '0'], BadConfig, 'above 0')]
    for line, kind, message in cases:
        with pytest.raises(kind, match=message) as error:
            demo('--checkpoint', checkpoint, *line)
        assert '\n' not in str(error.value)


@pytest.mark.parametrize('line, message', [
    ('--img absent.png', 'absent.png: no such picture'), ('--img_file absent.png', 'absent.png: no such picture'),
    ('--img photo.png absent.png', 'absent.png: no such picture'),
    ('--img text.jpg', 'text.jpg: not a readable picture'), ('--img_file empty.jpg', 'not a readable picture'),
    ('--img cut.jpg', 'cut.jpg: truncated JPEG'),
    ('--img text.jpg empty.jpg', 'text.jpg: not a readable picture .*nor is any other of the 2 pictures'),
    ('--img clip.mp4', 'clip.mp4: a video, not a picture; give --vid_file'),
    ('--img photos', 'photos: a folder, not a picture; give --img_dir FOLDER .* or --image_folder'),
    ('--img_file photos', 'photos: a folder, not a picture; give --img_dir FOLDER .* or --image_folder'),
    ('--img_dir absent', 'absent: no such folder'), ('--image_folder absent', 'absent: no such folder'),
    ('--img_dir texts', 'text.jpg: not a readable picture'), ('--image_folder texts', 'not a readable picture'),
    ('--image_folder nothing', 'nothing: no pictures here'),
    ('--img_dir photo.png', 'photo.png: a file, not a folder; give --img FILE .* or --vid_file'),
    ('--vid_file absent.mp4', 'absent.mp4: no such video'), ('--vid_file empty.jpg', 'empty.jpg: an empty file'),
    ('--vid_file text.mp4', 'text.mp4: not a readable video'),
    ('--vid_file photos', 'photos: a folder, not a video; give --image_folder FOLDER .* or --img_dir'),
    ('--vid_file https://host.example/clip', 'yt_dlp'),
    ('--img photo.png --bbox absent.json', 'absent.json: no such file'),
    ('--img photo.png --openpose absent.json', 'absent.json: no such file'),
    ('--img photo.png --keypoint_file absent.json', 'absent.json: no such file'),
    ('--vid_file clip.mp4 --detections absent.json', 'absent.json: no such file'),
    ('--vid_file clip.mp4 --use_gt --anno_file absent.npz', 'absent.npz: no such file'),
    ('--vid_file clip.mp4 --recon_result_file absent.npz', 'absent.npz: no such file')])
def test_what_cannot_be_opened_is_named_before_a_checkpoint_is_read(line, message, tmp_path, monkeypatch):
    def read(*_, **__):
        raise AssertionError('a checkpoint is read')

    monkeypatch.setattr('core.demo.options.checkpoint_config', read)
    monkeypatch.setitem(sys.modules, 'yt_dlp', None)
    monkeypatch.chdir(tmp_path)
    for folder in ('photos', 'texts', 'nothing'):
        (tmp_path / folder).mkdir()
    for path in ('photo.png', 'photos/a.png'):
        write_picture(tmp_path / path)
    for path, content in (('text.jpg', b'words'), ('text.mp4', b'words'), ('texts/text.jpg', b'words'),
                          ('empty.jpg', b''), ('cut.jpg', JPEG[:len(JPEG) // 2])):
        (tmp_path / path).write_bytes(content)
    write_video(tmp_path / 'clip.mp4', 2)
    with pytest.raises((MissingFile, BadFile), match=message) as error:
        parse_options(['--checkpoint', 'hf://somebody/bodies/model.pt', *line.split()])
    assert '\n' not in str(error.value)


def test_a_readable_input_is_followed_by_the_checkpoint(tmp_path, picture):
    """The checks let an unreadable picture beside a readable one pass, because a run skips it."""
    (picture.parent / 'a.png').write_bytes(b'words')
    for line in (['--img', picture.parent / 'a.png', picture], ['--img_dir', picture.parent],
                 ['--vid_file', write_video(tmp_path / 'v.mp4', 2)]):
        with pytest.raises(MissingFile, match='none.pt'):
            parse_options(['--checkpoint', str(tmp_path / 'none.pt'), *map(str, line)])

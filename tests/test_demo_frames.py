"""demo.py matches files to the frames of a video or folder by name and number. A bad file affects its frame alone."""
import json

import cv2
import numpy as np
import pytest

from datasets.video import VideoReader
from tests.demo_data import (  # noqa: F401
    demo,
    networks_are_read_once,
    video_picture,
    write_checkpoint,
    write_damaged_video,
    write_json,
    write_video,
)
from utils.errors import BadConfig, BadFile, ProjectError
from utils.file_names import distinct_paths, frame_numbers, natural_key, number_in_name
from utils.safe_io import load_npz

pytestmark = pytest.mark.usefixtures('networks_are_read_once')
NOBODY = {'pose_keypoints_2d': [], 'face_keypoints_2d': [1.0] * 210}


@pytest.fixture(scope='module')
def checkpoint(free_assets, tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('demo') / 'hmr.pt', free_assets)


def write_pictures(folder, names, size=(160, 120)):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / name), video_picture(i, *size))
    return folder


def openpose_person(left, top):
    """Joints that span 20 pixels in x and 60 in y."""
    joints = np.zeros((25, 3))
    joints[:5] = [[left, top, .9], [left + 20, top + 60, .9], [left + 10, top + 30, .9], [left + 5, top + 9, .9],
                  [left + 7, top + 50, .9]]
    return {'pose_keypoints_2d': joints.ravel().tolist()}


def lefts(recording):
    """{frame number: left edge of the box} of the only person."""
    [person] = recording.people
    return dict(zip(recording.numbers[person.frames].tolist(), person.boxes[:, 0].round(1).tolist()))


def test_numbers_and_order_of_names():
    names = ['10.png', '1.png', '2.png', '11.png']
    assert sorted(names, key=natural_key) == ['1.png', '2.png', '10.png', '11.png']
    assert sorted(['b2', 'a10', 'A9', 'b'], key=natural_key) == ['A9', 'a10', 'b', 'b2']
    assert number_in_name('COCO_val2014_000000000192.jpg') == 192 and number_in_name('a.jpg') is None
    assert number_in_name('v_000000000005_keypoints.json', '_keypoints') == 5
    assert frame_numbers(['f_3.png', 'f_7.png', 'f_12.png']) == [3, 7, 12]
    assert frame_numbers(['a1.png', 'b1.png']) == frame_numbers(['a.png', 'b.png']) == [0, 1]


def test_results_of_pictures_never_share_a_name(tmp_path):
    made = distinct_paths([tmp_path / name for name in ('a', 'a', 'A', 'a_2', 'b')])
    assert len({str(path).casefold() for path in made}) == 5 and made[0].name == 'a' and made[3].name == 'a_2'


def test_openpose_files_of_a_video_count_by_their_numbers(checkpoint, tmp_path):
    video, folder = write_video(tmp_path / 'v.mp4', 9), tmp_path / 'openpose'
    folder.mkdir()
    for frame in (5, 6, 7):
        write_json(folder / f'v_{frame:012d}_keypoints.json', {'people': [NOBODY, openpose_person(10 * frame, 20)]})
    (folder / 'v_000000000008_keypoints.json').write_text('{"people": [{"pose_')
    [recording] = demo('--checkpoint', checkpoint, '--vid_file', video, '--openpose', folder, '--tracking_method',
                       'pose', '--no_render', '--output_folder', tmp_path / 'o')
    assert lefts(recording) == {5: 50, 6: 60, 7: 70} and len(recording.times) == 9


def test_an_unreadable_picture_moves_no_box_and_no_result(checkpoint, tmp_path, capsys, free_assets):
    folder = write_pictures(tmp_path / 'walk', [f'{i}.png' for i in range(1, 12)])
    (folder / '3.png').write_bytes(b'no picture')
    boxes = write_json(tmp_path / 'b.json', [
        {'image_id': i, 'bbox': [10 * i, 20, 30, 80], 'track_id': 0} for i in (1, 2, 3, 5, 10, 11)])
    for extra in ([], ['--image_based']):
        [recording] = demo('--checkpoint', checkpoint, '--image_folder', folder, '--detections', boxes, '--no_render',
                           '--output_folder', tmp_path / 'o', *extra)
        assert lefts(recording) == {1: 10, 2: 20, 5: 50, 10: 100, 11: 110}
        assert recording.names == [f'{i}.png' for i in range(1, 12) if i != 3]
        assert '1 skipped' in capsys.readouterr().out
        # The written results, drawn again, are the same body in every picture.
        for suffix in ('npz', 'json'):
            [again] = demo('--image_folder', folder, '--recon_result_file', tmp_path / f'o/walk/walk_person0.{suffix}',
                           '--no_render', '--output_folder', tmp_path / suffix, *extra, '--misc', 'PATHS.DATA_DIR',
                           free_assets)
            assert lefts(again) == lefts(recording)
            assert np.abs(again.people[0].keypoints_2d - recording.people[0].keypoints_2d).max() < .05
    assert recording.times.tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10]  # places in the list
    saved = load_npz(tmp_path / 'o/walk/walk_person0.npz')
    assert saved['frames'].tolist() == [1, 2, 5, 10, 11] and saved['names'][3] == '10.png'


def test_frames_that_cannot_be_decoded_count(tmp_path):
    frames = list(VideoReader(write_damaged_video(tmp_path / 'damaged.mp4')))
    assert 5 < len(frames) < 20
    # The video has 12 frames a second, so a frame's time gives its index.
    assert [frame.index for frame in frames] == [round(12 * frame.time) for frame in frames]


def test_a_file_for_other_frames_is_an_error(checkpoint, tmp_path, free_assets):
    video = write_video(tmp_path / 'v.mp4', 4)
    folder = write_pictures(tmp_path / 'pictures', ['x_100.png', 'x_101.png'])
    openpose = tmp_path / 'openpose'
    openpose.mkdir()
    write_json(openpose / 'other_000000000077_keypoints.json', {'people': [openpose_person(10, 20)]})
    corner = {'tl': {'x': .1, 'y': .1}, 'br': {'x': .5, 'y': .9}}
    known = write_video(tmp_path / 'known.mp4', 9)
    demo('--checkpoint', checkpoint, '--vid_file', known, '--no_render', '--output_folder', tmp_path, '--detections',
         write_json(tmp_path / 'k.json', [{'image_id': 7, 'bbox': [10, 20, 30, 80]}]))
    lines = [['--detections', write_json(tmp_path / 'a.json', [{'image_id': 40, 'bbox': [10, 20, 30, 80]}])],
             ['--detections', write_json(tmp_path / 'b.json', [{'image_id': 'a.png', 'bbox': [10, 20, 30, 80]}])],
             ['--openpose', openpose],
             ['--use_gt', '--anno_file', write_json(tmp_path / 'g.json', [
                 {'idx': 0, 'frames': [{'frame_id': 900, 'rect': corner}]}])],
             ['--recon_result_file', tmp_path / 'known/known_person0.npz', '--misc', 'PATHS.DATA_DIR', free_assets]]
    for line in lines:
        for source in (['--vid_file', video], ['--image_folder', folder], ['--image_folder', folder, '--image_based']):
            with pytest.raises(BadFile, match='none of the frames that it names') as error:
                demo('--checkpoint', checkpoint, *source, '--no_render', '--output_folder', tmp_path / 'o', *line)
            assert '\n' not in str(error.value)


def test_each_of_several_pictures_has_its_own_boxes(checkpoint, tmp_path):
    first, second = (write_pictures(tmp_path / name, ['view.png']) / 'view.png' for name in 'ab')
    other = write_pictures(tmp_path / 'c', ['COCO_val_000192.png']) / 'COCO_val_000192.png'
    cases = [([first, other], {0: 10, 1: 40}, [10, 40]), ([first, other], {'view.png': 20, other.name: 60}, [20, 60]),
             ([first, second], {'a/view.png': 10, 'b/view.png': 30}, [10, 30]), ([other, first], {192: 50}, [50])]
    for pictures, boxes, wanted in cases:
        rows = [{'image_id': key, 'bbox': [left, 20, 30, 80]} for key, left in boxes.items()]
        recordings = demo('--checkpoint', checkpoint, '--img', *pictures, '--detections',
                          write_json(tmp_path / 'd.json', rows), '--no_render', '--output_folder', tmp_path / 'o')
        assert [person.boxes[0, 0] for recording in recordings for person in recording.people] == wanted


def test_pictures_of_one_stem_keep_their_drawings(checkpoint, tmp_path):
    folder = write_pictures(tmp_path / 'album', ['a.jpg', 'a.png', 'b.png'])
    demo('--checkpoint', checkpoint, '--image_folder', folder, '--image_based', '--output_folder', tmp_path / 'o')
    demo('--checkpoint', checkpoint, '--img_dir', folder, '--out_dir', tmp_path / 'd')
    demo('--checkpoint', checkpoint, '--img', folder / 'a.jpg', folder / 'a.png', '--output_folder', tmp_path / 'i')
    assert len(list((tmp_path / 'o/album/album_output').glob('*.png'))) == 3
    assert len(list((tmp_path / 'd').glob('*_result.png'))) == 3
    assert len(list((tmp_path / 'i').glob('*_shape.png'))) == 2


def test_one_bad_file_among_several_skips_its_picture_alone(checkpoint, tmp_path, capsys):
    folder = write_pictures(tmp_path / 'p', ['a.png', 'b.png', 'c.png'])
    good = write_json(tmp_path / 'good.json', {'people': [NOBODY, openpose_person(30, 20)]})
    bad = tmp_path / 'bad.json'
    bad.write_text('{"people": [')
    recordings = demo('--checkpoint', checkpoint, '--img', *sorted(folder.iterdir()), '--openpose', good, bad, good,
                      '--no_render', '--output_folder', tmp_path / 'o')
    assert len(recordings) == 2 and '1 skipped: unreadable pictures' in capsys.readouterr().out
    assert {path.name[0] for path in (tmp_path / 'o').glob('*.npz')} == {'a', 'c'}
    (folder / 'b.png').write_bytes(b'')
    recordings = demo('--checkpoint', checkpoint, '--img', *sorted(folder.iterdir()), '--no_render', '--output_folder',
                      tmp_path / 'o')
    assert len(recordings) == 2


def test_results_before_an_error_are_written(checkpoint, tmp_path, monkeypatch):
    import core.demo.video as module

    class FullDisk(module.VideoWriter):
        def write(self, image, time=None):
            if self.frames == 5:
                raise ProjectError('the disk is full')
            super().write(image, time)
    monkeypatch.setattr(module, 'VideoWriter', FullDisk)
    with pytest.raises(ProjectError, match='the disk is full'):
        demo('--checkpoint', checkpoint, '--vid_file', write_video(tmp_path / 'v.mp4', 40), '--detector', 'full_frame',
             '--output_folder', tmp_path, '--tracker_batch_size', '4')
    assert len(load_npz(tmp_path / 'v/v_person0.npz')['frames']) >= 5


def test_a_file_name_with_a_colon_is_no_web_address(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / 'x.mp4', 3)
    (tmp_path / 'x.mp4').rename('12:30 walk.mp4')
    [recording] = demo('--checkpoint', checkpoint, '--vid_file', '12:30 walk.mp4', '--detector', 'full_frame',
                       '--output_folder', 'o:1')
    assert len(recording.times) == 3
    assert len(list(VideoReader('o:1/12:30 walk/12:30 walk_result.mp4'))) == 3


def test_frames_a_second(checkpoint, tmp_path):
    folder = write_pictures(tmp_path / 'f', ['1.png', '2.png', '3.png'])
    line = ['--checkpoint', checkpoint, '--detector', 'full_frame', '--no_render', '--output_folder', tmp_path / 'o']
    [recording] = demo(*line, '--image_folder', folder, '--fps', '12.5', '--save_bvh')
    assert recording.times.tolist() == [0, .08, .16]
    assert 'Frame Time: 0.08000000' in (tmp_path / 'o/f/f_person0.bvh').read_text()
    assert json.loads((tmp_path / 'o/f/f_person0.json').read_text())['frame_rate'] == pytest.approx(12.5)
    for fps, source, message in (('0', ['--image_folder', folder], '0.01 to 1000'),
                                 ('9', ['--vid_file', 'v.mp4'], '--image_folder')):
        with pytest.raises(BadConfig, match=message):
            demo(*line, *source, '--fps', fps)

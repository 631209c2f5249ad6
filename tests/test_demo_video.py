"""demo.py on videos, all written by PyAV for real: what is found, what is written, and what is wrong with them."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from core.demo.options import parse_options
from core.demo.run import run_demo
from core.demo.sources import Camera, download
from core.demo.window import Window
from datasets.synthetic.people import Cast
from datasets.synthetic.walking import write_walking
from datasets.video import VideoReader
from models.body import BodyModel
from tests.demo_data import (  # noqa: F401
    networks_are_read_once,
    video_picture,
    write_checkpoint,
    write_json,
    write_video,
)
from utils.assets import Assets
from utils.errors import BadConfig, BadFile, MissingFile, ProjectError
from utils.safe_io import load_npz
from utils.video_writer import VideoWriter

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.usefixtures('networks_are_read_once')


@pytest.fixture(scope='module')
def checkpoint(free_assets, tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('demo') / 'hmr.pt', free_assets)


@pytest.fixture(scope='module')
def walk(free_assets, tmp_path_factory):
    """(video, truth) of a person who walks in a circle."""
    folder = tmp_path_factory.mktemp('walk')
    cast = Cast(Assets(Path(free_assets), is_free=True))
    write_walking(folder / 'walking.mp4', folder / 'walking.npz', cast, seconds=1, fps=8, width=320, height=240)
    return folder / 'walking.mp4', folder / 'walking.npz'


def demo(*arguments):
    """The network alone: the people of these pictures are drawn, or nobody."""
    arguments = ('--fit', 'none', *arguments)
    return run_demo(*parse_options([str(argument) for argument in arguments]))


def boxes_of(rows):
    """COCO results out of (frame, box)."""
    return [{'image_id': frame, 'bbox': box} for frame, box in rows]


def test_ground_truth_lies_on_the_person_within_two_pixels(walk, free_assets, tmp_path):
    video, truth = walk
    [recording] = demo('--vid_file', video, '--use_gt', '--anno_file', truth, '--empty_bg', '--output_folder', tmp_path,
                       '--misc', 'PATHS.DATA_DIR', free_assets)
    known = load_npz(truth)
    [person] = recording.people
    assert np.abs(person.keypoints_2d - known['joints_2d']).max() < .01
    # The drawn body against its vertices, projected here with the truth's own camera.
    body = BodyModel(free_assets, 'neutral')
    assert body.digest == recording.body_digest
    frames = list(VideoReader(tmp_path / 'walking' / 'walking_result.mp4'))
    assert len(frames) == 8
    for row, frame in enumerate(frames):
        pose, betas = (known[name].astype(np.float32) for name in ('pose', 'betas'))
        out = body(body.joint_template.new_tensor(betas)[None], pose=body.joint_template.new_tensor(pose[row])[None])
        points = (out.vertices[0].numpy() + known['translation'][row]) @ known['K'].T
        points = points[:, :2] / points[:, 2:]
        rows, columns = np.nonzero(frame.image[:, 320:].max(-1) > 60)
        found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        wanted = np.clip(np.concatenate([points.min(0), points.max(0)]), 0, [320, 240] * 2)
        assert np.abs(found - wanted).max() < 2


def test_results_drawn_again_are_the_same_pictures(walk, free_assets, tmp_path):
    video, truth = walk
    assets = ['--misc', 'PATHS.DATA_DIR', free_assets]
    [first] = demo('--vid_file', video, '--use_gt', '--anno_file', truth, '--output_folder', tmp_path / 'a', *assets)
    for suffix in ('npz', 'json'):
        result = tmp_path / 'a' / 'walking' / f'walking_person0.{suffix}'
        [again] = demo('--vid_file', video, '--recon_result_file', result, '--output_folder', tmp_path / suffix,
                       *assets)
        assert np.abs(again.people[0].joints - first.people[0].joints).max() < 1e-4
        pictures = [list(VideoReader(tmp_path / name / 'walking' / 'walking_result.mp4'))[5].image.astype(int)
                    for name in ('a', suffix)]
        assert np.abs(pictures[0] - pictures[1]).mean() < .2


def test_two_people_keep_their_numbers_through_a_gap(checkpoint, tmp_path, capsys):
    video = write_video(tmp_path / 'two.mp4', count=30)
    rows = [(f, [10 + f, 20, 30, 80]) for f in range(30) if not 10 <= f < 16]
    rows += [(f, [110 - f, 25, 30, 85]) for f in range(30) if f not in (3, 21)]
    boxes = write_json(tmp_path / 'boxes.json', boxes_of(rows))
    [recording] = demo('--checkpoint', checkpoint, '--vid_file', video, '--detections', boxes, '--smooth',
                       '--output_folder', tmp_path / 'o', '--tracker_batch_size', '7', '--model_batch_size', '5')
    first, second = recording.people
    assert first.frames.tolist() == [f for f in range(30) if not 10 <= f < 16]
    assert second.frames.tolist() == [f for f in range(30) if f not in (3, 21)]
    assert np.allclose(first.boxes[:, 0], 10 + first.frames)
    assert np.allclose(recording.times, np.arange(30) / 12, atol=1e-3)
    assert '2 tracked' in capsys.readouterr().out


def test_frames_without_people_are_counted_and_kept(checkpoint, tmp_path, capsys):
    video = write_video(tmp_path / 'v.mp4')
    rows = [(4, [40, 20, 40, 80]), (5, [40, 20, 1, 1]), (6, [900, 0, 50, 50])]
    boxes = write_json(tmp_path / 'b.json', boxes_of(rows))
    [recording] = demo('--checkpoint', checkpoint, '--vid_file', video, '--detections', boxes, '--output_folder',
                       tmp_path)
    assert recording.people[0].frames.tolist() == [4]
    said = capsys.readouterr().out
    assert '12 frames, 1 body; 11 frames without a person' in said
    assert '1 person left out: a box smaller than 8 pixels' in said and '1 person left out: a box outside' in said
    frames = list(VideoReader(tmp_path / 'v' / 'v_result.mp4'))
    assert len(frames) == 12
    differ = [np.abs(f.image.astype(int) - video_picture(f.index, 160, 120)).max(-1) > 60 for f in frames]
    changed = [picture[20:100, 40:80].mean() > .15 for picture in differ]
    assert changed == [f == 4 for f in range(12)]


def test_nobody_at_all_leaves_a_video_and_no_person(checkpoint, tmp_path):
    boxes = write_json(tmp_path / 'none.json', [])
    [recording] = demo('--checkpoint', checkpoint, '--vid_file', write_video(tmp_path / 'v.mp4', 4), '--detections',
                       boxes, '--output_folder', tmp_path, '--save_glb', '--smooth')
    assert recording.people == [] and (tmp_path / 'v' / 'v_result.mp4').exists()


def test_openpose_folders_tracked_annotations_and_full_frames(checkpoint, tmp_path):
    video = write_video(tmp_path / 'v.mp4', 6)
    folder = tmp_path / 'openpose'
    folder.mkdir()
    joints = np.zeros((25, 3))
    for f in range(6):
        joints[:8, :2], joints[:8, 2] = np.random.default_rng(0).uniform(20, 100, (8, 2)) + f, .9
        write_json(folder / f'v_{f:012d}_keypoints.json', {'people': [{'pose_keypoints_2d': joints.ravel().tolist()}]})
    track = [{'idx': 7, 'frames': [{'frame_id': f, 'rect': {'tl': {'x': .25, 'y': .1}, 'br': {'x': .5, 'y': .9}}}
                                   for f in (1, 2)]}]
    annotations = write_json(tmp_path / 'track.json', track)
    lines = {'pose': ['--tracking_method', 'pose', '--openpose', folder],
             'gt': ['--use_gt', '--anno_file', annotations], 'full': ['--detector', 'full_frame']}
    people = {name: demo('--checkpoint', checkpoint, '--vid_file', video, '--no_render', '--output_folder',
                         tmp_path / name, *line)[0].people for name, line in lines.items()}
    assert [(p.person_id, p.frames.tolist()) for p in people['pose']] == [(0, [0, 1, 2, 3, 4, 5])]
    assert np.allclose(np.diff(people['pose'][0].boxes, axis=0), 1, atol=1e-3)
    assert [(p.person_id, p.frames.tolist()) for p in people['gt']] == [(7, [1, 2])]
    assert np.allclose(people['gt'][0].boxes, [40, 12, 80, 108])
    assert np.allclose(people['full'][0].boxes, [0, 0, 160, 120]) and len(people['full'][0]) == 6
    assert not list(tmp_path.glob('*/v/*.mp4'))


def test_a_folder_of_frames_is_a_video(checkpoint, tmp_path):
    folder = tmp_path / 'frames'
    folder.mkdir()
    for f in range(5):
        cv2.imwrite(str(folder / f'{f:03d}.png'), video_picture(f, 160, 120))
    demo('--checkpoint', checkpoint, '--image_folder', folder, '--detector', 'full_frame', '--output_folder', tmp_path)
    assert len(list(VideoReader(tmp_path / 'frames' / 'frames_result.mp4'))) == 5
    # One of another size, at the end: its body is found in its own pixels, and it stands in the video, on black.
    cv2.imwrite(str(folder / '005.png'), video_picture(5, 60, 60))
    [recording] = demo('--checkpoint', checkpoint, '--image_folder', folder, '--detector', 'full_frame',
                       '--output_folder', tmp_path, '--fps', '10')
    assert recording.people[0].boxes[5].tolist() == [0, 0, 60, 60] and len(recording.people[0]) == 6
    assert recording.sizes[4:].tolist() == [[160, 120], [60, 60]]
    # The diagonals: 40 times (4, 3, 5), and 60 times the root of 2.
    assert recording.focal_lengths[4:] == pytest.approx([200, 84.8528], abs=1e-3)
    frames = list(VideoReader(tmp_path / 'frames' / 'frames_result.mp4'))
    assert len(frames) == 6 and np.allclose([frame.time for frame in frames], np.arange(6) / 10, atol=1e-3)
    assert frames[5].image[:, :16].max() < 20 and frames[5].image[2:28, 22:46, 2].min() > 150


def test_portrait_flags_odd_sizes_and_uneven_times(tmp_path):
    turned = VideoReader(write_video(tmp_path / 'turned.mp4', rotation=-90))
    assert (turned.width, turned.height) == (120, 160)
    image = next(iter(turned)).image
    # Turned clockwise, the red corner of the top left comes to the top right.
    assert image[5, -5, 0] > 180 and image[5, 5, 0] < 120 and image[-5, -5, 0] < 120
    times = [0, .05, .3, .35, 1.0, 1.4]
    uneven = list(VideoReader(write_video(tmp_path / 'uneven.mp4', 6, times=times, rate=30)))
    assert np.allclose([frame.time for frame in uneven], times, atol=2e-3)
    with VideoWriter(tmp_path / 'odd.mp4', 161, 119, 30) as writer:
        for time in times:
            writer.write(video_picture(3, 161, 119), time)
    frames = list(VideoReader(tmp_path / 'odd.mp4'))
    assert frames[0].image.shape == (120, 162, 3)
    assert np.allclose([frame.time for frame in frames], times, atol=2e-3)
    assert np.abs(frames[0].image[:119, :161].astype(int) - video_picture(3, 161, 119)).mean() < 6


def test_the_overlay_is_h264_for_every_player(tmp_path):
    with VideoWriter(tmp_path / 'a.mp4', 160, 120, 25) as writer:
        for index in range(30):
            writer.write(video_picture(index, 160, 120))
        with pytest.raises(ProjectError, match='80 x 60 pixels in a video of 160 x 120'):
            writer.write(video_picture(0, 80, 60))
    with av.open(str(tmp_path / 'a.mp4')) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == 'h264' and stream.codec_context.pix_fmt == 'yuv420p'
        assert stream.frames == 30 and stream.average_rate == 25
    content = (tmp_path / 'a.mp4').read_bytes()
    assert 0 < content.find(b'moov') < content.find(b'mdat')
    assert [path.name for path in tmp_path.iterdir()] == ['a.mp4']


def test_a_killed_run_leaves_a_playable_video(tmp_path):
    code = ('import os, signal, numpy as np\nfrom utils.video_writer import VideoWriter\n'
            f'writer = VideoWriter({str(tmp_path / "cut.mp4")!r}, 160, 120, 10)\n'
            'rng = np.random.default_rng(0)\n'
            'for i in range(60): writer.write(rng.integers(0, 255, (120, 160, 3), dtype=np.uint8))\n'
            'os.kill(os.getpid(), signal.SIGKILL)')
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=False).returncode == -signal.SIGKILL
    frames = list(VideoReader(tmp_path / 'cut.mp4'))
    # All but the second in progress and what the encoder looks ahead.
    assert len(frames) >= 30


def test_ctrl_c_keeps_what_was_found(checkpoint, tmp_path, monkeypatch):
    import core.demo.video as module
    video = write_video(tmp_path / 'v.mp4', 40)

    class Interrupted(module.ResultCollector):
        def add(self, frame, estimates):
            super().add(frame, estimates)
            if frame.index == 5:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(module, 'ResultCollector', Interrupted)
    [recording] = demo('--checkpoint', checkpoint, '--vid_file', video, '--detector', 'full_frame',
                       '--output_folder', tmp_path, '--tracker_batch_size', '4')
    assert len(recording.times) == 8
    assert len(list(VideoReader(tmp_path / 'v' / 'v_result.mp4'))) == 8
    assert (tmp_path / 'v' / 'v_person0.npz').exists()


def test_damaged_videos(checkpoint, tmp_path, capsys):
    whole = Path(write_video(tmp_path / 'whole.mp4', 20)).read_bytes()
    middle = whole.find(b'mdat') + 1500
    damaged = tmp_path / 'damaged.mp4'
    damaged.write_bytes(whole[:middle] + b'\xff' * 300 + whole[middle + 300:])
    [recording] = demo('--checkpoint', checkpoint, '--vid_file', damaged, '--detector', 'full_frame', '--no_render',
                       '--output_folder', tmp_path)
    lost = 20 - len(recording.times)
    assert 1 <= lost < 15 and f'{lost} skipped: frames that cannot be decoded' in capsys.readouterr().out
    streamed = Path(write_video(tmp_path / 'whole.mkv', 20)).read_bytes()
    cut = tmp_path / 'cut.mkv'
    cut.write_bytes(streamed[:len(streamed) * 2 // 3])
    assert 5 < len(list(VideoReader(cut))) < 20
    (tmp_path / 'empty.mp4').write_bytes(b'')
    (tmp_path / 'text.mp4').write_text('no video at all')
    (tmp_path / 'head.mp4').write_bytes(Path(write_video(tmp_path / 'x.mp4')).read_bytes()[:300])
    with av.open(str(tmp_path / 'sound.mp4'), 'w') as container:
        stream = container.add_stream('aac', rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format='fltp', layout='mono')
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    cases = {'empty.mp4': 'an empty file', 'text.mp4': 'not a readable video', 'head.mp4': 'not a readable video',
             'sound.mp4': 'no video stream', 'absent.mp4': 'no such video'}
    for name, message in cases.items():
        with pytest.raises((BadFile, MissingFile), match=message) as error:
            demo('--checkpoint', checkpoint, '--vid_file', tmp_path / name, '--output_folder', tmp_path)
        assert '\n' not in str(error.value)


def test_what_cannot_run_says_so(checkpoint, tmp_path, monkeypatch):
    video = write_video(tmp_path / 'v.mp4', 2)
    with pytest.raises(BadConfig, match='--detections FILE'):
        demo('--checkpoint', checkpoint, '--vid_file', video, '--bbox', 'b.json', '--output_folder', tmp_path)
    (tmp_path / 'taken').write_text('')
    with pytest.raises(ProjectError, match='cannot be written'):
        demo('--checkpoint', checkpoint, '--vid_file', video, '--output_folder', tmp_path / 'taken')
    with pytest.raises(ProjectError, match='cannot be written'):
        VideoWriter(tmp_path / 'taken' / 'v.mp4', 16, 16, 25)
    with pytest.raises(ProjectError, match='camera 99 cannot be opened'):
        demo('--checkpoint', checkpoint, '--webcam', '99', '--output_folder', tmp_path)
    monkeypatch.delenv('DISPLAY', raising=False)
    if sys.platform == 'linux':
        with pytest.raises(ProjectError, match='without --display'):
            Window('bodies')
    monkeypatch.setitem(sys.modules, 'yt_dlp', None)
    with pytest.raises(MissingFile, match=r"yt_dlp.*pip install '\.\[web\]'"):
        download('https://example.org/watch?v=1', tmp_path)


def test_a_camera_is_shown_live(checkpoint, tmp_path, monkeypatch):
    class Capture:
        """Stands for cv2.VideoCapture: five pictures, then nothing."""
        left = 5

        def isOpened(self):
            return True

        def read(self):
            self.left -= 1
            return self.left >= 0, video_picture(self.left, 160, 120)[..., ::-1]

        def release(self):
            self.left = 0

    shown = []

    class Screen:
        def __init__(self, title):
            pass

        def show(self, image):
            shown.append(image)
            return len(shown) < 3

        def close(self):
            shown.append('closed')

    monkeypatch.setattr('core.demo.sources.Camera', lambda number: Camera(number, Capture()))
    monkeypatch.setattr('core.demo.video.Window', Screen)
    [recording] = demo('--checkpoint', checkpoint, '--webcam', '0', '--detector', 'full_frame', '--output_folder',
                       tmp_path)
    # The third picture closes the window, and that ends the run.
    assert len(recording.times) == 3 and len(shown) == 4 and shown[-1] == 'closed'
    assert shown[0].shape == (120, 160, 3) and len(list(VideoReader(tmp_path / 'webcam0' / 'webcam0_result.mp4'))) == 3

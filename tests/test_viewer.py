"""The 3D page and the live view in a browser."""
import re
import time
from dataclasses import replace

import av
import numpy as np
import pytest
import torch

from core.demo import viewer
from core.demo.viewer import LiveView, inline_page, write_page
from models.body import BodyModel
from tests.chromium import Chromium, find_chromium
from tests.recordings import FOCAL, HEIGHT, WIDTH, make_recording
from utils.errors import MissingFile, ProjectError, WrongBody

HOSTILE = '</script><script>window.pwned=1</script><img src=x onerror="window.pwned=1">&amp;\u2028.mp4'
HIDE_NOTES = "document.head.insertAdjacentHTML('beforeend', '<style>.mantine-Notifications-root{display:none}</style>')"
SHAPE = (560, 1000)  # of the canvas above the timeline


@pytest.fixture(scope='module')
def body(free_assets):
    return BodyModel(free_assets)


@pytest.fixture(scope='module')
def recording(body):
    return make_recording(body)


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    """30 frames at 30 Hz, with a white bar that moves 20 pixels a frame."""
    path = tmp_path_factory.mktemp('video') / 'walk.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
        for number in range(30):
            picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            picture[:, 20 * number:20 * number + 20] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope='module')
def page(recording, body, video, tmp_path_factory):
    return write_page(recording, body, video, tmp_path_factory.mktemp('page') / 'walk.html')


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    if not find_chromium():
        pytest.skip('no chromium on this machine')
    with Chromium(tmp_path_factory.mktemp('profile'), seconds=25) as tab:
        yield tab


def colored(picture):
    """Mask of coloured pixels. Bodies are coloured; the picture and the camera are grey."""
    return np.ptp(picture.astype(int), axis=2) > 20


def scene_of(browser):
    """The 3D canvas on the screen, [H,W,3]."""
    left, top, width, height = browser.ask(
        "(r => [r.left, r.top, r.width, r.height].map(Math.round))"
        "(([...document.querySelectorAll('canvas')].pop() || document.body).getBoundingClientRect())")
    return browser.picture()[top:top + height, left:left + width]


def eventually(browser, seen, seconds=None):
    """The first scene for which `seen(scene)` is true, or the last scene before the deadline."""
    deadline = time.monotonic() + (seconds or browser.seconds)
    while not seen(scene := scene_of(browser)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return scene


def vertex_pixels(recording, body, frame, height, width):
    """Mask [height,width] of pixels with a vertex, seen by the recording's camera, scaled to the height."""
    mask, scale = np.zeros((height, width), bool), height / HEIGHT
    for person in recording.people:
        row = int(np.flatnonzero(person.frames == frame)[0])
        out = body(torch.from_numpy(person.betas.mean(0))[None], pose=torch.from_numpy(person.pose[row:row + 1]))
        placed = out.vertices[0].numpy() + person.translation[row]
        pixels = FOCAL * placed[:, :2] / placed[:, 2:] * scale + (width / 2, height / 2)
        x, y = np.floor(pixels).astype(int).T
        seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        mask[y[seen], x[seen]] = True
    return mask


def scene_at(browser, fraction, seen):
    """`eventually` after a click on the timeline, which stops playback. A page under load can miss a click, so it is
    repeated every five seconds."""
    browser.wait_for("!!document.querySelector('.mantine-Slider-track')")
    deadline = time.monotonic() + browser.seconds
    while True:
        browser.ask(HIDE_NOTES)
        left, top, width, height = browser.ask(
            "(r => [r.left, r.top, r.width, r.height])"
            "(document.querySelector('.mantine-Slider-track').getBoundingClientRect())")
        place = (left + width * fraction, top + height / 2)
        browser.drag(place, place)
        scene = eventually(browser, seen, 5)
        if seen(scene) or time.monotonic() > deadline:
            return scene


def assert_bodies_fit(scene, expected):
    mask = colored(scene)
    assert mask.sum() > 4000
    # Nearly all vertices are on coloured pixels, and no coloured pixel is far from a vertex.
    assert mask[expected].mean() > 0.92
    for axis in (0, 1):
        found, wanted = np.flatnonzero(mask.any(axis)), np.flatnonzero(expected.any(axis))
        np.testing.assert_allclose([found[0], found[-1]], [wanted[0], wanted[-1]], atol=4)


def test_page_shows_bodies_and_picture_where_the_camera_saw_them(browser, page, recording, body):
    browser.open(page.as_uri())
    expected = vertex_pixels(recording, body, 10, *SHAPE)
    scale = SHAPE[0] / HEIGHT
    inside = np.arange(SHAPE[1]) - (SHAPE[1] - WIDTH * scale) / 2

    def bar(scene):
        """Mean column of the bright pixels above the bodies: the bar of the video's frame 10, at 210."""
        above = scene[20:40].min(axis=(0, 2))
        bright = inside[(above > 128) & (inside > 5) & (inside < WIDTH * scale - 5)]
        return bright.mean() / scale if len(bright) else np.nan

    scene = scene_at(browser, 10.5 / 30, lambda scene: scene.shape[:2] == SHAPE
                     and colored(scene)[expected].mean() > 0.92 and abs(bar(scene) - 210) < 5)
    assert_bodies_fit(scene, expected)
    assert bar(scene) == pytest.approx(210, abs=5)
    assert not browser.log
    assert browser.ask("performance.getEntriesByType('resource').filter(e => e.name.startsWith('http')).length") == 0


def test_playback_moves_the_bodies(browser, page):
    browser.open(page.as_uri())
    browser.wait_for("!!document.querySelector('.mantine-Slider-track')")
    browser.ask(HIDE_NOTES)
    first = colored(eventually(browser, lambda scene: colored(scene).sum() > 4000))
    assert (colored(eventually(browser, lambda scene: (colored(scene) != first).sum() > 2000)) != first).sum() > 2000


def test_absent_people_are_hidden(browser, recording, body, tmp_path):
    """The second person is absent in frame 15."""
    browser.open(write_page(recording, body, None, tmp_path / 'walk.html').as_uri())
    alone = replace(recording, people=recording.people[:1])
    expected = vertex_pixels(alone, body, 15, *SHAPE)
    right = np.flatnonzero(expected.any(0))[-1] + 5
    scene = scene_at(browser, 15.5 / 30, lambda scene: scene.shape[:2] == SHAPE
                     and colored(scene)[expected].mean() > 0.92 and not colored(scene)[:, right:].any())
    assert_bodies_fit(scene, expected)


def test_a_picture_needs_no_timeline(browser, body, tmp_path):
    one = make_recording(body, frames=1)
    assert len(one.people) == 1
    browser.open(write_page(one, body, None, tmp_path / 'one.html').as_uri())
    browser.wait_for("!!document.querySelector('canvas')")
    browser.ask(HIDE_NOTES)
    shape = (600, 1000)
    expected = vertex_pixels(one, body, 0, *shape)
    assert_bodies_fit(eventually(browser, lambda scene: scene.shape[:2] == shape
                                 and colored(scene)[expected].mean() > 0.92), expected)


def test_live_view_shows_and_hides(browser, recording, body):
    with LiveView(recording, body, None, port=0) as view:
        assert re.fullmatch(r'http://127\.0\.0\.1:\d+/', view.address)
        browser.open(view.address)
        scene = eventually(browser, lambda scene: colored(scene)[190:540, 100:600].sum() > 2000)
        assert colored(scene)[190:540, 100:600].sum() > 2000
        box = "[...document.querySelectorAll('label')].find(label => label.textContent === 'Person 1')"
        browser.wait_for(f'!!{box}')
        browser.ask(f"document.getElementById({box}.htmlFor).click()")
        scene = eventually(browser, lambda scene: not colored(scene)[190:540, 100:600].any())
        assert not colored(scene)[190:540, 100:600].any() and not browser.log


def test_pages_stay_small(recording, body, tmp_path, caplog, monkeypatch):
    """A pose takes at most 1,500 bytes, and long recordings are thinned."""
    person = recording.people[0]

    def size(repeats):
        repeated = {name: np.concatenate([value] * repeats) for name, value in vars(person).items()
                    if name != 'person_id'} | {'frames': np.arange(30 * repeats)}
        longer = replace(recording, people=[replace(person, **repeated)], times=np.arange(30 * repeats) / 30)
        return write_page(longer, body, None, tmp_path / 'long.html').stat().st_size
    once, twice = size(1), size(2)
    assert (twice - once) / 30 < 1500
    monkeypatch.setattr(viewer, '_MOST_POSES', 20)
    assert size(2) < once


@pytest.mark.parametrize('how', ['page', 'inline'])
def test_names_are_shown_and_never_run(browser, recording, body, tmp_path, how):
    hostile = replace(recording, source=HOSTILE.replace('/', '\u2215'), names=[HOSTILE] * 30)
    path = write_page(hostile, body, None, tmp_path / 'page.html')
    if how == 'inline':
        path.write_text(f'<meta charset="utf-8">{inline_page(path)}', encoding='utf-8')
    browser.open(path.as_uri())
    place = 'window' if how == 'page' else 'frames[0]'
    browser.wait_for(f"!!{place}.document.querySelector('canvas')")
    assert browser.ask(f'{place}.document.title') == hostile.source
    assert browser.ask(f'typeof {place}.pwned') == 'undefined' and not browser.log


def test_inline_page_shows_bodies(browser, page, tmp_path):
    (tmp_path / 'notebook.html').write_text(f'<meta charset="utf-8">{inline_page(page)}', encoding='utf-8')
    browser.open((tmp_path / 'notebook.html').as_uri())
    deadline = time.monotonic() + browser.seconds
    while (count := colored(browser.picture()[:400, 350:]).sum()) < 2000 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert count >= 2000
    with pytest.raises(MissingFile, match='--viewer makes'):
        inline_page(tmp_path / 'absent.html')


def test_nobody(recording, body, tmp_path):
    assert write_page(replace(recording, people=[]), body, None, tmp_path / 'page.html').is_file()


def test_bad_input(recording, body, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(ProjectError, match='cannot be written'):
        write_page(recording, body, None, tmp_path / 'file' / 'page.html')
    with pytest.raises(MissingFile, match='absent.mp4'):
        write_page(recording, body, tmp_path / 'absent.mp4', tmp_path / 'page.html')
    with pytest.raises(WrongBody):
        write_page(replace(recording, body_digest='another'), body, None, tmp_path / 'page.html')
    with pytest.raises(ProjectError, match='port 70000'):
        LiveView(recording, body, None, port=70000)
    assert not (tmp_path / 'page.html').exists()

"""The viewer page: its files and its server, and what a browser shows of it and does with it."""
import http.client
import json
import threading
import time
from dataclasses import replace
from urllib.parse import quote

import av
import numpy as np
import pytest
import torch

from core.demo.page_server import make_server
from core.demo.viewer import inline_page, write_page
from models.body import BodyModel
from tests.chromium import Chromium, find_chromium
from tests.recordings import FOCAL, HEIGHT, WIDTH, make_recording
from utils.errors import MissingFile, ProjectError, WrongBody
from utils.export import save_results

HOSTILE = '</script><script>window.pwned=1</script><img src=x onerror="window.pwned=1">&amp;\u2028.mp4'


@pytest.fixture(scope='module')
def body(free_assets):
    return BodyModel(free_assets)


@pytest.fixture(scope='module')
def recording(body):
    return make_recording(body)


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    """30 frames at 30 Hz; a white bar stands at 20 pixels a frame."""
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
    return write_page(recording, body, video, tmp_path_factory.mktemp('page'))


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    if not find_chromium():
        pytest.skip('no chromium on this machine')
    with Chromium(tmp_path_factory.mktemp('profile')) as tab:
        yield tab


@pytest.fixture(scope='module')
def server(page):
    with make_server(page.parent, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def request(server, path, **headers):
    connection = http.client.HTTPConnection(*server.server_address, timeout=20)
    connection.request('GET', path, headers={name.replace('_', '-'): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def colored(picture):
    """Mask of pixels with a clear colour, which only bodies have within the canvas."""
    return np.ptp(picture.astype(int), axis=2) > 40


def canvas_of(browser):
    """(left, top, width, height) of the 3D canvas, whole pixels."""
    return browser.ask("(r => [r.left, r.top, r.width, r.height].map(Math.round))"
                       "(document.getElementById('bodies').getBoundingClientRect())")


def bodies_in(browser):
    """Mask of the 3D canvas, below its counter and buttons: what changes when everyone is hidden."""
    left, top, width, height = canvas_of(browser)
    pictures = [browser.picture()]
    browser.ask('var shown = motion.people.map(person => person.visible);'
                'for (const person of motion.people) person.visible = false; showFrame(state.frame)')
    pictures.append(browser.picture())
    browser.ask('motion.people.forEach((person, i) => { person.visible = shown[i]; }); showFrame(state.frame)')
    bodies, empty = (picture[top + 45:top + height, left:left + width].astype(int) for picture in pictures)
    return np.abs(bodies - empty).max(axis=2) > 12


def test_page_is_self_contained(page):
    names = {path.name for path in page.parent.iterdir()}
    assert names == {'index.html', 'style.css', 'matrices.js', 'motion.js', 'glb.js', 'scene.js', 'viewer.js',
                     'data.js', 'video.mp4'}
    for path in page.parent.iterdir():
        if path.suffix != '.mp4':
            assert '://' not in path.read_text(), f'{path.name} names another place'


def test_a_minute_stays_small(recording, body, tmp_path):
    sizes = []
    for repeats in (1, 4):
        person = recording.people[0]
        repeated = {name: np.concatenate([value] * repeats) for name, value in vars(person).items()
                    if name != 'person_id'} | {'frames': np.arange(30 * repeats)}
        longer = replace(recording, people=[replace(person, **repeated)], times=np.arange(30 * repeats) / 30)
        write_page(longer, body, None, tmp_path)
        sizes.append((tmp_path / 'data.js').stat().st_size)
    assert (sizes[1] - sizes[0]) / 90 < 300, 'bytes a frame and person'


def test_bodies_stand_where_the_camera_saw_them(browser, page, recording, body):
    browser.open(page.as_uri())
    assert browser.ask("document.getElementById('message').textContent") == ''
    browser.ask("document.getElementById('camera').click()")
    browser.ask('seek(10)')
    _, _, width, height = canvas_of(browser)
    mask = bodies_in(browser)
    expected = np.zeros((height, width), bool)
    scale = min(width / WIDTH, height / HEIGHT)
    for person in recording.people:
        row = int(np.flatnonzero(person.frames == 10)[0])
        out = body(torch.from_numpy(person.betas.mean(0))[None], pose=torch.from_numpy(person.pose[row:row + 1]))
        placed = out.vertices[0].numpy() + person.translation[row]
        pixels = FOCAL * placed[:, :2] / placed[:, 2:] * scale + (width / 2, height / 2)
        x, y = np.floor(pixels).astype(int).T
        seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        expected[y[seen], x[seen]] = True
    expected = expected[45:]
    assert mask.sum() > 4000
    # Every vertex lies on a coloured pixel, and no colour is far from a vertex.
    assert mask[expected].mean() > 0.97
    for axis in (0, 1):
        found, wanted = np.flatnonzero(mask.any(axis)), np.flatnonzero(expected.any(axis))
        np.testing.assert_allclose([found[0], found[-1]], [wanted[0], wanted[-1]], atol=3)


def test_scrubbing_moves_bodies_and_video_together(browser, page):
    browser.open(page.as_uri())
    browser.wait_for('video.readyState >= 2 && !video.seeking')
    before = browser.picture()
    left, top, width, height = browser.ask("(r => [r.left, r.top, r.width, r.height])"
                                           "(document.getElementById('timeline').getBoundingClientRect())")
    middle = top + height / 2
    browser.drag((left + 8, middle), (left + 8 + (width - 16) * 20 / 29, middle))
    assert browser.ask("document.getElementById('counter').textContent") == 'frame 20'
    browser.wait_for('!video.seeking && Math.abs(video.currentTime - 20.5 / 30) < 0.01')
    browser.ask('new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))')
    after = browser.picture()
    left, top, width, height = canvas_of(browser)
    changed = (colored(before) != colored(after))[top + 45:top + height, left:left + width]
    assert changed.sum() > 2000
    # The bar of the video stands where frame 20 has it.
    bright = np.flatnonzero(after[top + height // 2, :left].min(1) > 128)
    assert bright.mean() == pytest.approx(left * 410 / WIDTH, abs=3)


def test_orbit_zoom_and_hiding(browser, page):
    browser.open(page.as_uri())
    browser.ask('seek(10)')
    left, top, width, height = canvas_of(browser)
    start = (left + width // 2, top + height // 2)
    first = bodies_in(browser)
    browser.drag(start, (start[0] + 180, start[1] + 30))
    turned = bodies_in(browser)
    assert (turned != first).sum() > 2000 and turned.sum() > 4000
    browser.mouse('mouseWheel', *start, deltaX=0, deltaY=600)
    browser.wait_for('camera.distance > 8')
    smaller = bodies_in(browser)
    assert 1000 < smaller.sum() < 0.6 * turned.sum()
    browser.ask("document.querySelectorAll('#people input')[0].click()")
    assert 0 < bodies_in(browser).sum() < smaller.sum()
    browser.ask("document.querySelectorAll('#people input')[1].click()")
    assert bodies_in(browser).sum() == 0


def test_people_have_colours_of_their_own(browser, page, recording):
    browser.open(page.as_uri())
    browser.ask('seek(10)')
    colors = browser.ask("[...document.querySelectorAll('.swatch')].map(s => getComputedStyle(s).backgroundColor)")
    assert len(set(colors)) == len(recording.people)
    left, top, width, height = canvas_of(browser)
    picture = browser.picture()[top + 45:top + height, left:left + width].astype(int)
    shades = picture[colored(picture)]
    # Green over blue for one, blue over green for the other.
    greener = shades[:, 1] > shades[:, 2]
    assert 0.2 < greener.mean() < 0.8


def test_the_glb_shows_the_same_bodies(browser, page, recording, body, tmp_path):
    path, = save_results(recording, body, tmp_path, 'walk', {'glb'})
    browser.open(page.as_uri())
    pictures = []
    for opened in (None, path):
        if opened:
            browser.choose_file('#open', path)
            browser.wait_for("document.getElementById('title').textContent === 'walk.glb'")
        else:
            # So that the canvas is as large as with the .glb, which brings no video.
            browser.ask("document.getElementById('media').hidden = true")
        browser.ask("document.getElementById('camera').click()")
        browser.ask('seek(12)')
        pictures.append(bodies_in(browser))
    assert pictures[0].sum() > 4000
    assert (pictures[0] != pictures[1]).sum() < 0.005 * pictures[0].sum()

    (tmp_path / 'other.glb').write_bytes(b'glTF but no more')
    browser.choose_file('#open', tmp_path / 'other.glb')
    browser.wait_for("document.getElementById('message').textContent.startsWith('other.glb is not')")
    assert not browser.log


def test_playing_without_a_video(browser, recording, body, tmp_path):
    browser.open(write_page(recording, body, None, tmp_path).as_uri())
    browser.ask("document.getElementById('play').click()")
    browser.wait_for("state.frame > 5")
    browser.ask("document.getElementById('play').click()")
    stopped = browser.ask('state.frame')
    browser.ask('new Promise(done => setTimeout(done, 150))')
    assert browser.ask('state.frame') == stopped


def test_a_video_the_browser_cannot_play(browser, recording, body, tmp_path):
    broken = tmp_path / 'broken.avi'
    broken.write_bytes(b'not a video')
    browser.open(write_page(recording, body, broken, tmp_path / 'page').as_uri())
    browser.wait_for("document.getElementById('message').textContent.includes('cannot play')")
    browser.ask('seek(10)')
    assert bodies_in(browser).sum() > 4000


@pytest.mark.parametrize('how', ['folder', 'inline'])
def test_names_are_shown_and_never_run(browser, recording, body, tmp_path, how):
    hostile = replace(recording, source=HOSTILE.replace('/', '\u2215'), names=[HOSTILE] * 30)
    index = write_page(hostile, body, None, tmp_path / 'page')
    if how == 'folder':
        browser.open(index.as_uri())
    else:
        # Without the sandbox, so that the test may look inside.
        frame = inline_page(index.parent).replace('sandbox="allow-scripts"', '')
        (tmp_path / 'notebook.html').write_text(f'<meta charset="utf-8">{frame}', encoding='utf-8')
        browser.open((tmp_path / 'notebook.html').as_uri())
        browser.wait_for("frames[0].document.getElementById('title')?.textContent")
    place = 'window' if how == 'folder' else 'frames[0]'
    browser.ask('new Promise(done => setTimeout(done, 100))')
    assert browser.ask(f"typeof {place}.pwned") == 'undefined'
    assert browser.ask(f"{place}.document.getElementById('title').textContent") == hostile.source
    assert HOSTILE in browser.ask(f"{place}.document.getElementById('counter').textContent")
    assert not browser.log


def test_inline_page_shows_bodies_and_video_in_its_sandbox(browser, page, tmp_path):
    (tmp_path / 'notebook.html').write_text(f'<meta charset="utf-8">{inline_page(page.parent)}', encoding='utf-8')
    browser.open((tmp_path / 'notebook.html').as_uri())

    def shown():
        # Bodies on the right, and on the left the video's first frame, whose bar is at its left edge.
        picture = browser.picture()[100:400]
        white = (picture[:, 10:100].min(2) > 200).mean(axis=0)
        return colored(picture[:, 500:]).sum() > 3000 and white.max() > 0.9 and white.mean() < 0.3
    assert any(shown() or time.sleep(0.1) for _ in range(100))
    with pytest.raises(MissingFile, match='--viewer makes'):
        inline_page(tmp_path)


def test_served_page_seeks(browser, server):
    browser.open(f'http://127.0.0.1:{server.server_address[1]}/index.html')
    browser.wait_for('video.readyState >= 2 && !video.seeking')
    browser.ask('seek(25)')
    browser.wait_for('!video.seeking && Math.abs(video.currentTime - 25.5 / 30) < 0.01')
    assert bodies_in(browser).sum() > 2000 and not browser.log


def test_nobody(browser, recording, body, tmp_path):
    browser.open(write_page(replace(recording, people=[]), body, None, tmp_path).as_uri())
    assert 'Nobody' in browser.ask("document.getElementById('message').textContent") and not browser.log


def test_server_answers_this_machine_only(server):
    assert server.server_address[0] == '127.0.0.1'
    assert request(server, '/')[0].status == 200
    assert request(server, '/', Host='evil.example:80')[0].status == 403


def test_server_answers_ranges(server, video):
    whole = video.read_bytes()
    answer, content = request(server, '/video.mp4')
    assert answer.status == 200 and content == whole and answer.getheader('Accept-Ranges') == 'bytes'
    for asked, expected in (('bytes=10-19', whole[10:20]), ('bytes=100-', whole[100:]), ('bytes=-7', whole[-7:])):
        answer, content = request(server, '/video.mp4', Range=asked)
        assert answer.status == 206 and content == expected
    assert request(server, '/video.mp4', Range='bytes=99999999-')[0].status == 416
    assert request(server, '/video.mp4', Range='lines=1-2')[0].status == 200


@pytest.mark.parametrize('path', ['/../data.js', '/%2e%2e/%2e%2e/etc/passwd', '/none.js', '/' + quote('\0')])
def test_server_stays_in_its_folder(server, path):
    answer, content = request(server, path)
    assert answer.status == 404 or content == (request(server, '/data.js')[1])


def test_server_errors_are_one_line(server, page, tmp_path):
    with pytest.raises(ProjectError, match='cannot listen'):
        make_server(page.parent, port=server.server_address[1])
    with pytest.raises(ProjectError, match='cannot listen'):
        make_server(page.parent, port=70000)
    with pytest.raises(MissingFile, match='no index.html'):
        make_server(tmp_path)


def test_bad_input(recording, body, tmp_path):
    occupied = tmp_path / 'file'
    occupied.write_text('')
    with pytest.raises(ProjectError, match='cannot be written'):
        write_page(recording, body, None, occupied)
    with pytest.raises(MissingFile, match='absent.mp4'):
        write_page(recording, body, tmp_path / 'absent.mp4', tmp_path / 'page')
    with pytest.raises(WrongBody):
        write_page(replace(recording, body_digest='another'), body, None, tmp_path / 'page')


def test_data_is_plain_json(page):
    text = (page.parent / 'data.js').read_text().removeprefix('const RECORDING = ').rstrip(';\n')
    data = json.loads(text)
    assert data['title'] == 'walk.mp4' and [person['id'] for person in data['people']] == [1, 2]

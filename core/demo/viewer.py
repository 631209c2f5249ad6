"""Shows a recording in 3D with viser: bodies, the camera, and the picture in its image plane.

`write_page` writes one HTML file that opens from disk. `serve` shows the same scene live. The world frame is the
recording's camera frame: x right, y down, z forward, metres.
"""
import contextlib
import html
import os
import time
from pathlib import Path

import cv2
import numpy as np
import viser
from scipy.spatial.transform import Rotation

from core.demo.pictures import read_frame
from datasets.video import VideoReader
from utils.errors import MissingFile, ProjectError
from utils.export.tracks import checked_recording, mean_betas, posed, rest_body
from utils.logging import get_logger
from utils.rendering import person_color
from utils.safe_io import atomic_write

_PICTURES = {'.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff'}
_PICTURE_SIDE, _JPEG_QUALITY = 360, 60
# Poses are rounded to 2^-14 (0.06 mm, 0.007 degrees), because trailing zeros compress well.
_STEPS = 1 << 14
# Most poses of all people in one page. A browser holds each as 50 messages.
_MOST_POSES = 10_000
_PICTURE_SECONDS = 1 / 30
# viser dims its canvas until an environment map is loaded. This scene has none.
_OPAQUE = '<style>canvas { opacity: 1 !important; }</style>'
# Depth of the image plane over that of the farthest body, and its depth in metres without a body.
_BEHIND, _EMPTY_DEPTH = 1.25, 4.0


def write_page(recording, body, shown, path):
    """Write the page of a recording to the HTML file `path`; returns the path.

    shown: the picture or video that the image plane shows, or None. A long recording is thinned to 10,000 poses of
    all people together. Raises ProjectError.
    """
    server = _started('127.0.0.1', 0)
    try:
        scene = _Scene(server, recording, body, shown)
        page = scene.played().as_html()
    finally:
        _quietly(server.stop)
    title = html.escape(Path(scene.recording.source).name or 'Bodies')
    page = page.replace('<title>Viser</title>', f'<title>{title}</title>{_OPAQUE}', 1)
    with atomic_write(path) as stream:
        stream.write(page.encode('utf-8', 'replace'))
    return Path(path)


def inline_page(path, height=480):
    """A page that `write_page` wrote as an <iframe> for a notebook. Raises MissingFile."""
    try:
        page = Path(path).read_text(encoding='utf-8')
    except OSError as error:
        raise MissingFile(f'{path}: cannot be read ({error.strerror}); --viewer makes such a page') from None
    return (f'<iframe srcdoc="{html.escape(page)}" style="width: 100%; height: {int(height)}px; border: 0">'
            '</iframe>')


def serve(recording, body, shown, port=8080, host='127.0.0.1'):
    """Show a recording live until interrupted. Other machines see it only where `host` is set, e.g. to 0.0.0.0.

    A port in use is replaced by the next free one. The log names the address. Raises ProjectError.
    """
    with LiveView(recording, body, shown, port, host) as view:
        get_logger().info(f'{view.address} shows the bodies; stop with Ctrl-C')
        with contextlib.suppress(KeyboardInterrupt):
            view.run()
    get_logger().info('stopped')


def _started(host, port):
    """Start a server. viser tries 1,000 ports and then waits forever, so the port number is checked first."""
    if not 0 <= port <= 65535:
        raise ProjectError(f'cannot listen on port {port}; ports are 0 to 65535')
    return _quietly(viser.ViserServer, host, port, verbose=False)


def _quietly(call, *args, **kwargs):
    """Call a function with viser's messages at start and stop suppressed."""
    with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere):
        return call(*args, **kwargs)


class _Scene:
    """A recording as nodes of viser: the camera with its picture, and a skinned mesh for each person."""

    def __init__(self, server, recording, body, shown):
        self._server, self.recording = server, checked_recording(recording, body)
        self.people = [_Person(server, person, body) for person in self.recording.people]
        self._jpegs = _small_pictures(shown, self.recording)
        self._camera = self._add_camera()
        self._name = server.scene.add_label('/name', '') if self.recording.names else None

    def _add_camera(self):
        scene, recording = self._server.scene, self.recording
        depths = [person.depth for person in self.people]
        half, aspect = recording.height / 2 / recording.focal_length, recording.width / max(recording.height, 1)
        depth = _BEHIND * max(depths, default=_EMPTY_DEPTH)
        scene.set_up_direction('-y')
        # Only lights: an environment map adds 50 kB and loads late.
        scene.configure_environment_map(None)
        scene.add_light_hemisphere('/light', sky_color=(255, 255, 255), ground_color=(150, 150, 150), intensity=2.0)
        view = self.view = self._server.initial_camera
        view.position, view.look_at, view.up = (0, 0, 0), (0, 0, np.median(depths) if depths else depth), (0, -1, 0)
        view.fov, view.far = 2 * np.arctan(half), 20 * depth
        # viser scales a frustum to the volume scale^3. This scale puts the image plane at `depth`.
        scale = depth * np.cbrt(half * half * aspect / 3)
        return scene.add_camera_frustum('/camera', 2 * np.arctan(half), aspect, scale=scale, thickness=2,
                                        thickness_units='screen', format='jpeg', jpeg_quality=_JPEG_QUALITY,
                                        cast_shadow=False, receive_shadow=False)

    def show(self, frame):
        """Show a frame of the recording."""
        with self._server.atomic():
            if frame in self._jpegs:
                self._camera.image = cv2.imdecode(self._jpegs[frame], cv2.IMREAD_COLOR)[..., ::-1]
            if self._name:
                self._name.text = self.recording.names[frame]
            for person in self.people:
                person.show(frame)

    def played(self):
        """viser's serializer after the recording was played from start to end."""
        times = self.recording.times
        serializer = self._server.get_scene_serializer()
        shown = range(0, len(times), self._stride())
        for number, frame in enumerate(shown):
            self.show(frame)
            if len(times) > 1:
                after = times[shown[number + 1]] if number + 1 < len(shown) else times[-1] + _PICTURE_SECONDS
                serializer.insert_sleep(float(after - times[frame]))
        return serializer

    def _stride(self):
        poses = sum(len(person) for person in self.recording.people)
        stride = max(1, -(-poses // _MOST_POSES))
        if stride > 1:
            get_logger().warning(f'{self.recording.source}: the page shows every {stride}th frame; '
                                 '--viewer_port shows all')
        return stride


class _Person:
    """A skinned mesh, and the poses of its bones in every row of the track."""

    def __init__(self, server, person, body):
        betas = mean_betas(person)
        vertices, joints = rest_body(body, betas)
        self.frames, self.depth = person.frames, float(person.translation[:, 2].max())
        self._places = _rounded(person.translation)
        self._wxyzs, self._positions = _bones(body, betas, person.pose)
        self.mesh = server.scene.add_mesh_skinned(
            f'/person {person.person_id}', vertices, body.faces.cpu().numpy(), bone_positions=joints,
            bone_wxyzs=np.tile([1.0, 0, 0, 0], (len(joints), 1)), skin_weights=body.mesh.weights.cpu().numpy(),
            color=tuple(int(255 * value) for value in person_color(person.person_id)), visible=False,
            receive_shadow=False)
        self.label, self.is_wanted = f'Person {person.person_id}', True

    def show(self, frame):
        row = int(np.searchsorted(self.frames, frame))
        self.mesh.visible = self.is_wanted and row < len(self.frames) and self.frames[row] == frame
        if not self.mesh.visible:
            return
        self.mesh.position = self._places[row]
        for bone, wxyz, position in zip(self.mesh.bones, self._wxyzs[row], self._positions[row]):
            bone.wxyz, bone.position = wxyz, position


def _bones(body, betas, pose):
    """(wxyz [T,24,4], position [T,24,3]) of the bones in the body's frame, for every row of pose [T,72]."""
    skeletons = [out.skeleton for _, out in posed(body, betas, pose)]
    rotations = np.concatenate([s.transforms.cpu().numpy().reshape(-1, 24, 3, 4)[..., :3] for s in skeletons])
    wxyz = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_quat()[:, [3, 0, 1, 2]].reshape(-1, 24, 4)
    return _rounded(wxyz), _rounded(np.concatenate([s.joints.cpu().numpy() for s in skeletons]))


def _rounded(values):
    return np.round(np.asarray(values, np.float64) * _STEPS) / _STEPS


def _small_pictures(shown, recording):
    """{frame: JPEG} of a picture or video at reduced size. Raises MissingFile, BadFile."""
    if shown is None:
        return {}
    if Path(shown).suffix.lower() in _PICTURES:
        return {0: _jpeg(read_frame(Path(shown), 0, 0).image, recording)}
    reader, jpegs = VideoReader(str(shown)), {}
    for frame in reader:
        place = int(np.abs(recording.times - frame.time).argmin())
        if place not in jpegs:
            jpegs[place] = _jpeg(frame.image, recording)
    return jpegs


def _jpeg(image, recording):
    """The leftmost panel of a picture [H,W,3] as a JPEG. The panel has the recording's aspect ratio."""
    height, width = image.shape[:2]
    image = image[:, :min(width, round(height * recording.width / recording.height))]
    ratio = min(1, _PICTURE_SIDE / max(image.shape[:2]))
    small = cv2.resize(image, [max(1, round(side * ratio)) for side in image.shape[1::-1]],
                       interpolation=cv2.INTER_AREA)
    return cv2.imencode('.jpg', small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]


class LiveView:
    """A server of a recording, as a context manager. Its panel has a timeline, the camera's view and a box per person.

    port: 0 takes a free one.
    """

    def __init__(self, recording, body, shown, port=8080, host='127.0.0.1'):
        self._server = _started(host, port)
        try:
            self._scene = _Scene(self._server, recording, body, shown)
            self._add_controls(self._server.gui)
        except BaseException:
            self.close()
            raise
        self.address = f'http://{host}:{self._server.get_port()}/'

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        _quietly(self._server.stop)

    def _add_controls(self, gui):
        self._times = self._scene.recording.times
        last = len(self._times) - 1
        self._frame = gui.add_slider('Frame', 0, max(last, 1), 1, 0, disabled=last < 1)
        self._playing = gui.add_checkbox('Play', last > 0, disabled=last < 1)
        gui.add_button('View of the camera').on_click(self._see_as_camera)
        for person in self._scene.people:
            box = gui.add_checkbox(person.label, True)
            box.on_update(lambda event, person=person: self._want(person, event.target.value))
        self._frame.on_update(lambda _: self._show())
        self._show()

    def run(self):
        """Play until interrupted."""
        while True:
            frame = self._frame.value
            if not self._playing.value:
                time.sleep(0.05)
                continue
            after = (frame + 1) % len(self._times)
            time.sleep(max(1e-3, self._times[after] - self._times[frame]) if after else _PICTURE_SECONDS)
            if self._frame.value == frame:
                self._frame.value = after

    def _show(self):
        if len(self._times):
            self._scene.show(min(int(self._frame.value), len(self._times) - 1))

    def _want(self, person, is_wanted):
        person.is_wanted = is_wanted
        self._show()

    def _see_as_camera(self, event):
        view, camera = self._scene.view, event.client.camera
        with event.client.atomic():
            camera.position, camera.look_at, camera.up_direction = view.position, view.look_at, view.up
            camera.fov = view.fov

"""A web page with the video beside the bodies in 3D, made of files that any browser opens, from disk or served.

The page draws with WebGL 2 and skins the bodies itself, so it holds a rest mesh and joint rotations, not meshes over
time: some 270 bytes a person and frame. Nothing is fetched from elsewhere.
"""
import base64
import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from core.demo.page_server import serve
from utils.errors import MissingFile
from utils.export.gltf import joint_quaternions, skin_weights
from utils.export.tracks import CAMERA_TO_Y_UP, checked_recording, mean_betas, rest_body, turned_root
from utils.rendering import person_color
from utils.safe_io import atomic_write

__all__ = ['inline_page', 'serve', 'write_page']

_TEMPLATE = Path(__file__).parent / 'viewer_page'
_STATIC = ('index.html', 'style.css', 'matrices.js', 'motion.js', 'scene.js', 'viewer.js')
_PICTURES = {'.jpg', '.jpeg', '.png', '.webp', '.bmp', '.gif'}


def write_page(recording, body, video_path, folder):
    """Write the page of a recording into a folder; returns the path of its index.html.

    video_path: a video or picture that is copied beside the page, or None. The page shows a video that the browser
    cannot play as missing, and plays the bodies without it. Raises ProjectError.
    """
    folder = Path(folder)
    media = _media(video_path)
    for name in _STATIC:
        _write_text(folder / name, (_TEMPLATE / name).read_text(encoding='utf-8'))
    if media['kind']:
        _copy(Path(video_path), folder / media['file'])
    _write_text(folder / 'data.js', _data_script(recording, body, media))
    return folder / 'index.html'


def inline_page(recording, body, height=480):
    """The page without a video, as one piece of HTML for a notebook: an <iframe> that holds everything."""
    page = (_TEMPLATE / 'index.html').read_text(encoding='utf-8')

    def style(found):
        return f'<style>{(_TEMPLATE / found[1]).read_text(encoding="utf-8")}</style>'

    def script(found):
        is_data = found[1] == 'data.js'
        text = _data_script(recording, body, _media(None)) if is_data else (_TEMPLATE / found[1]).read_text('utf-8')
        return f'<script>{text}</script>'
    page = re.sub(r'<link rel="stylesheet" href="([a-z.]+)">', style, page)
    page = re.sub(r'<script src="([a-z.]+)"></script>', script, page)
    return (f'<iframe srcdoc="{html.escape(page)}" style="width: 100%; height: {int(height)}px; border: 0" '
            'sandbox="allow-scripts"></iframe>')


def _media(path):
    """What is shown beside the bodies; the name in the folder is ours, whatever the file was called."""
    if path is None:
        return {'kind': '', 'file': ''}
    suffix = Path(path).suffix.lower()
    kind = 'picture' if suffix in _PICTURES else 'video'
    return {'kind': kind, 'file': kind + (suffix if re.fullmatch(r'\.[a-z0-9]{1,5}', suffix) else '')}


def _data_script(recording, body, media):
    """JavaScript that defines RECORDING; no character in it can end a script element."""
    text = json.dumps(_page_data(recording, body) | {'media': media}, allow_nan=False, separators=(',', ':'))
    return f'const RECORDING = {text.replace("<", chr(92) + "u003c")};\n'


def _page_data(recording, body):
    """Everything the page needs, y up and in metres; arrays in base64, little-endian."""
    recording = checked_recording(recording, body)
    faces = body.faces.cpu().numpy()
    index, weights = skin_weights(body.mesh.weights.cpu().numpy())
    wide = body.num_vertices > np.iinfo(np.uint16).max
    return {
        'title': Path(recording.source).name or str(recording.source), 'names': list(recording.names),
        'width': recording.width, 'height': recording.height, 'focal_length': float(recording.focal_length),
        'times': _packed(recording.times, '<f8'),
        'body': {'parents': list(body.parents), 'wide_faces': wide, 'faces': _packed(faces, '<u4' if wide else '<u2'),
                 'joint_index': _packed(index, 'u1'), 'weights': _packed((weights * 65535).round(), '<u2')},
        'people': [_person_data(person, body) for person in recording.people]}


def _person_data(person, body):
    vertices, joints = rest_body(body, mean_betas(person))
    matrices = Rotation.from_rotvec(person.pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    quaternions = joint_quaternions(turned_root(matrices))
    return {'id': int(person.person_id), 'color': [float(value) for value in person_color(person.person_id)],
            'vertices': _packed(vertices, '<f4'), 'joints': _packed(joints, '<f4'),
            'frames': _packed(person.frames, '<i4'), 'rotations': _packed((quaternions * 32767).round(), '<i2'),
            'places': _packed((person.translation + joints[0]) * CAMERA_TO_Y_UP, '<f4')}


def _packed(values, dtype):
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode()


def _write_text(path, text):
    with atomic_write(path) as stream:
        stream.write(text.encode('utf-8'))


def _copy(source, target):
    try:
        with open(source, 'rb') as video:
            if target.exists() and target.samefile(source):
                return
            with atomic_write(target) as stream:
                shutil.copyfileobj(video, stream, 1 << 20)
    except OSError as error:
        raise MissingFile(f'{source}: cannot be read ({error.strerror or error})') from None

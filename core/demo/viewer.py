"""A web page with the video beside the bodies in 3D, made of files that any browser opens, from disk or served.

The page draws with WebGL 2 and skins the bodies itself, so it holds a rest mesh and joint rotations, not meshes over
time: some 270 bytes a person and frame. Nothing is fetched from elsewhere.
"""
import base64
import html
import json
import mimetypes
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
_STATIC = ('index.html', 'style.css', 'matrices.js', 'motion.js', 'glb.js', 'scene.js', 'viewer.js')
_PICTURES = {'.jpg', '.jpeg', '.png', '.webp', '.bmp', '.gif'}
_DATA_START = 'const RECORDING = '
_LARGEST_INLINE = 20e6


def write_page(recording, body, video_path, folder):
    """Write the page of a recording into a folder; returns the path of its index.html.

    video_path: a video or picture that is copied beside the page, or None. The page shows a video that the browser
    cannot play as missing, and plays the bodies without it. Raises ProjectError.
    """
    folder = Path(folder)
    media = _media(video_path)
    for name in _STATIC:
        _write_text(folder / name, _read_text(_TEMPLATE / name))
    if media['kind']:
        _copy(Path(video_path), folder / media['file'])
    _write_text(folder / 'data.js', _as_script(_page_data(recording, body) | {'media': media}))
    return folder / 'index.html'


def inline_page(folder, height=480):
    """A page that `write_page` made as one piece of HTML, an <iframe> that holds everything, for a notebook.

    A video of more than 20 MB is left out. Raises MissingFile.
    """
    folder = Path(folder)
    data = json.loads(_read_text(folder / 'data.js').removeprefix(_DATA_START).rstrip(';\n'))
    data['media'] = _inline_media(folder, data['media'])

    def script(found):
        return f'<script>{_as_script(data) if found[1] == "data.js" else _read_text(folder / found[1])}</script>'
    page = re.sub(r'<link rel="stylesheet" href="([a-z.]+)">',
                  lambda found: f'<style>{_read_text(folder / found[1])}</style>', _read_text(folder / 'index.html'))
    page = re.sub(r'<script src="([a-z.]+)"></script>', script, page)
    return (f'<iframe srcdoc="{html.escape(page)}" style="width: 100%; height: {int(height)}px; border: 0" '
            'sandbox="allow-scripts"></iframe>')


def _inline_media(folder, media):
    path = folder / media['file']
    if not media['kind'] or path.stat().st_size > _LARGEST_INLINE:
        return {'kind': '', 'file': ''}
    content = base64.b64encode(path.read_bytes()).decode()
    kind = mimetypes.guess_type(path.name)[0] or 'application/octet-stream'
    return {'kind': media['kind'], 'file': f'data:{kind};base64,{content}'}


def _media(path):
    """What is shown beside the bodies; the name in the folder is ours, whatever the file was called."""
    if path is None:
        return {'kind': '', 'file': ''}
    suffix = Path(path).suffix.lower()
    kind = 'picture' if suffix in _PICTURES else 'video'
    return {'kind': kind, 'file': kind + (suffix if re.fullmatch(r'\.[a-z0-9]{1,5}', suffix) else '')}


def _as_script(data):
    """JavaScript that defines RECORDING; no character in it can end a script element."""
    text = json.dumps(data, allow_nan=False, separators=(',', ':')).replace('<', '\\u003c')
    return f'{_DATA_START}{text};\n'


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


def _read_text(path):
    try:
        return path.read_text(encoding='utf-8')
    except OSError as error:
        raise MissingFile(f'{path}: cannot be read ({error.strerror}); --viewer makes such a page') from None


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

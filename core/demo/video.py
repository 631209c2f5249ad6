"""The demo on a video: frames stream through detection, tracking, network, smoothing, drawing and encoding.

Only a few frames are in memory at a time. What grows with the video's length are the people's parameters.
"""
import itertools
import time
from pathlib import Path

from tqdm import tqdm

from core.demo.camera import Focus
from core.demo.detect_and_track import video_detector
from core.demo.draw import Drawer, fitted
from core.demo.file_estimator import FileEstimator
from core.demo.output import Report, check_writable, export
from core.demo.result_collector import ResultCollector
from core.demo.smoothing import Smoother
from core.demo.sources import is_address, open_source
from core.demo.threads import Ahead, Behind
from core.demo.window import Window
from core.training.interrupts import on_interrupt
from utils.errors import BadFile
from utils.logging import get_logger
from utils.video_writer import VideoWriter

# Largest size of a batch of frames in bytes.
_CHUNK_BYTES = 64e6


def run_video(cfg, inputs, estimator, device):
    """Run the demo on --vid_file, --image_folder or --webcam -> [Recording].

    Ctrl-C ends the run early. Results until then are written, also before an error. Raises ProjectError.
    """
    stem = _stem(inputs)
    folder = Path(cfg.DEMO.OUTPUT_FOLDER or 'output') / stem
    check_writable(folder)
    source = open_source(cfg, inputs, folder)
    path = folder / f'{stem}_result.mp4'

    def save(recording, is_whole=True):
        shown = path if path.exists() and cfg.DEMO.RENDER else None
        if shown:
            print(f'video: {shown}')
        export(cfg, inputs, recording, estimator.body, folder, stem, shown, is_whole)
        return [recording]
    run = None
    try:
        run = _VideoRun(cfg, inputs, estimator, device, source, path if cfg.DEMO.RENDER else None)
        with on_interrupt(run.stop):
            run()
    except Exception:
        if run and run.collector.num_people:  # keep what was found before the error
            save(run.collector.recording(), is_whole=False)
        raise
    finally:
        source.close()
    if not run.collector.num_frames:
        raise BadFile(f'{source.path}: not one frame was read')
    return save(run.collector.recording())


def _stem(inputs):
    path = str(inputs.paths[0])
    if inputs.kind == 'webcam':
        return f'webcam{path}'
    if is_address(path):
        return ''.join(c if c.isalnum() else '_' for c in path.split('//')[1])[:60].strip('_')
    return Path(path).resolve().name if inputs.kind == 'image_folder' else Path(path).stem


class _VideoRun:
    """One pass over the frames of `source`. The overlay is written to `path`, unless that is None."""

    def __init__(self, cfg, inputs, estimator, device, source, path):
        self._cfg, self._estimator, self._source, self._path = cfg, estimator, source, path
        self._live = inputs.kind == 'webcam'
        self._known = isinstance(estimator, FileEstimator)
        self._detector = None if self._known else video_detector(cfg, inputs, device, estimator)
        self._smoother = Smoother(cfg, estimator.body) if cfg.DEMO.SMOOTH else None
        self._drawer = Drawer(cfg, estimator.body.faces.cpu()) if path else None
        self._window = Window('bodies') if cfg.DEMO.DISPLAY or self._live else None
        self._focus = estimator.focus if self._known else Focus(cfg.DEMO.FOCAL_LENGTH)
        self.collector, self.report = ResultCollector(source.path, estimator.body, self._focus), Report()
        self._writer, self._size, self._stopped = None, None, False

    def stop(self):
        """Stop after the frames in progress."""
        self._stopped = True

    def __call__(self):
        frames = iter(self._source)
        first = next(frames, None)
        if first is None:
            return
        size = 1 if self._live else int(
            max(1, min(self._cfg.DEMO.TRACKER_BATCH_SIZE, _CHUNK_BYTES // first.image.nbytes)))
        frames = itertools.chain([first], frames)
        # A camera is not read ahead, and a window must be used from the main thread.
        ahead = [] if self._live else [Ahead(frames, size)]
        chunks = self._chunks(frames if self._live else iter(ahead[0]), size)
        if not self._live and getattr(self._detector, 'runs_ahead', False):
            ahead.insert(0, Ahead(chunks, 1))
            chunks = iter(ahead[0])
        behind = Behind(self._draw, size) if self._drawer and not self._window else None
        start = time.monotonic()
        try:
            self._stream(chunks, behind or self._draw)
            if behind:
                behind.wait()
        finally:
            self._finish([*ahead, *([behind] if behind else [])])
        self._say(time.monotonic() - start)
        if not self._stopped:
            (self._estimator if self._known else self._detector).check()

    def _chunks(self, frames, size):
        """Yield (frames, people in each of them) of up to `size` frames; people are None with a FileEstimator."""
        while chunk := list(itertools.islice(frames, size)):
            yield chunk, None if self._known else self._detector(chunk)

    def _stream(self, chunks, draw):
        progress = tqdm(total=getattr(self._source, 'num_frames', None), desc='frames', leave=False)
        for chunk, found in chunks:
            estimates = self._look(chunk, found)
            if self._smoother:
                self._smoother(chunk, estimates, self._focus)
            for frame, people in zip(chunk, estimates):
                self.collector.add(frame, people)
                self.report.add(people)
                if self._drawer:
                    draw((frame, people))
            progress.update(len(chunk))
            if self._stopped:
                break
        progress.close()

    def _look(self, chunk, found):
        """The Estimates of each frame of a chunk."""
        if self._known:
            return [self._estimator(frame) for frame in chunk]
        people = [(frame, person) for frame, boxes in zip(chunk, found) for person in boxes]
        estimates = self._estimator(people, self._focus)
        rest = iter(estimates)
        by_frame = [list(itertools.islice(rest, len(boxes))) for boxes in found]
        return [[estimate for estimate in row if estimate is not None] for row in by_frame]

    def _draw(self, item):
        frame, people = item
        picture = self._drawer.panels(frame.image, people, self._focus(frame))
        if self._writer is None:
            self._size = picture.shape[1::-1]
            self._writer = VideoWriter(self._path, *self._size, self._source.rate)
        self._writer.write(fitted(picture, self._size), frame.time)
        if self._window and not self._window.show(picture):
            self.stop()

    def _finish(self, threads):
        """Stop the threads, each before the ones it waits for, then close what they write to."""
        for thread in threads:
            thread.end()
        if self._writer:
            self._writer.close()
        if self._window:
            self._window.close()

    def _say(self, seconds):
        if self._detector:
            self.report.left_out.update(self._detector.left_out + self._estimator.left_out)
            self.report.skipped.update(self._detector.skipped)
        if self._source.skipped:
            self.report.skipped['frames that cannot be decoded'] = self._source.skipped
        if self._stopped:
            get_logger().info('stopped early; what was found until then is written')
        print(f'{self.report.summary()}; {self.collector.num_people} tracked; '
              f'{self.report.frames / max(seconds, 1e-9):.1f} frames/s')

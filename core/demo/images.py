"""The demo on pictures: overlays and side views under the file names of SPIN's, PyMAF's and DaNet's demos."""
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.demo.camera import Focus
from core.demo.detect_and_track import picture_detector
from core.demo.draw import Drawer
from core.demo.file_estimator import FileEstimator
from core.demo.montage import Montage
from core.demo.output import Report, check_writable, export
from core.demo.pictures import list_pictures, read_frame
from core.demo.result_collector import ResultCollector
from core.evaluation.pictures import save_picture
from utils.errors import BadFile, MissingFile, ProjectError
from utils.file_names import distinct_paths, frame_numbers
from utils.logging import get_logger


@dataclass(frozen=True)
class Job:
    """Pictures that make one recording. prefixes: paths of each picture's results, without suffix. numbers: their frame
    numbers. first: index of the first picture on the command line. as_views: they show one body."""
    pictures: tuple
    prefixes: tuple
    folder: Path
    stem: str
    numbers: tuple
    first: int = 0
    as_views: bool = False


def run_pictures(cfg, inputs, estimator, device):
    """Run the demo on --img, --img_file, --img_dir or --image_folder --image_based -> [Recording].

    An unreadable picture among others is skipped and counted, and so is one with an unreadable --bbox or --openpose
    file. Raises ProjectError; results found before are written.
    """
    jobs = _jobs(cfg, inputs, estimator)
    for folder in {path.parent for job in jobs for path in job.prefixes} | {job.folder for job in jobs}:
        check_writable(folder)
    run = _PictureRun(cfg, inputs, estimator, device, alone=sum(len(job.pictures) for job in jobs) == 1)
    recordings = [recording for recording in map(run, jobs) if recording is not None]
    if not recordings:
        raise BadFile(f'{inputs.paths[0]}: no picture is readable; {run.report.summary()}')
    run.check()
    print(run.report.summary())
    return recordings


def _jobs(cfg, inputs, estimator):
    output = Path(cfg.DEMO.OUTPUT_FOLDER or 'output')
    paths = [Path(path) for path in inputs.paths]
    if inputs.kind == 'img':
        prefixes = distinct_paths([_spin_prefix(cfg, inputs, path) for path in paths])
        if len(paths) > 1 and getattr(getattr(estimator, 'regressor', None), 'takes_views', False):
            return [Job(tuple(paths), tuple(prefixes), prefixes[0].parent, prefixes[0].name, tuple(range(len(paths))),
                        as_views=True)]
        return [Job((path,), (prefix,), prefix.parent, prefix.name, (first,), first)
                for first, (path, prefix) in enumerate(zip(paths, prefixes))]
    if inputs.kind == 'img_file':
        folder = output / paths[0].resolve().parent.name
        return [Job(tuple(paths), (folder / paths[0].stem,), folder, paths[0].stem, (0,))]
    pictures = list_pictures(paths[0])
    name = paths[0].resolve().name
    if inputs.kind == 'img_dir':
        folder, drawings = output, output
    else:
        folder, drawings = output / name, output / name / f'{name}_output'
    prefixes = distinct_paths([drawings / path.stem for path in pictures])
    return [Job(tuple(pictures), tuple(prefixes), folder, name, tuple(frame_numbers(pictures)))]


def _spin_prefix(cfg, inputs, path):
    """SPIN writes beside the picture or to --outfile."""
    if inputs.outfile:
        several = len(inputs.paths) > 1
        return Path(f'{inputs.outfile}_{path.stem}' if several else inputs.outfile)
    return Path(cfg.DEMO.OUTPUT_FOLDER) / path.stem if cfg.DEMO.OUTPUT_FOLDER else path.with_suffix('')


class _PictureRun:
    """Processes jobs one by one and counts. alone: there is only one picture, so its errors are raised."""

    def __init__(self, cfg, inputs, estimator, device, alone):
        self._cfg, self._inputs, self._estimator, self._device = cfg, inputs, estimator, device
        self._alone, self.report, self._detector = alone, Report(), None
        self._known = isinstance(estimator, FileEstimator)
        # Each picture has its own file of boxes.
        self._own_files = inputs.kind in ('img', 'img_file') and bool(inputs.bbox or inputs.openpose)
        self._focus = estimator.focus if self._known else Focus(cfg.DEMO.FOCAL_LENGTH)
        self._drawer = Drawer(cfg, estimator.body.faces.cpu()) if cfg.DEMO.RENDER else None
        self._montage = None
        if inputs.kind == 'img_dir' and cfg.DEMO.RENDER and not self._known:
            self._montage = estimator.on_output = Montage(estimator.regressor)

    def __call__(self, job):
        """Process a job's pictures, draw and export -> Recording, or None if no picture is readable."""
        source = job.pictures[0] if len(job.pictures) == 1 else job.pictures[0].parent
        collector, shown = ResultCollector(source, self._estimator.body, self._focus, job.first), None
        try:
            for frame, prefix, estimates in self._views(job) if job.as_views else self._singles(job):
                self.report.add(estimates)
                collector.add(frame, estimates)
                if estimates and self._drawer:
                    shown = self._draw(frame, estimates, prefix)
                elif not estimates:
                    self._say_nobody(frame)
        except Exception:
            if collector.num_people:  # keep what was found before the error
                self._export(collector, job, None, is_whole=False)
            raise
        if not collector.num_frames:
            return None
        return self._export(collector, job, shown if len(job.pictures) == 1 else None)

    def _say_nobody(self, frame):
        """Log that nobody is in a picture. Raises ProjectError if it is the only one."""
        if not self._alone:
            get_logger().warning(f'{frame.path}: no person found')
            return
        self.check()
        flag = '--bbox' if self._inputs.kind in ('img', 'img_file') else '--detections'
        advice = '' if self._known or self.report.left_out else f'; {flag} FILE says where a person is'
        raise ProjectError(f'{frame.path}: no person found; {self.report.summary()}{advice}')

    def check(self):
        """Call after the last picture. Raises BadFile if the file of boxes or bodies belongs to other pictures."""
        where = self._estimator if self._known else self._detector
        if where is not None:
            where.check()
            self.report.skipped.update(getattr(where, 'skipped', {}))

    def _export(self, collector, job, shown, is_whole=True):
        recording = collector.recording()
        export(self._cfg, self._inputs, recording, self._estimator.body, job.folder, job.stem, shown, is_whole)
        return recording

    def _views(self, job):
        """(frame, prefix, estimates) of synchronized pictures, estimated together."""
        frames = [read_frame(path, number, number) for number, path in zip(job.numbers, job.pictures)]
        people = [(frame, self._one_person(frame, path)) for frame, path in zip(frames, job.pictures)]
        found = self._estimator.views(people, self._focus)
        if None in found:
            raise ProjectError(f'{job.pictures[0]}: in one view the network puts the body behind the camera')
        return zip(frames, job.prefixes, [[estimate] for estimate in found])

    def _singles(self, job):
        """(frame, prefix, estimates) of every readable picture."""
        if not self._known and not self._own_files:
            self._build_detector(0)  # an error here concerns every picture
        for place, (path, number, prefix) in enumerate(zip(job.pictures, job.numbers, job.prefixes)):
            try:
                frame = read_frame(path, number, place)
                people = None if self._known else self._find(frame)
            except (BadFile, MissingFile) as error:
                if self._alone:
                    raise
                get_logger().warning(f'{error}; skipped')
                self.report.skipped['unreadable pictures'] += 1
                continue
            yield frame, prefix, self._estimator(frame) if self._known else self._estimate(people)

    def _estimate(self, people):
        estimates = self._estimator(people, self._focus)
        self.report.left_out.update(self._estimator.left_out)
        self._estimator.left_out.clear()
        return [estimate for estimate in estimates if estimate is not None]

    def _find(self, frame):
        """[(frame, PersonBox)] of the people in a picture. A detector is built only once."""
        self._build_detector(frame.index)
        people = self._detector([frame])[0]
        self.report.left_out.update(self._detector.left_out)
        self._detector.left_out.clear()
        return [(frame, person) for person in people]

    def _build_detector(self, number):
        if self._detector is None or self._own_files:
            self._detector = picture_detector(self._cfg, self._inputs, number, self._device, self._estimator)

    def _one_person(self, frame, path):
        people = [person for _, person in self._find(frame)]
        if not people:
            self.check()
            raise ProjectError(f'{path}: no person found in this view; {self.report.summary()}')
        return max(people, key=lambda person: person.score).with_id(0)

    def _draw(self, frame, estimates, prefix):
        """Write the overlays of one frame -> path of the main one."""
        front, side = self._drawer.front_and_side(frame.image, estimates, self._focus(frame))
        if self._inputs.kind == 'img_dir':
            pictures = {'_result.png': self._montage.take() if self._montage else np.concatenate([front, side], 1)}
        elif self._inputs.kind == 'image_folder':
            pictures = {'.png': front}
        else:
            name = 'shape' if self._inputs.kind == 'img' else 'smpl'
            pictures = {f'_{name}.png': front, f'_{name}_side.png': side}
        paths = [prefix.with_name(prefix.name + ending) for ending in pictures]
        for path, picture in zip(paths, pictures.values()):
            save_picture(path, picture)
            print(f'picture: {path}')
        return paths[0]

"""The demo on pictures: overlays and side views under the names that SPIN's, PyMAF's and DaNet's demos give them."""
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.demo.camera import Focus
from core.demo.draw import Drawer
from core.demo.finder import picture_finder
from core.demo.montage import Montage
from core.demo.output import Report, check_writable, export
from core.demo.playback import Playback
from core.demo.recorder import Recorder
from core.evaluation.pictures import save_picture
from datasets.image_io import read_picture
from datasets.video import Frame
from utils.errors import BadFile, MissingFile, ProjectError
from utils.logging import get_logger

_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'}


@dataclass(frozen=True)
class Job:
    """Pictures that make one recording. prefixes: where each one's results go, without suffix. first: number of the
    first picture on the command line. as_views: they show one body."""
    pictures: tuple
    prefixes: tuple
    folder: Path
    stem: str
    first: int = 0
    as_views: bool = False


def run_pictures(cfg, inputs, estimator, device):
    """Run the demo on --img, --img_file, --img_dir or --image_folder --image_based -> [Recording].

    A picture that cannot be read is skipped and counted where there are others. Raises ProjectError.
    """
    jobs = _jobs(cfg, inputs, estimator)
    for folder in {path.parent for job in jobs for path in job.prefixes} | {job.folder for job in jobs}:
        check_writable(folder)
    run = _PictureRun(cfg, inputs, estimator, device, alone=sum(len(job.pictures) for job in jobs) == 1)
    recordings = [run(job) for job in jobs]
    print(run.report.summary())
    return recordings


def _jobs(cfg, inputs, estimator):
    output = Path(cfg.DEMO.OUTPUT_FOLDER or 'output')
    paths = [Path(path) for path in inputs.paths]
    if inputs.kind == 'img':
        prefixes = _distinct([_spin_prefix(cfg, inputs, path) for path in paths])
        if len(paths) > 1 and getattr(getattr(estimator, 'regressor', None), 'takes_views', False):
            return [Job(tuple(paths), tuple(prefixes), prefixes[0].parent, prefixes[0].name, as_views=True)]
        return [Job((path,), (prefix,), prefix.parent, prefix.name, first)
                for first, (path, prefix) in enumerate(zip(paths, prefixes))]
    if inputs.kind == 'img_file':
        folder = output / paths[0].resolve().parent.name
        return [Job(tuple(paths), (folder / paths[0].stem,), folder, paths[0].stem)]
    pictures = list_pictures(paths[0])
    name = paths[0].resolve().name
    if inputs.kind == 'img_dir':
        folder, drawings = output, output
    else:
        folder, drawings = output / name, output / name / f'{name}_output'
    return [Job(tuple(pictures), tuple(drawings / path.stem for path in pictures), folder, name)]


def _spin_prefix(cfg, inputs, path):
    """SPIN writes beside the picture, or to --outfile."""
    if inputs.outfile:
        several = len(inputs.paths) > 1
        return Path(f'{inputs.outfile}_{path.stem}' if several else inputs.outfile)
    return Path(cfg.DEMO.OUTPUT_FOLDER) / path.stem if cfg.DEMO.OUTPUT_FOLDER else path.with_suffix('')


def _distinct(prefixes):
    """Pictures of the same name from several folders would overwrite each other: later ones get a number."""
    return [prefix if prefix not in prefixes[:i] else prefix.with_name(f'{prefix.name}_{i + 1}')
            for i, prefix in enumerate(prefixes)]


def list_pictures(folder):
    """Pictures of a folder by name. Raises MissingFile where there are none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFile(f'{folder}: no such folder')
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not pictures:
        raise MissingFile(f'{folder}: no pictures here ({", ".join(sorted(_SUFFIXES))})')
    return pictures


def read_frame(path, index):
    """A picture file as a Frame. Raises MissingFile, BadFile."""
    image = np.ascontiguousarray(read_picture(path).pixels[..., ::-1])
    return Frame(index, float(index), image, path.name)


class _PictureRun:
    """Takes jobs one after the other and counts. alone: there is one picture only, so what is wrong with it stops."""

    def __init__(self, cfg, inputs, estimator, device, alone):
        self._cfg, self._inputs, self._estimator, self._device = cfg, inputs, estimator, device
        self._alone, self.report, self._finder, self._focus = alone, Report(), None, None
        self._drawer = Drawer(cfg, estimator.body.faces.cpu()) if cfg.DEMO.RENDER else None
        self._montage = None
        if inputs.kind == 'img_dir' and cfg.DEMO.RENDER and not isinstance(estimator, Playback):
            self._montage = estimator.on_output = Montage(estimator.regressor)

    def __call__(self, job):
        """Look at a job's pictures, draw and export -> Recording."""
        source = job.pictures[0] if len(job.pictures) == 1 else job.pictures[0].parent
        self._focus = Focus(getattr(self._estimator, 'focal_length', self._cfg.DEMO.FOCAL_LENGTH))
        recorder, shown = Recorder(source, self._estimator.body), None
        for frame, prefix, estimates in self._views(job) if job.as_views else self._singles(job):
            self.report.add(estimates)
            recorder.add(frame, estimates)
            if estimates and self._drawer:
                shown = self._draw(frame, estimates, prefix)
            elif self._alone and not estimates:
                raise ProjectError(f'{job.pictures[0]}: no person found; {self.report.summary()}')
        if not recorder.num_frames:
            raise BadFile(f'{source}: not one picture can be read; {self.report.summary()}')
        recording = recorder.recording(self._focus.value)
        export(self._cfg, self._inputs, recording, self._estimator.body, job.folder, job.stem,
               shown if len(job.pictures) == 1 else None)
        return recording

    def _views(self, job):
        """(frame, prefix, estimates) of synchronized pictures, estimated together."""
        frames = [read_frame(path, number) for number, path in enumerate(job.pictures)]
        people = [(frame.image, self._one_person(frame, path)) for frame, path in zip(frames, job.pictures)]
        found = self._estimator.views(people, self._focus(people))
        if None in found:
            raise ProjectError(f'{job.pictures[0]}: in one view the network puts the body behind the camera')
        return zip(frames, job.prefixes, [[estimate] for estimate in found])

    def _singles(self, job):
        """(frame, prefix, estimates) of every picture that can be read."""
        for number, (path, prefix) in enumerate(zip(job.pictures, job.prefixes)):
            try:
                frame = read_frame(path, number)
            except BadFile as error:
                if self._alone:
                    raise
                get_logger().warning(f'{error}; skipped')
                self.report.skipped['unreadable pictures'] += 1
                continue
            yield frame, prefix, self._estimate(frame, job.first + number)

    def _estimate(self, frame, number):
        if isinstance(self._estimator, Playback):
            return self._estimator(frame)
        people = [(frame.image, person) for person in self._find(frame, number)]
        estimates = self._estimator(people, self._focus(people))
        self.report.add_failed(estimates.count(None))
        return [estimate for estimate in estimates if estimate is not None]

    def _find(self, frame, number):
        """People in a picture; a detector is built once."""
        if self._finder is None or self._inputs.bbox or self._inputs.openpose:
            self._finder = picture_finder(self._cfg, self._inputs, number, self._device)
        people = self._finder([frame])[0]
        self.report.left_out.update(self._finder.left_out)
        self._finder.left_out.clear()
        return people

    def _one_person(self, frame, path):
        people = self._find(frame, frame.index)
        if not people:
            raise ProjectError(f'{path}: no person found in this view; {self.report.summary()}')
        return max(people, key=lambda person: person.score).with_id(0)

    def _draw(self, frame, estimates, prefix):
        """Write the pictures of one frame -> path of the main one."""
        front, side = self._drawer.front_and_side(frame.image, estimates, self._focus.value)
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

"""Bodies from a file instead of a network: ground truth (.npz), or the results of an earlier run."""
import glob
from pathlib import Path

import numpy as np
import torch

from core.demo.by_frame import ByFrame
from core.demo.camera import middle_of, project_to_picture
from core.demo.estimate import Estimate
from models.body import BodyModel
from utils.assets import GENDERS, find_assets
from utils.errors import BadFile, MissingFile, WrongBody
from utils.geometry import axis_angle_to_rotmat, translation_to_camera
from utils.safe_io import as_numbers, load_json, load_npz

_TRUTH = {'pose': (72,), 'translation': (3,)}
_WHOLE = ('person_id', 'focal_length', 'body_digest')
_RESULTS = {'frames': (), 'boxes': (4,), 'pose': (72,), 'betas': (10,), 'crop_camera': (3,), 'translation': (3,)}


class FileEstimator:
    """Called with a frame, returns the Estimates of the people in it.

    path: of the file, for messages. people: {person_id: {'frames': [T], 'focal_lengths': [T] pixels, 'pose': [T,72],
    'betas': [T,10], 'translation': [T,3], ...}}. `boxes` and `crop_camera` are optional; without boxes the box is that
    of the joints. `names` [T] is optional; frames are found by name if no two frames share one.
    """

    def __init__(self, path, body, people, draws=True):
        self.body, self._people, self._draws = body, people, draws
        self._by_number, self._by_name = ByFrame(path), ByFrame(path)
        named = {}
        for person_id, arrays in people.items():
            for row, frame in enumerate(arrays['frames']):
                self._by_number.add(int(frame), (person_id, row))
            for frame, name in zip(arrays['frames'], arrays.get('names', ())):
                named.setdefault(str(name), set()).add(int(frame))
        if all(len(frames) == 1 for frames in named.values()):
            for person_id, arrays in people.items():
                for row, name in enumerate(arrays.get('names', ())):
                    self._by_name.add(str(name), (person_id, row))

    def __call__(self, frame):
        return [self._estimate(frame, *place) for place in self._places(frame)]

    def _places(self, frame):
        return (self._by_name if frame.name and self._by_name else self._by_number)(frame)

    def focus(self, frame):
        """The focal length of a frame in pixels: that of its bodies, or of the first body of all."""
        person_id, row = (*self._places(frame), (next(iter(self._people)), 0))[0]
        return float(self._people[person_id]['focal_lengths'][row])

    def check(self):
        """Raise BadFile if no body belonged to a frame."""
        self._by_name.check()
        self._by_number.check()

    @torch.inference_mode()
    def _estimate(self, frame, person_id, row):
        arrays = {name: array for name, array in self._people[person_id].items() if name != 'names'}
        values = {name: torch.as_tensor(array[row:row + 1]) for name, array in arrays.items()}
        rotmat = axis_angle_to_rotmat(values['pose'])
        posed = self.body(values['betas'], rotmat)
        pixels = project_to_picture(posed.joints, values['translation'], values['focal_lengths'].float(),
                                    middle_of([frame.image]))[0].numpy()
        box = values['boxes'][0].numpy() if 'boxes' in values else np.concatenate([pixels.min(0), pixels.max(0)])
        camera = values.get('crop_camera')
        camera = translation_to_camera(values['translation'])[0] if camera is None else camera[0]
        return Estimate(person_id, box.astype(np.float32), rotmat[0].numpy(), values['betas'][0].numpy(),
                        camera.numpy(), values['translation'][0].numpy(), posed.joints[0].numpy(), pixels,
                        posed.vertices[0].numpy() if self._draws else None)


def open_file_estimator(cfg, inputs):
    """The FileEstimator of --use_gt or --recon_result_file."""
    root = find_assets(cfg.PATHS.DATA_DIR).root
    read = _read_results if inputs.results else _read_truth
    return read(Path(inputs.results or inputs.truth), root, cfg.DEMO.RENDER)


def _read_truth(path, root, draws):
    """Bodies of one person, one per row (docs/synthetic_data.md: walking.npz), and the camera K [3,3]."""
    arrays = load_npz(path, (*_TRUTH, 'frames', 'betas', 'K', 'gender', 'body_digest'))
    people = {0: _columns(path, {'frames': np.arange(len(np.atleast_1d(arrays.get('pose', ())))), **arrays}, _TRUTH)}
    people[0]['betas'] = _betas(path, arrays, len(people[0]['pose']))
    camera = as_numbers(arrays.get('K'), f'{path}: K, the camera in pixels', (3, 3))
    gender = next((name for name in GENDERS if name.startswith(str(arrays.get('gender', 'neutral')))), None)
    if gender is None:
        raise BadFile(f'{path}: gender is none of {", ".join(GENDERS)}')
    body = BodyModel(root, gender)
    _check_body(path, str(arrays.get('body_digest', '')), body)
    people[0]['focal_lengths'] = np.full(len(people[0]['frames']), camera[0, 0])
    return FileEstimator(path, body, people, draws)


def _read_results(path, root, draws):
    """The results of an earlier run: one person's, or all people's if the file is one of several."""
    stem, mark, _ = path.stem.rpartition('_person')
    files = sorted(path.parent.glob(f'{glob.escape(stem)}_person*{path.suffix}')) if mark else [path]
    if path not in files:
        raise MissingFile(f'{path}: no such file')
    people, heads = {}, []
    for file in files:
        arrays = _read_person(file)
        heads.append(arrays)
        people[arrays['person_id']] = _columns(file, arrays, _RESULTS) | _cameras_and_names(file, arrays)
    body = BodyModel(root)
    for file, arrays in zip(files, heads):
        _check_body(file, str(arrays['body_digest']), body)
    return FileEstimator(path, body, people, draws)


def _read_person(path):
    """The arrays in one person's .npz or .json (docs/demo_formats.md). Raises BadFile."""
    if path.suffix == '.json':
        content = load_json(path)
        try:
            rows = content['frames']
            names = {'frames': 'frame', 'boxes': 'box', **{name: name for name in (
                'pose', 'betas', 'crop_camera', 'translation')}}
            names |= {key: name for key, name in (('focal_lengths', 'focal_length'), ('names', 'name'))
                      if rows and all(name in row for row in rows)}
            arrays = {**content, **{key: np.array([row[name] for row in rows]) for key, name in names.items()}}
        except (KeyError, TypeError, ValueError, OverflowError):
            raise BadFile(f'{path}: not a result of this demo') from None
    else:
        arrays = load_npz(path, (*_RESULTS, *_WHOLE))
    for key in _WHOLE:
        if key not in arrays:
            raise BadFile(f'{path}: not a result of this demo (no {key!r})')
    return {**arrays, 'person_id': int(as_numbers(arrays['person_id'], f'{path}: person_id', ())),
            'focal_length': float(as_numbers(arrays['focal_length'], f'{path}: focal_length', ()))}


def _cameras_and_names(path, arrays):
    """`focal_lengths` [T], the recording's if the rows have none, and `names` [T] if present."""
    count = len(arrays['frames'])
    lengths = arrays.get('focal_lengths', np.full(count, arrays['focal_length']))
    found = {'focal_lengths': as_numbers(lengths, f'{path}: focal_lengths', (count,))}
    if not (found['focal_lengths'] > 0).all():
        raise BadFile(f'{path}: a focal length is not above 0')
    names = np.asarray(arrays.get('names', ()))
    return found | ({'names': names} if names.shape == (count,) and names.dtype.kind == 'U' else {})


def _columns(path, arrays, wanted):
    columns = {}
    for name, shape in {'frames': (), **wanted}.items():
        column = as_numbers(arrays.get(name), f'{path}: {name}', (None, *shape),
                            np.int64 if name == 'frames' else np.float32)
        if not len(column):
            raise BadFile(f'{path}: {name} is empty')
        columns[name] = column
    if len({len(column) for column in columns.values()}) > 1:
        raise BadFile(f'{path}: its arrays have different lengths')
    return columns


def _betas(path, arrays, count):
    shape = (10,) if np.ndim(arrays.get('betas')) == 1 else (count, 10)
    betas = as_numbers(arrays.get('betas'), f'{path}: betas', shape, np.float32)
    return np.broadcast_to(betas, (count, 10)).copy()


def _check_body(path, digest, body):
    if digest and digest != body.digest:
        raise WrongBody(f'{path}: made with another body model ({digest}, in use: {body.digest} from {body.file})')

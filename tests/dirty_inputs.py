"""Broken variants of every kind of file that a user may be handed, and readers that take each as far as a sample.

`cases(folder, assets)` gives {name: (reader, mutants)}: reader(path) reads the file at `path` or raises; mutants(draw)
gives (file name, bytes) of one broken variant, all choices made by `draw`, a hypothesis-backed chooser.
"""
import io
import json
import pickle
from unittest.mock import patch

import cv2
import numpy as np
import scipy.io
import scipy.sparse
from PIL import Image

from core.config.training_options import parse_training_options
from core.demo.boxes import Detections, OpenPoseFolder, TrackAnnotations, box_from_json, boxes_from_openpose
from core.demo.file_estimator import _read_results as read_results
from core.demo.file_estimator import _read_truth as read_truth
from datasets.annotations import Person
from datasets.augmentation import Augmentation
from datasets.coco_keypoints import CocoKeypoints
from datasets.dense_points import UVSymmetry
from datasets.fits import mean_parameters, read_fits
from datasets.image_dataset import ImageDataset
from datasets.image_io import read_picture
from datasets.preprocess.openpose import match_person, read_people
from datasets.sample import make_sample
from models.body import BodyModel, read_body_file
from models.danet.part_crops import _read_ratios as read_ratios
from models.smplify.priors import PosePrior
from tests.test_training import tiny_config
from utils.assets import Assets
from utils.iuv import load_charts
from utils.mesh_sampling import downsampling_matrix

# What can stand in place of any number or text of a JSON file.
ODD_VALUES = [None, True, -1, 0, 1e308, float('nan'), float('inf'), 10 ** 400, '', 'text', '../../etc/passwd', [], {},
              [[]], [1, [2, 3]], {'a': 1}, [None] * 4, ['1'] * 4]


# Mutations

def mutated_bytes(content, draw):
    """Cut short, overwritten in places, with a piece taken out, emptied, or with foreign bytes in front."""
    kind = draw.one_of(('cut', 'overwrite', 'remove', 'empty', 'prefix', 'zeros'))
    start = draw.number(0, max(len(content) - 1, 0))
    if kind == 'cut':
        return content[:start]
    if kind == 'remove':
        return content[:start] + content[start + draw.number(1, 64):]
    if kind == 'overwrite':
        copy = bytearray(content)
        for _ in range(draw.number(1, 12)):
            copy[draw.number(0, len(copy) - 1)] = draw.number(0, 255)
        return bytes(copy)
    if kind == 'zeros':
        return content[:start] + bytes(len(content) - start)
    return b'' if kind == 'empty' else bytes([draw.number(0, 255)]) * draw.number(1, 20) + content


def mutated_json(value, draw):
    """One node of a JSON tree replaced, left out or doubled; or its text damaged."""
    tree = json.loads(json.dumps(value))
    if draw.number(0, 5) == 0:
        return mutated_bytes(json.dumps(tree).encode(), draw)
    places = list(_nodes(tree))
    holder, key = places[draw.number(0, len(places) - 1)]
    action = draw.one_of(('replace', 'replace', 'replace', 'remove', 'double'))
    if holder is None:
        tree = draw.one_of(ODD_VALUES)
    elif action == 'remove':
        del holder[key]
    elif action == 'double' and isinstance(holder, list):
        holder.insert(key, holder[key])
    else:
        holder[key] = draw.one_of(ODD_VALUES)
    return json.dumps(tree).encode()


def _nodes(tree, holder=None, key=None):
    yield holder, key
    if isinstance(tree, (dict, list)):
        for name, entry in (tree.items() if isinstance(tree, dict) else enumerate(tree)):
            yield from _nodes(entry, tree, name)


def odd_array(array, draw):
    """One array made unfit: values, type, shape, or all of it."""
    array = np.asarray(array)
    number = array.dtype.kind in 'biuf'
    flat = array.astype(np.float64).ravel() if number and array.size else np.zeros(1)
    where = draw.number(0, flat.size - 1)

    def with_value(value):
        copy = flat.copy()
        copy[where] = value
        return copy.reshape(array.shape) if number and array.size else copy
    ragged = np.empty(max(len(np.atleast_1d(array)), 1), object)
    ragged[:] = [list(range(i)) for i in range(len(ragged))]
    variants = [lambda: with_value(np.nan), lambda: with_value(np.inf), lambda: with_value(-1e300),
                lambda: with_value(0), lambda: with_value(-5), lambda: with_value(1e9),
                lambda: np.zeros_like(flat).reshape(array.shape) if number and array.size else np.zeros(3),
                lambda: array.T, lambda: array[None], lambda: np.atleast_1d(array)[1:],
                lambda: np.atleast_1d(array)[:0],
                lambda: np.float64(3), lambda: np.full(array.shape, 'x'), lambda: np.full(array.shape, b'x'),
                lambda: np.zeros(array.shape, complex), lambda: np.full(array.shape, None), lambda: ragged,
                lambda: np.zeros(array.shape, 'M8[s]'), lambda: np.zeros(array.shape, [('a', 'f4')]),
                lambda: np.zeros(array.shape, '>f8'), lambda: np.full(array.shape, np.iinfo(np.int64).min),
                lambda: np.array({'a': 1}, object), lambda: np.array('text')]
    return variants[draw.number(0, len(variants) - 1)]()


def mutated_arrays(arrays, draw, write):
    """A file of named arrays with one of them unfit or absent, or with its bytes damaged."""
    arrays = dict(arrays)
    kind = draw.one_of(('array', 'array', 'array', 'absent', 'bytes'))
    if kind == 'bytes':
        return mutated_bytes(write(arrays), draw)
    key = draw.one_of(sorted(arrays))
    value = arrays.pop(key)
    if kind == 'array':
        arrays[key] = odd_array(value.toarray() if scipy.sparse.issparse(value) else value, draw)
    return write(arrays)


def npz_bytes(arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy_bytes(arrays):
    stream = io.BytesIO()
    np.save(stream, arrays['array'] if 'array' in arrays else np.zeros(0))
    return stream.getvalue()


def mat_bytes(arrays):
    stream = io.BytesIO()
    plain = {key: value if np.asarray(value).dtype.kind in 'biufcUSO' else 'odd' for key, value in arrays.items()}
    try:
        scipy.io.savemat(stream, plain)
    except (TypeError, ValueError):  # what MATLAB's format cannot hold
        stream = io.BytesIO()
        scipy.io.savemat(stream, dict.fromkeys(plain, 'odd'))
    return stream.getvalue()


# Pictures

def picture_variants():
    """Whole pictures that are not 8-bit RGB of a usual size, by name."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))
    files = {}

    def save(name, image, **options):
        stream = io.BytesIO()
        image.save(stream, name.rpartition('.')[2].replace('jpg', 'jpeg'), **options)
        files[name] = stream.getvalue()
    save('plain.jpg', colour)
    save('grey.jpg', colour.convert('L'))
    save('cmyk.jpg', colour.convert('CMYK'))
    save('progressive.jpg', colour, progressive=True)
    save('pixel.jpg', colour.crop((0, 0, 1, 1)))
    save('pixel.png', colour.crop((0, 0, 1, 1)))
    save('line.png', colour.crop((0, 0, 60, 1)))
    save('alpha.png', colour.convert('RGBA'))
    save('palette.png', colour.convert('P'))
    save('bits.png', colour.convert('1'))
    save('moving.gif', colour, save_all=True, append_images=[colour.rotate(90)])
    save('sixteen.png', Image.fromarray(rng.integers(0, 65535, (30, 20), dtype=np.uint16)))
    save('float.tiff', Image.fromarray(rng.random((20, 30)).astype(np.float32)))
    files['sixteen_rgb.png'] = cv2.imencode('.png', rng.integers(0, 65535, (30, 20, 3), dtype=np.uint16))[1].tobytes()
    for orientation in range(1, 10):  # 9 does not exist
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(f'turned_{orientation}.jpg', colour, exif=exif)
    save('large.jpg', colour.resize((900, 600)))
    return files


def read_to_sample(cfg):
    """Reads a picture at full and at reduced size, and cuts people out of it: in its middle, and far outside."""
    nothing = Person(np.array([30.0, 20.0]), .2, np.zeros((49, 3), np.float32), np.zeros((24, 4), np.float32), False,
                     np.zeros(72, np.float32), np.zeros(10, np.float32), False, -1)

    def read(path):
        for shrink in (1, 2, 9):
            picture = read_picture(path, shrink)
            assert picture.pixels.dtype == np.uint8 and picture.pixels.ndim == 3 and picture.pixels.shape[2] == 3
            sample = make_sample(picture, nothing, Augmentation(), cfg)
            assert sample['img'].isfinite().all()
    return read


# Cases

def cases(folder, assets):
    """{name: (reader, mutants)} over the stand-in assets with tests.tiny_data's set 'tiny'."""
    cfg = tiny_config(assets, folder)
    root = Assets(assets, is_free=False)
    table = {}

    def add(name, file, reader, mutants):
        table[name] = (reader, lambda draw: (file, mutants(draw)))

    pictures = picture_variants()
    table['picture'] = (read_to_sample(cfg), lambda draw: _picture_mutant(pictures, draw))

    spin = dict(np.load(assets / 'dataset_extras/tiny_train.npz'))
    images = f"['tiny_mutant={assets / 'datasets/tiny'}']"
    annotated = tiny_config(assets, folder, 'PATHS.IMAGE_DIRS', images)
    add('annotations', 'tiny_mutant.npz', lambda path: _every_sample(ImageDataset(annotated, str(path))),
        lambda draw: mutated_arrays(spin, draw, npz_bytes))
    add('HumanData', 'tiny_mutant.npz', lambda path: _every_sample(ImageDataset(annotated, str(path))),
        lambda draw: mutated_arrays(_humandata(spin, folder), draw, npz_bytes))

    params = {'array': np.zeros((4, 82), np.float32)}
    add('static fits', 'coco_fits.npy', lambda path: read_fits(path, 4, 'b', False),
        lambda draw: mutated_arrays(params, draw, npy_bytes))
    final = {'pose': np.zeros((4, 72)), 'betas': np.zeros((4, 10)), 'valid_fit': np.ones(4, bool)}
    add('final fits', 'coco.npz', lambda path: read_fits(path, 4, 'b', False),
        lambda draw: mutated_arrays(final, draw, npz_bytes))
    mean = dict(np.load(root.file('smpl_mean_params.npz')))
    add('mean parameters', 'smpl_mean_params.npz', lambda path: mean_parameters(Assets(path.parent, True)),
        lambda draw: mutated_arrays(mean, draw, npz_bytes))

    body = pickle.loads((assets / 'smpl/SMPL_NEUTRAL.pkl').read_bytes())
    small = _small_body(body)
    add('body', 'SMPL_NEUTRAL.pkl', read_body_file, lambda draw: mutated_arrays(small, draw, pickle.dumps))
    prior = pickle.loads((assets / 'gmm_08.pkl').read_bytes())
    add('pose prior', 'gmm_08.pkl', PosePrior, lambda draw: mutated_arrays(prior, draw, pickle.dumps))
    ratios = {'ratio': np.ones(24), 'offset': np.zeros(24)}
    add('ratios', 'learned_ratio.pkl', read_ratios, lambda draw: mutated_arrays(ratios, draw, pickle.dumps))
    levels = np.empty(2, object)
    levels[:] = [scipy.sparse.csr_matrix(np.eye(3, 5)), scipy.sparse.csr_matrix(np.eye(2, 3))]
    add('mesh downsampling', 'mesh_downsampling.npz', lambda path: downsampling_matrix(path, 5),
        lambda draw: mutated_arrays({'D': levels, 'U': np.zeros(2)}, draw, npz_bytes))
    charts = {'All_Faces': np.arange(1, 31).reshape(10, 3), 'All_FaceIndices': np.arange(1, 11)[:, None],
              'All_vertices': np.arange(1, 31)[None], 'All_U_norm': np.full((30, 1), .5),
              'All_V_norm': np.full((30, 1), .5)}
    add('charts', 'UV_Processed.mat', load_charts, lambda draw: mutated_arrays(charts, draw, mat_bytes))
    cells = np.empty((1, 24), object)
    for place in range(24):
        cells[0, place] = np.zeros((256, 256), np.float32)
    symmetry = {'U_transforms': cells, 'V_transforms': cells}
    add('symmetry', 'UV_symmetry_transforms.mat', UVSymmetry, lambda draw: mutated_arrays(symmetry, draw, mat_bytes))
    _add_json(add, folder, assets, cfg)
    _add_results(add, assets)
    return table


def _picture_mutant(pictures, draw):
    name = draw.one_of(sorted(pictures))
    return name, pictures[name] if draw.number(0, 3) == 0 else mutated_bytes(pictures[name], draw)


def _every_sample(dataset):
    for row in range(len(dataset)):
        for value in dataset[row].values():
            if hasattr(value, 'is_floating_point') and value.is_floating_point():
                assert value.isfinite().all()


def _humandata(spin, folder):
    path = folder / 'humandata.npz'
    if not path.exists():
        from datasets.annotations import Annotations
        from datasets.humandata import write_humandata
        write_humandata(Annotations.from_spin(dict(spin), 'tiny'), path)
    return dict(np.load(path, allow_pickle=True))


def _small_body(body, count=60):
    """The stand-in body with a hundredth of its vertices, so that a variant is written and read quickly."""
    arrays = {key: value for key, value in body.items() if not isinstance(value, str)}
    kept = np.linspace(0, len(arrays['v_template']) - 1, count).astype(int)
    for key in ('v_template', 'shapedirs', 'posedirs', 'weights'):
        arrays[key] = arrays[key][kept]
    arrays['J_regressor'] = np.full((24, count), 1 / count)
    arrays['f'] = np.stack([np.arange(count - 2) + i for i in range(3)], 1).astype(np.uint32)
    return arrays


def _add_json(add, folder, assets, cfg):
    person = {'pose_keypoints_2d': [float(i % 50) for i in range(75)]}
    openpose = {'version': 1.3, 'people': [person, person]}

    def read_openpose(path):
        boxes_from_openpose(path)
        match_person(read_people(path), np.ones((24, 3), np.float32))
        OpenPoseFolder(path.parent)
    add('OpenPose', 'x_keypoints.json', read_openpose, lambda draw: mutated_json(openpose, draw))
    add('bbox', 'box.json', lambda path: box_from_json(path).problem(100, 100, 8),
        lambda draw: mutated_json({'bbox': [10, 20, 30, 40]}, draw))
    found = [{'image_id': name, 'bbox': [1, 2, 30, 40], 'score': .9, 'category_id': 1, 'track_id': 3}
             for name in ('a.jpg', 0)]
    add('detections', 'found.json', lambda path: Detections(path, .5, 1.2), lambda draw: mutated_json(found, draw))
    corner = {'x': .1, 'y': .2}
    tracks = [{'idx': 1, 'frames': [{'frame_id': 0, 'rect': {'tl': corner, 'br': {'x': .5, 'y': .6}}}]}]
    add('tracks', 'tracks.json', TrackAnnotations, lambda draw: mutated_json(tracks, draw))
    options = {'name': 'x', 'lr': 1e-4, 'num_epochs': 2, 'shuffle_train': True, 'rot_factor': 30}
    add('options', 'config.json', lambda path: parse_training_options(['--regressor', 'hmr', '--from_json', str(path)]),
        lambda draw: mutated_json(options, draw))

    image_folder = assets / 'datasets/tiny'
    coco = {'images': [{'id': i, 'file_name': f'train_{i}.jpg', 'width': 96, 'height': 96} for i in range(2)],
            'categories': [{'id': 1, 'name': 'person'}],
            'annotations': [{'id': i, 'image_id': i, 'category_id': 1, 'iscrowd': 0, 'area': 900.0,
                             'bbox': [20.0, 20, 30, 30], 'num_keypoints': 17, 'keypoints': [40, 41, 2] * 17}
                            for i in range(2)]}
    truth = folder / 'coco_truth.json'
    truth.write_text(json.dumps(coco))
    boxes = [{'image_id': i, 'category_id': 1, 'bbox': [20.0, 20, 30, 30], 'score': .8} for i in range(2)]

    def coco_of(annotations, detections=''):
        test = ('TEST.COCO_ANNOTATIONS', str(annotations), 'TEST.COCO_DETECTIONS', str(detections),
                'TEST.COCO_IMAGES', str(image_folder))
        return CocoKeypoints(tiny_config(assets, folder, *test))
    add('COCO annotations', 'person_keypoints.json', lambda path: _every_sample(coco_of(path)),
        lambda draw: mutated_json(coco, draw))
    add('COCO detections', 'boxes.json', lambda path: _every_sample(coco_of(truth, path)),
        lambda draw: mutated_json(boxes, draw))


def _add_results(add, assets):
    body = BodyModel(assets)
    count = 3

    def with_this_body(read):
        def reader(path):
            with patch('core.demo.file_estimator.BodyModel', lambda *_: body):  # which takes a second to read
                return read(path, assets, False)
        return reader
    arrays = {'frames': np.arange(count), 'boxes': np.ones((count, 4)), 'pose': np.zeros((count, 72)),
              'betas': np.zeros((count, 10)), 'crop_camera': np.ones((count, 3)), 'translation': np.ones((count, 3)),
              'person_id': np.array(0), 'focal_length': np.array(900.0), 'body_digest': np.array(body.digest)}
    add('demo result', 'run_person0.npz', with_this_body(read_results),
        lambda draw: mutated_arrays(arrays, draw, npz_bytes))
    rows = [{'frame': i, 'box': [0, 0, 9, 9], 'pose': [0.0] * 72, 'betas': [0.0] * 10, 'crop_camera': [1, 0, 0],
             'translation': [0, 0, 9]} for i in range(2)]
    content = {'person_id': 0, 'focal_length': 900.0, 'body_digest': body.digest, 'frames': rows}
    add('demo result as JSON', 'run_person0.json', with_this_body(read_results),
        lambda draw: mutated_json(content, draw))
    truth = {'pose': np.zeros((count, 72)), 'betas': np.zeros(10), 'translation': np.ones((count, 3)),
             'K': np.eye(3) * 900, 'gender': np.array('neutral')}
    add('demo truth', 'walking.npz', with_this_body(read_truth),
        lambda draw: mutated_arrays(truth, draw, npz_bytes))

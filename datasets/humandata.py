"""mmhuman3d's HumanData `.npz`: read into `Annotations`, and written from them.

Its keypoints follow a list of 190 joints, of which a mask says which the file has; a compressed file stores those
only. Boxes are [x, y, width, height, score] and SMPL's parameters a dictionary. What SPIN's form has no place for
(other joints, translations, boxes that are not square, picture sizes) is kept in `extra` and `whole`, dictionaries'
entries as 'name.key', and written again.
"""
import numpy as np

from datasets.annotations import Annotations, ArrayReader
from utils.errors import BadFile
from utils.keypoints import COMMON_JOINTS, NUM_OPENPOSE
from utils.pixels import COUNTED_FROM_0, from_continuous, to_continuous
from utils.safe_io import save_npz

NUM_HUMANDATA = 190
_ATTRIBUTES = ('__data_len__', '__key_strict__', '__keypoints_compressed__')
# Where our joints stand among the 190. OpenPose's 25 follow each other, in OpenPose's order.
_COMMON = {
    'right_ankle': 8, 'right_knee': 5, 'right_hip': 144, 'left_hip': 145, 'left_knee': 4, 'left_ankle': 7,
    'right_wrist': 21, 'right_elbow': 19, 'right_shoulder': 17, 'left_shoulder': 16, 'left_elbow': 18,
    'left_wrist': 20, 'neck': 146, 'head_top': 147, 'pelvis_mpii': 148, 'thorax_mpii': 149, 'spine_h36m': 150,
    'jaw_h36m': 151, 'head_h36m': 152, 'nose': 55, 'left_eye': 57, 'right_eye': 56, 'left_ear': 59, 'right_ear': 58}
JOINT24 = np.array([_COMMON[name] for name in COMMON_JOINTS])
JOINT49 = np.concatenate([np.arange(153, 153 + NUM_OPENPOSE), JOINT24])
SMPL24 = np.array([*range(22), 188, 189])


def is_humandata(raw):
    """Whether a dict of raw arrays is a HumanData file's."""
    return 'image_path' in raw and 'imgname' not in raw


def read_humandata(raw, path, first_pixel=COUNTED_FROM_0):
    """Annotations from the arrays of a HumanData `.npz`; `path` is for messages. Raises BadFile.

    The box becomes square with its longer side, as in mmhuman3d, which adds no margin. first_pixel: of the annotated
    keypoints, where the file does not say (`utils.pixels`).
    """
    reader = ArrayReader(_unpacked(raw), path, names_key='image_path')
    names = reader.strings('image_path')
    center, scale = _square_boxes(reader)
    annotated, detected = reader.first_pixels(first_pixel)
    keypoints_2d, rest_2d = _read_joints(reader, 'keypoints2d', 3, JOINT49)
    smpl_keypoints_2d, rest_smpl = _read_joints(reader, 'keypoints2d_smpl', 3, SMPL24)
    joints_3d, rest_3d = _read_joints(reader, 'keypoints3d', 4, JOINT24)
    pose, betas, has_smpl = _read_smpl(reader)
    n = reader.n
    if keypoints_2d is not None:
        keypoints_2d = np.concatenate([to_continuous(keypoints_2d[:, :NUM_OPENPOSE], detected),
                                       to_continuous(keypoints_2d[:, NUM_OPENPOSE:], annotated)], axis=1)
    if smpl_keypoints_2d is not None:
        smpl_keypoints_2d = to_continuous(smpl_keypoints_2d, annotated)
    fields = {
        'keypoints_2d': np.zeros((n, 49, 3), np.float32) if keypoints_2d is None else keypoints_2d,
        'joints_3d': np.zeros((n, 24, 4), np.float32) if joints_3d is None else joints_3d,
        'has_joints_3d': np.zeros(n, bool) if joints_3d is None else (joints_3d[..., 3] > 0).any(1),
        'smpl_keypoints_2d': smpl_keypoints_2d, 'pose': pose, 'betas': betas, 'has_smpl': has_smpl,
        'gender': reader.gender('meta.gender'),
        'maskname': reader.strings('maskname', required=False),
        'partname': reader.strings('partname', required=False)}
    digest = reader.take('body_digest')
    kept = reader.rest()
    for rest in (rest_2d, rest_smpl, rest_3d):
        kept['extra'].update({key: value for key, value in rest.items() if not key.endswith('_joints')})
        kept['whole'].update({key: value for key, value in rest.items() if key.endswith('_joints')})
    return Annotations.blank(names, center, scale, **fields, **kept,
                             body_digest=None if digest is None else str(digest))


def _unpacked(raw):
    """Raw arrays, with boxed Python values taken out of them and dictionaries' entries as 'name.key'."""
    plain = {}
    for key, value in raw.items():
        if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype == object:
            value = value.item()
        if isinstance(value, dict):
            plain.update({f'{key}.{name}': entry for name, entry in value.items()})
        elif value is not None and key not in _ATTRIBUTES:
            plain[key] = value
    return {key: _as_array(value) for key, value in plain.items()}


def _as_array(value):
    try:
        return np.asarray(value)
    except ValueError:  # rows of different lengths
        return _boxed(value)


def _boxed(value):
    box = np.empty((), object)
    box[()] = value
    return box


def _square_boxes(reader):
    """Centre and scale from the boxes. Boxes that a square cannot give back stay in the file's rest."""
    if 'bbox_xywh' not in reader.raw:
        raise BadFile(f"{reader.path}: no key 'bbox_xywh', which every row needs")
    columns = 4 if reader.raw['bbox_xywh'].shape[1:] == (4,) else 5
    boxes = reader.numbers('bbox_xywh', (columns,), np.float64)
    reader.raw.update(center=boxes[:, :2] + boxes[:, 2:4] / 2, scale=boxes[:, 2:4].max(1, initial=0) / 200)
    center, scale = reader.box('center', (2,)), reader.box('scale', ())
    if not np.array_equal(boxes, _boxes_of(center, scale)[:, :columns]):
        reader.raw['bbox_xywh'] = boxes
    return center, scale


def _boxes_of(center, scale):
    side = 200 * scale[:, None]
    return np.concatenate([center - side / 2, side, side, np.ones_like(side)], axis=1)


def _read_joints(reader, key, channels, wanted):
    """The wanted joints [N,J,channels] out of a key's, or None, and the file's other joints as entries to keep."""
    if key not in reader.raw:
        return None, {}
    if reader.raw.get(f'{key}_convention', 'human_data') != 'human_data':
        raise BadFile(f'{reader.path}: key {key!r} is in convention {reader.raw[f"{key}_convention"]}, '
                      "'human_data' is wanted")
    present = _present_joints(reader, key)
    values = reader.points(key, (reader.raw[key].shape[1], channels))
    if values.shape[1] == NUM_HUMANDATA:
        values = values[:, present]
    column = np.full(NUM_HUMANDATA, -1)
    column[present] = np.arange(len(present))
    found = column[wanted] >= 0
    joints = np.zeros((reader.n, len(wanted), channels), np.float32)
    joints[:, found] = values[:, column[wanted[found]]]
    others = np.setdiff1d(present, wanted)
    if not len(others):
        return joints, {}
    return joints, {f'{key}_rest': values[:, column[others]], f'{key}_rest_joints': others}


def _present_joints(reader, key):
    """Which of the 190 joints a key's array holds, compressed or not. Raises BadFile."""
    value = reader.raw[key]
    mask = reader.take(f'{key}_mask')
    mask = None if mask is None else np.asarray(mask)
    if mask is not None and (mask.shape != (NUM_HUMANDATA,) or mask.dtype.kind not in 'biuf'):
        raise BadFile(f"{reader.path}: key '{key}_mask' has shape {list(mask.shape)}, wanted is [{NUM_HUMANDATA}]")
    count = value.shape[1] if value.ndim == 3 else None
    if count == NUM_HUMANDATA:
        return np.arange(NUM_HUMANDATA) if mask is None else np.flatnonzero(mask)
    if mask is None or count != np.count_nonzero(mask):
        wanted = NUM_HUMANDATA if mask is None else f'{NUM_HUMANDATA} or, compressed, {np.count_nonzero(mask)}'
        raise BadFile(f'{reader.path}: key {key!r} has shape {list(value.shape)}, wanted is [{reader.n}, {wanted}, '
                      'channels]')
    return np.flatnonzero(mask)


def _read_smpl(reader):
    """pose [N,72], betas [N,10], mask [N] from the dictionary 'smpl'."""
    parts = {'smpl.global_orient': 3, 'smpl.body_pose': 69, 'smpl.betas': 10}
    if all(key in reader.raw for key in parts):
        values = []
        for key, width in parts.items():
            value = reader.raw[key]
            if value.size == reader.n * width and value.dtype.kind in 'biuf':
                reader.raw[key] = value.reshape(reader.n, width)  # [N,23,3] and [N,69] are both about
            values.append(reader.numbers(key, (width,)))
        reader.raw.update(pose=np.concatenate(values[:2], axis=1), shape=values[2])
    return reader.smpl_labels('pose', 'shape', 'has_smpl')


def write_humandata(annotations, path):
    """Write Annotations as a compressed HumanData `.npz`, atomically. Keypoints count pixels from 0."""
    a, n = annotations, len(annotations)
    kept = {**a.extra, **a.whole}
    boxes = kept.pop('bbox_xywh', None)
    if boxes is None or not _fits(boxes, a):
        boxes = _boxes_of(a.center, a.scale)
    arrays = {'image_path': a.imgname, 'bbox_xywh': boxes, 'first_pixel': COUNTED_FROM_0}
    _add_joints(arrays, kept, 'keypoints2d', from_continuous(a.keypoints_2d, COUNTED_FROM_0), JOINT49)
    if a.smpl_keypoints_2d is not None:
        _add_joints(arrays, kept, 'keypoints2d_smpl', from_continuous(a.smpl_keypoints_2d, COUNTED_FROM_0), SMPL24)
    if a.has_joints_3d.any():
        _add_joints(arrays, kept, 'keypoints3d', np.where(a.has_joints_3d[:, None, None], a.joints_3d, 0), JOINT24)
    nested = {}
    if a.has_smpl.any():
        nested['smpl'] = {'global_orient': a.pose[:, :3], 'body_pose': a.pose[:, 3:].reshape(n, 23, 3),
                          'betas': a.betas}
        arrays['has_smpl'] = a.has_smpl
    if (a.gender >= 0).any():
        nested['meta'] = {'gender': [('m', 'f', 'n')[code] for code in a.gender]}
    for key, value in kept.items():
        name, dot, entry = key.partition('.')
        if dot:
            nested.setdefault(name, {})[entry] = value
        else:
            arrays[key] = _compressed(key, value, kept)
    arrays.update({key: _boxed(value) for key, value in nested.items()})
    for key in ('maskname', 'partname', 'body_digest'):
        if (value := getattr(a, key)) is not None:
            arrays[key] = value
    save_npz(path, **arrays, __data_len__=n, __key_strict__=False, __keypoints_compressed__=True)


def _fits(boxes, annotations):
    """Whether kept boxes are still those of centre and scale."""
    return (np.array_equal(boxes[:, :2] + boxes[:, 2:4] / 2, annotations.center)
            and np.array_equal(boxes[:, 2:4].max(1, initial=0) / 200, annotations.scale))


def _add_joints(arrays, kept, key, joints, places):
    """Put joints [N,J,C] that stand at `places` among the 190, and the kept others, into `arrays`, with their mask."""
    others, other_places = kept.pop(f'{key}_rest', None), kept.pop(f'{key}_rest_joints', None)
    used = joints.any(axis=(0, 2))
    joints, places = joints[:, used], places[used]
    if others is not None:
        joints, places = np.concatenate([joints, others], axis=1), np.concatenate([places, other_places])
    mask = np.zeros(NUM_HUMANDATA, np.uint8)
    mask[places] = 1
    arrays.update({key: joints[:, np.argsort(places)], f'{key}_mask': mask})


def _compressed(key, value, kept):
    """A kept keypoint array in compressed form, as all of a compressed file's are."""
    mask = kept.get(f'{key}_mask')
    if key.startswith('keypoints') and mask is not None and np.ndim(value) == 3 and value.shape[1] == NUM_HUMANDATA:
        return value[:, np.flatnonzero(mask)]
    return value

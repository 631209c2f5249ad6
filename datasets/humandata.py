"""Reads and writes `Annotations` as mmhuman3d's HumanData `.npz`.

Its keypoints follow a list of 190 joints, with a mask of those in the file. A compressed file stores only these. Boxes
are [x, y, width, height, score]. SMPL's parameters are a dictionary. Data that SPIN's format lacks (other joints,
translations, boxes that are not square, picture sizes) is kept in `extra` and `whole` and written again. Entries of
dictionaries are named 'name.key' there.
"""
import numpy as np

from datasets.annotations import Annotations, ArrayReader, known_sizes, plain_numbers, unless_squares
from datasets.humandata_joints import (
    JOINT24,
    JOINT49,
    NUM_HUMANDATA,
    SMPL24,
    choose_key,
    other_keypoints,
    read_array,
)
from utils.errors import BadFile
from utils.keypoints import NUM_OPENPOSE
from utils.logging import log_once
from utils.pixels import COUNTED_FROM_0, from_continuous, to_continuous
from utils.safe_io import save_npz

_ATTRIBUTES = ('__data_len__', '__key_strict__', '__keypoints_compressed__')
_MARGIN_3DPW = 1.2  # side of mmhuman3d's boxes over the extent of the keypoints


def is_humandata(raw):
    """Whether a dict of raw arrays is a HumanData file."""
    return 'image_path' in raw and 'imgname' not in raw


def read_humandata(raw, path, first_pixel=COUNTED_FROM_0):
    """Convert the arrays of a HumanData `.npz` to Annotations. path: for messages. Raises BadFile.

    The box becomes a square with its longer side and without a margin, as in mmhuman3d. `bbox_size` has the widths and
    heights, unless all boxes are squares. first_pixel: first pixel of the annotated keypoints (`utils.pixels`), if the
    file has none.
    """
    reader = ArrayReader(_unpacked(raw), path, names_key='image_path')
    names = reader.strings('image_path')
    center, scale, bbox_size = _square_boxes(reader)
    annotated, detected = reader.first_pixels(first_pixel)
    joints, rests = _read_joints(reader)
    points = joints['keypoints_2d']
    joints['keypoints_2d'] = np.concatenate([to_continuous(points[:, :NUM_OPENPOSE], detected),
                                             to_continuous(points[:, NUM_OPENPOSE:], annotated)], axis=1)
    if joints['smpl_keypoints_2d'] is not None:
        joints['smpl_keypoints_2d'] = to_continuous(joints['smpl_keypoints_2d'], annotated)
    pose, betas, has_smpl = _read_smpl(reader)
    _check_anything_read(reader, joints, has_smpl)
    fields = {
        **joints, 'bbox_size': bbox_size, 'has_joints_3d': (joints['joints_3d'][..., 3] > 0).any(1),
        'pose': pose, 'betas': betas, 'has_smpl': has_smpl,
        'gender': reader.gender('meta.gender'),
        'maskname': reader.strings('maskname', required=False),
        'partname': reader.strings('partname', required=False)}
    digest = reader.take('body_digest')
    kept = reader.rest()
    kept['extra'].update({key: value for key, value in rests.items() if not key.endswith('_joints')})
    kept['whole'].update({key: value for key, value in rests.items() if key.endswith('_joints')})
    return Annotations.blank(names, center, scale, **fields, **kept,
                             body_digest=None if digest is None else str(digest))


def _unpacked(raw):
    """Raw arrays, with Python objects unpacked and entries of dictionaries as 'name.key'."""
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
    """Centre, scale and size (or None) of the boxes. Boxes that are not squares stay in the dict."""
    if 'bbox_xywh' not in reader.raw:
        raise BadFile(f"{reader.path}: no key 'bbox_xywh', which is required")
    columns = 4 if reader.raw['bbox_xywh'].shape[1:] == (4,) else 5
    boxes = reader.numbers('bbox_xywh', (columns,), np.float64)
    if columns == 4:  # the early layout, without scores
        if str(reader.raw.get('config', '')) == '3dpw' and not other_keypoints(reader.raw):
            boxes = _mended_3dpw_boxes(boxes)
        boxes = np.concatenate([boxes, np.ones((len(boxes), 1))], axis=1)
    reader.raw.update(center=boxes[:, :2] + boxes[:, 2:4] / 2, scale=boxes[:, 2:4].max(1, initial=0) / 200)
    center, scale = reader.box('center', (2,)), reader.box('scale', ())
    if not np.array_equal(boxes, _boxes_of(center, scale)):
        reader.raw['bbox_xywh'] = boxes
    return center, scale, unless_squares(known_sizes(boxes[:, 2:4]))


def _mended_3dpw_boxes(boxes):
    """Correct the boxes [N,4] of mmhuman3d's first converter of 3DPW to the extent of the keypoints with a margin.

    The converter computed the height from the lowest keypoint's y and the leftmost keypoint's x. It moved the corner by
    a tenth of the sides and multiplied the sides by the margin twice.
    """
    width, wrong_height = boxes[:, 2] / _MARGIN_3DPW ** 2, boxes[:, 3] / _MARGIN_3DPW ** 2
    out = (_MARGIN_3DPW - 1) / 2
    left, top = boxes[:, 0] + out * width, boxes[:, 1] + out * wrong_height
    height = wrong_height + left - top
    return np.stack([left - out * width, top - out * height, _MARGIN_3DPW * width, _MARGIN_3DPW * height], axis=1)


def _boxes_of(center, scale, size=None):
    """Boxes [N,5] from centres: squares, or rectangles with the same longer side in the shape of a known size [N,2]."""
    size = np.ones((len(scale), 2)) if size is None else np.where((size > 0).all(1)[:, None], size, 1.0)
    size = size * (200 * scale / size.max(1, initial=0))[:, None]
    return np.concatenate([center - size / 2, size, np.ones_like(size[:, :1])], axis=1)


def _read_joints(reader):
    """({keypoints_2d [N,49,3], joints_3d [N,24,4], smpl_keypoints_2d [N,24,3] or None}, entries with other joints to
    keep)."""
    n, rests, dataset = reader.n, {}, str(reader.raw.get('config', ''))
    joints = {'keypoints_2d': np.zeros((n, 49, 3), np.float32), 'joints_3d': np.zeros((n, 24, 4), np.float32),
              'smpl_keypoints_2d': None}
    key_2d, key_3d = choose_key(reader, 'keypoints2d'), choose_key(reader, 'keypoints3d')
    arrays = {key: read_array(reader, key, channels)
              for key, channels in ((key_2d, 3), ('keypoints2d_smpl', 3), (key_3d, 4)) if key in reader.raw}
    reader.take('mask')
    if 'keypoints2d_smpl' in arrays:
        joints['smpl_keypoints_2d'], used = arrays['keypoints2d_smpl'].pick(SMPL24)
        rests.update(_rest(arrays['keypoints2d_smpl'], 'keypoints2d_smpl', used))
    for field, kind, key, before in (('keypoints_2d', 'keypoints2d', key_2d, JOINT49[:NUM_OPENPOSE]),
                                     ('joints_3d', 'keypoints3d', key_3d, JOINT24[:0])):
        if key is None:
            continue
        joints[field], used = arrays[key].pick(np.concatenate([before, arrays[key].places(dataset)]))
        if key != 'keypoints2d_smpl':
            rests.update(_rest(arrays[key], kind, used))
    return joints, rests


def _rest(array, key, used):
    """Entries to keep with the joints of a FileJoints that were not `used` [P]."""
    if used.all():
        return {}
    return {f'{key}_rest': array.values[:, ~used], f'{key}_rest_joints': array.present[~used]}


def _check_anything_read(reader, joints, has_smpl):
    """Log if a file has no readable 2D joint. Raise BadFile if it also has unknown keypoints and no 3D labels."""
    if not reader.n or joints['keypoints_2d'][..., 2].any():
        return
    unread = other_keypoints(reader.raw)
    if unread and not (joints['joints_3d'][..., 3].any() or has_smpl.any()):
        raise BadFile(f"{reader.path}: no readable joint: the keypoints have keys {', '.join(map(repr, unread))}; "
                      "rename them to 'keypoints2d' and 'keypoints3d', in mmhuman3d's convention 'human_data'")
    log_once(f'{reader.path}: no row has one of the 49 2D joints that are used'
             + (f' (unknown keys: {", ".join(unread)})' if unread else ''))


def _read_smpl(reader):
    """pose [N,72], betas [N,10], mask [N] from the dictionary 'smpl'."""
    parts = {'smpl.global_orient': 3, 'smpl.body_pose': 69, 'smpl.betas': 10}
    if all(key in reader.raw for key in parts):
        values = []
        for key, width in parts.items():
            value = plain_numbers(reader.raw[key])
            if value.size == reader.n * width and value.dtype.kind in 'biuf':
                reader.raw[key] = value.reshape(reader.n, width)  # files have [N,23,3] or [N,69]
            values.append(reader.numbers(key, (width,)))
        reader.raw.update(pose=np.concatenate(values[:2], axis=1), shape=values[2])
    return reader.smpl_labels('pose', 'shape', 'has_smpl')


def write_humandata(annotations, path):
    """Write Annotations as a compressed HumanData `.npz`, atomically. Keypoints count pixels from 0."""
    a, n = annotations, len(annotations)
    kept = {**a.extra, **a.whole}
    boxes = kept.pop('bbox_xywh', None)
    if boxes is None or not _fits(boxes, a):
        boxes = _boxes_of(a.center, a.scale, a.bbox_size)
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
    """Whether kept boxes still match centre and scale."""
    return (np.array_equal(boxes[:, :2] + boxes[:, 2:4] / 2, annotations.center)
            and np.array_equal(boxes[:, 2:4].max(1, initial=0) / 200, annotations.scale))


def _add_joints(arrays, kept, key, joints, places):
    """Add joints [N,J,C] with indices `places` among the 190, the kept other joints and their mask to `arrays`."""
    others, other_places = kept.pop(f'{key}_rest', None), kept.pop(f'{key}_rest_joints', None)
    used = joints.any(axis=(0, 2))
    joints, places = joints[:, used], places[used]
    if others is not None:
        joints, places = np.concatenate([joints, others], axis=1), np.concatenate([places, other_places])
    mask = np.zeros(NUM_HUMANDATA, np.uint8)
    mask[places] = 1
    arrays.update({key: joints[:, np.argsort(places)], f'{key}_mask': mask})


def _compressed(key, value, kept):
    """A kept keypoint array in compressed form, like all arrays of a compressed file."""
    mask = kept.get(f'{key}_mask')
    if key.startswith('keypoints') and mask is not None and np.ndim(value) == 3 and value.shape[1] == NUM_HUMANDATA:
        return value[:, np.flatnonzero(mask)]
    return value

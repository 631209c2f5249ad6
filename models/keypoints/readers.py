"""Reads 2D keypoints of other programs as PersonKeypoints. docs/keypoints.md lists the formats."""
from pathlib import Path

import numpy as np

from models.keypoints.formats import BY_COUNT, FORMATS
from models.keypoints.person import PersonKeypoints
from utils.errors import BadConfig, BadFile
from utils.openpose_json import people_of
from utils.safe_io import load_json, load_npy

_OPENPOSE_COUNTS = (25, 18)
_BLAZEPOSE_VISIBILITY = 3


def read_keypoints(path, format=None):
    """The people in a file by picture -> {picture's name: list of PersonKeypoints}. The name is '' if the file is of a
    single unnamed picture. A frame without a name has its number as its name.

    format: one of FORMATS; None: inferred from the number of joints (17: COCO). Supported are OpenPose's JSON;
    AlphaPose's list, which is COCO's results format, and its variants 'open' and 'cmu'; COCO's annotations; and arrays
    [P,J,2 or more] in JSON or `.npy`: x, y and confidence, or BlazePose's x, y, z, visibility. Raises MissingFile,
    BadFile, BadConfig.
    """
    if format is not None and format not in FORMATS:
        raise BadConfig(f'unknown keypoint format {format!r}; use {", ".join(FORMATS)}')
    content = load_npy(path) if Path(path).suffix == '.npy' else load_json(path)
    try:
        return _people_by_picture(content, path, format)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError):
        raise BadFile(f"{path}: not a keypoint file of OpenPose, AlphaPose or COCO, nor an array of people's "
                      'joints') from None


def _people_by_picture(content, path, format):
    if isinstance(content, dict) and 'people' in content:
        return {'': _openpose_people(content, path, format)}
    if isinstance(content, dict) and 'annotations' in content:
        return _coco_people(content, path, format)
    if isinstance(content, dict):
        return {str(name): _openpose_people(_as_openpose(entry), path, format) for name, entry in content.items()}
    if len(content) and isinstance(content[0], dict):
        return _listed_people(content, path, format)
    return {'': [_array_person(np.asarray(person, np.float64), path, format) for person in content]}


def _openpose_people(content, path, format):
    points = people_of(content, path, _OPENPOSE_COUNTS)
    return [_person(person, path, format) for person in points]


def _as_openpose(entry):
    """A picture's entry in AlphaPose's 'cmu' form, converted to its 'open' form."""
    if 'bodies' in entry:
        return {'people': [{'pose_keypoints_2d': body['joints']} for body in entry['bodies']]}
    return entry


def _listed_people(rows, path, format):
    pictures = {}
    for row in rows:
        box = row.get('box', row.get('bbox'))
        person = _person(np.asarray(row['keypoints'], np.float64).reshape(-1, 3), path, format, box, row.get('score'),
                         row.get('idx', row.get('track_id')))
        pictures.setdefault(str(row['image_id']), []).append(person)
    return pictures


def _coco_people(content, path, format):
    """People of COCO's annotations; COCO-WholeBody's with their feet. Labelled joints have confidence 1, even hidden
    ones."""
    names = {image['id']: str(image['file_name']) for image in content['images']}
    pictures = {name: [] for name in names.values()}
    for row in content['annotations']:
        if not row.get('keypoints') or not any(row['keypoints'][2::3]):
            continue
        points = np.asarray(row['keypoints'], np.float64).reshape(-1, 3)
        own = format
        if 'foot_kpts' in row:
            points = np.concatenate([points, np.asarray(row['foot_kpts'], np.float64).reshape(-1, 3)])
            points = np.concatenate([points, np.zeros((133 - len(points), 3))])
            own = format or 'wholebody133'
        points[:, 2] = points[:, 2] > 0
        pictures[names[row['image_id']]].append(_person(points, path, own, row.get('bbox')))
    return pictures


def _array_person(points, path, format):
    """A person's joints [J,2 or more]."""
    if (format or BY_COUNT.get(len(points))) == 'blazepose33' and points.shape[1] > _BLAZEPOSE_VISIBILITY:
        points = points[:, [0, 1, _BLAZEPOSE_VISIBILITY]]
    if points.shape[1] == 2:
        points = np.concatenate([points, np.ones((len(points), 1))], 1)
    return _person(points[:, :3], path, format)


def _person(points, path, format, box=None, score=None, track=None):
    """PersonKeypoints of joints [J,3]. box: left, top, width, height; None: the rectangle around the joints."""
    name = format or BY_COUNT.get(len(points))
    if name is None or len(points) < len(FORMATS[name].names):
        wanted = f'{len(FORMATS[name].names)} of {name}' if name else ', '.join(map(str, BY_COUNT))
        raise BadFile(f'{path}: a person with {len(points)} joints, expected {wanted}')
    keypoints = FORMATS[name].keypoints(points)
    seen = keypoints[keypoints[:, 2] > 0]
    if box is not None:
        left, top, width, height = map(float, box)
        box = [left, top, left + width, top + height]
    else:
        box = [*seen[:, :2].min(0), *seen[:, :2].max(0)] if len(seen) else np.zeros(4)
    mean = float(seen[:, 2].mean()) if len(seen) else 0.0
    return PersonKeypoints(box, mean if score is None else float(score), keypoints,
                           track=track if isinstance(track, int) else None)

"""One person's parameters and joints as `.npz`, JSON and CSV, in the camera frame."""
import csv
import json

import numpy as np

from utils.export.tracks import mean_betas, skeleton_joints
from utils.keypoints import JOINT_NAMES, SMPL_JOINTS
from utils.safe_io import atomic_write, save_npz

FORMAT_VERSION = 1
# Of metres, radians and pixels. For metres this is a thousandth of a millimetre.
_DECIMALS = 6


def save_person_npz(path, recording, person, body):
    """Write a person's arrays, readable with `allow_pickle=False`. docs/demo_formats.md lists the keys."""
    header, columns = _header(recording, person, body), _columns(recording, person, body)
    save_npz(path, **{name: np.asarray(value) for name, value in (header | columns).items()})


def save_person_json(path, recording, person, body):
    """Write the same as JSON: a header, then one line per frame."""
    columns = _columns(recording, person, body)
    names = {'frames': 'frame', 'times': 'time', 'boxes': 'box', 'names': 'name', 'sizes': 'size',
             'focal_lengths': 'focal_length'}
    header = json.dumps(_header(recording, person, body), allow_nan=False, default=_plain, indent=1)
    with atomic_write(path, 'w') as stream:
        stream.write(header.removesuffix('\n}') + ',\n "frames": [')
        for row in range(len(person)):
            record = {names.get(name, name): _plain(column[row]) for name, column in columns.items()}
            stream.write((',' if row else '') + '\n  ' + json.dumps(record, allow_nan=False))
        stream.write('\n ]\n}\n')


def save_csv(path, recording, person, body):
    """Write the 49 joints, one line per joint and frame: metres in the camera frame, and pixels."""
    with atomic_write(path, 'w') as stream:
        table = csv.writer(stream, lineterminator='\n')
        table.writerow(['frame', 'time_s', 'joint', 'x_m', 'y_m', 'z_m', 'u_px', 'v_px'])
        for row, frame in enumerate(person.frames):
            joints = np.hstack([person.joints[row] + person.translation[row], person.keypoints_2d[row]])
            time = f'{recording.times[frame]:.6f}'
            table.writerows([recording.numbers[frame], time, name, *(f'{value:.6f}' for value in joint)]
                            for name, joint in zip(JOINT_NAMES, joints))


def _header(recording, person, body):
    return {
        'format': 'human-mesh-recovery person', 'version': FORMAT_VERSION, 'person_id': int(person.person_id),
        'source': str(recording.source), 'width': int(recording.width), 'height': int(recording.height),
        'focal_length': float(recording.focal_length), 'frame_rate': _frame_rate(recording.times),
        'body_file': str(recording.body_file), 'body_digest': recording.body_digest,
        'mean_betas': mean_betas(person), 'joint_names': list(JOINT_NAMES), 'smpl_joint_names': list(SMPL_JOINTS),
        'smpl_parents': list(body.parents)}


def _frame_rate(times):
    """Mean frames per second; 0 for a single picture."""
    return float((len(times) - 1) / (times[-1] - times[0])) if len(times) > 1 else 0.0


def _columns(recording, person, body):
    columns = {
        'frames': recording.numbers[person.frames], 'times': recording.times[person.frames],
        'sizes': recording.sizes[person.frames], 'focal_lengths': recording.focal_lengths[person.frames],
        'boxes': person.boxes, 'pose': person.pose,
        'betas': person.betas, 'crop_camera': person.crop_camera, 'translation': person.translation,
        'joints': person.joints, 'smpl_joints': skeleton_joints(body, person), 'keypoints_2d': person.keypoints_2d}
    if recording.names:
        columns['names'] = np.array([recording.names[frame] for frame in person.frames])
    return columns


def _plain(value):
    """An array or numpy scalar as JSON numbers, with floats rounded."""
    value = np.asarray(value)
    return value.astype(np.float64).round(_DECIMALS).tolist() if value.dtype.kind == 'f' else value.tolist()

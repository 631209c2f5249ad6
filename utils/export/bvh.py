"""Motion capture as Biovision Hierarchy (`.bvh`): SMPL's 24 joints, centimetres, y up, Euler angles ZXY."""
import warnings

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from utils.export.tracks import CAMERA_TO_Y_UP, mean_betas, rest_body, turned_root
from utils.keypoints import SMPL_JOINTS
from utils.safe_io import atomic_write

_CENTIMETRES = 100
_EULER = 'ZXY'
# Of a frame's length: a recording whose frames are no farther than this from even spacing is taken as evenly spaced.
_EVEN = 0.1
# Of a single picture, which has no rate.
_PICTURE_SECONDS = 1 / 30


def save_bvh(path, recording, person, body):
    """Write one person's motion; missing frames are interpolated, since BVH knows only a fixed frame time.

    The bones are those of the mean shape. Uneven times are resampled to as many evenly spaced ones.
    """
    _, rest = rest_body(body, mean_betas(person))
    frame_time, place, angles = _resampled(recording.times, person, rest[0])
    channels = np.hstack([place, angles[:, _depth_first(body.parents)].reshape(len(angles), -1)])
    with atomic_write(path, 'w') as stream:
        stream.write('HIERARCHY\n')
        _write_joint(stream, body.parents, rest * _CENTIMETRES, joint=0, depth=0)
        stream.write(f'MOTION\nFrames: {len(channels)}\nFrame Time: {frame_time:.8f}\n')
        np.savetxt(stream, channels, fmt='%.5f')


def _write_joint(stream, parents, rest, joint, depth):
    indent, is_root = '\t' * depth, joint == 0
    # The root's place is in its channels.
    offset = np.zeros(3) if is_root else rest[joint] - rest[parents[joint]]
    positions = 'Xposition Yposition Zposition ' if is_root else ''
    stream.write(f'{indent}{"ROOT" if is_root else "JOINT"} {SMPL_JOINTS[joint]}\n{indent}{{\n')
    stream.write(f'{indent}\tOFFSET {_numbers(offset)}\n')
    stream.write(f'{indent}\tCHANNELS {6 if is_root else 3} {positions}Zrotation Xrotation Yrotation\n')
    children = [child for child, parent in enumerate(parents) if parent == joint]
    for child in children:
        _write_joint(stream, parents, rest, child, depth + 1)
    if not children:
        # SMPL's last joints have no end; the bone that leads to them is repeated.
        stream.write(f'{indent}\tEnd Site\n{indent}\t{{\n{indent}\t\tOFFSET {_numbers(offset)}\n{indent}\t}}\n')
    stream.write(f'{indent}}}\n')


def _depth_first(parents, joint=0):
    """Joints in the order in which the hierarchy names them."""
    children = [child for child, parent in enumerate(parents) if parent == joint]
    return [joint, *(name for child in children for name in _depth_first(parents, child))]


def _numbers(vector):
    return ' '.join(f'{value:.5f}' for value in vector)


def _resampled(times, person, root):
    """(seconds a frame, root position [N,3] in centimetres, Euler angles [N,24,3] in degrees) at even times."""
    frames = person.frames
    place = (person.translation + root) * CAMERA_TO_Y_UP
    rotations = Rotation.from_rotvec(person.pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    rotations = turned_root(rotations)
    count = int(frames[-1] - frames[0]) + 1
    if len(frames) == 1:
        return _mean_step(times), place * _CENTIMETRES, _euler_angles(rotations)
    span = times[frames[0]:frames[-1] + 1]
    step = (span[-1] - span[0]) / (count - 1)
    wanted = span[0] + step * np.arange(count)
    if np.abs(span - wanted).max() <= _EVEN * step:
        at, wanted = frames.astype(np.float64), np.arange(frames[0], frames[-1] + 1, dtype=np.float64)
    else:
        at = times[frames]
        wanted = wanted.clip(at[0], at[-1])
    place = np.stack([np.interp(wanted, at, place[:, axis]) for axis in range(3)], axis=1)
    turned = [Slerp(at, Rotation.from_matrix(rotations[:, joint]))(wanted).as_matrix() for joint in range(24)]
    return step, place * _CENTIMETRES, _euler_angles(np.stack(turned, axis=1))


def _mean_step(times):
    return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else _PICTURE_SECONDS


def _euler_angles(rotations):
    """Rotation matrices [N,24,3,3] -> degrees [N,24,3] without jumps of a whole turn, which programs that
    interpolate would spin a limb by."""
    with warnings.catch_warnings():
        # At 90 degrees about x, z and y turn the same way; scipy warns and picks one, which is as good as any.
        warnings.simplefilter('ignore', UserWarning)
        angles = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_euler(_EULER)
    return np.degrees(np.unwrap(angles.reshape(-1, 24, 3), axis=0))

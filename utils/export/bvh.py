"""Motion capture as Biovision Hierarchy (`.bvh`): SMPL's 24 joints, centimetres, y up, Euler angles ZXY."""
import warnings

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from utils.export.tracks import CAMERA_TO_Y_UP, mean_betas, rest_body, turned_root
from utils.keypoints import SMPL_JOINTS
from utils.safe_io import atomic_write

_CENTIMETRES = 100
_EULER = 'ZXY'
# Degrees from 90 about x, within which the other two angles are noise.
_LOCKED = 1e-3
# Of a frame's length: a recording whose frames are no farther than this from even spacing is taken as evenly spaced.
_EVEN = 0.1
# Of a single picture, which has no rate.
_PICTURE_SECONDS = 1 / 30


def save_bvh(path, recording, person, body):
    """Write one person's motion; missing frames are interpolated, since BVH knows only a fixed frame time.

    The bones are those of the mean shape. Uneven times are resampled to as many evenly spaced ones.
    """
    _, rest = rest_body(body, mean_betas(person))
    frame_time, place, angles = _resampled(recording, person, rest[0])
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


def _resampled(recording, person, root):
    """(seconds a frame, root position [N,3] in centimetres, Euler angles [N,24,3] in degrees) at even times."""
    times, frames = recording.times, person.frames
    place = (person.translation + root) * CAMERA_TO_Y_UP
    rotations = Rotation.from_rotvec(person.pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    rotations = turned_root(rotations)
    count = int(frames[-1] - frames[0]) + 1
    if len(frames) == 1:
        return _mean_step(times), place * _CENTIMETRES, _euler_angles(rotations)
    span = times[frames[0]:frames[-1] + 1]
    places = _even_places(span, recording.numbers[frames[0]:frames[-1] + 1])
    if places is not None:
        step, at, wanted = (span[-1] - span[0]) / places[-1], places[frames - frames[0]], np.arange(places[-1] + 1.0)
    else:
        step, at = (span[-1] - span[0]) / (count - 1), times[frames]
        wanted = (span[0] + step * np.arange(count)).clip(at[0], at[-1])
    place = np.stack([np.interp(wanted, at, place[:, axis]) for axis in range(3)], axis=1)
    turned = [Slerp(at, Rotation.from_matrix(rotations[:, joint]))(wanted).as_matrix() for joint in range(24)]
    return step, place * _CENTIMETRES, _euler_angles(np.stack(turned, axis=1))


def _even_places(span, numbers):
    """The places [F] of frames in an even sequence that begins with the first; lost ones count, by the frames' numbers.
    None where the times [F] are not evenly spaced."""
    in_order = np.arange(float(len(span)))
    by_number = (numbers - numbers[0]) / np.diff(numbers).min()
    for places in (by_number, in_order):
        step = (span[-1] - span[0]) / places[-1]
        whole = (places == np.rint(places)).all()
        if whole and np.abs(span - span[0] - step * places).max() <= _EVEN * step:
            return places
    return None


def _mean_step(times):
    return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else _PICTURE_SECONDS


def _euler_angles(rotations):
    """Rotation matrices [N,24,3,3] -> degrees [N,24,3] that change no more than the rotations do.

    Programs that interpolate would spin a limb by a jump. Each rotation has two triples, (z, x, y) and
    (z + 180, 180 - x, y + 180), and whole turns more: the one nearest to the frame before is taken. At x = 90 and -90
    degrees only z + y or z - y counts, and both change alike.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # scipy warns of those, and picks any
        angles = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_euler(_EULER, degrees=True).reshape(-1, 24, 3)
    for before, at in zip(angles, angles[1:]):
        at[:] = _nearest_triple(at, before)
    return angles


def _nearest_triple(angles, before):
    """Equal Euler angles ZXY [J,3] in degrees that are nearest to others."""
    z, x, y = angles.T
    sign = np.sign(x)
    locked = np.abs(np.abs(x) - 90) < _LOCKED
    # Where z and y are one angle, it is shared so that both stay as near as can be.
    half = _whole_turns_off(z + sign * y - before[:, 0] - sign * before[:, 2]) / 2
    z, y = np.where(locked, before[:, 0] + half, z), np.where(locked, before[:, 2] + sign * half, y)
    triples = np.stack([np.stack([z, x, y], -1), np.stack([z + 180, 180 - x, y + 180], -1)])
    steps = _whole_turns_off(triples - before)
    nearest = np.abs(steps).sum(-1).argmin(0)
    return before + np.take_along_axis(steps, nearest[None, :, None], axis=0)[0]


def _whole_turns_off(degrees):
    """The same angles in [-180, 180]."""
    return degrees - 360 * np.rint(degrees / 360)

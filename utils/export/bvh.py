"""Motion capture as Biovision Hierarchy (`.bvh`): SMPL's 24 joints, centimetres, y up, Euler angles ZXY."""
import warnings

import numpy as np
from scipy.spatial.transform import Rotation

from utils.export.motion import even_motion
from utils.export.tracks import CAMERA_TO_Y_UP, mean_betas, rest_body, turned_root
from utils.keypoints import SMPL_JOINTS
from utils.safe_io import atomic_write

_CENTIMETRES = 100
_EULER = 'ZXY'
# Distance in degrees from x = 90 within which the other two angles are noise.
_LOCKED = 1e-3


def save_bvh(path, recording, person, body):
    """Write one person's motion. Missing frames are interpolated, because BVH has a fixed frame time.

    The bones are those of the mean shape. Uneven times are resampled to as many evenly spaced ones.
    """
    _, rest = rest_body(body, mean_betas(person))
    frame_time, place, rotations = even_motion(recording, person, rest[0])
    place, angles = place * CAMERA_TO_Y_UP * _CENTIMETRES, _euler_angles(turned_root(rotations))
    channels = np.hstack([place, angles[:, _depth_first(body.parents)].reshape(len(angles), -1)])
    with atomic_write(path, 'w') as stream:
        stream.write('HIERARCHY\n')
        _write_joint(stream, body.parents, rest * _CENTIMETRES, joint=0, depth=0)
        stream.write(f'MOTION\nFrames: {len(channels)}\nFrame Time: {frame_time:.8f}\n')
        np.savetxt(stream, channels, fmt='%.5f')


def _write_joint(stream, parents, rest, joint, depth):
    indent, is_root = '\t' * depth, joint == 0
    # The root's position is in its channels.
    offset = np.zeros(3) if is_root else rest[joint] - rest[parents[joint]]
    positions = 'Xposition Yposition Zposition ' if is_root else ''
    stream.write(f'{indent}{"ROOT" if is_root else "JOINT"} {SMPL_JOINTS[joint]}\n{indent}{{\n')
    stream.write(f'{indent}\tOFFSET {_numbers(offset)}\n')
    stream.write(f'{indent}\tCHANNELS {6 if is_root else 3} {positions}Zrotation Xrotation Yrotation\n')
    children = [child for child, parent in enumerate(parents) if parent == joint]
    for child in children:
        _write_joint(stream, parents, rest, child, depth + 1)
    if not children:
        # SMPL's leaf joints have no end. The bone that leads to them is repeated.
        stream.write(f'{indent}\tEnd Site\n{indent}\t{{\n{indent}\t\tOFFSET {_numbers(offset)}\n{indent}\t}}\n')
    stream.write(f'{indent}}}\n')


def _depth_first(parents, joint=0):
    """Joints in the order of the hierarchy."""
    children = [child for child, parent in enumerate(parents) if parent == joint]
    return [joint, *(name for child in children for name in _depth_first(parents, child))]


def _numbers(vector):
    return ' '.join(f'{value:.5f}' for value in vector)


def _euler_angles(rotations):
    """Rotation matrices [N,24,3,3] -> degrees [N,24,3] without jumps.

    Programs that interpolate would spin a limb at a jump. Each rotation has two triples, (z, x, y) and
    (z + 180, 180 - x, y + 180), plus whole turns; the one nearest to the previous frame is taken. At x = 90 and -90
    degrees only z + y or z - y is determined, and both change equally.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # scipy warns at such rotations and chooses arbitrarily
        angles = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_euler(_EULER, degrees=True).reshape(-1, 24, 3)
    for before, at in zip(angles, angles[1:]):
        at[:] = _nearest_triple(at, before)
    return angles


def _nearest_triple(angles, before):
    """The equivalent Euler angles ZXY [J,3] in degrees that are nearest to `before`."""
    z, x, y = angles.T
    sign = np.sign(x)
    locked = np.abs(np.abs(x) - 90) < _LOCKED
    # Where only one combination of z and y is determined, its change is split equally between them.
    half = _whole_turns_off(z + sign * y - before[:, 0] - sign * before[:, 2]) / 2
    z, y = np.where(locked, before[:, 0] + half, z), np.where(locked, before[:, 2] + sign * half, y)
    triples = np.stack([np.stack([z, x, y], -1), np.stack([z + 180, 180 - x, y + 180], -1)])
    steps = _whole_turns_off(triples - before)
    nearest = np.abs(steps).sum(-1).argmin(0)
    return before + np.take_along_axis(steps, nearest[None, :, None], axis=0)[0]


def _whole_turns_off(degrees):
    """The same angles in [-180, 180]."""
    return degrees - 360 * np.rint(degrees / 360)

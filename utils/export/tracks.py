"""What every export format needs of a recording: finite rows, a skeleton of constant size, a frame with y up."""
from dataclasses import fields, replace

import numpy as np
import torch

from utils.errors import BadFile, WrongBody
from utils.logging import get_logger

_BLOCK = 64
_SHORTEST_FRAME = 1e-3
# Camera frame (y down, z forward) to the frame of meshes and motion (y up, z towards the viewer): 180 degrees about x.
CAMERA_TO_Y_UP = np.array([1.0, -1.0, -1.0])


def checked_recording(recording, body):
    """The recording without rows that are not finite and people without rows, with increasing times from 0 or later.

    The log says what is left out. Raises BadFile where frames and times do not match, WrongBody.
    """
    if recording.body_digest != body.digest:
        raise WrongBody(f'{recording.source}: its parameters belong to {recording.body_file}, not to {body.file}')
    for length in (recording.focal_length, *recording.focal_lengths):
        if not (np.isfinite(length) and length > 0):
            raise BadFile(f'{recording.source}: its focal length is {length} px; it must be above 0')
    people = [_finite_rows(person) for person in recording.people]
    for person in people:
        if not len(person):
            get_logger().warning(f'person {person.person_id}: no usable frame; no file is written')
    people = [person for person in people if len(person)]
    times = _increasing(np.asarray(recording.times, np.float64), recording.source)
    for person in people:
        steps = np.diff(person.frames)
        if person.frames[0] < 0 or person.frames[-1] >= len(times) or (steps <= 0).any():
            raise BadFile(f'{recording.source}: frames of person {person.person_id} are not in order within '
                          f'{len(times)} frames')
    return replace(recording, people=people, times=times)


def _finite_rows(person):
    arrays = {f.name: np.asarray(getattr(person, f.name)) for f in fields(person) if f.name != 'person_id'}
    usable = np.ones(len(person), bool)
    for array in arrays.values():
        usable &= np.isfinite(array).reshape(len(person), -1).all(1) if len(person) else usable
    if not usable.all():
        get_logger().warning(f'person {person.person_id}: {np.sum(~usable)} of {len(usable)} frames have values '
                             'that are not finite; they are left out')
    return replace(person, **{name: array[usable] for name, array in arrays.items()})


def _increasing(times, source):
    if not np.isfinite(times).all():
        raise BadFile(f'{source}: a time is not a finite number')
    if len(times) and times[0] < 0:
        times = times - times[0]
    if (np.diff(times) <= 0).any():
        get_logger().warning(f'{source}: times do not increase; frames are set at least 1 ms apart')
        steps = _SHORTEST_FRAME * np.arange(len(times))
        times = np.maximum.accumulate(times - steps) + steps
    return times


def mean_betas(person):
    """[10] a person's mean betas over the frames."""
    return person.betas.mean(axis=0, dtype=np.float64).astype(np.float32)


def posed(body, betas, pose):
    """Yield (first row, BodyOutput) for blocks of rows. betas: [10] or [T,10]; pose: [T,72] axis-angle."""
    device = body.faces.device
    pose = torch.as_tensor(np.asarray(pose, np.float32), device=device)
    betas = torch.as_tensor(np.asarray(betas, np.float32), device=device).expand(len(pose), -1)
    for start in range(0, len(pose), _BLOCK):
        block = slice(start, start + _BLOCK)
        with torch.no_grad():
            yield start, body(betas[block], pose=pose[block])


def skeleton_joints(body, person):
    """[T,24,3] metres, before the translation: SMPL's joints of the mean shape in every pose."""
    blocks = [out.smpl_joints.cpu().numpy() for _, out in posed(body, mean_betas(person), person.pose)]
    return np.concatenate(blocks)


def rest_body(body, betas):
    """(vertices [V,3], joints [24,3]) of a shape in the zero pose, y up, metres."""
    _, out = next(posed(body, betas, np.zeros((1, 72))))
    return out.vertices[0].cpu().numpy(), out.smpl_joints[0].cpu().numpy()


def turned_root(rotations):
    """Local rotations [T,24,3,3] in the camera frame -> the same with y up. Only the root's change."""
    return np.concatenate([CAMERA_TO_Y_UP[:, None] * rotations[:, :1], rotations[:, 1:]], axis=1)

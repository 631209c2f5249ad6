"""A person's motion at evenly spaced times: gaps are interpolated and uneven times resampled."""
import numpy as np
from scipy.spatial.transform import Rotation, Slerp

# Share of a frame's duration. A recording that deviates less from even spacing counts as evenly spaced.
_EVEN = 0.1
# Duration of a single picture, which has no rate.
_PICTURE_SECONDS = 1 / 30


def even_motion(recording, person, root):
    """(seconds per frame, root position [N,3] in metres, local rotations [N,24,3,3]) at evenly spaced times, in the
    camera frame.

    root: [3] the root joint of the rest shape, metres. The result spans the first to the last frame with the person.
    Frames between them are interpolated.
    """
    times, frames = recording.times, person.frames
    place = person.translation + root
    rotations = Rotation.from_rotvec(person.pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    count = int(frames[-1] - frames[0]) + 1
    if len(frames) == 1:
        return _mean_step(times), place, rotations
    span = times[frames[0]:frames[-1] + 1]
    places = _even_places(span, recording.numbers[frames[0]:frames[-1] + 1])
    if places is not None:
        step, at, wanted = (span[-1] - span[0]) / places[-1], places[frames - frames[0]], np.arange(places[-1] + 1.0)
    else:
        step, at = (span[-1] - span[0]) / (count - 1), times[frames]
        wanted = (span[0] + step * np.arange(count)).clip(at[0], at[-1])
    place = np.stack([np.interp(wanted, at, place[:, axis]) for axis in range(3)], axis=1)
    turned = [Slerp(at, Rotation.from_matrix(rotations[:, joint]))(wanted).as_matrix() for joint in range(24)]
    return step, place, np.stack(turned, axis=1)


def _even_places(span, numbers):
    """Positions [F] of frames in an even sequence from the first one on, with gaps where the frames' numbers skip.
    None if the times [F] are not evenly spaced."""
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

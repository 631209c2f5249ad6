"""Natural poses: samples of `activities.py`, clipped to the ranges of motion, without limbs that penetrate the body.

Camera frame: x right, y down, z forward. A pose's root rotation maps SMPL's rest frame (y up, facing +z) to it, as in
SPIN's files: an upright person who faces the camera has a root rotation of pi about x.
"""
import numpy as np

from datasets.synthetic.activities import PLAIN, sample_angles
from datasets.synthetic.anatomy import ANGLE_HIGH, ANGLE_LOW, angles_to_rotmat, rotation_about, rotmat_to_pose
from datasets.synthetic.collision import penetration
from datasets.synthetic.more_activities import MORE

# World (y up, camera looks along -z) to camera frame.
WORLD_TO_CAMERA = np.diag([1.0, -1.0, -1.0])
# Overlap in metres that is allowed between two limbs' capsules: flesh is soft where a hand touches.
_TOUCH = 0.012
_CANDIDATES = 4


def sample_body_rotations(rng, count, girth=1.0, table=PLAIN, activity=None):
    """Sample rotations [count, 24, 3, 3] of people in the world: y up, root facing +z except for lean and tilt.

    girth: factor on the thickness of the limbs in collision tests; table, activity: as in `activities.sample_angles`.
    """
    kept, missing = [], count
    while missing > 0:
        rotmat, natural = _clipped(sample_angles(rng, max(_CANDIDATES, int(1.5 * missing)), table, activity), girth)
        accepted = rotmat[natural][:missing]
        kept.append(accepted)
        missing -= len(accepted)
    return np.concatenate(kept)


def sample_rotations_of_each(rngs, girths, tables, activities):
    """`sample_body_rotations` of one person from each generator -> [N, 24, 3, 3]. Their poses are tested together.

    All arguments are sequences with an entry a person.
    """
    rotations, waiting = np.empty((len(rngs), 24, 3, 3)), np.arange(len(rngs))
    while len(waiting):
        angles = [sample_angles(rngs[n], _CANDIDATES, tables[n], activities[n]) for n in waiting]
        rotmat, natural = _clipped(np.concatenate(angles), np.repeat([girths[n] for n in waiting], _CANDIDATES))
        natural = natural.reshape(-1, _CANDIDATES)
        found, first = natural.any(1), natural.argmax(1)
        rotations[waiting[found]] = rotmat.reshape(-1, _CANDIDATES, 24, 3, 3)[found, first[found]]
        waiting = waiting[~found]
    return rotations


def _clipped(angles, girth):
    """Rotations of angles [N, A] clipped to the ranges of motion, and whether [N] no limb penetrates the body."""
    rotmat = angles_to_rotmat(np.clip(angles, ANGLE_LOW, ANGLE_HIGH))
    return rotmat, penetration(rotmat, girth) < _TOUCH


def sample_heading(rng, count, facing=False):
    """Sample people's rotation [count] in radians about the vertical; 0 faces the camera.

    More than half of the people, or all with `facing`, roughly face the camera. The others face any direction.
    """
    towards = rng.normal(0, np.deg2rad(40), count)
    if facing:
        return towards
    return np.where(rng.random(count) < 0.55, towards, rng.uniform(-np.pi, np.pi, count))


def sample_view(rng, count, all_round=False):
    """Sample rotations [count, 3, 3] from the world (y up) to the camera frame, with slight pitch and roll.

    all_round: more cameras look down, look up or are rolled.
    """
    pitch = np.where(rng.random(count) < 0.2, rng.uniform(0, 40, count), rng.normal(4, 7, count))
    roll = rng.normal(0, 4, count)
    if all_round:
        kind = rng.random(count)
        pitch = np.where(kind < .12, rng.uniform(25, 65, count), pitch)
        pitch = np.where(kind > .86, rng.uniform(-30, 0, count), pitch)
        roll = np.where(rng.random(count) < .1, rng.normal(0, 15, count), roll)
    turned = rotation_about(2, np.deg2rad(roll)) @ rotation_about(0, np.deg2rad(pitch))
    # A camera that looks down sees the world tilted towards it.
    return WORLD_TO_CAMERA @ turned


def sample_people(rng, count, girth=1.0, facing=False, more=False, all_round=False):
    """Sample poses [count, 72] (root in the camera frame) and their views [count, 3, 3], world to camera.

    more: use all activities of `more_activities`; all_round: as in `sample_view`.
    """
    rotmat = sample_body_rotations(rng, count, girth, MORE if more else PLAIN)
    view, heading = sample_view(rng, count, all_round), sample_heading(rng, count, facing)
    return turned_poses(rotmat, view, heading), view


def sample_person_of_each(rngs, girths, facing=False, more=False, all_round=False):
    """`sample_people` of one person from each generator -> poses [N, 72] and views [N, 3, 3]. girths [N]."""
    rotmat = sample_rotations_of_each(rngs, girths, [MORE if more else PLAIN] * len(rngs), [None] * len(rngs))
    turns = [(sample_view(rng, 1, all_round)[0], sample_heading(rng, 1, facing)[0]) for rng in rngs]
    view, heading = (np.array(each) for each in zip(*turns))
    return turned_poses(rotmat, view, heading), view


def turned_poses(rotmat, view, heading):
    """Poses [N, 72] in the camera frame of rotations [N, 24, 3, 3] in the world. People are first turned about the
    vertical by `heading` [N] in radians; view [N, 3, 3]: world to camera. Changes `rotmat`."""
    rotmat[:, 0] = view @ rotation_about(1, heading) @ rotmat[:, 0]
    return rotmat_to_pose(rotmat)


def sample_poses(rng, count, girth=1.0):
    """Sample natural poses [count, 72], axis-angle in radians, root in the camera frame. rng: numpy Generator."""
    return sample_people(rng, count, girth)[0]


def sample_pose(rng, girth=1.0):
    """Sample one natural pose [72]; see `sample_poses`."""
    return sample_poses(rng, 1, girth)[0]

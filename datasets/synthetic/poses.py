"""Natural poses: what `activities.py` draws, kept to the ranges of motion and free of limbs that pass through bodies.

Camera frame: x right, y down, z forward. A pose's root rotation takes SMPL's rest frame (y up, facing +z) into it, as
in SPIN's files: an upright person who faces the camera has a root rotation of pi about x.
"""
import numpy as np

from datasets.synthetic.activities import PLAIN, sample_angles
from datasets.synthetic.anatomy import ANGLE_HIGH, ANGLE_LOW, angles_to_rotmat, rotation_about, rotmat_to_pose
from datasets.synthetic.collision import penetration
from datasets.synthetic.more_activities import MORE

# World (y up, camera looking along -z) to camera frame.
WORLD_TO_CAMERA = np.diag([1.0, -1.0, -1.0])
# Metres by which the capsules of two limbs may overlap: flesh gives way where a hand touches.
_TOUCH = 0.012
_CANDIDATES = 4


def sample_body_rotations(rng, count, girth=1.0, table=PLAIN, activity=None):
    """Draw rotations [count, 24, 3, 3] of people in the world: y up, the root facing +z but for lean and tilt.

    girth: factor on the thickness of the limbs that must not pass through each other; table, activity: as
    `activities.sample_angles` has them.
    """
    kept, missing = [], count
    while missing > 0:
        angles = sample_angles(rng, max(_CANDIDATES, int(1.5 * missing)), table, activity)
        rotmat = angles_to_rotmat(np.clip(angles, ANGLE_LOW, ANGLE_HIGH))
        accepted = rotmat[penetration(rotmat, girth) < _TOUCH][:missing]
        kept.append(accepted)
        missing -= len(accepted)
    return np.concatenate(kept)


def sample_heading(rng, count, facing=False):
    """Draw the angle [count] in radians by which people turn about the vertical; 0 faces the camera.

    More than half of the people face the camera more or less, or with `facing` all; the others face anywhere.
    """
    towards = rng.normal(0, np.deg2rad(40), count)
    if facing:
        return towards
    return np.where(rng.random(count) < 0.55, towards, rng.uniform(-np.pi, np.pi, count))


def sample_view(rng, count, all_round=False):
    """Draw rotations [count, 3, 3] from the world (y up) to the camera frame: slight pitch and roll.

    all_round: more cameras look down from above, up from below, or are held askew.
    """
    pitch = np.where(rng.random(count) < 0.2, rng.uniform(0, 40, count), rng.normal(4, 7, count))
    roll = rng.normal(0, 4, count)
    if all_round:
        kind = rng.random(count)
        pitch = np.where(kind < .12, rng.uniform(25, 65, count), pitch)
        pitch = np.where(kind > .86, rng.uniform(-30, 0, count), pitch)
        roll = np.where(rng.random(count) < .1, rng.normal(0, 15, count), roll)
    turned = rotation_about(2, np.deg2rad(roll)) @ rotation_about(0, np.deg2rad(pitch))
    # A camera that looks down sees the world tipped towards it.
    return WORLD_TO_CAMERA @ turned


def sample_people(rng, count, girth=1.0, facing=False, more=False, all_round=False):
    """Draw poses [count, 72] (root in the camera frame) and their views [count, 3, 3], world to camera.

    more: of all the activities in `more_activities`; all_round: as `sample_view` has it.
    """
    rotmat = sample_body_rotations(rng, count, girth, MORE if more else PLAIN)
    view = sample_view(rng, count, all_round)
    rotmat[:, 0] = view @ rotation_about(1, sample_heading(rng, count, facing)) @ rotmat[:, 0]
    return rotmat_to_pose(rotmat), view


def sample_poses(rng, count, girth=1.0):
    """Draw natural poses [count, 72], axis-angle in radians, the root in the camera frame. rng: numpy Generator."""
    return sample_people(rng, count, girth)[0]


def sample_pose(rng, girth=1.0):
    """Draw one natural pose [72], as `sample_poses`."""
    return sample_poses(rng, 1, girth)[0]

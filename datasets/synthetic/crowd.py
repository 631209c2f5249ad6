"""Other people in the picture: beside the person, behind, in front, in an embrace. They have no labels."""
import numpy as np

from datasets.synthetic.activities import PLAIN
from datasets.synthetic.anatomy import rotation_about, rotmat_to_pose
from datasets.synthetic.more_activities import MORE
from datasets.synthetic.people import dress, place
from datasets.synthetic.poses import sample_body_rotations, sample_heading

_CROWDED = 0.45  # share of the pictures with other people
_MOST = 3
# Places of other people: weight, (mean, deviation) of the distance to the side, and of the distance away from the
# camera, in metres. The side is random; negative distances are nearer.
_PLACES = {'beside': (.38, (.62, .16), (0, .22)), 'behind': (.24, (.35, .3), (.8, .35)),
           'before': (.16, (.5, .22), (-.6, .2)), 'embrace': (.1, (0, 0), (0, 0)), 'far': (.12, (1.1, .9), (2.6, 1.2))}
_NEAREST = 0.5  # metres from the camera to another person's pelvis, at least
# Distance in metres between the pelves of two who embrace, times their mean girth.
_EMBRACE = 0.31
# A joint is hidden by another person whose skeleton passes in front of it within this distance in metres. At least this
# share of the person's joints must be free.
_HIDES, _FREE = 0.11, 0.5


def sample_others(rng, cast, person, camera, view, photos, realism):
    """Sample other people -> tuple of Persons on the same floor, often empty. view [3,3]: world to camera.

    Those who would hide half of the person or stand in the camera are rejected.
    """
    if rng.random() >= _CROWDED:
        return ()
    others = []
    for _ in range(rng.choice([1, 2, _MOST], p=[.6, .28, .12])):
        kind = rng.choice(list(_PLACES), p=[row[0] for row in _PLACES.values()])
        other = _companion(rng, cast, person, view, photos, realism) if kind == 'embrace' and not others else \
            _bystander(rng, cast, person, view, photos, realism, kind if kind != 'embrace' else 'beside')
        if other.smpl_joints[0, 2] > _NEAREST and _leaves_free(person, other):
            others.append(other)
    return tuple(others)


def _bystander(rng, cast, person, view, photos, realism, kind):
    _, (side, side_spread), (away, away_spread) = _PLACES[kind]
    other = _somebody(rng, cast, view, photos, realism, None, sample_heading(rng, 1)[0])
    sideways = (rng.normal(side, side_spread)) * (1 if rng.random() < .5 else -1)
    offset = view @ np.array([sideways, 0, -rng.normal(away, away_spread)])
    return _on_the_same_floor(person, other, offset, view)


def _companion(rng, cast, person, view, photos, realism):
    """A person who faces the given one at arm's length, with the arms around."""
    front = person.posed.rotations[0] @ (0, 0, 1)
    level = view.T @ front * (1, 0, 1)
    level /= max(np.linalg.norm(level), 1e-6)
    heading = np.arctan2(-level[0], -level[2]) + rng.normal(0, .2)
    other = _somebody(rng, cast, view, photos, realism, 'embrace', heading)
    stout = (person.body.girth(person.betas) + other.body.girth(other.betas)) / 2
    across = np.array([level[2], 0, -level[0]]) * rng.normal(0, .08)
    return _on_the_same_floor(person, other, view @ (level * _EMBRACE * stout + across), view)


def _somebody(rng, cast, view, photos, realism, activity, heading):
    """Sample a person at the origin, turned by `heading` radians about the world's vertical."""
    gender, betas = cast.draw(rng, wide='poses' in realism)
    table = MORE if 'poses' in realism or activity else PLAIN
    rotmat = sample_body_rotations(rng, 1, cast.bodies[gender].girth(betas), table, activity)
    rotmat[:, 0] = view @ rotation_about(1, heading) @ rotmat[:, 0]
    return dress(rng, cast, gender, betas, rotmat_to_pose(rotmat)[0], photos, realism)


def _on_the_same_floor(person, other, offset, view):
    up = view[:, 1]
    other = place(other, person.smpl_joints[0] + offset - other.posed.smpl_joints[0])
    lift = (person.vertices @ up).min() - (other.vertices @ up).min()
    return place(other, other.translation + lift * up)


def _leaves_free(person, other):
    """Whether the other's skeleton leaves enough of the person's joints visible."""
    joints, hiding = person.smpl_joints, other.smpl_joints
    nearer = hiding[None, :, 2] < joints[:, None, 2]
    across = np.linalg.norm(hiding[None, :, :2] / hiding[None, :, 2:] - joints[:, None, :2] / joints[:, None, 2:],
                            axis=-1) * joints[:, None, 2]
    return 1 - (nearer & (across < _HIDES)).any(1).mean() >= _FREE

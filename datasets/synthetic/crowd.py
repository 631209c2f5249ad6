"""Other people in the picture: beside the person, behind, in front, in an embrace. They have no labels."""
import numpy as np

from datasets.synthetic.activities import PLAIN
from datasets.synthetic.more_activities import MORE
from datasets.synthetic.people import dress_each, place
from datasets.synthetic.poses import sample_heading, sample_rotations_of_each, turned_poses

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


def sample_crowds(rngs, cast, people, views, photos, realism):
    """Sample other people around each of several Persons -> one list of Persons on the same floor each, often empty.

    rngs: one numpy Generator a picture; views: world to camera, [3,3] each. Those who would hide half of the person or
    stand in the camera are rejected.
    """
    crowds = [[] for _ in rngs]
    sizes = [rng.choice([1, 2, _MOST], p=[.6, .28, .12]) if rng.random() < _CROWDED else 0 for rng in rngs]
    for turn in range(max(sizes, default=0)):
        growing = [number for number, size in enumerate(sizes) if size > turn]
        near = [(rngs[number], people[number], views[number], bool(crowds[number])) for number in growing]
        for number, other in zip(growing, _neighbours(near, cast, photos, realism)):
            if other.smpl_joints[0, 2] > _NEAREST and _leaves_free(people[number], other):
                crowds[number].append(other)
    return crowds


def _neighbours(near, cast, photos, realism):
    """Sample one more person for each (rng, Person, view, whether others are there) -> [Person], placed."""
    rngs = [rng for rng, *_ in near]
    kinds = [_sample_place(rng, crowded) for rng, _, _, crowded in near]
    headings = [_heading(rng, person, view, kind) for (rng, person, view, _), kind in zip(near, kinds)]
    drawn = [cast.draw(rng, wide='poses' in realism) for rng in rngs]
    rotmat = sample_rotations_of_each(
        rngs, [cast.bodies[gender].girth(betas) for gender, betas in drawn],
        [MORE if 'poses' in realism or kind == 'embrace' else PLAIN for kind in kinds],
        ['embrace' if kind == 'embrace' else None for kind in kinds])
    poses = turned_poses(rotmat, [view for _, _, view, _ in near], headings)
    others = dress_each(rngs, cast, drawn, poses, photos, realism)
    return [_on_the_same_floor(person, other, _offset(rng, person, other, view, kind), view)
            for (rng, person, view, _), other, kind in zip(near, others, kinds)]


def _sample_place(rng, crowded):
    """A key of _PLACES. Only the first other person may embrace."""
    kind = rng.choice(list(_PLACES), p=[row[0] for row in _PLACES.values()])
    return 'beside' if kind == 'embrace' and crowded else kind


def _heading(rng, person, view, kind):
    """Radians by which the other is turned about the world's vertical; one who embraces faces the person."""
    if kind != 'embrace':
        return sample_heading(rng, 1)[0]
    level = _front(person, view)
    return np.arctan2(-level[0], -level[2]) + rng.normal(0, .2)


def _offset(rng, person, other, view, kind):
    """From the person's pelvis to the other's, [3] in the camera frame, before both are on one floor."""
    if kind == 'embrace':
        level = _front(person, view)
        stout = (person.body.girth(person.betas) + other.body.girth(other.betas)) / 2
        across = np.array([level[2], 0, -level[0]]) * rng.normal(0, .08)
        return view @ (level * _EMBRACE * stout + across)
    _, (side, side_spread), (away, away_spread) = _PLACES[kind]
    sideways = rng.normal(side, side_spread) * (1 if rng.random() < .5 else -1)
    return view @ np.array([sideways, 0, -rng.normal(away, away_spread)])


def _front(person, view):
    """The horizontal direction [3] in the world that the person's pelvis faces."""
    level = view.T @ (person.posed.rotations[0] @ (0, 0, 1)) * (1, 0, 1)
    return level / max(np.linalg.norm(level), 1e-6)


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

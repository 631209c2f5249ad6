"""Objects with geometry that people use: seats, wheelchairs and what hands hold."""
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from datasets.synthetic.appearance import sample_thing_look
from datasets.synthetic.shading import TOP
from datasets.synthetic.stage import Piece
from utils.keypoints import SMPL_JOINTS

_HANDS = {'left': ('left_wrist', 'left_hand'), 'right': ('right_wrist', 'right_hand')}
_HELD = {'phone': .3, 'ball': .2, 'stick': .17, 'bag': .2, 'board': .13}
_HOLDS, _SEATED = .3, .85  # shares of people who hold an object, and of seated people without a seat who get one
_SEATS = {'stool': .25, 'chair': .45, 'wheelchair': .15, 'block': .15}


@dataclass(frozen=True)
class Thing:
    """An object in the camera frame. look: appearance.Look; pieces: its meshes (stage.Piece)."""
    look: object
    pieces: tuple


def sample_things(rng, people, view):
    """Sample seats and held objects of these Persons -> tuple of Things. view [3,3]: world to camera."""
    things = []
    for person in people:
        up = view[:, 1]
        if _sits(person, up) and rng.random() < _SEATED:
            things.append(_seat(rng, person, up))
        if rng.random() < _HOLDS:
            things.append(_held(rng, person, up))
    return tuple(things)


def _joint(person, name):
    return person.smpl_joints[SMPL_JOINTS.index(name)]


def _sits(person, up):
    """Whether the person sits: thighs level, trunk upright, feet below."""
    hips, knees, ankles = ((_joint(person, f'left_{n}') + _joint(person, f'right_{n}')) / 2 @ up
                           for n in ('hip', 'knee', 'ankle'))
    trunk = (_joint(person, 'neck') - _joint(person, 'pelvis')) @ up
    return abs(hips - knees) < .16 and hips - ankles > .2 and trunk > .25


def _seat(rng, person, up):
    """A Thing below a person. The rows of its frame [3,3] are right, up and forward."""
    hips = (_joint(person, 'left_hip') + _joint(person, 'right_hip')) / 2
    forward = (_joint(person, 'left_knee') + _joint(person, 'right_knee')) / 2 - hips
    forward -= forward @ up * up
    forward /= max(np.linalg.norm(forward), 1e-6)
    frame = np.stack([np.cross(up, forward), up, forward])
    seat_skin = person.vertices[np.isin(person.body.dominant_joints, [SMPL_JOINTS.index(n) for n in
                                                                     ('pelvis', 'left_hip', 'right_hip')])]
    top = (seat_skin @ up).min() + .015
    floor = min((person.vertices @ up).min(), top - .1)
    middle = hips + (top - hips @ up) * up
    kind = rng.choice(list(_SEATS), p=list(_SEATS.values()))
    height = top - floor
    return Thing(sample_thing_look(rng), tuple(piece(middle, frame) for piece in _seat_parts(rng, kind, height)))


def _seat_parts(rng, kind, height):
    """Pieces as functions of a place and a frame. Local coordinates: right, up, forward from the seat's top middle."""
    half = rng.uniform(.2, .26)
    if kind == 'block':
        wide = rng.uniform(.25, .9)
        return [_box((0, -height / 2, -.02), (wide, height / 2, half))]
    parts = [_box((0, -.025, .02), (half, .025, half))]
    if kind == 'stool':
        return [*parts, _box((0, -height / 2, 0), (.035, height / 2, .035)),
                _box((0, -height + .02, 0), (half, .02, half))]
    back = rng.uniform(.28, .5)
    parts.append(_box((0, back / 2 + .05, -half), (half * .95, back / 2, .02)))
    if kind == 'wheelchair':
        radius = max(height * .75, .25)
        parts += [_wheel((side * (half + .06), radius - height, -.03), radius) for side in (-1, 1)]
        parts += [_wheel((side * half * .9, .09 - height, .42), .09) for side in (-1, 1)]
        parts += [_box((side * (half + .02), .2, .02), (.025, .02, .2)) for side in (-1, 1)]
        return [*parts, _box((0, .1 - height, .5), (half * .8, .015, .08))]
    return parts + [_box((x * half * .9, -height / 2, z * half * .9), (.016, height / 2, .016))
                    for x in (-1, 1) for z in (-1, 1)]


def _held(rng, person, up):
    side = 'left' if rng.random() < .5 else 'right'
    wrist, hand = (_joint(person, name) for name in _HANDS[side])
    along = hand - wrist
    along /= max(np.linalg.norm(along), 1e-6)
    across = np.cross(along, up)
    if np.linalg.norm(across) < .1:
        across = np.cross(along, (1.0, 0, 0))
    across /= np.linalg.norm(across)
    frame = np.stack([across, np.cross(across, along), along])  # right, palm, along
    kind = rng.choice(list(_HELD), p=list(_HELD.values()))
    place = hand + .03 * along
    if kind == 'bag':
        level = across - across @ up * up
        frame = np.stack([level, up, np.cross(level, up)]) / max(np.linalg.norm(level), 1e-6)
        frame[1] = up
        half = rng.uniform(.08, .22, 3) * (1, 1, .4)
        parts = [_box((0, -half[1] - .12, 0), half), _box((0, -.06, 0), (.012, .07, .008))]
    elif kind == 'phone':
        parts = [_box((0, .02, .05), (.037, .006, .075))]
    elif kind == 'ball':
        radius = rng.choice([.035, .11, .12])
        parts = [_ball((0, radius + .02, .04), radius)]
    elif kind == 'stick':
        length = rng.uniform(.3, .7)
        parts = [_box((length * .8, .02, .03), (length, .012, .012))]
        if rng.random() < .5:
            parts.append(_box((length * 1.8, .02, .03), (.14, .012, .11)))
    else:
        parts = [_box((0, .03, .08), (rng.uniform(.1, .18), .01, rng.uniform(.13, .22)))]
    return Thing(sample_thing_look(rng), tuple(part(place, frame) for part in parts))


def _box(middle, half):
    """A box as a function of a place [3] and a frame [3,3] (rows in the camera frame) that returns a Piece."""
    corners, faces, normals = _unit_box()
    return _placed(corners * half + middle, faces, normals)


def _ball(middle, radius):
    points, faces = _unit_ball()
    return _placed(points * radius + middle, faces, points)


def _wheel(middle, radius):
    """A ring in the plane of up and forward."""
    points, faces, normals = _ring(radius, max(.012, radius * .05))
    return _placed(points + middle, faces, normals)


def _placed(points, faces, normals):
    points = np.asarray(points, np.float32)

    def piece(place, frame):
        turn = np.asarray(frame)
        # A left-handed frame would turn the faces inside out.
        outward = faces if np.linalg.det(turn) > 0 else faces[:, ::-1]
        return Piece(points @ turn + place, outward, points, normals @ turn, TOP)
    return piece


@lru_cache
def _unit_box():
    points, normals, faces = [], [], []
    for axis in range(3):
        for sign in (-1, 1):
            normal = np.zeros(3)
            normal[axis] = sign
            first, second = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
            start = len(points)
            points += [normal + a * first + b * second for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
            normals += [normal] * 4
            quad = np.array([[0, 1, 2], [0, 2, 3]])
            faces.append((quad if sign > 0 else quad[:, ::-1]) + start)
    return np.array(points), np.concatenate(faces), np.array(normals)


@lru_cache
def _unit_ball(rows=8, columns=12):
    polar, around = np.meshgrid(np.linspace(0, np.pi, rows + 1), np.linspace(0, 2 * np.pi, columns + 1), indexing='ij')
    points = np.stack([np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], -1)
    return points.reshape(-1, 3), _grid_faces(rows, columns)


def _ring(radius, thick, rows=24, columns=6):
    turns = (np.linspace(0, 2 * np.pi, count + 1) for count in (rows, columns))
    around, tube = np.meshgrid(*turns, indexing='ij')
    out = np.stack([np.zeros_like(around), np.cos(around), np.sin(around)], -1)
    normals = out * np.cos(tube)[..., None] + np.array([1.0, 0, 0]) * np.sin(tube)[..., None]
    points = (out * radius + normals * thick).reshape(-1, 3)
    return points, _grid_faces(rows, columns)[:, ::-1], normals.reshape(-1, 3)


def _grid_faces(rows, columns):
    """Two triangles per cell of a grid of (rows + 1) x (columns + 1) points."""
    first = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
    a, b, c, d = first, first + 1, first + columns + 2, first + columns + 1
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])

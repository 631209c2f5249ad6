"""People in front of a camera: identity, pose, clothes, light and view, before rendering.

Camera frame: x right, y down, z forward, metres. Pixels as in the rest of the project: the first pixel's centre is at
(0.5, 0.5).
"""
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from datasets.synthetic.crowd import sample_crowds
from datasets.synthetic.extents import extent
from datasets.synthetic.lighting import Lighting, sample_lighting
from datasets.synthetic.people import Person, dress_each, place
from datasets.synthetic.poses import sample_person_of_each
from datasets.synthetic.things import sample_things
from utils.keypoints import SMPL_JOINTS

_NEAREST = 0.35

# Framings: weight, joints whose skin may be outside of the picture, range of the picture's share that the rest fills.
_LEGS = tuple(f'{side}_{name}' for side in ('left', 'right') for name in ('knee', 'ankle', 'foot'))
_THIGHS = ('left_hip', 'right_hip')
_FRAMINGS = (
    (.62, (), (.58, .95)), (.14, _LEGS, (.62, .98)), (.12, (*_LEGS, *_THIGHS, 'pelvis'), (.65, 1.0)),
    (.05, ('head', 'neck'), (.75, 1.05)), (.07, (), (.95, 1.35)))
_BOLD_FRAMINGS = (
    (.46, (), (.58, .97)), (.16, _LEGS, (.62, 1.05)), (.18, (*_LEGS, *_THIGHS, 'pelvis'), (.65, 1.1)),
    (.07, ('head', 'neck'), (.75, 1.1)), (.13, (), (.95, 1.5)))
# Width over height.
_ASPECTS = (1, 1, 1, 3 / 4, 3 / 4, 4 / 3, 4 / 3, 2 / 3, 3 / 2, 9 / 16, 16 / 9)
_STUDIO_FRAMING = ((1.0, (), (.7, .9)),)
# Largest offset of the subject from the picture's middle, over its side.
_OFF_MIDDLE, _STUDIO_OFF_MIDDLE = .2, .04
# Share of scenes in a panorama, if there are any.
_PANORAMAS = .45


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in pixels, with the same focal length along both axes."""
    focal: float
    center: tuple
    width: int
    height: int

    def project(self, points):
        """Project points [N,3] of the camera frame -> [N,3]: pixels and depth."""
        depth = points[:, 2]
        zoom = self.focal / depth
        return np.stack([zoom * points[:, 0] + self.center[0], zoom * points[:, 1] + self.center[1], depth], 1)

    @property
    def matrix(self):
        """Intrinsics [3,3]."""
        return np.array([[self.focal, 0, self.center[0]], [0, self.focal, self.center[1]], [0, 0, 1.0]])


@dataclass(frozen=True)
class Scene:
    """A person, a camera and light. `view` [3,3] maps the world (y up) to the camera frame.

    surroundings: None, or (Panorama, its rotation in radians); others: further people without labels; things:
    `things.Thing`s; realism: names of `realism.REALISM`.
    """
    person: Person
    camera: Camera
    view: np.ndarray
    lighting: Lighting
    surroundings: tuple = None
    others: tuple = ()
    things: tuple = ()
    realism: frozenset = frozenset()

    def groups(self):
        """All meshes of the scene for `stage.set_stage`: [(Look, [Piece, ...])], the labelled person first."""
        return [(each.look, each.pieces) for each in (self.person, *self.others, *self.things)]

    @property
    def horizon(self):
        """Row in pixels of the horizon in the middle of the picture."""
        level = self.view @ (0, 0, -1.0)
        return self.camera.focal * level[1] / max(level[2], 1e-3) + self.camera.center[1]


def sample_scene(rng, cast, size, studio=False, photos=None, realism=frozenset()):
    """Sample a Scene for a picture whose longer side has `size` pixels. rng: numpy Generator.

    studio: a square picture with the whole person, who roughly faces the camera; photos: PhotoFolder, or None; realism:
    names of `realism.REALISM`.
    """
    return sample_scenes([rng], cast, size, studio, photos, realism)[0]


def sample_scenes(rngs, cast, size, studio=False, photos=None, realism=frozenset()):
    """`sample_scene` for several pictures, each from its own generator -> [Scene]. People are posed together."""
    drawn = [cast.draw(rng, wide='poses' in realism) for rng in rngs]
    poses, views = sample_person_of_each(rngs, [cast.bodies[gender].girth(betas) for gender, betas in drawn],
                                         facing=studio, more='poses' in realism, all_round='framing' in realism)
    people = dress_each(rngs, cast, drawn, poses, photos, realism)
    cameras = [sample_camera(rng, size, free='framing' in realism) for rng in rngs]
    framing = (_STUDIO_FRAMING, _STUDIO_OFF_MIDDLE) if studio else \
        (_BOLD_FRAMINGS if 'framing' in realism else _FRAMINGS, _OFF_MIDDLE)
    people = [place(person, _frame(rng, person, camera, *framing)) for rng, person, camera in
              zip(rngs, people, cameras)]
    lights = [sample_surroundings(rng, photos) for rng in rngs]
    crowds = sample_crowds(rngs, cast, people, views, photos, realism) if 'people' in realism else [()] * len(rngs)
    things = [sample_things(rng, (person, *others), view) if 'things' in realism else () for rng, person, others, view
              in zip(rngs, people, crowds, views)]
    return [Scene(person, camera, view, *light, tuple(others), used, realism)
            for person, camera, view, light, others, used in zip(people, cameras, views, lights, crowds, things)]


def sample_surroundings(rng, photos=None):
    """Sample Lighting and None, or sometimes a panorama's: (Lighting, None or (Panorama, radians))."""
    if photos is None or not photos.panoramas or rng.random() >= _PANORAMAS:
        return sample_lighting(rng), None
    panorama, heading = photos.panorama(rng), rng.uniform(0, 2 * np.pi)
    return panorama.lighting_at(heading), (panorama, heading)


def sample_camera(rng, size, free=False):
    """Sample a camera with 15 to 70 degrees' field of view along its longer side of `size` pixels and the principal
    point in the middle. free: the picture need not be square."""
    angle = np.deg2rad(rng.uniform(15, 45) if rng.random() < .7 else rng.uniform(45, 70))
    width, height = size, size
    if free:
        aspect = rng.choice(_ASPECTS)
        width, height = round(size * min(aspect, 1)), round(size * min(1 / aspect, 1))
    return Camera(size / 2 / np.tan(angle / 2), (width / 2, height / 2), width, height)


def _frame(rng, person, camera, framings, off_middle):
    """Sample a translation [3] that brings the person, or a part of it, into the picture."""
    kind = framings[rng.choice(len(framings), p=[f[0] for f in framings])]
    points = person.posed.vertices[_kept_vertices(person.body, kind[1])]
    share = rng.uniform(*kind[2])
    jitter = np.clip(rng.normal(0, .07, 2), -off_middle, off_middle)
    return frame_points(points, camera, share, jitter)


@lru_cache(maxsize=32)
def _kept_vertices(body, unwanted):
    """Indices of every seventh vertex of those that do not follow one of the unwanted joints most."""
    joints = [SMPL_JOINTS.index(name) for name in unwanted]
    return np.flatnonzero(~np.isin(body.dominant_joints, joints))[::7]


def frame_points(points, camera, share, jitter=(0, 0)):
    """Translation [3] with which points [N,3] fill `share` of the picture, centred at its middle plus `jitter`."""
    low, high = extent(points)
    translation = -(low + high) / 2
    size = np.array([camera.width, camera.height])
    translation[2] = camera.focal * ((high - low)[:2] / size).max() / share - low[2]
    middle = size * (.5 + np.asarray(jitter))
    for _ in range(4):
        translation[2] = max(translation[2], _NEAREST - low[2])
        pixels = camera.project(points + translation)
        first, last = extent(pixels[:, :2])
        translation[:2] += (middle - (first + last) / 2) * translation[2] / camera.focal
        translation[2] += translation[2] * (((last - first) / size).max() / share - 1) * .9
    translation[2] = max(translation[2], _NEAREST - low[2])
    return translation

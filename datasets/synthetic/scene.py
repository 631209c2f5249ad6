"""One person before a camera: who, in which pose, dressed how, lit how, seen how. No pixels yet.

Camera frame: x right, y down, z forward, metres; pixels as in the rest of the project (the first pixel's centre is at
0.5, 0.5).
"""
from dataclasses import dataclass

import numpy as np

from datasets.synthetic.appearance import BodyMarks, sample_look
from datasets.synthetic.free_body import FreeBody
from datasets.synthetic.lighting import Lighting, sample_lighting
from datasets.synthetic.poses import sample_people
from utils.keypoints import SMPL_JOINTS

# Standard deviations at which the shape parameters are cut.
MAX_BETA = 2.5
_NEAREST = 0.35

# What a picture shows: weight, joints whose skin may be outside, share of the picture's side that the rest fills.
_LEGS = tuple(f'{side}_{name}' for side in ('left', 'right') for name in ('knee', 'ankle', 'foot'))
_THIGHS = ('left_hip', 'right_hip')
_FRAMINGS = (
    (.62, (), (.58, .95)), (.14, _LEGS, (.62, .98)), (.12, (*_LEGS, *_THIGHS, 'pelvis'), (.65, 1.0)),
    (.05, ('head', 'neck'), (.75, 1.05)), (.07, (), (.95, 1.35)))
_STUDIO_FRAMING = ((1.0, (), (.7, .9)),)
# Share of the picture's side by which its subject may be off the middle.
_OFF_MIDDLE, _STUDIO_OFF_MIDDLE = .2, .04
# Share of the scenes that stand in a panorama, where there are any.
_PANORAMAS = .45


class Cast:
    """The bodies that scenes draw from, with what is computed once a body. assets: utils.assets.Assets."""

    def __init__(self, assets, gendered=0.0):
        self.gendered = gendered
        self.bodies = {'n': FreeBody(assets, 'neutral')}
        if gendered > 0:
            self.bodies |= {'m': FreeBody(assets, 'male'), 'f': FreeBody(assets, 'female')}
        self.marks = {key: BodyMarks.of(body) for key, body in self.bodies.items()}
        self.normals = {key: body.normals(body.template) for key, body in self.bodies.items()}
        self.digest = self.bodies['n'].digest

    def draw(self, rng):
        """Who: a gender key ('n', or 'm' or 'f' for the gendered share) and betas [10]."""
        gender = 'n'
        if self.gendered > 0 and rng.random() < self.gendered:
            gender = 'm' if rng.random() < .5 else 'f'
        return gender, sample_betas(rng)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in pixels; the same focal length along both axes."""
    focal: float
    center: tuple
    width: int
    height: int

    def project(self, points):
        """Points [N,3] of the camera frame -> [N,3]: pixels and depth."""
        return np.concatenate([self.focal * points[:, :2] / points[:, 2:] + self.center, points[:, 2:]], 1)

    @property
    def matrix(self):
        """Intrinsics [3,3]."""
        return np.array([[self.focal, 0, self.center[0]], [0, self.focal, self.center[1]], [0, 0, 1.0]])


@dataclass(frozen=True)
class Person:
    """A dressed, posed person: `posed` has its pelvis near the origin; `translation` [3] puts it before the camera."""
    body: FreeBody
    gender: str
    betas: np.ndarray
    pose: np.ndarray
    look: object
    posed: object
    normals: np.ndarray
    translation: np.ndarray

    @property
    def vertices(self):
        return self.posed.vertices + self.translation.astype(np.float32)

    @property
    def joints(self):
        return self.posed.joints + self.translation

    @property
    def smpl_joints(self):
        return self.posed.smpl_joints + self.translation


@dataclass(frozen=True)
class Scene:
    """A person, a camera, light, and which way is up: `view` [3,3] takes the world (y up) to the camera frame.

    surroundings: None, or a Panorama and the radians that it is turned by.
    """
    person: Person
    camera: Camera
    view: np.ndarray
    lighting: Lighting
    surroundings: tuple = None

    @property
    def horizon(self):
        """Row in pixels of the horizon at the picture's middle."""
        level = self.view @ (0, 0, -1.0)
        return self.camera.focal * level[1] / max(level[2], 1e-3) + self.camera.center[1]


def sample_betas(rng):
    """Shape parameters [10]: standard normal, cut at MAX_BETA."""
    betas = rng.standard_normal(10)
    while (np.abs(betas) > MAX_BETA).any():
        outside = np.abs(betas) > MAX_BETA
        betas[outside] = rng.standard_normal(outside.sum())
    return betas


def sample_scene(rng, cast, size, studio=False, photos=None):
    """Draw a Scene for a square picture of `size` pixels. rng: numpy Generator.

    studio: the whole person is in the picture and faces the camera more or less; photos: PhotoFolder, or None.
    """
    gender, betas = cast.draw(rng)
    poses, views = sample_people(rng, 1, cast.bodies[gender].girth(betas), facing=studio)
    person = dress(rng, cast, gender, betas, poses[0], photos)
    camera = sample_camera(rng, size)
    framing = (_STUDIO_FRAMING, _STUDIO_OFF_MIDDLE) if studio else (_FRAMINGS, _OFF_MIDDLE)
    translation = _frame(rng, person, camera, *framing)
    return Scene(place(person, translation), camera, views[0], *sample_surroundings(rng, photos))


def sample_surroundings(rng, photos=None):
    """Draw the light, and now and then a panorama that it comes from: Lighting, and None or (Panorama, radians)."""
    if photos is None or not photos.panoramas or rng.random() >= _PANORAMAS:
        return sample_lighting(rng), None
    panorama, heading = photos.panorama(rng), rng.uniform(0, 2 * np.pi)
    return panorama.lighting_at(heading), (panorama, heading)


def dress(rng, cast, gender, betas, pose, photos=None):
    """Draw in which clothes somebody takes the pose [72] -> Person at the origin."""
    body = cast.bodies[gender]
    look = sample_look(rng, cast.marks[gender], photos)
    return repose(body, gender, betas, pose, look, look.offsets(body, cast.normals[gender]))


def repose(body, gender, betas, pose, look, offsets):
    """A Person at the origin in a given shape, pose and look; offsets [V,3] from `Look.offsets`."""
    posed = body.pose(betas, pose, offsets)
    return Person(body, gender, betas, pose, look, posed, body.normals(posed.vertices), np.zeros(3))


def place(person, translation):
    """The same person at another place."""
    return Person(person.body, person.gender, person.betas, person.pose, person.look, person.posed, person.normals,
                  np.asarray(translation, float))


def sample_camera(rng, size):
    """Draw a camera of 15 to 70 degrees' field of view, its principal point in the middle."""
    angle = np.deg2rad(rng.uniform(15, 45) if rng.random() < .7 else rng.uniform(45, 70))
    return Camera(size / 2 / np.tan(angle / 2), (size / 2, size / 2), size, size)


def _frame(rng, person, camera, framings, off_middle):
    """Draw a translation [3] that brings the person, or a part, into the picture."""
    kind = framings[rng.choice(len(framings), p=[f[0] for f in framings])]
    unwanted = [SMPL_JOINTS.index(name) for name in kind[1]]
    points = person.posed.vertices[~np.isin(person.body.dominant_joints, unwanted)][::7]
    share = rng.uniform(*kind[2])
    jitter = np.clip(rng.normal(0, .07, 2), -off_middle, off_middle)
    return frame_points(points, camera, share, jitter)


def frame_points(points, camera, share, jitter=(0, 0)):
    """Translation [3] at which points [N,3] fill `share` of the picture's height, about its middle plus `jitter`."""
    low, high = points.min(0), points.max(0)
    translation = -(low + high) / 2
    translation[2] = camera.focal * (high - low)[:2].max() / (share * camera.height) - low[2]
    middle = np.array([camera.width, camera.height]) * (.5 + np.asarray(jitter))
    for _ in range(4):
        translation[2] = max(translation[2], _NEAREST - low[2])
        pixels = camera.project(points + translation)
        first, last = pixels[:, :2].min(0), pixels[:, :2].max(0)
        translation[:2] += (middle - (first + last) / 2) * translation[2] / camera.focal
        translation[2] += translation[2] * ((last - first).max() / (share * camera.height) - 1) * .9
    translation[2] = max(translation[2], _NEAREST - low[2])
    return translation

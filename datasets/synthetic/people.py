"""Persons with shape, pose and clothes, before they are placed in front of a camera."""
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from datasets.synthetic.appearance import BodyMarks, offsets_of, sample_look
from datasets.synthetic.free_body import FreeBody
from datasets.synthetic.garments import Wardrobe, sample_outfit
from datasets.synthetic.stage import Piece

# Standard deviations at which betas are truncated.
MAX_BETA = 2.5


class Cast:
    """The bodies from which scenes sample, with values computed once per body. assets: utils.assets.Assets."""

    def __init__(self, assets, gendered=0.0):
        self.gendered, self._assets = gendered, assets
        self.bodies = {'n': FreeBody(assets, 'neutral')}
        if gendered > 0:
            self.bodies |= {'m': FreeBody(assets, 'male'), 'f': FreeBody(assets, 'female')}
        self.marks = {key: BodyMarks.of(body) for key, body in self.bodies.items()}
        self.normals = {key: body.normals(body.template) for key, body in self.bodies.items()}
        self.digest = self.bodies['n'].digest

    @cached_property
    def wardrobe(self):
        """Clothes and hair with their own geometry. Raises MissingFile."""
        return Wardrobe(self._assets)

    def draw(self, rng, wide=False):
        """Sample a gender key ('n', or 'm' or 'f' for the share `gendered`) and betas [10]. wide: more extreme betas.
        """
        gender = 'n'
        if self.gendered > 0 and rng.random() < self.gendered:
            gender = 'm' if rng.random() < .5 else 'f'
        return gender, sample_betas(rng, wide)


@dataclass(frozen=True)
class Person:
    """A dressed, posed person. `posed` has its pelvis near the origin; `translation` [3] moves it before the camera.

    garments: stage.Pieces of clothes with their own geometry, near the origin too.
    """
    body: FreeBody
    gender: str
    betas: np.ndarray
    pose: np.ndarray
    look: object
    posed: object
    translation: np.ndarray
    garments: tuple = ()

    @cached_property
    def vertices(self):
        return self.posed.vertices + self.translation.astype(np.float32)

    @cached_property
    def pieces(self):
        """The meshes [stage.Piece] of the person."""
        skin = Piece(self.vertices, self.body.faces, self.body.template)
        return (skin, *(replace(piece, places=piece.places + self.translation) for piece in self.garments))

    @property
    def joints(self):
        return self.posed.joints + self.translation

    @property
    def smpl_joints(self):
        return self.posed.smpl_joints + self.translation


def sample_betas(rng, wide=False):
    """Sample betas [10]: standard normal, truncated at MAX_BETA. wide: for half of the people the first three are
    uniform."""
    betas = rng.standard_normal(10)
    if wide and rng.random() < .5:
        betas[:3] = rng.uniform(-MAX_BETA, MAX_BETA, 3)
    while (np.abs(betas) > MAX_BETA).any():
        outside = np.abs(betas) > MAX_BETA
        betas[outside] = rng.standard_normal(outside.sum())
    return betas


def dress(rng, cast, gender, betas, pose, photos=None, realism=frozenset()):
    """Sample clothes for a pose [72] -> Person at the origin."""
    return dress_each([rng], cast, [(gender, betas)], [pose], photos, realism)[0]


def dress_each(rngs, cast, drawn, poses, photos=None, realism=frozenset()):
    """`dress` several people, each from its own generator -> [Person]. They are posed together.

    drawn: of `Cast.draw`, one pair a person; poses [N,72].
    """
    looks = [_sample_clothes(rng, cast, gender, photos, realism) for rng, (gender, _) in zip(rngs, drawn)]
    people = [None] * len(rngs)
    for gender, body in cast.bodies.items():
        chosen = [number for number, (own, _) in enumerate(drawn) if own == gender]
        if not chosen:
            continue
        offsets = offsets_of([looks[number] for number in chosen], body, cast.normals[gender])
        posed = body.pose_each([drawn[number][1] for number in chosen], [poses[number] for number in chosen], offsets)
        for number, each in zip(chosen, posed):
            people[number] = _at_origin(body, gender, drawn[number][1], poses[number], looks[number], each)
    return people


def _sample_clothes(rng, cast, gender, photos, realism):
    look = sample_look(rng, cast.marks[gender], photos)
    if 'garments' in realism and gender == 'n':  # garments are fitted to the neutral body only
        look = sample_outfit(rng, cast.wardrobe, cast.marks[gender], look)
    return look


def repose(body, gender, betas, pose, look, offsets):
    """A Person at the origin with given shape, pose and look. offsets [V,3]: from `Look.offsets`."""
    return _at_origin(body, gender, betas, pose, look, body.pose(betas, pose, offsets))


def _at_origin(body, gender, betas, pose, look, posed):
    garments = tuple(garment.posed(betas, posed.transforms) for garment in look.outfit)
    return Person(body, gender, betas, pose, look, posed, np.zeros(3), garments)


def place(person, translation):
    """The same person at another place."""
    return replace(person, translation=np.asarray(translation, float))

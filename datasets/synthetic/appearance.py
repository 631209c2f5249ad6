"""A person's appearance: skin, hair, and garments with their cuts, colours and patterns."""
import colorsys
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from datasets.synthetic import shading
from datasets.synthetic.anatomy import JOINT
from datasets.synthetic.photographs import CLOTH_SIDE
from datasets.synthetic.shading import (
    BOTTOM,
    EYE,
    GLOVE,
    HAIR,
    LIP,
    SHOE,
    SKIN,
    SOCK,
    SOLE,
    TOP,
    blank_cut,
    cloth_offsets,
)

_NOWHERE = 10.0
# Samples of a curve of skin colours from light to dark, sRGB. The curve is not a straight line.
_SKIN_TONES = np.array([[246, 214, 192], [232, 186, 152], [206, 150, 112], [166, 110, 74], [120, 76, 50], [78, 48, 34]])
_HAIR_COLOURS = np.array([[24, 18, 16], [48, 32, 22], [92, 60, 36], [150, 104, 60], [206, 168, 110], [132, 60, 30],
                          [150, 150, 150], [222, 220, 214]])
_HAIR_WEIGHTS = np.array([.3, .2, .16, .1, .1, .04, .06, .04])


@dataclass(frozen=True)
class BodyMarks:
    """Heights and distances in the template's T pose, in metres, at which garments are cut."""
    shoulder_x: float
    elbow_x: float
    wrist_x: float
    hip_y: float
    knee_y: float
    ankle_y: float
    waist_y: float
    shoulder_y: float
    floor_y: float
    top_y: float
    neck: np.ndarray
    head: np.ndarray
    left_eye: np.ndarray
    right_eye: np.ndarray
    nose: np.ndarray

    @classmethod
    def of(cls, body):
        """The marks of a FreeBody."""
        joints = body.joint_template
        vertex = {name: body.template[number] for name, number in body.vertex_ids.items()}
        return cls(
            *(abs(joints[JOINT[f'left_{n}']][0]) for n in ('shoulder', 'elbow', 'wrist')),
            *(joints[JOINT[f'left_{n}']][1] for n in ('hip', 'knee', 'ankle')),
            waist_y=joints[JOINT['spine1']][1], shoulder_y=joints[JOINT['left_shoulder']][1],
            floor_y=body.template[:, 1].min(), top_y=body.template[:, 1].max(), neck=joints[JOINT['neck']],
            head=(vertex['lear'] + vertex['rear']) / 2, left_eye=vertex['leye'], right_eye=vertex['reye'],
            nose=vertex['nose'])


@dataclass(frozen=True)
class Look:
    """The inputs of `shading.shade` that dress a body. Arrays have one row per region (`shading.REGIONS`).

    cut: attributes of a `shading.Cut`; first, second: linear colours [R,3] that the pattern mixes; texture [R,4]:
    frequency (1/m), phase, folds, gloss; thickness [R]: distance of the region from the skin in metres; arm: |x| beyond
    which rings go around the arm; cloth [2,S,S,3]: linear colours of top and bottom where their pattern is a
    photograph, or None; outfit: `garments.Garment`s.
    """
    cut: object
    first: np.ndarray
    second: np.ndarray
    pattern: np.ndarray
    texture: np.ndarray
    thickness: np.ndarray
    arm: float
    cloth: np.ndarray | None = None
    outfit: tuple = ()

    def offsets(self, body, normals):
        """`offsets_of` this Look: [V,3]."""
        return offsets_of([self], body, normals)[0]


def offsets_of(looks, body, normals):
    """Offsets [L,V,3] in metres of clothes and hair of some Looks, from the vertices of a body's template along the
    given unit normals [V,3]."""
    return cloth_offsets(body.template, normals, [look.cut for look in looks],
                         np.stack([look.thickness for look in looks]))


def sample_look(rng, marks, photos=None):
    """Sample a Look for a body with these BodyMarks. rng: numpy Generator; photos: PhotoFolder for cloth, or None."""
    skin, hair = _skin_colour(rng), _hair_colour(rng)
    first, second = np.tile(skin, (len(shading.REGIONS), 1)), np.tile(skin, (len(shading.REGIONS), 1))
    pattern = np.zeros(len(shading.REGIONS), np.int32)
    texture = np.zeros((len(shading.REGIONS), 4), np.float32)
    texture[:, 1] = rng.uniform(0, 6.28, len(shading.REGIONS))
    thickness = np.zeros(len(shading.REGIONS), np.float32)

    for region in (TOP, BOTTOM, SHOE, SOCK, GLOVE):
        first[region], second[region] = cloth_colour(rng), cloth_colour(rng)
    first[BOTTOM] = first[TOP] if rng.random() < 0.12 else _trouser_colour(rng)
    pattern[TOP] = _draw(rng, {0: .42, 1: .13, 2: .05, 3: .08, 4: .08, 5: .05, 6: .13, 7: .06})
    pattern[BOTTOM] = _draw(rng, {0: .8, 2: .04, 3: .05, 4: .06, 7: .05})
    texture[[TOP, BOTTOM], 0] = 2 * np.pi / rng.uniform([.025, .025], [.16, .09])
    texture[TOP, 2], texture[BOTTOM, 2] = rng.uniform(.05, .22), rng.uniform(.04, .2)
    thickness[TOP], thickness[BOTTOM] = rng.uniform(.002, .022), rng.uniform(.002, .016)
    thickness[[SHOE, SOLE]], thickness[SOCK] = rng.uniform(.006, .012), .003
    first[SOLE] = first[SHOE] if rng.random() < 0.5 else srgb_to_linear(np.full(3, rng.uniform(.1, .95)))

    first[HAIR] = hair
    second[HAIR] = hair * rng.uniform(.6, .9)
    pattern[HAIR], texture[HAIR, 0] = shading.PATTERNS.index('stripes'), rng.uniform(250, 500)
    thickness[HAIR] = rng.uniform(.004, .026)
    first[EYE], first[LIP] = srgb_to_linear(np.array([.08, .06, .05])), skin * (.75, .5, .5)
    texture[[SKIN, LIP], 3], texture[HAIR, 3], texture[[SHOE, SOLE], 3] = rng.uniform(0, .25), .15, rng.uniform(0, .4)
    second[[EYE, LIP, SOLE]] = first[[EYE, LIP, SOLE]]
    cut, cloth = _sample_cut(rng, marks), None
    if photos is not None and photos.files:
        cloth = _photographed_cloth(rng, photos, pattern, texture)
    return Look(cut, first.astype(np.float32), second.astype(np.float32), pattern, texture, thickness,
                float(marks.shoulder_x + .015), cloth)


def _photographed_cloth(rng, photos, pattern, texture):
    """Sometimes cut top and bottom from photographs -> cloth [2,S,S,3] or None. Sets their rows of pattern and texture.
    """
    pieces = None
    for number, (region, share) in enumerate(((TOP, .4), (BOTTOM, .25))):
        if rng.random() >= share:
            continue
        piece = photos.cloth(rng)
        if rng.random() < .5:  # dyed: only the weave comes from the photograph
            weave = piece.mean(-1, keepdims=True) / max(float(piece.mean()), .05)
            piece = weave * (sample_accent(rng) * rng.uniform(.4, 1)).astype(np.float32)
        if pieces is None:
            pieces = np.zeros((2, CLOTH_SIDE, CLOTH_SIDE, 3), np.float32)
        pieces[number] = srgb_to_linear(np.clip(piece * np.float32(rng.uniform(.6, 1.2)), 0.01, 1))
        pattern[region] = shading.PATTERNS.index('photo')
        texture[region, 0] = 20 / rng.uniform(.1, .9)  # length of a piece in metres
    return pieces


def sample_thing_look(rng):
    """Sample the Look of an object. All of it has the region TOP."""
    count = len(shading.REGIONS)
    texture = np.zeros((count, 4), np.float32)
    texture[:, 0], texture[:, 1] = 2 * np.pi / rng.uniform(.03, .2), rng.uniform(0, 6.28)
    texture[:, 3] = rng.uniform(0, .5)
    first, second = (np.tile(cloth_colour(rng), (count, 1)).astype(np.float32) for _ in range(2))
    pattern = np.full(count, _draw(rng, {0: .8, 2: .1, 4: .1}), np.int32)
    return Look(blank_cut(), first, second, pattern, texture, np.zeros(count, np.float32), _NOWHERE)


def _sample_cut(rng, marks):
    cut = blank_cut()
    cut.neck, cut.head = marks.neck + (0, .015, .02), marks.head
    cut.left_eye, cut.right_eye = marks.left_eye, marks.right_eye
    cut.mouth = marks.nose * (0, 1, 1) + (0, -.042, -.012)
    _cut_top(rng, marks, cut)
    _cut_bottom(rng, marks, cut)
    _cut_hair(rng, marks, cut)
    cut.phase, cut.wobble = rng.uniform(0, 6.28), rng.uniform(.001, .007)
    return cut


def _cut_top(rng, marks, cut):
    kind = _draw(rng, {'short': .42, 'long': .36, 'vest': .09, 'dress': .07, 'none': .06})
    depth = rng.uniform(.03, .12)
    cut.collar = (rng.uniform(.07, .11), depth, .16)
    upper, lower = marks.elbow_x - marks.shoulder_x, marks.wrist_x - marks.elbow_x
    cut.sleeve = {'short': marks.shoulder_x + upper * rng.uniform(.35, 1.0),
                  'long': marks.elbow_x + lower * (rng.uniform(.2, 1.03) if rng.random() < .3 else 1.0),
                  'vest': marks.shoulder_x - rng.uniform(.0, .03), 'none': 0.0,
                  'dress': marks.shoulder_x + (upper + lower) * rng.uniform(-.05, .9)}[kind]
    cut.hem = marks.hip_y + rng.uniform(-.10, .08)
    if kind == 'dress':
        cut.hem = marks.knee_y + (marks.hip_y - marks.knee_y) * rng.uniform(-.2, .6)
    cut.wrist = marks.wrist_x + .01 if rng.random() < .04 else _NOWHERE


def _cut_bottom(rng, marks, cut):
    thigh, shin = marks.hip_y - marks.knee_y, marks.knee_y - marks.ankle_y
    kind = _draw(rng, {'long': .62, 'shorts': .24, 'cropped': .08, 'briefs': .06})
    cut.leg = {'long': marks.ankle_y + rng.uniform(-.02, .04), 'cropped': marks.ankle_y + shin * rng.uniform(.15, .8),
               'shorts': marks.knee_y + thigh * rng.uniform(-.05, .6),
               'briefs': marks.hip_y - rng.uniform(.06, .1)}[kind]
    cut.waist = marks.waist_y + rng.uniform(-.05, .03)
    barefoot = rng.random() < .1
    cut.shoe = -_NOWHERE if barefoot else marks.ankle_y + (rng.uniform(.02, .2) if rng.random() < .2 else
                                                           rng.uniform(-.03, .015))
    cut.sole = -_NOWHERE if barefoot else marks.floor_y + rng.uniform(.008, .028)
    cut.sock = marks.ankle_y + rng.uniform(.0, .3) * shin if not barefoot and rng.random() < .6 else -_NOWHERE


def _cut_hair(rng, marks, cut):
    style = _draw(rng, {'short': .5, 'long': .3, 'bald': .08, 'receding': .12})
    cut.hairline = {'short': rng.uniform(.0, .03), 'long': rng.uniform(-.01, .02), 'bald': _NOWHERE,
                    'receding': rng.uniform(.03, .06)}[style]
    cut.hair_slope = rng.uniform(.55, .85)
    cut.hair_length = marks.shoulder_y + rng.uniform(-.2, .08) if style == 'long' else _NOWHERE
    cut.beard = float(style != 'long' and rng.random() < .22)
    cut.brow = float(rng.random() < .9)


def sample_accent(rng, vividness=1.0):
    """Sample an sRGB colour [3] in [0, 1]. vividness: factor on its saturation."""
    hue, saturation, value = rng.random(), vividness * rng.beta(1.3, 1.6), rng.beta(2, 1.6)
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value))


_GREYS = (.06, .14, .3, .55, .85, .93)


def cloth_colour(rng):
    """Sample a linear colour [3] of cloth. It is often black, white or grey."""
    if rng.random() < .35:
        return srgb_to_linear(np.maximum(_GREYS[rng.integers(len(_GREYS))] + rng.normal(0, .02, 3), .02))
    return srgb_to_linear(sample_accent(rng))


def _trouser_colour(rng):
    if rng.random() < .4:
        return srgb_to_linear(np.array([.16, .22, .34]) * rng.uniform(.5, 1.9) * (1, 1, rng.uniform(.9, 1.15)))
    if rng.random() < .4:
        return srgb_to_linear(np.array([.62, .53, .40]) * rng.uniform(.4, 1.3))
    return cloth_colour(rng)


def _skin_colour(rng):
    place = rng.uniform(0, len(_SKIN_TONES) - 1)
    tone = np.array([np.interp(place, np.arange(len(_SKIN_TONES)), _SKIN_TONES[:, c]) for c in range(3)]) / 255
    return srgb_to_linear(np.clip(tone * rng.normal(1, .03, 3), 0, 1))


def _hair_colour(rng):
    if rng.random() < .06:
        return srgb_to_linear(sample_accent(rng))
    tone = _HAIR_COLOURS[rng.choice(len(_HAIR_COLOURS), p=_HAIR_WEIGHTS)] / 255
    return srgb_to_linear(np.clip(tone * rng.uniform(.8, 1.2), 0, 1))


def srgb_to_linear(colour):
    """sRGB in [0, 1] to linear light, with the exponent 2.2 that the shading inverts."""
    return np.minimum(np.maximum(colour, 0), 1) ** 2.2  # faster than np.clip for a few numbers


def _draw(rng, weights):
    """Sample a key of a dict of weights with probability proportional to its weight."""
    sums = list(accumulate(weights.values()))
    return list(weights)[bisect_left(sums, rng.random() * sums[-1])]

"""Objects in front of a person: drawn shapes, cut-outs of photographs, and the edge of a table."""
import cv2
import numpy as np

from datasets.synthetic.appearance import sample_accent
from datasets.synthetic.backgrounds import noise_octaves, thing_outline, tinted

# Largest share of the person's pixels that objects in front may cover.
_MOST_COVERED = 0.45


def cover(rng, canvas, subject, photos=None):
    """Draw one to three objects over the person (seen at `subject` [H,W] bool) into canvas [H,W,3], in place.

    photos: PhotoFolder with cut-outs, or None for drawn shapes only. Returns the covered pixels [H,W] bool.
    """
    covered = np.zeros(subject.shape, bool)
    rows, columns = np.nonzero(subject)
    if not len(rows):
        return covered
    extent = max(np.ptp(rows), np.ptp(columns), 8)
    for _ in range(rng.integers(1, 4)):
        pick = rng.integers(len(rows))
        centre = np.array([columns[pick], rows[pick]]) + rng.normal(0, .08, 2) * extent
        radius = extent * rng.uniform(.04, .2)
        kind = rng.random() if photos is not None else 0
        layer, texture = _table(rng, canvas, rows) if kind > .88 else \
            _photographed(rng, canvas, photos, centre, radius) if kind > .35 else _drawn(rng, canvas, centre, radius)
        candidate = covered | (layer > .5)
        if candidate[rows, columns].mean() > _MOST_COVERED:
            continue
        covered = candidate
        x, y, width, height = cv2.boundingRect((layer > 0).view(np.uint8))
        box = slice(y, y + height), slice(x, x + width)
        canvas[box] += layer[box][..., None] * (texture[box] - canvas[box])
    return covered


def _drawn(rng, canvas, centre, radius):
    """A shape of one colour with noise: opacity [H,W] and colour [H,W,3]."""
    layer = np.zeros(canvas.shape[:2], np.float32)
    cv2.fillPoly(layer, [thing_outline(rng, centre, radius)], 1.0, cv2.LINE_AA)
    return layer, _texture(rng, canvas)


def _texture(rng, canvas):
    height, width = canvas.shape[:2]
    accent = sample_accent(rng)
    noise = rng.uniform(0, .15) * noise_octaves(rng, max(height, width), 4, 4, .8)
    return tinted(noise[:height, :width], (1, 1, 1), accent).astype(np.float32)


def _photographed(rng, canvas, photos, centre, radius):
    """A rotated and scaled cut-out. If the folder has none: a shape, filled with a photograph if there is one."""
    height, width = canvas.shape[:2]
    cutout = photos.cutout(rng)
    if cutout is None:
        layer, texture = _drawn(rng, canvas, centre, radius)
        return layer, photos.sample(rng, width, height) if photos.files else texture
    zoom = 2 * radius * rng.uniform(.8, 1.8) / max(cutout.shape[:2])
    matrix = cv2.getRotationMatrix2D((cutout.shape[1] / 2, cutout.shape[0] / 2), rng.normal(0, 25), zoom)
    matrix[:, 2] += centre - np.array(cutout.shape[1::-1]) / 2
    onto = cv2.warpAffine(cutout, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return onto[..., 3], onto[..., :3] * np.float32(rng.uniform(.6, 1.1))


def _table(rng, canvas, rows):
    """An occluder that hides everything below a height, like a table or a parapet."""
    height, width = canvas.shape[:2]
    edge = np.quantile(rows, rng.uniform(.5, .9))
    slope = rng.normal(0, .03) * width
    layer = np.zeros((height, width), np.float32)
    corners = np.array([[-1, edge - slope], [width, edge + slope], [width, height], [-1, height]])
    cv2.fillPoly(layer, [corners.astype(np.int32)], 1.0, cv2.LINE_AA)
    return layer, _texture(rng, canvas)

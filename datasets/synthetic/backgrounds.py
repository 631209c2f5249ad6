"""Drawn backgrounds (rooms, landscapes and clutter) and outlines of objects in front of people."""
import cv2
import numpy as np

from datasets.synthetic.appearance import sample_accent


def _tone(rng):
    """An sRGB colour [3] of walls, ground and objects: mostly muted, sometimes vivid."""
    return sample_accent(rng, 1.0 if rng.random() < .15 else .5)


def noise_octaves(rng, size, first=3, octaves=5, roughness=0.55, channels=1):
    """Smooth noise [size, size, channels] with zero mean and about unit deviation: a sum of enlarged random grids."""
    total, amplitude, variance = np.zeros((size, size, channels), np.float32), 1.0, 0.0
    for octave in range(octaves):
        cells = min(first * 2 ** octave + 1, size)
        grid = rng.standard_normal((cells, cells, channels)).astype(np.float32)
        layer = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC if octave < 2 else cv2.INTER_LINEAR)
        total += np.float32(amplitude) * layer.reshape(size, size, channels)
        # Interpolation halves the variance of a grid's noise.
        variance += amplitude ** 2 / 2
        amplitude *= roughness
    total *= np.float32(variance ** -.5)
    return total


def tinted(grey, gain, base):
    """Grey [H,W,1] in three colours: base [3] + gain [3] * grey -> [H,W,3].

    numpy's broadcasting over a last dimension of three takes ten times as long.
    """
    return cv2.merge([base[colour] + grey[..., 0] * gain[colour] for colour in range(3)])


def procedural(rng, size, horizon):
    """Draw a background [size, size, 3] float32 in [0, 1]. horizon: its row in pixels; may be outside of the picture.
    """
    kind = rng.random()
    if kind < .58:
        picture = room(rng, size, horizon)
    elif kind < .84:
        picture = _landscape(rng, size, horizon)
    else:
        picture = _abstract(rng, size)
    if rng.random() < .7:
        _add_clutter(rng, picture, rng.integers(2, 14))
    if rng.random() < .35:
        _add_uprights(rng, picture)
    if rng.random() < .4:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(.4, 3.5) * size / 256)
    return np.clip(picture, 0, 1)


def backdrop(rng, size):
    """Draw a studio's plain backdrop [size, size, 3] float32 in [0, 1]: one tone with a vertical gradient."""
    slope = np.linspace(-1, 1, size, dtype=np.float32) * np.float32(rng.uniform(-.12, .12))
    return np.clip(_tone(rng).astype(np.float32) * .8 + .1 + slope[:, None, None] + np.zeros((1, size, 1), np.float32),
                   0, 1)


def _surface(rng, size, contrast):
    """A textured plane: one colour with coloured noise, sometimes with stripes or bricks."""
    picture = _tone(rng).astype(np.float32) * .8 + .1
    noise = contrast * noise_octaves(rng, size, rng.integers(1, 6), 6, rng.uniform(.4, .9))
    picture = tinted(noise, 1 + .5 * rng.standard_normal(3).astype(np.float32), picture)
    kind = rng.random()
    if kind < .15:
        axis, period = rng.integers(2), rng.uniform(6, 50) * size / 256
        stripes = np.sin(np.arange(size, dtype=np.float32) * (2 * np.pi / period)) > rng.uniform(-.6, .9)
        picture += rng.uniform(-.25, .25) * (stripes[:, None, None] if axis else stripes[None, :, None])
    elif kind < .27:
        _draw_bricks(rng, picture)
    return picture


def _draw_bricks(rng, picture):
    size = len(picture)
    height, width = rng.integers(size // 24, size // 8), rng.integers(size // 12, size // 3)
    colour, thickness = tuple(float(c) for c in _tone(rng)), int(rng.integers(1, 3))
    for row, y in enumerate(range(-int(rng.integers(height)), size, height)):
        cv2.line(picture, (0, y), (size, y), colour, thickness)
        for x in range(-int(rng.integers(width)) if row % 2 else 0, size + width, width):
            cv2.line(picture, (x, y), (x, y + height), colour, thickness)


def room(rng, size, horizon):
    """A wall above a floor, sometimes with lines to a vanishing point: [size, size, 3] float32."""
    picture = _surface(rng, size, .08 * rng.random() ** 2)
    edge = int(np.clip(horizon + rng.uniform(.02, .3) * size, -1, size))
    if 0 <= edge < size:
        floor = _surface(rng, size, .08 * rng.random() ** 2)
        shade = np.linspace(rng.uniform(.7, 1.1), rng.uniform(.8, 1.2), size - edge, dtype=np.float32)
        picture[edge:] = floor[edge:] * shade[:, None, None]
        if rng.random() < .5:
            _draw_floor_lines(rng, picture, horizon, edge)
        if rng.random() < .6:
            board = tuple(float(c) for c in _tone(rng))
            cv2.line(picture, (0, edge), (size, edge), board, int(rng.integers(1, max(2, size // 40))))
    if rng.random() < .35:
        _add_windows(rng, picture, max(edge, size // 4))
    return picture


def _draw_floor_lines(rng, picture, horizon, edge):
    size = len(picture)
    vanishing = (rng.uniform(-.3, 1.3) * size, min(float(horizon), edge - 1.0))
    colour = tuple(float(c) for c in picture[edge::4, ::8].mean((0, 1)) * rng.uniform(.5, 1.4))
    for x in np.linspace(-3 * size, 4 * size, int(rng.integers(10, 50))):
        slope = (x - vanishing[0]) / (size - vanishing[1])
        start = (int(vanishing[0] + slope * (edge - vanishing[1])), edge)
        cv2.line(picture, start, (int(x), size), colour, 1, cv2.LINE_AA)
    spacing = rng.uniform(.1, .5)
    for step in range(1, 14):
        y = int(vanishing[1] + (size - vanishing[1]) / (spacing * step + .4))
        if edge < y < size and rng.random() < .95:
            cv2.line(picture, (0, y), (size, y), colour, 1, cv2.LINE_AA)


def _add_windows(rng, picture, bottom):
    size = len(picture)
    for _ in range(rng.integers(1, 4)):
        width, height = (rng.uniform(.1, .45, 2) * size).astype(int)
        x, y = int(rng.uniform(-.1, .95) * size), int(rng.uniform(-.2, .8) * bottom)
        inner = tuple(float(c) for c in _tone(rng))
        frame = tuple(float(c) for c in _tone(rng))
        last = (x + int(width), y + int(height))
        cv2.rectangle(picture, (x, y), last, inner, -1)
        cv2.rectangle(picture, (x, y), last, frame, int(rng.integers(1, max(2, size // 50))))


def _landscape(rng, size, horizon):
    """Sky, ridges of hills or roofs, and ground."""
    blue = np.array([.55, .7, .92])
    top, low = (np.clip(blue * rng.uniform(.6, 1.1) + rng.normal(0, .06, 3), 0, 1) for _ in range(2))
    blend = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    picture = np.repeat((top * (1 - blend) + low * blend).astype(np.float32), size, axis=1)
    clouds = rng.uniform(0, .12) * np.maximum(noise_octaves(rng, size, 2, 5), 0)
    picture += cv2.merge([clouds] * 3)
    line = float(np.clip(horizon, -.2 * size, 1.2 * size))
    for _ in range(rng.integers(1, 5)):
        _draw_ridge(rng, picture, line)
    ground = int(np.clip(line + rng.uniform(0, .1) * size, 0, size))
    if ground < size:
        tint = np.array([.35, .42, .22]) if rng.random() < .5 else _tone(rng) * .7 + .1
        grass = rng.uniform(.01, .07) * noise_octaves(rng, size, 6, 6, .85)
        picture[ground:] = tinted(grass[ground:], (1, 1, 1), tint)
    return picture


def _draw_ridge(rng, picture, line):
    size = len(picture)
    xs = np.linspace(0, size, int(rng.integers(4, 40)))
    if rng.random() < .5:
        xs = np.repeat(xs, 2)[1:]
    heights = line - rng.uniform(.02, .4) * size * rng.random(len(xs))
    if len(xs) > 8 and rng.random() < .5:
        heights[1::2] = heights[:len(heights[1::2]) * 2:2]
    outline = np.concatenate([np.stack([xs, heights], 1), [[size, size], [0, size]]]).astype(np.int32)
    tone = picture[::8, ::8].mean((0, 1)) * .4 + _tone(rng) * rng.uniform(.2, .6)
    cv2.fillPoly(picture, [outline], tuple(float(c) for c in tone))


def _abstract(rng, size):
    """Coloured noise and large blobs."""
    grey = noise_octaves(rng, size, rng.integers(1, 8), 6, rng.uniform(.4, .9))
    coloured = noise_octaves(rng, size, rng.integers(1, 5), 4, rng.uniform(.4, .8), 3)
    tone = _tone(rng)
    picture = tinted(rng.uniform(.03, .2) * grey, (1, 1, 1), tone) + rng.uniform(0, .12) * coloured
    return picture.astype(np.float32)


def _add_clutter(rng, picture, count):
    """Add boxes, discs, blobs and sticks of all sizes, some of them similar to limbs."""
    size = len(picture)
    for _ in range(count):
        draw_thing(rng, picture, rng.uniform(-.1, 1.1, 2) * size, size * rng.uniform(.02, .22))


def _add_uprights(rng, picture):
    """Add posts, trunks and legs of furniture."""
    size = len(picture)
    for _ in range(rng.integers(1, 7)):
        x, width = rng.uniform(0, size), rng.uniform(.008, .07) * size
        top, bottom = sorted(rng.uniform(-.2, 1.2, 2) * size)
        lean = rng.normal(0, .05) * size
        corners = np.array([[x, top], [x + width, top], [x + width + lean, bottom], [x + lean, bottom]])
        cv2.fillPoly(picture, [corners.astype(np.int32)], tuple(float(c) for c in _tone(rng)), cv2.LINE_AA)


def draw_thing(rng, picture, centre, radius):
    """Draw an object of a random kind into a float picture, in place."""
    colour = tuple(float(c) for c in _tone(rng))
    outline = thing_outline(rng, centre, radius)
    cv2.fillPoly(picture, [outline], colour, cv2.LINE_AA)
    if rng.random() < .4:
        cv2.polylines(picture, [outline], True, tuple(float(c) for c in _tone(rng)),
                      int(rng.integers(1, 4)), cv2.LINE_AA)


def thing_outline(rng, centre, radius):
    """Outline [K,2] int32 of a box, an ellipse, a stick or a blob around `centre` (x, y). radius: pixels."""
    kind = rng.integers(4)
    turn = rng.uniform(0, np.pi)
    if kind == 0:
        half = radius * rng.uniform(.4, 1.3, 2)
        points = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        turn = turn if rng.random() < .4 else rng.normal(0, .08)
    elif kind == 1:
        angle = np.linspace(0, 2 * np.pi, 28)[:-1]
        points = np.stack([np.cos(angle), np.sin(angle)], 1) * radius * rng.uniform(.5, 1.2, 2)
    elif kind == 2:
        points = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (radius * 2.2, radius * rng.uniform(.1, .3))
    else:
        angle = np.linspace(0, 2 * np.pi, 17)[:-1]
        points = np.stack([np.cos(angle), np.sin(angle)], 1) * radius * rng.uniform(.65, 1.2, (16, 1))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.round(points @ rotation.T + centre).astype(np.int32)

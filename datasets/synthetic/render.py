"""From a Scene to a picture and its ground truth."""
from dataclasses import dataclass

import cv2
import numpy as np

from datasets.synthetic.backgrounds import backdrop, procedural
from datasets.synthetic.covers import cover
from datasets.synthetic.drawing import draw_people
from datasets.synthetic.extents import extent

# Joints are inside of the body: a surface that is nearer than a joint by more than this, in metres, hides it.
_HIDDEN_BEHIND = 0.16
# Share of drawn backgrounds if there are photographs.
_DRAWN = 0.2


@dataclass(frozen=True)
class Drawing:
    """image [H,W,3] uint8 RGB; mask [H,W] bool: pixels of the person; depth [H,W] metres, infinite elsewhere; covered
    [H,W] bool: pixels of objects in front."""
    image: np.ndarray
    mask: np.ndarray
    depth: np.ndarray
    covered: np.ndarray


def draw(rng, scene, photos=None, studio=False):
    """Render a Scene with a random background, objects in front and camera artefacts -> Drawing.

    photos: PhotoFolder, or None for drawn backgrounds. studio: a plain backdrop (unless there are photos) and nothing
    in front.
    """
    return draw_batch([rng], [scene], photos, studio)[0]


def draw_batch(rngs, scenes, photos=None, studio=False, device='cpu'):
    """`draw` several Scenes, each with its own numpy Generator, their people on a torch device -> [Drawing]."""
    canvases = [_setting(rng, scene, _background(rng, scene, photos, studio)) for rng, scene in zip(rngs, scenes)]
    return [_finished(rng, scene, drawn, not studio, photos) for rng, scene, drawn in
            zip(rngs, scenes, draw_people(scenes, canvases, device))]


def _background(rng, scene, photos, studio):
    """The background: [H,W,3] float32 sRGB in [0, 1]."""
    camera = scene.camera
    if scene.surroundings:
        panorama, heading = scene.surroundings
        return panorama.seen_by(camera, scene.view, heading)
    if photos and photos.files and rng.random() >= _DRAWN:
        return photos.sample(rng, camera.width, camera.height)
    size = max(camera.width, camera.height)
    square = backdrop(rng, size) if studio else procedural(rng, size, scene.horizon)
    return square[:camera.height, :camera.width]


def compose(rng, scene, background, faults=True, things=True, photos=None):
    """Draw the scene's people over a background [H,W,3] float32 -> Drawing. photos: PhotoFolder with cut-outs, or None.
    """
    drawn = draw_people([scene], [_setting(rng, scene, background)])[0]
    return _finished(rng, scene, drawn, things, photos, faults)


def _setting(rng, scene, background):
    """What is behind the people: a background [H,W,3] with, sometimes, their shadow on the floor."""
    if rng.random() >= .6:
        return background
    return background * _floor_light(scene, background.shape, rng.uniform(.15, .6))


def _finished(rng, scene, drawn, things, photos, faults=True):
    """A drawing.Drawn with objects in front and camera artefacts -> Drawing."""
    canvas, covered = drawn.canvas, np.zeros(drawn.subject.shape, bool)
    if things and rng.random() < .35:
        covered = cover(rng, canvas, drawn.subject, photos if 'things' in scene.realism else None)
    if faults and 'blur' in scene.realism and rng.random() < .15:
        canvas = _shake(rng, canvas)
    canvas = np.clip(_spoil(rng, canvas) if faults else canvas, 0, 1)
    canvas *= 255
    canvas += .5
    return Drawing(canvas.astype(np.uint8), drawn.subject & ~covered, drawn.depth, covered)


def _floor_light(scene, shape, strength):
    """Share [H,W,3] of a background's light that the shadow of people on the floor leaves."""
    rows, columns = (shape[0] + 3) // 4, (shape[1] + 3) // 4
    shadow = np.zeros((rows, columns), np.float32)
    for person in (scene.person, *scene.others):
        x, y = (np.floor(pixels / 4).astype(int) for pixels in _floor_shadow(scene, person.vertices[::2]))
        inside = (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
        shadow[y[inside], x[inside]] = 1
    shadow = cv2.GaussianBlur(cv2.dilate(shadow, np.ones((3, 3))), (0, 0), 1.2)
    return cv2.merge([1 - np.float32(strength) * cv2.resize(shadow, shape[1::-1], interpolation=cv2.INTER_LINEAR)] * 3)


def _floor_shadow(scene, vertices):
    """Columns and rows [K] in pixels of the shadow of vertices [N,3] on the floor, which is at the lowest vertex."""
    up = scene.view[:, 1]
    height = vertices @ up
    height -= height.min()
    towards = scene.view @ scene.lighting.towards
    flat = vertices - (height / max(float(scene.lighting.towards[1]), .25))[:, None] * towards
    flat = scene.camera.project(flat[flat[:, 2] > .2])
    return np.clip(flat[:, 0], -1e4, 1e4), np.clip(flat[:, 1], -1e4, 1e4)


def _shake(rng, canvas):
    """Motion blur along a line, of a moving camera or person."""
    length = int(max(canvas.shape) / 256 * rng.uniform(3, 12)) + 1
    angle = rng.uniform(0, np.pi)
    kernel = np.zeros((length, length), np.float32)
    reach = np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
    middle = (length - 1) / 2
    first, last = (tuple(int(round(v)) for v in middle + sign * reach) for sign in (-1, 1))
    cv2.line(kernel, first, last, 1.0, 1)
    return cv2.filter2D(canvas, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def _spoil(rng, canvas):
    """Sometimes add blur, low resolution, a colour cast, contrast, noise and JPEG blocks."""
    size = canvas.shape[1::-1]
    pixel = max(size) / 256
    if rng.random() < .3:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(.3, 1.4) * pixel)
    elif rng.random() < .2:
        factor = rng.uniform(.35, .8)
        small = cv2.resize(canvas, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        canvas = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    canvas = np.clip(canvas, 0, 1)
    if rng.random() < .8:
        gain = (rng.uniform(.75, 1.2) * (1 + rng.normal(0, .05, 3))).astype(np.float32)
        canvas *= np.tile(gain, (size[0], 1))  # broadcasting over a last dimension of three takes six times as long
        canvas -= .5
        canvas *= np.float32(rng.uniform(.8, 1.2))
        canvas += np.float32(.5 + rng.normal(0, .03))
    if rng.random() < .5:
        noise = rng.standard_normal(canvas.shape, np.float32)
        noise *= np.float32(rng.uniform(.003, .035))
        canvas += noise
    if rng.random() < .4:
        canvas = _through_jpeg(canvas, int(rng.integers(25, 90)))
    return canvas


def _through_jpeg(canvas, quality):
    encoded = cv2.imencode('.jpg', (np.clip(canvas, 0, 1) * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(encoded[1], cv2.IMREAD_UNCHANGED).astype(np.float32) / 255


def label(scene, drawing):
    """Ground truth of one picture: a row with the keys of a SPIN `.npz` and further labels.

    Keypoints have confidence 1 inside of the picture, even if hidden, and 0 outside. visibility [49] is COCO's: 2
    visible, 1 hidden by the body or an object, 0 outside. S is in metres in the camera frame, relative to the pelvis.
    bbox [4]: x, y, width and height of the person inside of the picture; area: number of the person's pixels;
    image_size: width and height of the picture; focal: pixels; translation: metres.
    """
    person, camera = scene.person, scene.camera
    joints = camera.project(person.joints)
    points = _with_confidence(joints, camera)
    vertices = camera.project(np.concatenate([piece.places for piece in person.pieces]))
    first, last = (np.clip(edge, 0, (camera.width, camera.height)) for edge in extent(vertices[:, :2]))
    common = person.posed.joints[25:] - person.posed.smpl_joints[0]
    return {
        'image_size': np.array([camera.width, camera.height], np.int32),
        'bbox': np.concatenate([first, last - first]).astype(np.float32), 'area': np.float32(drawing.mask.sum()),
        'center': (first + last) / 2, 'scale': float(max((last - first).max(), 8.0) * 1.2 / 200),
        'part': points[25:], 'openpose': points[:25],
        'pose': person.pose.astype(np.float32), 'shape': person.betas.astype(np.float32),
        'S': np.concatenate([common, np.ones((24, 1))], 1).astype(np.float32), 'gender': person.gender, 'has_smpl': 1,
        'smpl_2dkps': _with_confidence(camera.project(person.smpl_joints), camera),
        'visibility': _visibility(joints, points, drawing), 'focal': np.float32(camera.focal),
        'translation': person.translation.astype(np.float32)}


def _with_confidence(pixels, camera):
    inside = (pixels[:, 2] > 0) & (pixels[:, :2] >= 0).all(1) & (pixels[:, :2] < (camera.width, camera.height)).all(1)
    points = np.concatenate([pixels[:, :2], inside[:, None]], 1)
    points[~inside] = 0
    return points.astype(np.float32)


def _visibility(joints, points, drawing):
    inside = points[:, 2] > 0
    columns, rows = points[inside, :2].astype(int).T
    hidden = drawing.covered[rows, columns] | (drawing.depth[rows, columns] < joints[inside, 2] - _HIDDEN_BEHIND)
    visibility = np.zeros(len(points), np.uint8)
    visibility[inside] = np.where(hidden, 1, 2)
    return visibility

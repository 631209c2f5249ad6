"""How far away the people of a picture stand: photographs whose camera is known, by arithmetic and by geometry."""
import numpy as np
import pytest
import torch
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation
from torch.overrides import TorchFunctionMode

from core.config import load_config
from core.demo.boxes import square_box
from core.demo.estimate import Estimator
from core.demo.images import run_pictures
from core.demo.options import Inputs
from core.demo.video import run_video
from datasets.video import Frame
from models import Regressor
from models.body import BodyModel
from models.output import RegressorOutput, Stage
from tests.demo_data import write_json
from utils.camera import default_focal_length, exif_focal_length
from utils.geometry import axis_angle_to_rotmat
from utils.rendering import render_overlay

WIDTH, HEIGHT = 640, 480
EXIF = 0x8769


def save_photo(path, image, **tags):
    """A JPEG with EXIF tags, written by Pillow. tags: FocalLength and so on."""
    numbers = {'FocalLength': 0x920A, 'FocalLengthIn35mmFilm': 0xA405, 'ExifImageWidth': 0xA002,
               'ExifImageHeight': 0xA003, 'FocalPlaneXResolution': 0xA20E, 'FocalPlaneResolutionUnit': 0xA210,
               'Orientation': 0x0112}
    exif = Image.Exif()
    for name, value in tags.items():
        where = exif if name == 'Orientation' else exif.get_ifd(EXIF)
        where[numbers[name]] = IFDRational(value) if isinstance(value, float) else value
    Image.fromarray(image).save(path, quality=95, exif=exif)
    return path


def blank(width, height):
    return np.full((height, width, 3), 90, np.uint8)


def test_a_phones_focal_length_by_its_data_sheet(tmp_path):
    """An iPhone XS: pixels of 1.4 micrometres, 4032 x 3024 of them, behind a lens of 4.25 mm; it writes 26 mm."""
    path = save_photo(tmp_path / 'p.jpg', blank(403, 302), FocalLength=4.25, FocalLengthIn35mmFilm=26,
                      ExifImageWidth=4032, ExifImageHeight=3024)
    pixels = 4.25 / 1.4e-3 * 403 / 4032
    assert exif_focal_length(path, 403, 302) == pytest.approx(pixels, rel=.01)
    # Held upright, and turned by the tag.
    path = save_photo(tmp_path / 'q.jpg', blank(403, 302), FocalLengthIn35mmFilm=26, Orientation=6)
    assert exif_focal_length(path, 302, 403) == pytest.approx(pixels, rel=.01)


def test_a_cameras_focal_length_by_its_sensor(tmp_path):
    """A sensor of 36 x 24 mm with 5760 x 3840 pixels behind a lens of 50 mm, 5760 / 36 * 50 pixels; reduced to 720."""
    tags = {'FocalLength': 50.0, 'FocalPlaneXResolution': 5760 / 3.6, 'FocalPlaneResolutionUnit': 3}
    path = save_photo(tmp_path / 'a.jpg', blank(720, 480), **tags, ExifImageWidth=5760, ExifImageHeight=3840)
    assert exif_focal_length(path, 720, 480) == pytest.approx(1000, rel=1e-3)
    # In inches; no size of the picture as it was taken, so it is taken for whole.
    path = save_photo(tmp_path / 'b.jpg', blank(720, 480), FocalLength=50.0, FocalPlaneXResolution=720 / 36 * 25.4)
    assert exif_focal_length(path, 720, 480) == pytest.approx(1000, rel=1e-3)


def test_files_that_tell_nothing(tmp_path):
    plain = tmp_path / 'plain.png'
    Image.fromarray(blank(64, 48)).save(plain)
    broken = tmp_path / 'broken.jpg'
    broken.write_bytes(b'\xff\xd8\xff\xe1\x00\x10Exif\x00\x00MM')
    for path in (plain, broken, tmp_path / 'absent.jpg',
                 save_photo(tmp_path / 'zero.jpg', blank(64, 48), FocalLengthIn35mmFilm=0, FocalLength=0.0),
                 save_photo(tmp_path / 'lens.jpg', blank(64, 48), FocalLength=50.0),
                 save_photo(tmp_path / 'odd.jpg', blank(64, 48), FocalLengthIn35mmFilm=60000),
                 save_photo(tmp_path / 'cut.jpg', blank(64, 64), FocalLengthIn35mmFilm=26, ExifImageWidth=4032,
                            ExifImageHeight=3024)):
        assert exif_focal_length(path, *(64, 64 if path.stem == 'cut' else 48)) is None
    assert default_focal_length(640, 480) == 800


class KnowsThePerson(torch.nn.Module):
    """A perfect network: it answers each crop with the next of `answers`, pose [72] and weak-perspective camera [3]."""
    camera_frame, box_margin, box_aspect = 'crop', Regressor.box_margin, Regressor.box_aspect

    def __init__(self, body, answers):
        super().__init__()
        self.body, self.answers = body, list(answers)

    def forward(self, images):
        pose, camera = (torch.tensor(np.stack(values), dtype=torch.float32)
                        for values in zip(*(self.answers.pop(0) for _ in images)))
        rotmat = axis_angle_to_rotmat(pose)
        return RegressorOutput([Stage(rotmat, torch.zeros(len(pose), 10), camera, self.body)])


@pytest.fixture(scope='module')
def body(free_assets):
    return BodyModel(free_assets)


def photograph(body, place, focal):
    """A person who stands at `place` before a camera: (picture, mask, box, what a perfect network says of the crop)."""
    # Half a turn about x stands people up in the camera's frame; arms down a little.
    pose = np.zeros(72, np.float32)
    pose[0], pose[50], pose[53] = np.pi, -.9, .9
    place = np.float32(place)
    with torch.no_grad():
        out = body(torch.zeros(1, 10), pose=torch.tensor(pose)[None])
    place_of_root = place - out.smpl_joints[0, 0].numpy()
    vertices = out.vertices[0].numpy() + place_of_root
    image = render_overlay(blank(WIDTH, HEIGHT), vertices[None], body.faces, focal)
    pixels = focal * vertices[:, :2] / vertices[:, 2:] + [WIDTH / 2, HEIGHT / 2]
    low, high = pixels.min(0), pixels.max(0)
    center, side = (low + high) / 2, float((high - low).max())
    # The crop looks along its own ray: the turn from straight ahead to it, by Rodrigues' formula.
    ray = np.append((center - [WIDTH / 2, HEIGHT / 2]) / focal, 1)
    ray /= np.linalg.norm(ray)
    axis = np.cross([0, 0, 1], ray)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + cross + cross @ cross / (1 + ray[2])
    upright = np.diag([1.0, -1, -1])
    in_crop = pose.copy()
    in_crop[:3] = Rotation.from_matrix(turn.T @ upright).as_rotvec()
    with torch.no_grad():
        points = body(torch.zeros(1, 10), pose=torch.tensor(in_crop)[None]).joints[0].numpy().astype(float)
    joints = out.joints[0].numpy() + place_of_root
    wanted = (focal * joints[:, :2] / joints[:, 2:] + [WIDTH / 2, HEIGHT / 2] - center) / (side / 2)

    def residuals(camera):  # 5000 px per 224 px: 5000 / 112 half crops
        scale, x, y = camera
        return ((points[:, :2] + [x, y]) / (points[:, 2:] + 2 * 5000 / (224 * scale)) * (5000 / 112) - wanted).ravel()
    camera = least_squares(residuals, [.9, 0, 0]).x
    return image, np.abs(image.astype(int) - 90).max(-1) > 6, [*low, *(high - low)], (in_crop, camera)


def overlap(first, second):
    return (first & second).sum() / (first | second).sum()


# Standing 3.2 m away and half a metre aside, before a camera of the default; nearer to a phone; far before a long lens.
@pytest.mark.parametrize('place, focal, how', [
    ((.5, .1, 3.2), 800, 'default'), ((-.3, 0, 2.6), 26 / 43.2666 * 800, 'exif'), ((.6, -.1, 9.0), 2200, 'flag')])
def test_a_person_stands_where_the_camera_saw_him(body, free_assets, tmp_path, place, focal, how):
    image, mask, box, answer = photograph(body, place, focal)
    tags = {'FocalLengthIn35mmFilm': 26} if how == 'exif' else {}
    path = save_photo(tmp_path / 'person.jpg', image, **tags)
    cfg = load_config(None, ['PATHS.DATA_DIR', str(free_assets), 'DEVICE', 'cpu', 'DATA.IMG_RES', 64,
                             'DEMO.EMPTY_BG', True, *(['DEMO.FOCAL_LENGTH', float(focal)] if how == 'flag' else [])])
    inputs = Inputs('img', (str(path),), None, str(tmp_path / 'out'), bbox=(write_json(tmp_path / 'b.json',
                                                                                      {'bbox': box}),))
    [recording] = run_pictures(cfg, inputs, Estimator(cfg, KnowsThePerson(body, [answer]), torch.device('cpu')), 'cpu')
    [person] = recording.people
    assert recording.focal_length == pytest.approx(focal, rel=1e-4)
    found = person.translation[0] + body(torch.zeros(1, 10), pose=torch.tensor(person.pose)).smpl_joints[0, 0].numpy()
    assert found == pytest.approx(place, rel=.03, abs=.02)
    # He faces as he does, though the crop saw him from aside.
    turned = axis_angle_to_rotmat(torch.tensor(person.pose[0, :3])).numpy()
    assert np.abs(turned - np.diag([1, -1, -1])).max() < 1e-3
    drawn = np.asarray(Image.open(tmp_path / 'out_shape.png'))[:, WIDTH:]
    assert overlap(drawn.max(-1) > 40, mask) > .95
    saved = np.load(tmp_path / 'out_person0.npz')
    assert saved['focal_lengths'] == pytest.approx(focal, rel=1e-4) and saved['sizes'].tolist() == [[WIDTH, HEIGHT]]


def test_a_person_who_stands_still_does_not_jump(body, free_assets, tmp_path):
    """Boxes and camera scale that tremble by a hundredth move a person by a hundredth of 3.2 m, not by half a metre."""
    rng, folder, rows, answers = np.random.default_rng(0), tmp_path / 'frames', [], []
    folder.mkdir()
    image, _, box, (pose, camera) = photograph(body, (.2, .1, 3.2), 800)
    for frame in range(12):
        Image.fromarray(image).save(folder / f'{frame}.png')
        rows.append({'image_id': frame, 'bbox': [float(value) for value in box], 'track_id': 0})
        answers.append((pose, camera * [1 + rng.normal(0, .01), 1, 1]))
    cfg = load_config(None, ['PATHS.DATA_DIR', str(free_assets), 'DEVICE', 'cpu', 'DATA.IMG_RES', 64,
                             'DEMO.BOX_SCALE', 1.0, 'DEMO.RENDER', False, 'DEMO.OUTPUT_FOLDER', str(tmp_path / 'o')])
    inputs = Inputs('image_folder', (str(folder),), None, detections=write_json(tmp_path / 'd.json', rows))
    [recording] = run_video(cfg, inputs, Estimator(cfg, KnowsThePerson(body, answers), torch.device('cpu')), 'cpu')
    depth = recording.people[0].translation[:, 2]
    assert depth.mean() == pytest.approx(3.2, rel=.03) and np.abs(np.diff(depth)).max() < .15


class CountsCopies(TorchFunctionMode):
    """Counts what is fetched from the device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.Tensor.cpu
        return function(*args, **kwargs or {})


@pytest.mark.parametrize('draws', [True, False])
def test_a_batch_is_fetched_in_one_copy(body, free_assets, draws):
    image, _, box, answer = photograph(body, (.2, .1, 3.2), 800)
    cfg = load_config(None, ['PATHS.DATA_DIR', str(free_assets), 'DATA.IMG_RES', 64, 'DEMO.RENDER', draws])
    estimator = Estimator(cfg, KnowsThePerson(body, [answer] * 2), torch.device('cpu'))
    left, top, width, height = map(float, box)
    people = [(Frame(number, 0.0, image), square_box(left, top, width, height, person_id=number))
              for number in range(2)]
    with CountsCopies() as copies:
        estimates = estimator(people, lambda frame: 800.0)
    assert copies.count == 1
    assert [(estimate.vertices is None) != draws for estimate in estimates] == [True, True]

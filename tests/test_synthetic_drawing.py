"""How rendered people are drawn: in batches, among photographs, and with each option of realism."""
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from torch.utils.data import DataLoader

from core.config import load_config
from datasets import image_io
from datasets.mixed import MixedDataset
from datasets.sampling import EpochSampler
from datasets.synthetic import photographs, shading, things
from datasets.synthetic.appearance import Look
from datasets.synthetic.backgrounds import tinted
from datasets.synthetic.drawing import draw_people
from datasets.synthetic.lighting import Lighting
from datasets.synthetic.panorama import Panorama
from datasets.synthetic.people import Cast
from datasets.synthetic.photographs import PhotoFolder
from datasets.synthetic.poses import sample_poses
from datasets.synthetic.realism import REALISM
from datasets.synthetic.render import compose, label
from datasets.synthetic.scene import Camera, sample_scene, sample_scenes
from datasets.synthetic.shadows import lamp, shadow_maps
from datasets.synthetic.stage import Piece
from datasets.synthetic.stream import FreeStream
from utils.assets import Assets
from utils.errors import BadConfig, ProjectError


@pytest.fixture
def photo_folder(tmp_path):
    """Two pictures, a panorama with a lamp to the right (its third quarter, azimuth 90 degrees), and a cut-out."""
    folder = tmp_path / 'photos'
    for name in ('panoramas', 'cutouts'):
        (folder / name).mkdir(parents=True)
    for name, colour in (('green.png', (0, 200, 0)), ('blue.jpg', (220, 0, 0))):
        cv2.imwrite(str(folder / name), np.full((2000, 3000, 3), colour, np.uint8))
    radiance = np.full((64, 128, 3), .1, np.float32)
    radiance[30:34, 94:98] = 300
    cv2.imwrite(str(folder / 'panoramas/lamp.hdr'), radiance)
    cv2.imwrite(str(folder / 'cutouts/thing.png'), np.full((300, 600, 4), 255, np.uint8))
    return folder


# --- batches ---------------------------------------------------------------------------------------------------


def test_pictures_of_a_batch_are_those_of_one_by_one(free_assets, photo_folder):
    """Sizes differ within a batch; its order and company change nothing."""
    stream = FreeStream(Path(free_assets), seed=4, size=96, photos=str(photo_folder))
    keys = [(0, 3), (1, 0), (0, 0), (0, 1), (2, 7), (0, 2)]
    together = stream.samples(keys)
    assert len({image.shape for image, _ in together}) > 1
    for key, (image, row) in zip(keys, together):
        alone, labels = stream.sample(*key)
        assert alone.shape == image.shape and np.abs(alone.astype(int) - image).max() <= 1
        assert labels.keys() == row.keys() and all(np.array_equal(labels[name], row[name]) for name in row)


def test_grey_is_tinted_as_by_broadcasting():
    rng = np.random.default_rng(0)
    grey, gain, base = rng.random((5, 7, 1), np.float32), rng.random(3, np.float32), rng.random(3, np.float32)
    assert np.array_equal(tinted(grey, gain, base), base + grey * gain)


def test_scenes_of_a_batch_are_those_of_one_by_one(free_assets):
    """People of all bodies are posed together; each keeps their own body, clothes and place."""
    cast = Cast(Assets(Path(free_assets), is_free=True), gendered=.7)
    generators = [[np.random.default_rng([23, number]) for number in range(12)] for _ in range(2)]
    together = sample_scenes(generators[0], cast, 96, realism=frozenset(REALISM))
    alone = [sample_scene(rng, cast, 96, realism=frozenset(REALISM)) for rng in generators[1]]
    assert {scene.person.gender for scene in together} == {'n', 'm', 'f'} and any(scene.others for scene in together)
    for one, other in zip(together, alone):
        people = [(scene.person, *scene.others) for scene in (one, other)]
        assert len(people[0]) == len(people[1]) and len(one.things) == len(other.things)
        for first, second in zip(*people):
            assert first.gender == second.gender and first.body is second.body
            assert np.abs(first.vertices - second.vertices).max() < 1e-5
            assert np.array_equal(first.look.first, second.look.first)
    assert all(a.random() == b.random() for a, b in zip(*generators)), 'equally many numbers are drawn'


def test_the_loader_draws_batches(free_assets):
    """A DataLoader asks for batches. The samples are those of the keys one by one, of files and of the stream alike."""
    cfg = load_config(None, ['PATHS.DATA_DIR', str(free_assets), 'DATA.IMG_RES', 64, 'DATA.EPOCH_LENGTH', 7,
                             'DATA.MIXTURE', ['free-stream:1'], 'DATA.STREAM.REALISM', ['people', 'shadows']])
    dataset, asked = MixedDataset(cfg), []
    source = dataset.datasets[0].source
    original = source.samples
    source.samples = lambda keys: asked.append(len(keys)) or original(keys)
    batches = list(DataLoader(dataset, 4, sampler=EpochSampler(7, seed=2, epoch=3)))
    assert asked == [4, 3]
    for batch in batches:
        for place, index in enumerate(batch['sample_index']):
            sample = dataset[3, int(index)]
            for name, value in sample.items():
                if torch.is_tensor(value):
                    torch.testing.assert_close(batch[name][place], value, atol=1.01 / 255 / .22, rtol=0)


def test_a_device_that_is_not_here_is_named(free_assets):
    for name, message in (('tpu', "no device that draws"), ('cuda', 'no CUDA device')):
        if name != 'cuda' or not torch.cuda.is_available():
            cfg = load_config(None, ['PATHS.DATA_DIR', str(free_assets), 'DATA.STREAM.DEVICE', name])
            with pytest.raises(BadConfig, match=message):
                FreeStream.from_config(cfg)


@pytest.mark.cuda
def test_a_gpu_draws_the_same_pictures(free_assets, photo_folder):
    """Atomic sums differ in their order, so a value may lie on the other side of a rounding or of an outline."""
    cpu, gpu = (FreeStream(Path(free_assets), seed=4, size=96, photos=str(photo_folder), device=device)
                for device in ('cpu', 'cuda'))
    for (one, row), (other, labels) in zip(*(stream.samples([(0, index) for index in range(12)])
                                             for stream in (cpu, gpu))):
        assert (np.abs(one.astype(int) - other) > 1).mean() < 1e-3
        assert np.array_equal(row['part'], labels['part'])


def test_a_sheet_is_lit_from_the_side_that_is_seen():
    """A two-sided square that faces away from the camera, whose normals therefore point away, in light from the
    camera alone: as bright as one that faces it. Its colour is 0.5 in linear light, the lamp's cosine is 1."""
    quad = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    places = np.array([[-1, -1, 4], [1, -1, 4], [1, 1, 4], [-1, 1, 4.0]])
    count = len(shading.REGIONS)
    grey = np.full((count, 3), .5, np.float32)
    look = Look(shading.blank_cut(), grey, grey, np.zeros(count, np.int32), np.zeros((count, 4), np.float32),
                np.zeros(count, np.float32), 10.0)
    dark, world_to_camera = np.zeros(3), np.diag([1.0, -1, -1])
    light = Lighting(np.array([0, 0, 1.0]), np.ones(3), dark, np.zeros((3, 3)), np.array([0, 1.0, 0]), dark)
    seen = []
    for faces in (quad, quad[:, ::-1]):
        piece = Piece(places, faces, np.zeros((4, 3)), region=shading.TOP, two_sided=True)
        scene = SimpleNamespace(groups=lambda piece=piece: [(look, [piece])], camera=Camera(32.0, (16, 16), 32, 32),
                                view=world_to_camera, lighting=light, realism=frozenset())
        drawn = draw_people([scene], [np.zeros((32, 32, 3), np.float32)])[0]
        assert drawn.subject.sum() == 256 and drawn.subject[8:24, 8:24].all()  # 2 m at 4 m and 32 px: 16 px
        assert np.allclose(drawn.depth[drawn.subject], 4)
        seen.append(drawn.canvas[16, 16])
    assert np.allclose(seen, .5 ** (1 / 2.2), atol=.01)


# --- photographs -------------------------------------------------------------------------------------------------


def test_photographs_are_opened_as_they_are_drawn_and_no_larger_than_needed(photo_folder, monkeypatch):
    read = []
    monkeypatch.setattr(photographs, 'read_picture', lambda file, shrink: read.append(shrink) or
                        image_io.read_picture(file, shrink))
    photos = PhotoFolder(photo_folder)
    assert not read, 'no picture is decoded before it is drawn'
    rng = np.random.default_rng(0)
    crops = [photos.sample(rng, 48, 32) for _ in range(12)]
    assert {crop.shape for crop in crops} == {(32, 48, 3)}
    assert {int(crop.mean((0, 1)).argmax()) for crop in crops} == {1, 2}
    assert len(read) == 2 and min(read) > 3, 'kept once read'
    assert photos.cutout(rng).shape == (128, 256, 4)
    assert photos.cloth(rng).shape == (64, 64, 3)


def test_a_photograph_that_goes_bad_is_passed_over(photo_folder):
    photos = PhotoFolder(photo_folder)
    (photo_folder / 'blue.jpg').write_bytes(b'\xff\xd8 cut short')
    assert all(photos.sample(np.random.default_rng(seed), 32, 32)[..., 1].mean() > .7 for seed in range(6))
    other = PhotoFolder(photo_folder)
    (photo_folder / 'green.png').unlink()
    with pytest.raises(ProjectError, match='cannot be read'):
        other.sample(np.random.default_rng(0), 32, 32)


@pytest.mark.parametrize('heading', [0, 1.0, -2.5])
def test_a_panorama_lights_from_where_its_lamp_is_seen(photo_folder, heading):
    """The lamp's direction is its azimuth in the file less the heading, and a camera sees it there."""
    panorama = PhotoFolder(photo_folder).panorama(np.random.default_rng(0))
    light = panorama.lighting_at(heading)
    azimuth = np.pi / 2 - heading
    assert np.allclose(light.towards, (np.sin(azimuth), 0, -np.cos(azimuth)), atol=.06)
    assert light.colour.min() > light.ambient.max()
    camera = Camera(100.0, (64, 64), 128, 128)
    # A camera that is turned to the lamp: its z axis is the light's direction.
    forward = light.towards * (1, 0, 1) / np.linalg.norm(light.towards * (1, 0, 1))
    down = np.array([0, -1.0, 0])
    view = np.stack([np.cross(down, forward), down, forward])
    seen = panorama.seen_by(camera, view, heading)
    rows, columns = np.nonzero(seen[..., 0] > .9)
    assert abs(rows.mean() - 64) < 6 and abs(columns.mean() - 64) < 6
    brightest = (light.seen_from(view).direction[2])
    assert brightest > .99


def test_a_pixel_sees_the_azimuth_of_its_ray():
    """A panorama whose grey is the azimuth between -45 and 45 degrees, seen by a camera that looks at its middle."""
    azimuth = ((np.arange(2048) + .5) / 2048 - .5) * 2 * np.pi
    grey = np.clip((azimuth / (np.pi / 2) + .5) * 255, 0, 255)
    panorama = Panorama(np.broadcast_to(grey[None, :, None], (1024, 2048, 3)).round().astype(np.uint8), None)
    camera = Camera(200.0, (128, 96), 256, 192)
    row = panorama.seen_by(camera, np.diag([1.0, -1, -1]), 0.0)[96, :, 0].astype(float)
    seen = (row - .5) * np.pi / 2
    wanted = np.arctan((np.arange(256) + .5 - 128) / 200)
    assert np.abs((seen - seen[128]) - (wanted - wanted[128])).max() < .009  # half a grey level is .003


def test_stream_with_photographs_repeats(free_assets, photo_folder):
    stream = FreeStream(Path(free_assets), seed=3, size=96, photos=str(photo_folder))
    first = [stream.sample(0, index)[0] for index in range(4)]
    again = pickle.loads(pickle.dumps(stream))
    assert all(np.array_equal(again.sample(0, index)[0], first[index]) for index in (3, 0, 2, 1))
    plain = FreeStream(Path(free_assets), seed=3, size=96)
    assert not np.array_equal(plain.sample(0, 0)[0], first[0])


# --- realism -----------------------------------------------------------------------------------------------------


def test_things_are_seen_from_outside():
    """Faces turn the way of their normals, and the enclosed volumes are those of the solids."""
    for part, volume in ((things._box((1, 2, 3), (1, 2, .5)), 8.0), (things._ball((1, 0, 0), 1.0), 4 / 3 * np.pi),
                         (things._wheel((0, 1, 0), 1.0), 2 * np.pi ** 2 * .05 ** 2)):
        for frame in (np.eye(3), np.diag([1.0, -1, 1])):
            piece = part(np.array([0, 0, 4.0]), frame)
            a, b, c = (piece.places[piece.faces[:, corner]] for corner in range(3))
            assert (np.einsum('fa,fa->f', np.cross(b - a, c - a), piece.normals[piece.faces].mean(1)) > -1e-9).all()
            assert np.einsum('fa,fa->', a, np.cross(b, c)) / 6 == pytest.approx(volume, rel=.2)


def test_others_hide_the_person_and_change_no_label(cast):
    """Joints behind somebody else count as hidden; the labels are those of the person alone."""
    found = 0
    for index in range(60):
        scene = sample_scene(np.random.default_rng([21, index]), cast, 96, realism=frozenset(REALISM))
        if not scene.others:
            continue
        black = np.zeros((scene.camera.height, scene.camera.width, 3), np.float32)
        alone, together = (compose(np.random.default_rng(0), each, black, things=False) for each in
                           (replace(scene, others=(), things=()), scene))
        rows = [label(scene, drawing) for drawing in (alone, together)]
        for key in ('part', 'openpose', 'pose', 'shape', 'S', 'bbox', 'translation', 'smpl_2dkps'):
            assert np.array_equal(rows[0][key], rows[1][key]), key
        assert (rows[1]['visibility'][rows[0]['visibility'] == 1] == 1).all()
        found += (rows[1]['visibility'] < rows[0]['visibility']).any()
        assert rows[1]['area'] <= 1.15 * rows[0]['area'] + 20  # outlines: half a pixel of either
        assert together.mask.sum() > 0 or alone.mask.sum() < 50
        up = scene.view[:, 1]
        floors = [(person.vertices @ up).min() for person in (scene.person, *scene.others)]
        assert np.ptp(floors) < 1e-3
    assert found >= 5


def test_a_lamp_from_above_leaves_what_is_below_in_shadow():
    """A plate a metre over another one: of the lower plate, the part under the upper one is dark."""
    quad = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    lower = np.stack([corners[:, 0] * 2, np.full(4, 1.0), 5 + corners[:, 1] * 2], 1)
    upper = np.stack([corners[:, 0] * .5, np.zeros(4), 5 + corners[:, 1] * .5], 1)
    places = np.concatenate([lower, upper]).astype(np.float32)
    faces = np.concatenate([quad, quad + 4])
    maps, zbuffer = shadow_maps(torch.from_numpy(places), torch.zeros(8, dtype=torch.int32), torch.from_numpy(faces),
                                torch.zeros(4, dtype=torch.int32), torch.zeros(4, dtype=torch.bool),
                                [lamp(np.array([0, -1.0, 0]))])
    shadow, depths = maps.numpy()[0], zbuffer[0].numpy()
    for point, is_lit in (((0, 1, 5), False), ((.4, 1, 5.4), False), ((.7, 1, 5), True), ((0, 1, 4.2), True),
                          ((0, 0, 5), True)):
        column = int(np.dot(point, shadow['across']) + shadow['corner'][0])
        row = int(np.dot(point, shadow['down']) + shadow['corner'][1])
        nearest = np.array(depths[row, column] >> 32, np.int32).view(np.float32)
        assert (shadow['corner'][2] - np.dot(point, shadow['towards']) < nearest + .03) == is_lit


@pytest.mark.parametrize('leave_out', REALISM)
def test_each_part_of_realism_can_be_left_out(free_assets, leave_out):
    names = [name for name in REALISM if name != leave_out]
    every, fewer = (FreeStream(Path(free_assets), seed=3, size=96, realism=kept) for kept in (REALISM, names))
    assert any(not np.array_equal(every.sample(0, index)[0], fewer.sample(0, index)[0]) for index in range(25))


def test_unknown_realism_is_named():
    with pytest.raises(BadConfig, match="no 'magic'"):
        FreeStream(Path('.'), realism=['magic'])


@pytest.mark.parametrize('first', [(0, 0, 0), (2, -2, 1.5), (-2, 2, -1)])
def test_tights_surround_the_body_in_every_shape_and_pose(cast, first):
    """The helper's distance to the skin stays that of the template: within 3 cm, and outside of the body."""
    body, wardrobe, betas = cast.bodies['n'], cast.wardrobe, np.r_[first, np.zeros(7)]
    pose = sample_poses(np.random.default_rng(3), 1)[0]
    posed = body.pose(betas, pose)
    tights = wardrobe.cut('tights', shading.TOP, np.zeros(len(wardrobe.helpers['tights'].points)))
    piece = tights.posed(betas, posed.transforms)
    outer = piece.places
    distance, nearest = cKDTree(posed.vertices).query(outer)
    assert np.quantile(distance, .98) < .035
    outwards = np.einsum('na,na->n', outer - posed.vertices[nearest], body.normals(posed.vertices)[nearest])
    assert (outwards > -.004).mean() > .97
    assert piece.two_sided


def test_garments_end_where_they_are_cut(cast):
    wardrobe = cast.wardrobe
    shirt = wardrobe.cut('tights', shading.TOP, np.zeros(len(wardrobe.helpers['tights'].points)), low=-.1, out=.4)
    assert shirt.points[:, 1].min() == pytest.approx(-.1, abs=1e-6)
    assert np.abs(shirt.points[:, 0]).max() == pytest.approx(.4, abs=1e-6)
    assert (shirt.points[:, 1] < -.0999).sum() > 20, 'the hem is a line'
    assert wardrobe.cut('skirt', shading.TOP, np.zeros(len(wardrobe.helpers['skirt'].points)), low=5.0) is None


def test_streamed_pictures_are_sized_for_the_network(free_assets):
    for overrides, side in (([], 256), (['DATA.IMG_RES', 128], 146), (['DATA.STREAM.SIZE', 64], 64)):
        cfg = load_config(None, ['PATHS.DATA_DIR', str(free_assets), *overrides])
        image, row = FreeStream.from_config(cfg).sample(0, 0)
        assert max(image.shape) == side
        assert row['image_size'].tolist() == list(image.shape[1::-1])

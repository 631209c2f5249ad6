"""LSP's silhouette and part scores: counting, mapping from the crop to the picture, drawing, a perfect predictor."""
import cv2
import numpy as np
import pytest
import torch

from core.config import load_config
from core.evaluation.report import as_json
from core.evaluation.segmentation import (
    RENDER_SIZE,
    PartRenderer,
    SegmentationEvaluation,
    SegmentationEvaluator,
    count_pixels,
    uncrop,
)
from datasets.image_dataset import ImageDataset
from datasets.legacy_crop import legacy_crop
from models.body import BodyModel
from tests.oracle import Oracle
from utils.assets import Assets, find_assets
from utils.errors import BadFile, MissingFile

CPU = torch.device('cpu')
COUNT, HEIGHT, WIDTH = 3, 120, 150


def test_counts_follow_the_published_ones():
    """They equal SPIN's loop over classes on a picture with unlabelled pixels."""
    rng = np.random.default_rng(0)
    mask, estimated_mask = rng.random((2, 20, 30)) > .5
    parts, estimated = rng.integers(0, 7, (2, 20, 30)).astype(np.uint8)
    parts[:3] = 255
    counts = count_pixels(estimated_mask, mask, estimated, parts)
    wanted = []
    for c in range(2):
        wanted += [sum((estimated_mask == c) & (mask == c)), sum((estimated_mask == c) & (mask != c)),
                   sum((estimated_mask != c) & (mask == c))]
    for c in range(7):
        guess = (estimated == c) & (parts != 255)
        wanted += [sum(guess & (parts == c)), sum(guess & (parts != c)), sum(~guess & (parts == c))]
    labels = np.where(parts == 255, 0, parts)
    wanted += [sum(estimated_mask == mask), 600, sum(estimated == labels), 600]
    assert counts.tolist() == [int(np.sum(value)) for value in wanted]
    evaluation = SegmentationEvaluation('lsp', torch.tensor(counts)[None, None])
    assert evaluation.score('mask_accuracy') == pytest.approx(100 * (estimated_mask == mask).mean())
    f1 = [2 * t / (2 * t + p + n) for t, p, n in counts[6:27].reshape(7, 3)]
    assert evaluation.score('part_f1') == pytest.approx(100 * np.mean(f1))


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize('center, scale', [((75, 60), .5), ((10, 100), .9), ((75.3, 59.6), .413)])
def test_uncrop_inverts_the_crop(legacy, center, scale):
    """A coarse checkerboard, cropped and mapped back, is unchanged inside the box."""
    board = (np.indices((HEIGHT, WIDTH)) // 30).sum(0) % 2
    picture = np.repeat((board * 255).astype(np.uint8)[..., None], 3, 2)
    if legacy:
        crop = legacy_crop(picture, center, scale, RENDER_SIZE)
    else:
        from datasets.augmentation import crop_transform, warp_crop
        crop = warp_crop(picture, crop_transform(center, scale, RENDER_SIZE), RENDER_SIZE)
    back = uncrop((crop[None, ..., 0] > 127).astype(np.uint8), center, scale, HEIGHT, WIDTH, legacy)[0]
    x, y = np.arange(WIDTH) + .5, np.arange(HEIGHT)[:, None] + .5
    half = 100 * scale - 2
    inside = (np.abs(x - center[0]) < half) & (np.abs(y - center[1]) < half)
    assert (back == board)[inside].mean() > .97
    assert not back[(np.abs(x - center[0]) > half + 5) | (np.abs(y - center[1]) > half + 5)].any()
    outside = uncrop(np.ones((1, 224, 224), np.uint8), (-500, -500), .3, HEIGHT, WIDTH, legacy)
    assert not outside.any()


@pytest.fixture(scope='module')
def world(free_assets, tmp_path_factory):
    """LSP's layout with label pictures of known bodies, drawn with the free body's part colours."""
    root = tmp_path_factory.mktemp('lsp')
    labels = root / 'upi-s1h/data/lsp'
    labels.mkdir(parents=True)
    (root / 'lsp/images').mkdir(parents=True)
    assets, body = find_assets(free_assets), BodyModel(free_assets)
    rng = np.random.default_rng(0)
    pose = rng.normal(0, .15, (COUNT, 72)).astype(np.float32)
    pose[:, :3] += [np.pi, 0, 0]
    betas = rng.normal(0, .5, (COUNT, 10)).astype(np.float32)
    camera = np.tile([[.8, 0, .1]], (COUNT, 1)).astype(np.float32)
    with torch.no_grad():
        vertices = body(torch.from_numpy(betas), pose=torch.from_numpy(pose)).vertices
        parts, masks = (value.numpy() for value in PartRenderer(assets, body.faces)(
            vertices, torch.from_numpy(camera)))
    names = [f'im{i + 1001:04d}' for i in range(COUNT)]
    center, scale = np.array([[75., 60.]] * COUNT), np.full(COUNT, .6)
    for i, name in enumerate(names):
        cv2.imwrite(str(root / f'lsp/images/{name}.jpg'), rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
        part, mask = uncrop(np.stack([parts[i], masks[i]]), center[i], scale[i], HEIGHT, WIDTH)
        cv2.imwrite(str(labels / f'{name}_segmentation.png'), mask * 255)
        cv2.imwrite(str(labels / f'{name}_part_segmentation.png'), part)
    np.savez(root / 'lsp_dataset_test.npz', imgname=[f'images/{n}.jpg' for n in names], center=center, scale=scale,
             part=np.ones((COUNT, 24, 3)), maskname=[f'data/lsp/{n}_segmentation.png' for n in names],
             partname=[f'data/lsp/{n}_part_segmentation.png' for n in names])
    return {'root': root, 'assets': free_assets, 'body': body, 'answers': (pose, betas, camera), 'parts': parts}


def evaluate(world, order=slice(None), stages=1):
    root = world['root']
    cfg = load_config(None, ['PATHS.DATA_DIR', str(world['assets']), 'DATA.IMG_RES', 64, 'TRAIN.NUM_WORKERS', 0,
                             'TEST.BATCH_SIZE', 2, 'PATHS.IMAGE_DIRS', [f'lsp_dataset_test={root}/lsp',
                                                                       f'upi-s1h={root}/upi-s1h']])
    dataset = ImageDataset(cfg, str(root / 'lsp_dataset_test.npz'), 'eval')
    oracle = Oracle(world['body'], dataset, [value[order] for value in world['answers']], stages)
    oracle.assets = find_assets(world['assets'])
    return SegmentationEvaluator(cfg, oracle).evaluate(oracle, dataset, 'lsp', CPU, progress=False)


def test_perfect_and_shuffled_predictors(world):
    assert set(np.unique(world['parts'])) == set(range(7))
    perfect, shuffled = evaluate(world, stages=2), evaluate(world, order=[1, 2, 0])
    for metric in ('mask_accuracy', 'mask_f1', 'part_accuracy', 'part_f1'):
        assert perfect.score(metric) == 100
        assert shuffled.score(metric) < 97
    assert '| stage 1 | 100.0 | 100.0 | 100.0 | 100.0 |' in perfect.table()
    assert '"part_f1": {' in as_json(shuffled)


def test_wrong_labels_are_named(world):
    path = world['root'] / 'upi-s1h/data/lsp/im1002_segmentation.png'
    content = path.read_bytes()
    try:
        cv2.imwrite(str(path), np.zeros((10, 10), np.uint8))
        with pytest.raises(BadFile, match=r'im1002_segmentation\.png: 10 x 10 pixels, but the picture has 150 x 120'):
            evaluate(world)
        path.write_bytes(b'no picture')
        with pytest.raises(BadFile, match=r'im1002_segmentation\.png: not a readable picture'):
            evaluate(world)
        path.unlink()
        with pytest.raises(MissingFile, match=r'im1002_segmentation\.png: no such label picture'):
            evaluate(world)
    finally:
        path.write_bytes(content)


def test_each_axis_of_the_cube_has_its_own_length(tmp_path):
    """Each face has one colour. The published cube has shape [100,92,17]; this one has [100,4,3]."""
    colors = np.array([[.995, .005, .015], [.005, .035, .005], [.505, .015, .025]], np.float32)
    np.save(tmp_path / 'vertex_texture.npy', np.tile(colors[None, :, None, None, None], (1, 1, 2, 2, 2, 1)))
    cube = np.zeros((100, 4, 3))
    cube[99, 0, 1], cube[0, 3, 0], cube[50, 1, 2] = 5, 2, 6
    np.save(tmp_path / 'cube_parts.npy', cube)
    assets, faces = Assets(tmp_path, is_free=False), torch.zeros(3, 3, dtype=torch.int64)
    middle = torch.full((3, 3), 1 / 3)
    assert PartRenderer(assets, faces).parts_at(torch.arange(3), middle).tolist() == [5, 2, 6]
    for axis in range(3):
        np.save(tmp_path / 'cube_parts.npy', np.delete(cube, -1, axis))
        with pytest.raises(BadFile, match=r'cube_parts\.npy: shape .*use two files of one release'):
            PartRenderer(assets, faces)


def test_part_files_of_another_body(world, tmp_path):
    assets = find_assets(world['assets'])
    with pytest.raises(BadFile, match=r'vertex_texture\.npy: shape'):
        PartRenderer(assets, world['body'].faces[:-1])

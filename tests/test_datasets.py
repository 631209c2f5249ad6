"""Image datasets, mixtures, the catalog and sampling, on generated pictures and annotation files."""
import functools
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from core.config import default_config, load_config
from core.config.published_flags import without_dataset
from datasets.annotations import Annotations
from datasets.build import build_eval_dataset, build_train_dataset
from datasets.catalog import find_dataset
from datasets.humandata import write_humandata
from datasets.image_dataset import ImageDataset, init_worker
from datasets.image_io import read_picture
from datasets.mixed import MixedDataset, parse_mixture
from datasets.sampling import EpochSampler
from datasets.stream_dataset import StreamDataset
from utils.errors import BadConfig, BadFile, MissingFile, WrongBody

DIGEST = '0123456789abcdef'
SHAPES = {
    'img': (3, 64, 64), 'keypoints': (49, 3), 'pose': (72,), 'betas': (10,), 'has_smpl': (), 'joints_3d': (24, 4),
    'has_joints_3d': (), 'smpl_keypoints_2d': (24, 3), 'gender': (), 'center': (2,), 'scale': (), 'orig_shape': (2,),
    'focal_length': (), 'ray_rotation': (3, 3),
    'bbox_info': (3,),
    'is_flipped': (), 'rot_angle': (), 'dataset_index': (), 'sample_index': ()}


def make_annotations(count, seed=0, **fields):
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.uniform(20, 80, (count, 49, 2)), np.ones((count, 49, 1))], -1).astype(np.float32)
    return Annotations.blank(
        [f'{i}.jpg' for i in range(count)], rng.uniform(40, 60, (count, 2)), rng.uniform(0.3, 0.5, count),
        keypoints_2d=points, pose=rng.normal(0, 0.3, (count, 72)).astype(np.float32),
        has_smpl=np.ones(count, bool), body_digest=DIGEST, **fields)


def add_dataset(root, name, count, file=None, **fields):
    annotations = make_annotations(count, **fields)
    annotations.save(root / 'free/dataset_extras' / (file or f'{name}_train.npz'))
    folder = root / 'free/datasets' / name
    folder.mkdir(parents=True)
    rng = np.random.default_rng(count)
    for imgname in annotations.imgname:
        cv2.imwrite(str(folder / imgname), rng.integers(0, 256, (90, 110, 3), dtype=np.uint8))
    return folder


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'free').mkdir()
    (tmp_path / 'free/MANIFEST.json').write_text(json.dumps({'complete': True, 'body_digest': DIGEST}))
    return tmp_path


@pytest.fixture
def cfg(root):
    config = default_config()
    config.PATHS.DATA_DIR = str(root)
    config.DATA.IMG_RES = 64
    return config


def test_sample_has_the_documented_entries(cfg, root):
    add_dataset(root, 'mine', 3)
    dataset = ImageDataset(cfg, 'mine')
    batch = next(iter(DataLoader(dataset, batch_size=3, sampler=EpochSampler(3))))
    assert {key: tuple(value.shape[1:]) for key, value in batch.items() if torch.is_tensor(value)} == SHAPES
    assert set(batch) == set(SHAPES) | {'dataset_name', 'imgname'}
    dtypes = {key: batch[key].dtype for key in ('img', 'has_smpl', 'has_joints_3d', 'gender', 'is_flipped', 'scale')}
    assert dtypes == {'img': torch.float32, 'has_smpl': torch.bool, 'has_joints_3d': torch.bool,
                      'gender': torch.int64, 'is_flipped': torch.bool, 'scale': torch.float32}
    assert batch['has_smpl'].all() and not batch['has_joints_3d'].any()
    assert batch['orig_shape'].tolist() == [[90, 110]] * 3


def test_sample_depends_on_epoch_and_index_only(cfg, root):
    add_dataset(root, 'mine', 6)
    dataset = ImageDataset(cfg, 'mine', seed=5)

    def images(workers, batch):
        loader = DataLoader(dataset, batch, sampler=EpochSampler(6, shuffle=False, epoch=2), num_workers=workers,
                            worker_init_fn=init_worker)
        return torch.cat([item['img'] for item in loader])
    assert torch.equal(images(0, 6), images(2, 1))
    assert not torch.equal(dataset[2, 0]['img'], dataset[3, 0]['img'])
    assert not torch.equal(dataset[2, 0]['img'], ImageDataset(cfg, 'mine', seed=6)[2, 0]['img'])


def test_eval_split_is_not_augmented(cfg, root):
    add_dataset(root, 'mine', 2, file='mine_val.npz')
    dataset = build_eval_dataset(cfg, 'mine')
    sample = dataset[1]
    assert torch.equal(sample['img'], dataset[7, 1]['img'])
    assert not sample['is_flipped'] and sample['rot_angle'] == 0
    assert np.isclose(sample['scale'], dataset.annotations.scale[1])
    cfg.DATA.LEGACY_CROP_EVAL = True
    legacy = build_eval_dataset(cfg, 'mine')[1]
    difference = (legacy['keypoints'] - sample['keypoints']).abs().max() * 32
    assert 0 < difference < 2 and not torch.equal(legacy['img'], sample['img'])


def test_ignore_3d_hides_labels(cfg, root):
    add_dataset(root, 'mine', 2, joints_3d=np.ones((2, 24, 4), np.float32), has_joints_3d=np.ones(2, bool))
    assert ImageDataset(cfg, 'mine')[0]['has_joints_3d']
    cfg.DATA.IGNORE_3D = True
    sample = ImageDataset(cfg, 'mine')[0]
    assert not sample['has_joints_3d'] and not sample['has_smpl']
    assert not sample['joints_3d'].any() and not sample['pose'].any()
    add_dataset(root, 'theirs', 2, 'theirs_val.npz', joints_3d=np.ones((2, 24, 4), np.float32),
                has_joints_3d=np.ones(2, bool))
    assert ImageDataset(cfg, 'theirs', 'eval')[0]['has_joints_3d']


def test_bad_image_stops_or_is_replaced_and_counted(cfg, root):
    folder = add_dataset(root, 'mine', 4)
    whole = (folder / '1.jpg').read_bytes()
    (folder / '1.jpg').write_bytes(whole[:len(whole) // 2])
    (folder / '2.jpg').unlink()
    dataset = ImageDataset(cfg, 'mine')
    with pytest.raises(BadFile, match=r'1\.jpg'):
        dataset[1]
    with pytest.raises(MissingFile, match=r'2\.jpg'):
        dataset[2]
    cfg.DATA.ON_BAD_IMAGE = 'skip'
    dataset = ImageDataset(cfg, 'mine')
    rows = [int(row) for batch in DataLoader(dataset, 1, num_workers=2) for row in batch['sample_index']]
    assert rows == [0, 3, 3, 3] and dataset.skipped == 3
    for row in range(4):
        (folder / f'{row}.jpg').write_bytes(b'no picture')
    with pytest.raises(BadFile, match='unreadable'):
        ImageDataset(cfg, 'mine')[0]


@pytest.mark.parametrize('content', [b'', b'\xff\xd8', b'\xff\xd8\xff\xd9', b'\x89PNG\r\n\x1a\n', b'GIF89a'])
@pytest.mark.parametrize('shrink', [1, 4])
def test_broken_picture_is_named(tmp_path, content, shrink):
    (tmp_path / 'a.jpg').write_bytes(content)
    with pytest.raises(BadFile, match=r'a\.jpg'):
        read_picture(tmp_path / 'a.jpg', shrink)


@pytest.mark.parametrize('shrink,factor', [(1, 1), (1.9, 1), (2, 2), (7.9, 4), (100, 8)])
def test_reduced_decoding_keeps_geometry_and_exif_turn(tmp_path, shrink, factor):
    from PIL import Image
    picture = np.zeros((120, 203, 3), np.uint8)
    picture[:60] = 255  # upper half white
    exif = Image.Exif()
    exif[0x0112] = 6  # viewers rotate the picture clockwise
    Image.fromarray(picture).save(tmp_path / 'a.jpg', exif=exif, quality=95)
    read = read_picture(tmp_path / 'a.jpg', shrink)
    assert (read.height, read.width, read.reduced) == (203, 120, factor)
    assert read.pixels.shape[:2] == (-(-203 // factor), -(-120 // factor))
    quarter = read.pixels.shape[1] // 4
    assert read.pixels[:, -quarter].mean() > 250 and read.pixels[:, quarter].mean() < 5


def test_other_picture_kinds_become_8_bit_colour(tmp_path):
    from PIL import Image
    deep = np.full((8, 9), 40000, np.uint16)
    cv2.imwrite(str(tmp_path / 'deep.png'), deep)
    Image.new('CMYK', (9, 8)).save(tmp_path / 'cmyk.jpg')
    Image.new('L', (1, 1), 7).save(tmp_path / 'one.png')
    for name, shape in (('deep.png', (8, 9, 3)), ('cmyk.jpg', (8, 9, 3)), ('one.png', (1, 1, 3))):
        pixels = read_picture(tmp_path / name).pixels
        assert pixels.shape == shape and pixels.dtype == np.uint8
    assert abs(int(read_picture(tmp_path / 'deep.png').pixels[0, 0, 0]) - 40000 // 256) <= 1


@settings(max_examples=150, deadline=None)
@given(cut=st.floats(0, 1), changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12),
       shrink=st.sampled_from([1, 4]), kind=st.sampled_from(['jpg', 'png']))
def test_any_damage_to_a_picture_ends_in_a_picture_or_our_own_error(tmp_path_factory, cut, changes, shrink, kind):
    path = tmp_path_factory.getbasetemp() / f'damaged.{kind}'
    content = bytearray(_encoded(kind))
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    path.write_bytes(content[:round(cut * len(content))] if cut < 0.9 else content)
    try:
        picture = read_picture(path, shrink)
    except BadFile as error:
        assert path.name in str(error) and '\n' not in str(error)
    else:
        assert picture.pixels.ndim == 3 and picture.pixels.dtype == np.uint8
        assert 0 <= picture.height - (picture.pixels.shape[0] - 1) * picture.reduced <= picture.reduced


@functools.cache
def _encoded(kind):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    return cv2.imencode(f'.{kind}', pixels)[1].tobytes()


def test_mixture_text():
    assert parse_mixture(['a:0.3', 'b+c:0.7']) == [(('a',), 0.3), (('b', 'c'), 0.7)]
    for bad in (['a'], ['a:'], ['a:x'], ['a:-1'], ['a:nan'], ['+a:1'], []):
        with pytest.raises(BadConfig):
            parse_mixture(bad)


def test_mixture_shares(cfg, root):
    for name, count in (('one', 4), ('two', 3), ('three', 9)):
        add_dataset(root, name, count)
    cfg.DATA.MIXTURE = ['one:0.3', 'two+three:0.6', 'gone:0.1', 'two+gone:0.2']
    mixture = MixedDataset(cfg)
    assert [dataset.name for dataset in mixture.datasets] == ['one', 'two', 'three', 'two']
    assert np.allclose(mixture.shares, np.array([0.3, 0.15, 0.45, 0.2]) / 1.1)
    assert len(mixture) == 9
    cfg.DATA.EPOCH_LENGTH = 400
    mixture = MixedDataset(cfg)
    drawn = [(int(s['dataset_index']), int(s['sample_index'])) for s in (mixture[0, i] for i in range(400))]
    counts = np.bincount([d for d, _ in drawn], minlength=4) / 400
    assert np.abs(counts - mixture.shares).max() < 0.08
    assert all(row == i % len(mixture.datasets[d]) for i, (d, row) in enumerate(drawn))
    repeats = [mixture[0, i]['rot_angle'].item() for i, (d, row) in enumerate(drawn) if (d, row) == (2, 0)]
    assert len(set(repeats)) > 1  # a row drawn again within an epoch is augmented differently
    assert torch.equal(mixture[3, 7]['img'], MixedDataset(cfg)[3, 7]['img'])


def test_short_epochs_walk_through_the_dataset(cfg, root):
    add_dataset(root, 'mine', 10)
    cfg.DATA.MIXTURE, cfg.DATA.EPOCH_LENGTH = ['mine:1'], 4
    mixture = build_train_dataset(cfg)
    seen = {int(mixture[epoch, i]['sample_index']) for epoch in range(3) for i in range(4)}
    assert seen == set(range(10))


def test_absent_datasets(cfg, root, caplog):
    with pytest.raises(MissingFile, match=r'none of h36m, .*, mpi-inf-3dhp is here.*h36m_mosh_train\.npz'):
        MixedDataset(cfg)
    cfg.DATA.SINGLE_DATASET, cfg.DATA.SINGLE_NAME = True, 'coco'
    with pytest.raises(MissingFile, match=r"coco_2014_train\.npz.*python -m datasets\.preprocess\.coco"):
        build_train_dataset(cfg)
    with pytest.raises(MissingFile, match=r'datasets\.synthetic\.generate'):
        ImageDataset(cfg, 'free')
    with pytest.raises(BadConfig, match='evaluation only'):
        ImageDataset(cfg, 'h36m-p2')
    make_annotations(2).save(root / 'free/dataset_extras/coco_2014_train.npz')
    with pytest.raises(MissingFile, match='PATHS.IMAGE_DIRS'):
        ImageDataset(cfg, 'coco')


def test_a_users_own_file_is_never_left_out(cfg, root, monkeypatch):
    """Names may be those of a recipe whose data is not here. A path is what the user asks for."""
    said = []
    monkeypatch.setattr('datasets.mixed.log_once', said.append)
    folder, file = add_dataset(root, 'elsewhere', 2), root / 'own/people.npz'
    make_annotations(2).save(file)
    for path, folders, message in ((root / 'own/poeple.npz', f'people={folder}', r'poeple\.npz: no such annotation'),
                                   (file, f'people={root / "nowhere"}', 'PATHS.IMAGE_DIRS')):
        cfg.DATA.MIXTURE, cfg.PATHS.IMAGE_DIRS = ['elsewhere:0.5', f'{path}:0.5'], [folders]
        with pytest.raises(MissingFile, match=message):
            MixedDataset(cfg)
    cfg.PATHS.IMAGE_DIRS = [f'people={folder}', f'elsewhere={folder}']
    MixedDataset(cfg)
    assert said == ['training on elsewhere 50% (2 people), people 50% (2 people)']


def test_finding_files(cfg, root):
    folder = add_dataset(root, 'elsewhere', 2)
    make_annotations(2).save(root / 'own/people.npz')
    cfg.PATHS.IMAGE_DIRS = [f'people={folder}']
    assert ImageDataset(cfg, str(root / 'own/people.npz'))[0]['dataset_name'] == 'people'
    make_annotations(2).save(root / 'free/preprocessed_datasets/mpii_train.npz')
    cfg.PATHS.IMAGE_DIRS = [f'mpii={folder}']
    assert find_dataset(cfg, 'mpii').images == folder
    cfg.PATHS.IMAGE_DIRS = ['mpii']
    with pytest.raises(BadConfig, match='DATASET=FOLDER'):
        find_dataset(cfg, 'mpii')


def test_mmhuman3d_tree_is_found(cfg, root):
    """mmhuman3d's file names, HumanData files and image folders, for all of configs/spin_mmhuman3d.yaml's mixture."""
    names = {'h36m': 'h36m_mosh_train', 'mpi-inf-3dhp': 'spin_mpi_inf_3dhp_train', 'lsp-orig': 'spin_lsp_train',
             'lspet': 'spin_lspet_train', 'mpii': 'spin_mpii_train', 'coco': 'spin_coco_2014_train',
             '3dpw': 'spin_pw3d_test'}
    folders = {'lsp-orig': 'lsp', 'mpi-inf-3dhp': 'mpi_inf_3dhp', '3dpw': 'pw3d'}
    for name, stem in names.items():
        path = root / f'free/preprocessed_datasets/{stem}.npz'
        path.parent.mkdir(exist_ok=True)
        write_humandata(make_annotations(2), path)
        (root / 'free/datasets' / folders.get(name, name)).mkdir(parents=True)
    mixture = load_config('spin_mmhuman3d.yaml').DATA.MIXTURE
    assert {part.split(':')[0] for part in mixture} == set(names) - {'3dpw'}
    for name, stem in names.items():
        source = find_dataset(cfg, name, 'eval' if name == '3dpw' else 'train')
        assert source.annotations.stem == stem and source.images.name == folders.get(name, name)
        assert len(Annotations.load(source.annotations)) == 2
    (root / 'free/datasets/lsp-orig').mkdir()
    assert find_dataset(cfg, 'lsp-orig').images.name == 'lsp-orig'
    make_annotations(2).save(root / 'free/dataset_extras/mpi_inf_3dhp_train.npz')
    with pytest.raises(MissingFile, match='datasets/mpi-inf-3dhp: no such image folder'):
        find_dataset(cfg, 'mpi-inf-3dhp')


def test_labels_of_another_body_are_refused(cfg, root):
    add_dataset(root, 'mine', 2)
    file = root / 'free/dataset_extras/mine_train.npz'
    annotations = Annotations.load(file)
    annotations.body_digest = 'f' * 16
    annotations.save(file)
    with pytest.raises(WrongBody, match=r'mine_train\.npz.*make the file again'):
        ImageDataset(cfg, 'mine')
    cfg.DATA.IGNORE_3D = True
    assert len(ImageDataset(cfg, 'mine')) == 2


def test_labels_of_smpl_are_left_out_on_the_free_body(cfg, root, monkeypatch):
    """Pose and shape without a digest are SMPL's and are left out. Joints hold for either body and are kept."""
    said = []
    monkeypatch.setattr('datasets.catalog.log_once', said.append)
    add_dataset(root, 'mine', 2)
    file = root / 'free/dataset_extras/mine_train.npz'
    truth, joints = Annotations.load(file), np.random.default_rng(5).normal(size=(2, 24, 4)).astype(np.float32)
    joints[..., 3] = 1
    truth = replace(truth, body_digest=None, joints_3d=joints, has_joints_3d=np.array([True, False]))
    truth.save(file)
    dataset = ImageDataset(cfg, 'mine')
    assert not dataset.annotations.has_smpl.any() and not dataset.annotations.pose.any()
    assert np.array_equal(dataset.annotations.joints_3d, joints)
    assert np.array_equal(dataset.annotations.keypoints_2d, truth.keypoints_2d)
    assert dataset.annotations.has_joints_3d.tolist() == [True, False]
    assert len(said) == 1 and 'pose and shape of 2 rows' in said[0] and '1 of these rows have 3D joints' in said[0]
    replace(truth, has_joints_3d=np.zeros(2, bool)).save(file)
    assert len(ImageDataset(cfg, 'mine')) == 2  # 2D joints remain
    replace(truth, has_joints_3d=np.zeros(2, bool), keypoints_2d=np.zeros((2, 49, 3), np.float32)).save(file)
    with pytest.raises(WrongBody, match=r"its labels are only pose and shape .*smpl/SMPL_NEUTRAL\.pkl"):
        ImageDataset(cfg, 'mine')


class _Source:
    """A stream whose pictures have one colour each, which depends on epoch and index."""

    def __len__(self):
        return 5

    def samples(self, keys):
        return [self._sample(*key) for key in keys]

    def _sample(self, epoch, index):
        image = np.zeros((80, 80, 3), np.uint8)
        image[..., 0] = 10 * index + epoch
        return image, {'center': np.array([40, 40]), 'scale': 0.2, 'part': np.full((24, 3), 40.0),
                       'pose': np.zeros(72), 'shape': np.zeros(10), 'gender': 'f'}


def test_stream_samples_are_like_file_samples(cfg):
    cfg.DATA.NOISE_FACTOR = 0.0
    sample = StreamDataset(cfg, _Source())[3, 2]
    assert {key: tuple(value.shape) for key, value in sample.items() if torch.is_tensor(value)} == SHAPES
    assert torch.isclose(sample['img'][0, 32, 32] * 0.229 + 0.485, torch.tensor(23 / 255))
    assert sample['has_smpl'] and sample['gender'] == 1
    assert torch.allclose(sample['keypoints'][25:, :2], torch.zeros(()), atol=1e-6)


def rows_of(**options):
    """Rows of each process in one epoch of 23 rows."""
    world = options.get('world', 1)
    samplers = [EpochSampler(23, 1, epoch=4, rank=rank, **options) for rank in range(world)]
    assert all(epoch == 4 for sampler in samplers for epoch, _ in sampler)
    shares = [[row for _, row in sampler] for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [len(share) for share in shares]
    return shares


def test_processes_take_turns_in_a_shuffled_order_and_get_blocks_of_an_unshuffled_one():
    whole, = rows_of()
    assert sorted(whole) == list(range(23)) != whole
    assert rows_of(world=3) == [whole[rank:21:3] for rank in range(3)]
    assert rows_of(shuffle=False) == [list(range(23))]
    assert rows_of(shuffle=False, world=3) == [list(range(7)), list(range(7, 14)), list(range(14, 21))]


@pytest.mark.parametrize('shuffle', [True, False])
def test_sampler_goes_on_within_an_epoch_with_any_number_of_processes(shuffle):
    before = rows_of(shuffle=shuffle, world=2)
    assert rows_of(shuffle=shuffle, world=2, start=4) == [share[4:] for share in before]
    # Two processes see 4 rows each, then three see 2 each, then one sees the rest. Every row is seen once.
    then = rows_of(shuffle=shuffle, world=3, earlier=[(2, 4)])
    rest, = rows_of(shuffle=shuffle, earlier=[(2, 4), (3, 2)])
    seen = [*(row for share in before for row in share[:4]), *(row for share in then for row in share[:2]), *rest]
    assert sorted(seen) == list(range(23))


def test_order_depends_on_epoch_and_seed():
    orders = [[row for _, row in EpochSampler(20, seed, epoch=epoch)] for seed, epoch in ((3, 1), (3, 2), (4, 1))]
    assert orders[0] != orders[1] and orders[0] != orders[2]


def test_a_plus_in_a_path_is_no_separator(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a+b').mkdir()
    (tmp_path / 'a+b/c+d.npz').write_bytes(b'')
    assert parse_mixture(['a+b/c+d.npz:1']) == [(('a+b/c+d.npz',), 1.0)]
    assert parse_mixture(['coco+a+b/c+d.npz + mpii:0.5']) == [(('coco', 'a+b/c+d.npz', 'mpii'), 0.5)]
    assert parse_mixture([f'{tmp_path}/a+b/c+d.npz:1']) == [((f'{tmp_path}/a+b/c+d.npz',), 1.0)]
    assert parse_mixture(['x+y.npz:1']) == [(('x', 'y.npz'), 1.0)]  # no such file: two names
    address = 'https://host/a+b/shards.json'
    assert parse_mixture([f'{address}+coco+{address}:1']) == [((address, 'coco', address), 1.0)]
    assert without_dataset(['coco+a+b/c+d.npz:0.5', 'mpii:0.5'], 'coco') == ['a+b/c+d.npz:0.5', 'mpii:0.5']
    assert without_dataset(['coco+mpi-inf-3dhp:0.5', 'mpi-inf-3dhp-s8:1'], 'mpi-inf-3dhp') == ['coco:0.5']


def test_spins_conversion_is_preferred(tmp_path):
    """mmhuman3d has two files of one dataset. The rows of SPIN's file are those of static_fits/."""
    for name in ('smpl/SMPL_NEUTRAL.npz', 'preprocessed_datasets/coco_2014_train.npz',
                 'preprocessed_datasets/spin_coco_2014_train.npz', 'datasets/coco/x'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b'')
    cfg = load_config(None, ['PATHS.DATA_DIR', str(tmp_path)])
    assert find_dataset(cfg, 'coco').annotations.name == 'spin_coco_2014_train.npz'
    (tmp_path / 'dataset_extras').mkdir()
    (tmp_path / 'dataset_extras/coco_2014_train.npz').write_bytes(b'')
    assert find_dataset(cfg, 'coco').annotations.parent.name == 'dataset_extras'

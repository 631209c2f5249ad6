"""Every 3D protocol with a regressor that knows the ground truth, tables and files, and eval.py."""
import csv
import json

import cv2
import numpy as np
import pytest
import torch

from core.config import load_config, to_text
from core.evaluation.evaluator import Evaluator
from core.evaluation.options import parse_pose_options
from core.evaluation.protocols import METRIC_TITLES, protocol_of
from core.evaluation.report import as_csv, as_json, console
from core.evaluation.results import ResultWriter
from core.evaluation.run import run_evaluation
from core.training.trainer import Trainer
from datasets.image_dataset import ImageDataset
from models import build_regressor
from models.body import BodyModel
from tests.oracle import Oracle
from tests.tiny_data import link_assets, write_gendered_assets
from utils.errors import BadFile, MissingFile, ProjectError
from utils.keypoints import H36M_TO_J17, J24_TO_J17
from utils.safe_io import load_npz
from utils.torch_io import save_torch

COUNT, RES = 9, 64
CPU = torch.device('cpu')
NAMES = {
    'h36m-p1': ('h36m_valid_protocol1.npz', 'h36m', 'images/S9_{}_1.60457274_{:06d}.jpg'),
    'h36m-p2': ('h36m_valid_protocol2.npz', 'h36m', 'images/S9_{}_1.60457274_{:06d}.jpg'),
    'h36m-p2-mosh': ('h36m_mosh_valid_p2.npz', 'h36m', 'images/S9_{}_1.60457274_{:06d}.jpg'),
    '3dpw': ('3dpw_test.npz', '3dpw', 'imageFiles/{}/image_{:05d}.jpg'),
    'mpi-inf-3dhp': ('mpi_inf_3dhp_test.npz', 'mpi-inf-3dhp', 'mpi_inf_3dhp_test_set/{}/imageSequence/img_{:06d}.jpg'),
    '3doh50k': ('threeDOH50K_testset.npz', '3doh50k', 'testset/images/{}_{:05d}.jpg'),
    'mine': ('mine_val.npz', 'mine', '{}_{:05d}.jpg'),
}
GROUPS = {'h36m-p1': 'Walking', 'h36m-p2': 'Walking', '3dpw': 'Walking', 'mpi-inf-3dhp': 'Walking'}


@pytest.fixture(scope='module')
def assets(standin_assets, tmp_path_factory):
    """The stand-in assets with a male and a female body that differ from the neutral one in the first betas."""
    root = tmp_path_factory.mktemp('gendered')
    write_gendered_assets(standin_assets, root, {'NEUTRAL': 0, 'MALE': 2.0, 'FEMALE': -3.0})
    return root


GENDER_STEP = {'n': 0.0, 'm': 2.0, 'f': -3.0}


@pytest.fixture(scope='module')
def truth(evaluator):
    """Pose, betas and gender of COUNT people, and the neutral body."""
    rng = np.random.default_rng(0)
    pose = rng.normal(0, .3, (COUNT, 72)).astype(np.float32)
    betas = rng.normal(0, 1, (COUNT, 10)).astype(np.float32)
    gender = np.array(['m', 'f', 'n'] * (COUNT // 3))
    return {'pose': pose, 'betas': betas, 'gender': gender, 'body': evaluator.bodies['neutral']}


@pytest.fixture(scope='module')
def evaluator(assets):
    """One evaluator for all tests, because reading bodies takes most of the time. `with_config` sets its config."""
    return Evaluator(config(assets), BodyModel(assets))


def with_config(evaluator, cfg):
    evaluator.cfg = cfg
    return evaluator


def write_dataset(assets, truth, name):
    """Write a benchmark's annotation file and noise pictures. 3DPW has bodies only, others have joints or both."""
    file, folder, pattern = NAMES[name]
    rng = np.random.default_rng(1)
    names = [pattern.format(['Walking', 'Sitting', 'Eating'][i % 3], i) for i in range(COUNT)]
    for path in names:
        target = assets / 'datasets' / folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), rng.integers(0, 255, (RES, RES, 3), dtype=np.uint8))
    arrays = {'imgname': names, 'center': np.full((COUNT, 2), RES / 2), 'scale': np.full(COUNT, RES / 200)}
    if name not in ('h36m-p1', 'h36m-p2', 'mpi-inf-3dhp'):
        arrays.update(pose=truth['pose'], shape=truth['betas'])
    if name in ('3dpw', 'mine'):
        arrays['gender'] = truth['gender']
    else:
        arrays['S'] = h36m_labels(assets, truth)
    (assets / 'dataset_extras').mkdir(exist_ok=True)
    np.savez(assets / 'dataset_extras' / file, **arrays)


def h36m_labels(assets, truth):
    """S [N,24,4] as the converters write it: 17 H36M joints of the neutral body, relative to the pelvis."""
    with torch.no_grad():
        body = truth['body']
        vertices = body(torch.from_numpy(truth['betas']), pose=torch.from_numpy(truth['pose'])).vertices.numpy()
    joints = np.load(assets / 'J_regressor_h36m.npy') @ vertices
    labels = np.zeros((COUNT, 24, 4), np.float32)
    labels[:, J24_TO_J17, :3] = (joints - joints[:, :1])[:, H36M_TO_J17]
    labels[:, J24_TO_J17, 3] = 1
    return labels


def config(assets, *overrides):
    return load_config(None, ['PATHS.DATA_DIR', str(assets), 'DATA.IMG_RES', RES, 'TRAIN.NUM_WORKERS', 0,
                              'TEST.BATCH_SIZE', 4, 'DEVICE', 'cpu', *overrides])


def open_dataset(assets, truth, name, *overrides):
    write_dataset(assets, truth, name)
    cfg = config(assets, *overrides)
    return cfg, ImageDataset(cfg, name, 'eval')


def oracle_of(cfg, dataset, truth, order=slice(None), stages=1):
    """An Oracle. On gendered benchmarks it returns the neutral body's betas that give the gendered shape."""
    betas = truth['betas'].copy()
    if protocol_of(dataset.name).gendered:
        betas[:, 0] += [GENDER_STEP[letter] for letter in truth['gender']]
    camera = np.tile([[.9, 0, 0]], (COUNT, 1))
    return Oracle(truth['body'], dataset, (truth['pose'][order], betas[order], camera), stages)


def run(evaluator, assets, truth, name, *overrides, order=slice(None), stages=1, **options):
    cfg, dataset = open_dataset(assets, truth, name, *overrides)
    oracle = oracle_of(cfg, dataset, truth, order, stages)
    return with_config(evaluator, cfg).evaluate(oracle, dataset, name, CPU, progress=False, **options)


@pytest.mark.parametrize('name', list(NAMES))
def test_perfect_and_shuffled_predictors(evaluator, assets, truth, name):
    perfect = run(evaluator, assets, truth, name)
    wanted = {'mpjpe', 'pa_mpjpe'} | ({'pve'} if name not in ('h36m-p1', 'h36m-p2', 'mpi-inf-3dhp') else set())
    wanted |= {'pck', 'auc', 'pa_pck', 'pa_auc'} if name == 'mpi-inf-3dhp' else set()
    assert set(perfect.errors) == wanted
    shuffled = run(evaluator, assets, truth, name, order=np.roll(np.arange(COUNT), 1))
    for metric, errors in perfect.errors.items():
        assert errors.shape == (COUNT, 1)
        if METRIC_TITLES[metric].endswith(('E',)):
            assert errors.max() < 2e-3, metric  # millimetres; float32
            assert shuffled.errors[metric].min() > 5
    if name == 'mpi-inf-3dhp':
        assert perfect.mean('pck') == perfect.mean('pa_pck') == 100
        assert perfect.mean('auc') == pytest.approx(100 * 30 / 31, abs=1e-3)
        assert shuffled.mean('pck') < 100 and shuffled.mean('auc') < 90
    assert set(perfect.groups) == ({'Walking', 'Sitting', 'Eating'} if protocol_of(name).groups else set())


def test_gendered_truth_matters(evaluator, assets, truth):
    """On 3DPW, the true betas on the neutral body are wrong for men and women, and right for the rest."""
    cfg, dataset = open_dataset(assets, truth, '3dpw')
    oracle = Oracle(truth['body'], dataset, (truth['pose'], truth['betas'], np.ones((COUNT, 3))))
    pve = with_config(evaluator, cfg).evaluate(oracle, dataset, '3dpw', CPU, progress=False).errors['pve'][:, 0]
    neutral = torch.from_numpy(truth['gender'] == 'n')
    assert pve[neutral].max() < 2e-3 and pve[~neutral].min() > 5


@pytest.fixture
def neutral_only(assets, truth, tmp_path):
    """The asset folder with 3DPW's annotations and without the male and female bodies."""
    write_dataset(assets, truth, '3dpw')
    link_assets(assets, tmp_path, leave_out=('smpl',))
    (tmp_path / 'smpl').mkdir()
    (tmp_path / 'smpl/SMPL_NEUTRAL.npz').symlink_to(assets / 'smpl/SMPL_NEUTRAL.npz')
    return tmp_path


def test_an_absent_gendered_body_changes_no_protocol(neutral_only, truth, tmp_path):
    """The neutral body does not replace absent male and female ones. It is an error, for a training before step 1."""
    cfg = load_config('hmr.yaml', [
        'PATHS.DATA_DIR', str(neutral_only), 'MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.BACKBONE.PRETRAINED', '',
        'MODEL.HMR.HIDDEN', 32, 'DATA.IMG_RES', RES, 'DATA.MIXTURE', [f'{neutral_only}/dataset_extras/3dpw_test.npz:1'],
        'PATHS.IMAGE_DIRS', [f'3dpw_test={neutral_only}/datasets/3dpw'], 'TRAIN.NUM_WORKERS', 0, 'DEVICE', 'cpu',
        'LOG_DIR', str(tmp_path / 'logs'), 'NAME', 'run', 'TRAIN.BATCH_SIZE', 4])
    dataset = ImageDataset(cfg, '3dpw', 'eval')
    oracle = Oracle(truth['body'], dataset, (truth['pose'], truth['betas'], np.ones((COUNT, 3))))
    evaluator = Evaluator(cfg, truth['body'])
    with pytest.raises(MissingFile, match=r'some are (fe)?male: .*SMPL_(FE)?MALE\.pkl'):
        evaluator.evaluate(oracle, dataset, '3dpw', CPU, progress=False)
    with pytest.raises(MissingFile, match=r'some are male'):
        Trainer(cfg)
    dataset.annotations.gender[:] = -1
    evaluator.read_bodies(dataset)
    assert evaluator.evaluate(oracle, dataset, '3dpw', CPU, progress=False).mean('pve') < 2e-3


def test_order_and_batches_do_not_matter(evaluator, assets, truth):
    order = np.roll(np.arange(COUNT), 1)
    plain = run(evaluator, assets, truth, '3dpw', order=order)
    other = run(evaluator, assets, truth, '3dpw', 'TEST.BATCH_SIZE', 7, 'TEST.SHUFFLE', True, order=order)
    assert torch.allclose(plain.errors['mpjpe'].sort(0).values, other.errors['mpjpe'].sort(0).values, atol=1e-3)
    for evaluation in (plain, other):
        by_group = {row.name: row.scores['mpjpe'].mean for row in evaluation.rows() if row.kind == 'sequence'}
        assert set(by_group) == {'Walking', 'Sitting', 'Eating'}
    first = {row.name: row.scores['mpjpe'].mean for row in plain.rows() if row.kind == 'sequence'}
    assert by_group == pytest.approx(first, abs=1e-3)


def test_every_stage_and_groups_in_all_formats(evaluator, assets, truth):
    evaluation = run(evaluator, assets, truth, 'h36m-p2', stages=3, order=np.roll(np.arange(COUNT), 1))
    table = evaluation.table()
    for text in ('| mean pose |', '| stage 2 |', '| 95 % interval |', '| Walking |', 'MPJPE, mm', '| action, stage 2'):
        assert text in table
    rows = list(csv.DictReader(as_csv(evaluation).splitlines()))
    content = json.loads(as_json(evaluation))
    assert len(rows) == (3 + 3) * 2 and len(content['rows']) == 6
    last = content['rows'][2]['scores']['mpjpe']
    assert float(rows[4]['mean']) == pytest.approx(last['mean']) == pytest.approx(evaluation.mean('mpjpe'))
    assert last['low'] < last['mean'] < last['high'] and last['count'] == COUNT
    walking = [row for row in content['rows'] if row['name'] == 'Walking'][0]['scores']['mpjpe']
    assert walking['mean'] == pytest.approx(float(evaluation.errors['mpjpe'][::3, -1].mean())) and walking['count'] == 3
    lines = console(evaluation).splitlines()
    assert len({len(line) for line in lines[:6]}) == 1


def test_results_file(evaluator, assets, truth, tmp_path):
    cfg, dataset = open_dataset(assets, truth, '3dpw')
    oracle = oracle_of(cfg, dataset, truth)
    writer = ResultWriter(tmp_path / 'out.npz', len(dataset), dataset.source.images)
    with_config(evaluator, cfg).evaluate(oracle, dataset, '3dpw', CPU, progress=False, observers=[writer])
    writer.save()
    stored = load_npz(tmp_path / 'out.npz')
    assert {key: value.shape for key, value in stored.items()} == {
        'pred_joints': (COUNT, 17, 3), 'pose': (COUNT, 72), 'betas': (COUNT, 10), 'camera': (COUNT, 3),
        'translation': (COUNT, 3), 'focal_length': (COUNT,), 'camera_center': (COUNT, 2), 'imgname': (COUNT,)}
    assert np.allclose(stored['pose'], truth['pose'], atol=1e-4)
    assert stored['imgname'].tolist() == dataset.annotations.imgname.tolist()
    posed = oracle.body(oracle.betas, pose=oracle.pose).vertices.numpy()
    assert np.allclose(stored['pred_joints'], np.load(assets / 'J_regressor_h36m.npy') @ posed, atol=1e-5)
    with pytest.raises(ProjectError, match=r'out\.npz: exists already; use --overwrite'):
        ResultWriter(tmp_path / 'out.npz', 1)
    ResultWriter(tmp_path / 'out.npz', 1, overwrite=True)


def test_unreadable_pictures_count_once(evaluator, assets, truth):
    cfg, dataset = open_dataset(assets, truth, '3dpw', 'DATA.ON_BAD_IMAGE', 'skip')
    oracle = oracle_of(cfg, dataset, truth)
    for row in (2, 8):
        with open(dataset.image_path(row), 'wb') as stream:
            stream.write(b'\xff\xd8 broken')
    evaluation = with_config(evaluator, cfg).evaluate(oracle, dataset, '3dpw', CPU, progress=False)
    assert len(evaluation.errors['mpjpe']) == len(evaluation.groups) == COUNT - 2
    assert evaluation.errors['mpjpe'].max() < 2e-3


def test_error_of_a_loader_process_is_one_line(evaluator, assets, truth):
    cfg, dataset = open_dataset(assets, truth, '3dpw', 'TRAIN.NUM_WORKERS', 1)
    with open(dataset.image_path(5), 'wb') as stream:
        stream.write(b'')
    with pytest.raises(BadFile, match=r'image_00005\.jpg') as caught:
        list(with_config(evaluator, cfg).batches(dataset))
    assert '\n' not in str(caught.value)


def test_samples_without_truth_do_not_count(evaluator, assets, truth):
    cfg, dataset = open_dataset(assets, truth, 'mine')
    oracle = oracle_of(cfg, dataset, truth)
    dataset.annotations.has_smpl[::2] = False
    evaluation = with_config(evaluator, cfg).evaluate(oracle, dataset, 'mine', CPU, progress=False)
    assert evaluation.errors['mpjpe'][:, 0].isnan().tolist() == [i % 2 == 0 for i in range(COUNT)]
    assert evaluation.mean('mpjpe') < 2e-3
    assert '"count": 4' in as_json(evaluation)


def test_uncentred_labels_are_centred(evaluator, assets, truth):
    """Labels may have any origin. Without a pelvis, the middle of the hips is the root."""
    _, dataset = open_dataset(assets, truth, 'h36m-p1')
    dataset.annotations.joints_3d[..., :3] += np.array([.3, -2, 5], np.float32)
    cfg = config(assets)
    oracle = oracle_of(cfg, dataset, truth)
    assert with_config(evaluator, cfg).evaluate(oracle, dataset, 'h36m-p1', CPU, False).errors['mpjpe'].max() < 5e-3
    dataset.annotations.joints_3d[:, 14] = 0
    evaluation = with_config(evaluator, cfg).evaluate(oracle, dataset, 'h36m-p1', CPU, False)
    labels = dataset.annotations.joints_3d[:, J24_TO_J17[:14], :3]
    assert np.isfinite(labels).all() and evaluation.errors['pa_mpjpe'].max() < 5e-3
    assert evaluation.errors['mpjpe'].min() > .1


# The script, with a small network of random weights.

@pytest.fixture(scope='module')
def checkpoint(assets, tmp_path_factory):
    """A randomly initialized small HMR in this project's format."""
    path = tmp_path_factory.mktemp('weights') / 'small.pt'
    torch.manual_seed(0)
    cfg = load_config('hmr.yaml', ['PATHS.DATA_DIR', str(assets), 'MODEL.BACKBONE.NAME', 'resnet18', 'DATA.IMG_RES',
                                   RES, 'MODEL.HMR.HIDDEN', 32, 'TRAIN.NUM_WORKERS', 0])
    regressor = build_regressor(cfg)
    save_torch(path, {'regressor': 'hmr', 'regressor_class': type(regressor).__name__, 'config': to_text(cfg),
                      'body_digest': regressor.body.digest, 'model': regressor.state_dict()})
    return path


def command(checkpoint, *arguments):
    return run_evaluation(*parse_pose_options(['--checkpoint', str(checkpoint), *arguments]))


def test_run_with_files_pictures_and_occlusion(evaluator, assets, truth, checkpoint, tmp_path, capsys):
    write_dataset(assets, truth, '3dpw')
    file = assets / 'dataset_extras/3dpw_test.npz'
    labels = dict(np.load(file))
    openpose = np.zeros((COUNT, 25, 3))
    openpose[:, [0, 1, 15, 16]] = [[32, 12, 1], [32, 24, 1], [30, 10, 1], [34, 10, 1]]
    np.savez(file, **labels, openpose=openpose)
    result, table = tmp_path / 'out.npz', tmp_path / 'table.json'
    arguments = ['--dataset', '3dpw', '--result', str(result), '--report', str(table), str(tmp_path / 't.csv'),
                 '--vis_demo', '--output_dir', str(tmp_path / 'pictures'), '--batch_size', '4', '--log_freq', '1']
    evaluation = command(checkpoint, *arguments, '--occlude', 'face')
    out = capsys.readouterr().out
    assert f'face hidden in {COUNT} of {COUNT} pictures' in out and 'plain' in out and 'sequence, stage 3' in out
    assert load_npz(result)['pose'].shape == (COUNT, 72)
    assert len(json.loads(table.read_text())['rows']) == 4 + 3
    plain, hidden = (cv2.imread(str(tmp_path / f'pictures/small_3dpw{end}.png')) for end in ('', '_face'))
    assert plain.std() > 10 and not hidden[9:12, 30:34].any() and plain[9:12, 30:34].any()
    with pytest.raises(ProjectError, match=r'table\.json: exists already'):
        command(checkpoint, *arguments)
    again = command(checkpoint, *arguments, '--overwrite', '--occlude', 'grid', '--misc', 'TEST.OCCLUSION_PATCH', '40',
                    'TEST.OCCLUSION_STRIDE', '24')
    assert torch.equal(again.errors['mpjpe'], evaluation.errors['mpjpe'])
    out = capsys.readouterr().out
    assert '40 px patch, mean of 4 places' in out and 'worst place' in out
    assert cv2.imread(str(tmp_path / 'pictures/small_3dpw_occlusion.png')) is not None


def test_config_of_a_checkpoint(no_assets, checkpoint, assets, tmp_path):
    cfg, path = parse_pose_options(['--checkpoint', str(checkpoint), '--dataset=h36m-p1', '--log_freq=20', '--shuffle',
                                    '--misc', 'TEST.BATCH_SIZE', '5'])
    assert path == str(checkpoint) and cfg.MODEL.HMR.HIDDEN == 32 and cfg.DATA.EVAL_DATASET == 'h36m-p1'
    assert cfg.TEST.SHUFFLE and cfg.TEST.BATCH_SIZE == 5 and not cfg.DATA.LEGACY_CROP_EVAL
    assert parse_pose_options(['--checkpoint', str(checkpoint), '--legacy_crop'])[0].DATA.LEGACY_CROP_EVAL
    published = tmp_path / 'spin.pt'
    torch.save({'model': {'fc1.weight': torch.zeros(2, 2), 'conv1.weight': torch.zeros(1)}}, published)
    cfg, _ = parse_pose_options(['--checkpoint', str(published), '--result_file', 'o.npz'])
    assert cfg.MODEL.REGRESSOR == 'hmr' and cfg.DATA.LEGACY_CROP_EVAL and cfg.TEST.RESULT_FILE == 'o.npz'
    assert not parse_pose_options(['--checkpoint', str(published), '--affine_crop'])[0].DATA.LEGACY_CROP_EVAL


@pytest.mark.parametrize('source, prefix, resize', [
    ('spin', '', 'imresize_bilinear'), ('pymaf', 'feature_extractor.', 'pil_bicubic'),
    ('danet', 'img2iuv.', 'imresize_bilinear'), ('multi_spin', 'resnet.', 'skimage_bilinear'),
    ('mmhuman3d', 'head.', ''), ('hmr2', 'smpl_head.transformer.', 'cv2_bilinear')])
def test_published_weights_are_evaluated_on_their_codes_crop(no_assets, tmp_path, source, prefix, resize):
    """SPIN's and DaNet's code calls imresize of scipy 1.0.0, PyMAF's calls Pillow, Multi-SPIN's skimage. mmhuman3d and
    4D-Humans warp with OpenCV; 4D-Humans from whole pixels."""
    path = tmp_path / f'{source}.pt'
    names = {'spin': ('conv1.weight', 'fc1.weight'), 'multi_spin': ('resnet.conv1.weight', 'regressor.fc1.weight'),
             'mmhuman3d': ('backbone.conv1.weight', 'head.fc1.weight')}.get(source, (f'{prefix}fc1.weight',))
    torch.save({'model': dict.fromkeys(names, torch.zeros(2, 2))}, path)
    data = parse_pose_options(['--checkpoint', str(path)])[0].DATA
    assert bool(resize) == data.LEGACY_CROP_EVAL and (not resize or resize == data.LEGACY_CROP_RESIZE)
    overridden = parse_pose_options(['--checkpoint', str(path), '--legacy_crop', '--misc',
                                     'DATA.LEGACY_CROP_RESIZE', 'pil_bicubic'])[0].DATA
    assert overridden.LEGACY_CROP_EVAL and overridden.LEGACY_CROP_RESIZE == 'pil_bicubic'


@pytest.mark.parametrize('arguments, message', [
    (['--checkpoint', '/nowhere/x.pt'], '/nowhere/x.pt: no such checkpoint'),
    (['--checkpoint', 'SMALL', '--dataset', 'lspet'], "'lspet' is for training only"),
    (['--checkpoint', 'SMALL', '--dataset', 'surreal'], 'surreal_val.npz: no such annotation file'),
    (['--checkpoint', 'SMALL', '--dataset', 'h36m-p2-mosh', '--misc', 'PATHS.DATA_DIR', '/nowhere'], '/nowhere'),
    (['--checkpoint', 'SMALL', '--report', 'x.txt'], 'x.txt: unknown suffix of a report'),
    (['--checkpoint', 'SMALL', '--occlude', 'hands'], 'TEST.OCCLUDE'),
    (['--checkpoint', 'SMALL', '--regressor', 'pymaf_net', '--dataset', '3dpw'], 'hmr'),
    (['--checkpoint', 'SMALL', '--misc', 'TEST.BATCHSIZE', '3'], "the nearest is 'TEST.BATCH_SIZE'")])
def test_wrong_commands_are_one_line(evaluator, assets, truth, checkpoint, arguments, message):
    write_dataset(assets, truth, '3dpw')
    with pytest.raises(ProjectError, match=message) as caught:
        run_evaluation(*parse_pose_options([str(checkpoint) if a == 'SMALL' else a for a in arguments]))
    assert '\n' not in str(caught.value)


def test_file_without_3d_labels(assets, checkpoint, tmp_path):
    np.savez(tmp_path / 'flat.npz', imgname=['a.jpg'], center=[[1., 2]], scale=[1.])
    (assets / 'datasets/flat').mkdir(parents=True, exist_ok=True)
    with pytest.raises(BadFile, match=r'flat\.npz: no 3D ground truth'):
        command(checkpoint, '--dataset', str(tmp_path / 'flat.npz'))
    np.savez(tmp_path / 'flat.npz', something=[1])
    with pytest.raises(BadFile, match=r"flat\.npz: not an annotation file: no key 'imgname'"):
        command(checkpoint, '--dataset', str(tmp_path / 'flat.npz'))

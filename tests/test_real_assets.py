"""Published files (../shared/real): the code that uses each one reads it as its publisher meant it.

READERS is the table. A file that it does not name fails.
"""
import functools
import pickle
import pickletools
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch
from scipy.stats import multivariate_normal

from core.config import default_config
from core.config.training_options import parse_training_options
from core.evaluation.options import parse_pose_options
from core.evaluation.run import run_evaluation
from core.evaluation.segmentation import PartRenderer
from core.training.trainer import Trainer
from datasets.annotations import Annotations
from datasets.fits import read_fits
from models.body import BodyModel
from models.danet.part_crops import PartCrops
from models.regressor import MeanParameters
from models.smplify.priors import PosePrior
from tests import chumpy_pickles
from tests.real_people import write_pictures
from tests.reference.standin import body_model
from tests.tiny_data import link_assets
from utils.assets import Assets, find_assets
from utils.body_file import read_body_file
from utils.iuv import load_charts
from utils.mesh_sampling import downsampling_matrix

REAL = Path(__file__).resolve().parents[2] / 'shared' / 'real'
ASSETS, CHUMPY = REAL / 'assets', REAL / 'smpl_chumpy'
FILES = sorted(path for folder in (ASSETS, CHUMPY) for path in folder.rglob('*') if path.is_file())
VERTICES = 6890
pytestmark = pytest.mark.skipif(not ASSETS.exists(), reason='../shared is not here')


@pytest.fixture(scope='session')
def world(tmp_path_factory):
    """A data folder with the real assets and stand-in bodies of SMPL's size, pickled as chumpy does."""
    root = tmp_path_factory.mktemp('data')
    link_assets(ASSETS, root, leave_out=('dataset_extras', 'static_fits', 'mmhuman3d'))
    (root / 'smpl').mkdir()
    for gender, seed in (('NEUTRAL', 11), ('MALE', 12), ('FEMALE', 13)):
        (root / f'smpl/SMPL_{gender}.pkl').write_bytes(chumpy_pickles.body_pickle(body_model(seed)))
    return root


@pytest.fixture(scope='session')
def body(world):
    return BodyModel(world)


def unpickled(path):
    """A published pickle, read by Python's pickle."""
    with open(path, 'rb') as stream:
        return pickle.load(stream, encoding='latin1')


def check_joint_regressor(path, body):
    """Equal to numpy's reading. H36M's row 1 is the left hip, with a weight on vertex 807 of SMPL's left thigh."""
    rows = {'J_regressor_extra.npy': 9, 'J_regressor_h36m.npy': 17}[path.name]
    matrix = body.regressor_file(path.name, rows)
    assert np.array_equal(matrix, np.load(path)) and np.allclose(matrix.sum(1), 1, atol=1e-3)
    if rows == 17:
        assert matrix[1, 807] > 0 and matrix[3, 3182:3400].sum() > .1 and matrix[6, 6605:6800].sum() > .1


def check_mean_parameters(path, body):
    with np.load(path) as file:
        mean = MeanParameters(Assets(path.parent, is_free=False))
        assert np.array_equal(mean.pose.numpy().ravel(), file['pose'].astype(np.float32))
        assert np.allclose(mean.cam.numpy().ravel(), file['cam'])


def check_pose_prior(path, body):
    """Equal to scipy's likelihoods, except for a constant: SPIN divides the determinants by the smallest."""
    raw = unpickled(path)
    poses = np.concatenate([raw['means'], np.zeros((1, 69))])
    determinant = min(np.linalg.slogdet(covariance)[1] for covariance in raw['covars'])
    likelihood = [np.log(weight) + multivariate_normal(mean, covariance).logpdf(poses)
                  for mean, covariance, weight in zip(raw['means'], raw['covars'], np.ravel(raw['weights']))]
    wanted = -np.max(likelihood, 0) - determinant / 2
    assert np.allclose(PosePrior(path)(torch.tensor(poses, dtype=torch.float32)), wanted, rtol=1e-3)


def check_mesh_downsampling(path, body):
    """Equal to numpy's reading with a stand-in for GraphCMR's mesh class."""
    main = sys.modules['__main__']
    main.MyMesh = type('MyMesh', (), {'__module__': '__main__'})
    try:
        with np.load(path, allow_pickle=True, encoding='latin1') as file:
            levels = list(file['D'])
    finally:
        del main.MyMesh
    matrix = downsampling_matrix(path, VERTICES)
    assert matrix.shape == (431, VERTICES)
    assert np.allclose(matrix.toarray(), (levels[1] @ levels[0]).toarray())


def check_charts(path, body):
    """Equal to scipy's reading. Every body vertex has a face, and every part occurs."""
    mat = scipy.io.loadmat(path)
    faces, part, corner_uv, _ = load_charts(path)
    vertex = mat['All_vertices'].ravel().astype(int) - 1
    wanted = vertex[mat['All_Faces'].astype(int) - 1]
    assert np.array_equal(faces, wanted) and faces.max() == VERTICES - 1 and set(part) == set(range(1, 25))
    assert np.allclose(corner_uv[..., 0], mat['All_U_norm'].ravel()[mat['All_Faces'].astype(int) - 1])


def check_parts(path, body):
    """Faces of each of the six parts, counted in the publisher's texture. No face is outside the table."""
    renderer = PartRenderer(Assets(ASSETS, is_free=False), body.faces)
    faces = torch.arange(13776)
    corners = [renderer.parts_at(faces, torch.eye(3)[i].expand(len(faces), 3)) for i in range(3)]
    middle = renderer.parts_at(faces, torch.full((len(faces), 3), 1 / 3))
    assert np.bincount(middle.numpy(), minlength=7).tolist() == [0, 2628, 2626, 2627, 1458, 1460, 2977]
    assert all(torch.equal(corner, middle) for corner in corners)


def check_people(path, body):
    """Equal to numpy's reading, including the names of the label pictures."""
    people = Annotations.load(path)
    with np.load(path) as file:
        assert people.imgname.tolist() == file['imgname'].tolist() and len(people) == 1000
        assert np.allclose(people.center, file['center'], atol=.51) and np.allclose(people.scale, file['scale'])
        assert np.array_equal(people.keypoints_2d[:, 25:, 2] > 0, file['part'][..., 2] > 0)
        if 'maskname' in file:
            assert people.maskname.tolist() == file['maskname'].tolist()
            assert people.partname.tolist() == file['partname'].tolist()


def check_fits(path, body):
    fits, known = read_fits(path, 1000, body.digest, is_free_body=False)
    assert np.array_equal(fits, np.load(path).astype(np.float32)) and known.all()


def check_crop_ratios(path, body):
    raw = unpickled(path)
    crops = PartCrops(Assets(ASSETS, is_free=False), body, default_config().MODEL.DANET)
    assert np.allclose(crops.ratio, np.ravel(raw['ratio'])) and np.allclose(crops.offset, np.ravel(raw['offset']))


def check_humandata(path, body):
    """One person each, with joints or a body."""
    people = Annotations.load(path)
    assert len(people) == 1 and ((people.keypoints_2d[..., 2] > 0).any() or people.has_smpl.all())


def check_body(path, body):
    """Equal to the arrays that chumpy computed."""
    arrays = read_body_file(path)
    with np.load(CHUMPY / 'truth.npz') as truth:
        for name in truth:
            assert arrays[name].dtype == truth[name].dtype and np.array_equal(arrays[name], truth[name]), name


def check_truth(path, body):
    """A file of the tests, which `check_body` reads."""


READERS = {
    'J_regressor_extra.npy': check_joint_regressor, 'J_regressor_h36m.npy': check_joint_regressor,
    'smpl_mean_params.npz': check_mean_parameters, 'gmm_08.pkl': check_pose_prior,
    'mesh_downsampling.npz': check_mesh_downsampling, 'UV_data/UV_Processed.mat': check_charts,
    'cube_parts.npy': check_parts, 'vertex_texture.npy': check_parts,
    'dataset_extras/*.npz': check_people, 'static_fits/*.npy': check_fits,
    'pretrained_model/learned_ratio.pkl': check_crop_ratios, 'mmhuman3d/*.npz': check_humandata,
    'smpl_chumpy/SMPL_*.pkl': check_body, 'smpl_chumpy/truth.npz': check_truth,
}


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(REAL)))
def test_every_real_file_is_read(path, body):
    name = path.relative_to(ASSETS if ASSETS in path.parents else REAL)
    readers = [reader for pattern, reader in READERS.items() if name.match(pattern)]
    assert len(readers) == 1, f'no reader is known for {name}'
    readers[0](path, body)


def asked_for(content):
    """The classes and functions that a pickle names."""
    names, texts = set(), []
    for operation, argument, _ in pickletools.genops(content):
        if 'UNICODE' in operation.name:
            texts.append(argument)
        elif operation.name == 'GLOBAL':
            names.add(argument)
        elif operation.name == 'STACK_GLOBAL':
            names.add(' '.join(texts[-2:]))
    return {name.replace('numpy._core', 'numpy.core') for name in names}


def test_stand_ins_are_pickled_by_chumpys_rules():
    small = np.zeros((2, 3, 16))
    ours = chumpy_pickles.dumps({'x': chumpy_pickles.select(chumpy_pickles.ch(small), np.s_[..., :10], small),
                                 'J': scipy.sparse.csc_matrix(np.eye(2))}, 2)
    assert asked_for(ours) == asked_for((CHUMPY / 'SMPL_protocol2.pkl').read_bytes())


def test_the_body_is_the_one_that_was_pickled(body):
    """Vertices of the stand-in in its rest pose and shape are its template."""
    output = body(torch.zeros(1, 10), pose=torch.zeros(1, 72))
    assert np.allclose(output.vertices[0], body_model(11)['v_template'], atol=1e-5)


@pytest.fixture(scope='session')
def people(world):
    """Eight published rows of each LSP set with generated pictures, their published fits, and four people for
    validation."""
    for name in ('lsp_dataset_original_train', 'lsp_dataset_test'):
        write_pictures(ASSETS / f'dataset_extras/{name}.npz', world, rows=8)
    (world / 'static_fits').mkdir()
    np.save(world / 'static_fits/lsp-orig_fits.npy', np.load(ASSETS / 'static_fits/lsp-orig_fits.npy')[:8])
    rng = np.random.default_rng(0)
    (world / 'datasets/3dpw').symlink_to(world / 'datasets/lsp')
    np.savez(world / 'dataset_extras/3dpw_test.npz', imgname=[f'images/im{1001 + i}.jpg' for i in range(4)],
             center=np.full((4, 2), 60.), scale=np.full(4, .5), pose=rng.normal(0, .2, (4, 72)),
             shape=rng.normal(0, 1, (4, 10)), gender=['m', 'f', 'm', 'f'])
    return world


SMALL = ['MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.BACKBONE.PRETRAINED', '', 'DATA.MIXTURE', ['lsp-orig:1'],
         'TRAIN.BATCH_SIZE', 2, 'TRAIN.MAX_STEPS', 1, 'TRAIN.NUM_WORKERS', 0, 'DEVICE', 'cpu', 'TRAIN.SUMMARY_STEPS', 1]
RUNS = {
    'hmr': ['--run_smplify', '--misc', 'SMPLIFY.NUM_ITERS', 4],
    'pymaf_net': ['--misc'],
    'danet': ['--misc', 'MODEL.DANET.DECONV_FILTERS', [64, 64, 32], 'TRAIN.PRETR_STEP', 0],
}


@pytest.fixture(scope='module')
def trained(people, tmp_path_factory):
    """Returns the finished Trainer of `train.py --regressor NAME` on the folder of real files, and its Evaluation."""
    @functools.cache
    def train(name):
        flags = ['--regressor', name, '--name', name, '--log_dir', tmp_path_factory.mktemp(name), *RUNS[name], *SMALL,
                 'PATHS.DATA_DIR', people]
        cfg, _ = parse_training_options([str(flag) for flag in flags])
        trainer = Trainer(cfg)
        with pytest.MonkeyPatch.context() as patch:
            if name != 'pymaf_net':  # whose panels show the real charts; drawing the stand-in's mesh takes seconds
                patch.setattr('core.training.trainer.panel', lambda *_, **__: torch.zeros(3, 8, 8))
            return trainer, trainer.fit()
    return train


@pytest.mark.parametrize('name', RUNS)
def test_training_steps_on_real_files(trained, name):
    """The published configuration, except for the backbone. Validation compares with male and female bodies."""
    trainer, evaluation = trained(name)
    assert not trainer.regressor.assets.is_free and trainer.state.progress.global_step == 1
    assert torch.isfinite(evaluation.errors['pve']).all()


def test_smplify_starts_from_the_published_fits(trained):
    """A step changes two of the eight rows. The others equal the published fits."""
    fits = trained('hmr')[0].supervisor.store.datasets[0]
    published = np.load(ASSETS / 'static_fits/lsp-orig_fits.npy')[:8].astype(np.float32)
    assert fits.known.all() and (fits.params == published).all(1).sum() >= 6


def test_lsp_is_evaluated_on_real_rows(trained, capsys):
    checkpoint = trained('hmr')[0].folder.path / 'checkpoints/latest.pt'
    evaluation = run_evaluation(*parse_pose_options(
        ['--checkpoint', str(checkpoint), '--dataset', 'lsp', '--batch_size', '4']))
    assert evaluation.counts.shape[0] == 8
    assert all(0 <= evaluation.score(metric) <= 100 for metric in ('mask_accuracy', 'part_accuracy', 'part_f1'))
    assert 'part F1' in capsys.readouterr().out


def test_the_real_folder_is_found_whole(world):
    assert find_assets(world).root == world

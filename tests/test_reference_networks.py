"""HMR and PyMAF, compared with values that the published code computed on the same weights and assets."""
import pytest
import torch

from core.config import load_config
from models import build_regressor
from models.weights import load_weights
from tests.reference.compare import load, published_weights, relative_error
from tests.reference.standin import smooth_image
from utils.geometry import rotmat_to_axis_angle
from utils.keypoints import H36M_TO_J14

FROM_ASSETS = ('smpl.', 'Dmap', 'points_grid', 'init_')


def build(config, assets, weights):
    # The feedback loop magnifies rounding, which depends on the number of threads.
    torch.set_num_threads(2)
    regressor = build_regressor(load_config(config, ['PATHS.DATA_DIR', str(assets)])).eval()
    report = load_weights(regressor, {'model': weights})
    assert not report.missing and not report.unexpected
    return regressor, report


@pytest.fixture(scope='module')
def pymaf(standin_assets):
    regressor, report = build('pymaf.yaml', standin_assets, published_weights('pymaf_res50', FROM_ASSETS))
    assert report.source == 'pymaf'
    with torch.no_grad():
        return regressor, regressor(smooth_image(1))


def test_hmr(standin_assets):
    regressor, report = build('hmr.yaml', standin_assets, published_weights('spin_hmr', FROM_ASSETS))
    assert report.source == 'spin'
    with torch.no_grad():
        final = regressor(smooth_image(1)).final
    wanted = load('spin_hmr')
    for name in ('rotmat', 'betas', 'camera'):
        assert relative_error(getattr(final, name), wanted[name]) < 1e-4, name


@pytest.mark.parametrize('index', range(4))
def test_pymaf_stage(pymaf, index):
    regressor, out = pymaf
    stage, wanted = out.stages[index], load('pymaf_res50')
    with torch.no_grad():
        axis_angle = rotmat_to_axis_angle(stage.rotmat).flatten(1)
        h36m = torch.from_numpy(regressor.body.regressor_file('J_regressor_h36m.npy', 17)).float() @ stage.vertices
        values = {'theta': torch.cat([stage.camera, stage.betas, axis_angle], 1), 'kp_2d': stage.keypoints_2d,
                  'rotmat': stage.rotmat, 'joints': stage.joints, 'smpl24': stage.smpl_joints,
                  'verts': stage.vertices[:, ::10], 'h36m14': h36m[:, H36M_TO_J14] - h36m[:, :1]}
    for name, value in values.items():
        # An axis-angle vector near a half turn magnifies rounding, which depends on the number of threads.
        limit = 5e-4 if name == 'theta' else 1e-4
        assert relative_error(value, wanted[f'iter{index}_{name}']) < limit, name


def test_pymaf_dense_prediction(pymaf):
    iuv, wanted = pymaf[1].iuv, load('pymaf_res50')
    for name, value in (('uv_index', iuv.index), ('ann_index', iuv.part), ('u', iuv.u), ('v', iuv.v)):
        assert relative_error(value[:, :, ::7, ::7], wanted[f'dp_predict_{name}']) < 1e-4, name

"""DaNet: the published values, its graph and crops, two training stages, losses, and the global-only ablation."""
import pytest
import torch

from core.config import load_config
from models import build_regressor
from models.danet.aggregation import clean_maps
from models.weights import load_weights
from tests.reference.compare import load, published_weights, relative_error
from tests.reference.standin import smooth_image

FROM_ASSETS = ('.smpl.', 'learned_', 'mean_', '.A', 'I_n', 'r2p_A', 'p2r_A')


@pytest.fixture(scope='module')
def published(standin_assets):
    wanted = load('danet')
    weights = published_weights('danet', FROM_ASSETS)
    weights.update({f'img2iuv.learned_{n}': torch.from_numpy(wanted[f'learned_{n}']) for n in ('ratio', 'offset')})
    regressor = build_regressor(load_config('danet.yaml', ['PATHS.DATA_DIR', str(standin_assets)])).eval()
    report = load_weights(regressor, {'model': weights})
    assert report.source == 'danet' and not report.missing and not report.unexpected
    with torch.no_grad():
        return regressor(torch.sigmoid(smooth_image(1))), wanted


def test_published_dense_prediction(published):
    """The stored maps are cut down to the likeliest part of each pixel."""
    out, wanted = published
    u, v, index = clean_maps(out.iuv.index, out.iuv.u, out.iuv.v).chunk(3, dim=1)
    segment = torch.nn.functional.one_hot(out.iuv.part.argmax(1), 15).movedim(-1, 1).float()
    for name, value in {'iuv_u': u, 'iuv_v': v, 'iuv_index': index, 'iuv_ann': segment}.items():
        assert relative_error(value[:, :, ::7, ::7], wanted[name]) < 1e-4, name
    assert relative_error(out.extras['parts'].iuv[..., ::14, ::14], wanted['part_iuv']) < 1e-3


def test_published_parameters(published):
    out, wanted = published
    final = out.final
    para = torch.cat([final.camera, final.betas, final.rotmat.flatten(1)], dim=1)
    assert relative_error(para, wanted['para']) < 1e-3
    assert relative_error(final.rotmat.flatten(1), wanted['para'][:, 13:]) < 1e-3

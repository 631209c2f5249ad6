"""Panels of pictures: a row for each person, a column with a title for each kind of picture."""
import pytest
import torch
from torch.utils.data import DataLoader

from core.config import load_config
from core.evaluation.pictures import denormalize
from core.training.setup import build_iuv_renderer
from core.training.summary import TITLE_HEIGHT, panel
from datasets.image_dataset import ImageDataset
from models import build_regressor
from models.targets import Targets
from tests.tiny_data import write_tiny_dataset

ROWS, RES, COLUMNS = 2, 64, 7  # picture, target, estimate, target IUV, IUV of estimate, predicted IUV, one of its own


@pytest.fixture(scope='module')
def drawn(standin_assets):
    """(pictures of the batch, panel)."""
    write_tiny_dataset(standin_assets, 'tiny', 'val', count=ROWS)
    cfg = load_config(None, [
        'PATHS.DATA_DIR', str(standin_assets), 'MODEL.REGRESSOR', 'pymaf_net', 'MODEL.BACKBONE.NAME', 'resnet18',
        'MODEL.PyMAF.DECONV_FILTERS', [16, 16, 16], 'MODEL.PyMAF.MLP_DIM', [16, 8, 8, 5], 'MODEL.PyMAF.HIDDEN', 32,
        'IUV.SIZE', 16, 'DATA.IMG_RES', RES])
    regressor = build_regressor(cfg).eval()
    batch = next(iter(DataLoader(ImageDataset(cfg, 'tiny', 'eval'), ROWS)))
    with torch.no_grad():
        out = regressor(batch['img'])
    targets = Targets.of_batch(batch, regressor.body, build_iuv_renderer(cfg, regressor.assets, 'cpu'), 1)
    own = {'its own': torch.ones(ROWS, 3, RES, RES)}
    return denormalize(batch['img']), panel(batch['img'], out, targets, regressor.body.faces, ROWS, own)


def test_rows_are_people_and_columns_kinds_of_pictures(drawn):
    pictures, sheet = drawn
    assert sheet.shape == (3, TITLE_HEIGHT + ROWS * RES, COLUMNS * RES)
    for row, picture in enumerate(pictures):
        top = TITLE_HEIGHT + row * RES
        assert torch.equal(sheet[:, top:top + RES, :RES], picture)
        assert (sheet[:, top:top + RES, -RES:] == 1).all()


def test_each_column_has_a_title_of_its_own_within_its_width(drawn):
    """White letters on black, with an edge free on all sides."""
    titles = drawn[1][:, :TITLE_HEIGHT].split(RES, dim=2)
    assert len({tuple(title.flatten().tolist()) for title in titles}) == COLUMNS
    for title in titles:
        assert title.max() > 0.7 and (title > 0.5).float().mean() < 0.3
        assert not any(edge.any() for edge in (title[:, 0], title[:, -1], title[:, :, 0], title[:, :, -1]))

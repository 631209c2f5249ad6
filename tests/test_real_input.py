"""Training on real pictures: COCO's JSON becomes an annotation file and is mixed with free people."""
import shutil
from pathlib import Path

import pytest
import torch
from torchvision.utils import save_image

from core.config import load_config
from core.training.summary import panel
from core.training.trainer import Trainer
from datasets.image_dataset import ImageDataset
from datasets.preprocess.coco import convert_coco
from datasets.synthetic.generate import main as generate
from models.losses import keypoint_2d_loss
from models.targets import Targets

COCO = Path(__file__).resolve().parents[2] / 'shared' / 'real' / 'coco'


@pytest.mark.slow
@pytest.mark.skipif(not COCO.exists(), reason='../shared is not here')
def test_real_people_are_learned_beside_free_ones(free_assets, tmp_path):
    """The 2D loss on the real people falls by at least half. Their panel is written to the test's folder."""
    assets = tmp_path / 'free'
    shutil.copytree(free_assets, assets, ignore=shutil.ignore_patterns('images', 'dataset_extras', '*.pkl'))
    generate(['--out', str(assets), '--what', 'studio', '--train', '64', '--val', '8'])
    people = tmp_path / 'coco_real.npz'
    convert_coco(COCO / 'images', COCO / 'person_keypoints_sample.json', people, progress=False)
    cfg = load_config('free/pymaf_scratch.yaml', [
        'PATHS.DATA_DIR', str(assets), 'PATHS.IMAGE_DIRS', [f'coco_real={COCO / "images"}'], 'NAME', 'real',
        'LOG_DIR', str(tmp_path), 'DATA.MIXTURE', [f'{people}:0.5', 'free-studio:0.5'], 'DATA.EPOCH_LENGTH', 3200,
        'TRAIN.NUM_EPOCHS', 1, 'TRAIN.BATCH_SIZE', 8, 'TRAIN.NUM_WORKERS', 0,
        # The published weights: the quick ones need bodies, and real people have 2D labels alone.
        'SOLVER.BASE_LR', 5e-4, 'SOLVER.GRAD_CLIP', 0.0,
        'LOSS.KP_CRITERION', 'mse', 'LOSS.KP_2D_W', 300.0, 'LOSS.KP_3D_W', 300.0, 'LOSS.POSE_W', 60.0])
    trainer = Trainer(cfg)
    real = ImageDataset(cfg, str(people), 'eval')
    batch = torch.utils.data.default_collate([real[i] for i in range(len(real))])
    before = loss_of(trainer, batch)[0]
    trainer.fit()
    after, out = loss_of(trainer, batch)
    picture = panel(batch['img'], out, Targets.of_batch(batch, trainer.regressor.body, trainer.iuv_renderer),
                    trainer.regressor.body.faces, rows=len(real))
    save_image(picture, tmp_path / 'real_people.png')
    print(f'2D loss on the real people: {before:.4f} before, {after:.4f} after; {tmp_path / "real_people.png"}')
    assert after < before / 2


@torch.no_grad()
def loss_of(trainer, batch):
    out = trainer.regressor.eval()(batch['img'])
    return float(keypoint_2d_loss(out.final.keypoints_2d, batch['keypoints'])), out

"""Measures the effect of more cameras: python -m benchmarks.multiview

Run `python -m datasets.synthetic.generate --what studio-multiview` first. The benchmark trains the small Multi-SPIN of
configs/free/multi_spin_quick.yaml and an HMR of the same size, both on the same pictures for the same number of steps.
Then it prints errors on held-out people: of HMR, of Multi-SPIN with 1 to 4 views, and of SMPLify on the keypoints of
one view or of four, started from Multi-SPIN's one-view estimates.
"""
import argparse
import tempfile

import torch
from torch.utils.data import DataLoader

from core.batches import flatten_views
from core.config import load_config
from core.evaluation.evaluator import Evaluator
from core.metrics import bootstrap_interval, pa_mpjpe
from core.training.trainer import Trainer
from datasets.build import build_eval_dataset
from models.smplify import build_smplify
from utils.errors import run_main
from utils.geometry import camera_to_translation, rotmat_to_axis_angle
from utils.keypoints import H36M_TO_J14

CONFIG = 'free/multi_spin_quick.yaml'
VIEWS = (1, 2, 3, 4)
# Side in pixels of the crop that SMPLify's focal length refers to.
FIT_SIZE = 224
# HMR gets as many pictures a step as there are in a batch of groups.
GROUPS, PICTURES = 8, 32
SINGLE = ['MODEL.REGRESSOR', 'hmr', 'NAME', 'hmr_quick', 'DATA.N_VIEWS', 0, 'TEST.N_VIEWS', 0]


def train(overrides, steps, batch):
    """Train for one epoch of `steps` batches -> (config, network)."""
    cfg = load_config(CONFIG, [*overrides, 'TRAIN.NUM_EPOCHS', 1, 'TRAIN.BATCH_SIZE', batch,
                               'DATA.EPOCH_LENGTH', steps * batch])
    trainer = Trainer(cfg)
    trainer.fit()
    return cfg, trainer.regressor.eval()


def with_views(cfg, n_views):
    """The config, evaluating on groups of n_views (0: on single pictures)."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TEST.N_VIEWS = n_views
    cfg.freeze()
    return cfg


def network_errors(cfg, network, n_views):
    """{metric: [N] mm} of a network on held-out people."""
    cfg = with_views(cfg, n_views)
    device = next(network.parameters()).device
    evaluation = Evaluator(cfg, network.body).evaluate(network, build_eval_dataset(cfg), cfg.DATA.EVAL_DATASET, device,
                                                            progress=False)
    return {metric: errors[:, -1] for metric, errors in evaluation.errors.items()}


class Fitting:
    """SMPLify on held-out people, started from a network's estimates of single views."""

    def __init__(self, cfg, network):
        self.cfg, self.network = with_views(cfg, 4), network
        self.device = next(network.parameters()).device
        self.smplify = build_smplify(cfg, network.body).to(self.device)
        self.joints = network.body.vertex_set(network.body.regressor_file('J_regressor_h36m.npy', 17)).to(self.device)

    @torch.no_grad()
    def errors(self):
        """{what: PA-MPJPE [N] mm} of the starts, and of fits to one view, four, and four calibrated ones."""
        found = {}
        for batch in DataLoader(build_eval_dataset(self.cfg), self.cfg.TEST.BATCH_SIZE):
            for what, errors in self._batch_errors(batch).items():
                found.setdefault(what, []).append(errors)
        return {what: torch.cat(errors) for what, errors in found.items()}

    def _batch_errors(self, batch):
        batch = {key: value.to(self.device) for key, value in batch.items() if isinstance(value, torch.Tensor)}
        flat, n_views = flatten_views(batch)
        start = self.network(flat['img']).final
        pose = rotmat_to_axis_angle(start.rotmat).flatten(1)
        translation = camera_to_translation(start.camera)
        points = flat['keypoints'].clone()
        points[..., :2] = (points[..., :2] + 1) * FIT_SIZE / 2
        center = points.new_full((len(points), 2), FIT_SIZE / 2)
        alone = self.smplify(pose, start.betas, translation, center, points)
        grouped = [value.unflatten(0, (-1, n_views)) for value in (translation, center, points)]
        # Each view has its own orientation. The body starts from the first view's estimate.
        poses, betas = pose.unflatten(0, (-1, n_views)), start.betas.unflatten(0, (-1, n_views))[:, 0]
        free = self.smplify(poses, betas, *grouped)
        calibrated = self.smplify(poses, betas, *grouped, camera_rotation=batch['camera_rotation'])
        truth = self._joints(flat['betas'], flat['pose'])

        def error(betas, pose):
            return pa_mpjpe(self._joints(betas, pose), truth).float().cpu()

        def shared(fit):
            return error(fit.betas.repeat_interleave(n_views, 0), fit.view_pose.flatten(0, 1))

        return {'before': error(start.betas, pose), '1 view': error(alone.betas, alone.pose), '4 views': shared(free),
                '4 views, calibrated': shared(calibrated)}

    def _joints(self, betas, pose):
        body = self.network.body(betas, pose=pose)
        joints = self.joints(body.skeleton)
        return joints[:, H36M_TO_J14] - joints[:, :1]


def row(what, errors):
    low, high = bootstrap_interval(errors['pa_mpjpe'])
    others = ' | '.join(f'{errors[metric].nanmean():.1f}' if metric in errors else '' for metric in ('mpjpe', 'pve'))
    return f'| {what} | {errors["pa_mpjpe"].mean():.1f} | {low:.1f} to {high:.1f} | {others} |'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', default='data', help='asset folder')
    parser.add_argument('--logs', help='folder of the two runs; default: a temporary one')
    parser.add_argument('--steps', type=int, default=2000, help='training steps of each network')
    parser.add_argument('--fusion', default='attention', help='attention or avg')
    parser.add_argument('--misc', nargs='*', default=[], metavar='KEY VALUE', help='other config keys')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        common = ['PATHS.DATA_DIR', args.data, 'LOG_DIR', args.logs or scratch, 'MULTIVIEW.FUSION', args.fusion,
                  *args.misc]
        single, hmr = train(common + SINGLE, args.steps, PICTURES)
        several, multi_spin = train(common, args.steps, GROUPS)
    print('| held-out people, mm | PA-MPJPE | 95 % interval | MPJPE | PVE |\n| --- | ---: | ---: | ---: | ---: |')
    print(row('hmr, 1 view', network_errors(single, hmr, 0)))
    for n in VIEWS:
        print(row(f'multi_spin, {n} view{"s" * (n > 1)}', network_errors(several, multi_spin, n)), flush=True)
    for what, errors in Fitting(several, multi_spin).errors().items():
        print(row(f'SMPLify, {what}', {'pa_mpjpe': errors}))


if __name__ == '__main__':
    run_main(main)

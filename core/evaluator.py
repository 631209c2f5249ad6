"""Evaluation of a regressor on one dataset: errors of every stage, sample by sample."""
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from core.metrics import bootstrap_interval, mpjpe, pa_mpjpe, pve
from core.supervision import flatten_views
from models.body import load_bodies
from utils.keypoints import H36M_TO_J14, J24_TO_J14

METRICS = {'mpjpe': 'MPJPE', 'pa_mpjpe': 'PA-MPJPE', 'pve': 'PVE'}


@dataclass
class Evaluation:
    """Errors in millimetres. errors: {metric: [N, stages]}; stage 0 is the mean pose where there is one."""
    dataset: str
    errors: dict

    def mean(self, metric, stage=-1):
        """Mean over the samples that have this error; NaN where none has."""
        return float(self.errors[metric][:, stage].nanmean())

    def table(self):
        """The errors of every stage as Markdown, with the 95 % bootstrap interval of the last stage's."""
        names = [name for name in METRICS if name in self.errors]
        stages = next(iter(self.errors.values())).shape[1]
        lines = [f'| {self.dataset}, mm | {" | ".join(METRICS[name] for name in names)} |',
                 f'| --- |{" ---: |" * len(names)}']
        for stage in range(stages):
            label = 'mean pose' if stage == 0 and stages > 1 else f'stage {stage}'
            lines.append(f'| {label} | {" | ".join(f"{self.mean(name, stage):.1f}" for name in names)} |')
        lines.append(f'| 95 % interval | {" | ".join(self._interval(name) for name in names)} |')
        return '\n'.join(lines)

    def _interval(self, name):
        values = self.errors[name][:, -1]
        low, high = bootstrap_interval(values[~values.isnan()])
        return f'{low:.1f} to {high:.1f}'


class Evaluator:
    """Compares estimates with ground truth by the 14 LSP joints regressed from H36M's regressor (3DPW's protocol).

    Where a sample has a ground-truth body its gendered mesh gives the joints; where it has 3D joints only, those count
    and PVE is absent. Joints are centred at the pelvis. Only errors are kept, so memory does not grow with meshes.
    """

    def __init__(self, cfg, body):
        self.cfg = cfg
        self.bodies = load_bodies(cfg.PATHS.DATA_DIR)
        self.bodies['neutral'] = body
        self.joints = body.vertex_set(body.regressor_file('J_regressor_h36m.npy', rows=17))

    @torch.no_grad()
    def evaluate(self, regressor, dataset, name, device, progress=True):
        """Errors of `regressor` on `dataset` -> Evaluation. The module's training mode is put back afterwards."""
        self.bodies.to(device)
        self.joints.to(device)
        was_training = regressor.training
        regressor.eval()
        try:
            rows = [self._errors(regressor, batch, device)
                    for batch in tqdm(self._loader(dataset), desc=f'evaluate {name}', disable=not progress)]
        finally:
            regressor.train(was_training)
        return Evaluation(name, {metric: torch.cat([row[metric] for row in rows]) for metric in rows[0]})

    def _loader(self, dataset):
        if self.cfg.TEST.MAX_SAMPLES:
            dataset = torch.utils.data.Subset(dataset, range(min(self.cfg.TEST.MAX_SAMPLES, len(dataset))))
        # A generator of its own, so that validating does not disturb the random stream of a training run.
        return DataLoader(dataset, self.cfg.TEST.BATCH_SIZE, num_workers=min(self.cfg.TRAIN.NUM_WORKERS, 8),
                          generator=torch.Generator())

    def _errors(self, regressor, batch, device):
        out = regressor(batch['img'].to(device, non_blocking=True))
        batch, _ = flatten_views(batch)
        truth, vertices = self._ground_truth(batch, device)
        known = (batch['has_smpl'] | batch['has_joints_3d']).bool()
        stages = [stage.skeleton for stage in out.stages]
        joints = [self._centred(self.joints(skeleton)) for skeleton in stages]
        errors = {'mpjpe': [mpjpe(j, truth) for j in joints], 'pa_mpjpe': [pa_mpjpe(j, truth) for j in joints]}
        if self.cfg.TEST.EVAL_PVE:
            errors['pve'] = [pve(stage.vertices, vertices) for stage in out.stages]
        masks = {'pve': batch['has_smpl'].bool()}
        return {name: torch.where(masks.get(name, known)[:, None], torch.stack(values, 1).float().cpu(), torch.nan)
                for name, values in errors.items()}

    def _centred(self, h36m_joints):
        """17 H36M joints -> the 14 LSP joints relative to the pelvis."""
        return h36m_joints[:, H36M_TO_J14] - h36m_joints[:, :1]

    def _ground_truth(self, batch, device):
        """(14 centred joints [B,14,3], vertices [B,V,3]) from the body of each sample's gender, or from 3D joints."""
        pose, betas, gender = (batch[key].to(device) for key in ('pose', 'betas', 'gender'))
        vertices = pose.new_zeros(len(pose), self.bodies['neutral'].num_vertices, 3)
        for code, name in ((-1, 'neutral'), (0, 'male'), (1, 'female')):
            rows = gender == code
            if rows.any():
                vertices[rows] = self.bodies[name](betas[rows], pose=pose[rows]).vertices
        from_body = self._centred(self._regress(vertices))
        annotated = batch['joints_3d'].to(device)
        pelvis = annotated[:, 2:4, :3].mean(1, keepdim=True)
        from_joints = annotated[:, J24_TO_J14, :3] - pelvis
        joints = torch.where(batch['has_smpl'].to(device).bool()[:, None, None], from_body, from_joints)
        return joints, vertices

    def _regress(self, vertices):
        return self.joints.matrix @ vertices[:, self.joints.vertex_index]

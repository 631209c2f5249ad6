"""Evaluation of a regressor on one dataset: the errors of every stage and sample."""
from dataclasses import dataclass, field

import torch
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from core.batches import checked_output, extra_inputs, flatten_views
from core.evaluation import report
from core.evaluation.motion import Motion
from core.evaluation.protocols import METRIC_TITLES, POSE_METRICS, group_of, protocol_of
from core.evaluation.sharding import ErrorTable, share_of
from core.evaluation.smplx_truth import SmplxTruth
from core.loading import batches_of, worker_options
from core.metrics import auc, joint_errors, masked_mean, pck, procrustes_align, pve
from models.body import BodyModel
from utils.distributed import gathered, share_buffers
from utils.errors import MissingFile
from utils.geometry import in_full_precision
from utils.keypoints import HIPS, PELVIS, SMPL_JOINTS, has_root
from utils.logging import get_logger

_SMPL_HIPS = [SMPL_JOINTS.index('left_hip'), SMPL_JOINTS.index('right_hip')]


@dataclass
class Evaluation:
    """Errors of N samples.

    errors: {metric: [N, stages]} in the units of `METRIC_UNITS`. NaN: the sample has no ground truth for the metric.
    Stage 0 is the mean pose if the regressor returns it. groups: one name per sample, or empty.
    """
    dataset: str
    errors: dict
    groups: list = field(default_factory=list)
    group_title: str = ''

    def mean(self, metric, stage=-1):
        """Mean over the samples that have this error. NaN if none has it."""
        return float(self.errors[metric][:, stage].nanmean())

    def rows(self):
        """One report.Row per stage, then one per group at the last stage."""
        stages = next(iter(self.errors.values())).shape[1]
        rows = [report.Row('stage', 'mean pose' if stage == 0 and stages > 1 else f'stage {stage}',
                           self._scores(stage)) for stage in range(stages)]
        numbers = {name: number for number, name in enumerate(sorted(set(self.groups)))}
        groups = torch.tensor([numbers[name] for name in self.groups])
        for name, number in numbers.items():
            rows.append(report.Row(self.group_title, name, self._scores(-1, groups == number)))
        return rows

    def _scores(self, stage, selected=slice(None)):
        return {name: report.Score.of(errors[selected, stage]) for name, errors in self.errors.items()}

    def table(self):
        """Markdown table of the errors of every stage, with 95 % bootstrap intervals for the last stage."""
        return report.markdown(self)


@dataclass
class Truth:
    """Ground truth of a batch, in metres.

    joints [B,J,3]: relative to the root in the rows of has_root [B]. valid [B,J]. vertices [B,V,3] and the root of the
    body [B,1,3]: zeros in the rows without a body (has_body [B]).
    """
    joints: torch.Tensor
    valid: torch.Tensor
    has_root: torch.Tensor
    vertices: torch.Tensor
    has_body: torch.Tensor
    root: torch.Tensor

    @property
    def placed(self):
        """[B,J] bool: joints whose position relative to the root is known. MPJPE and PCK compare only these."""
        return self.valid & self.has_root[:, None]


@dataclass
class Observation:
    """One batch of an evaluation, as observers get it. Several views of a sample are consecutive rows.

    joints: the 17 H36M joints of the last stage [B,17,3]. compared: the joints of the protocol, then their root
    [B,J+1,3]. errors: {metric: [B, stages]}. joint_errors [B,J]: millimetres at the last stage, defined for joints in
    truth.placed. fresh [B]: False for a row that replaces an unreadable picture.
    """
    batch: dict
    out: object
    truth: Truth
    joints: torch.Tensor
    compared: torch.Tensor
    errors: dict
    joint_errors: torch.Tensor
    fresh: torch.Tensor


class Evaluator:
    """Compares estimates with ground truth by the protocol of a benchmark (core/evaluation/protocols.py).

    Meshes are discarded after each batch. Only errors stay in memory.
    """

    def __init__(self, cfg, body):
        self.cfg = cfg
        self.bodies = {'neutral': body}  # by gender; other genders are read when needed
        self.joints = body.vertex_set(body.regressor_file('J_regressor_h36m.npy', rows=17))
        self._mesh_joints, self._smplx = None, None  # set by `read_bodies` if the protocol needs them

    @torch.no_grad()
    def evaluate(self, regressor, dataset, name, device, progress=True, protocol=None, observers=(), log_every=0,
                 transform=None, stop=None):
        """Evaluate `regressor` on `dataset` -> Evaluation. Restores the module's training mode afterwards.

        Several processes share the dataset. All must call this method, and all get the whole Evaluation.

        protocol: by default that of `name`. observers: called with the Observation of every batch. log_every: number of
        batches between two log lines with the running means; 0 for none. transform: (images, batch) -> images, applied
        before the network. stop: called before every batch. Once it returns True in any process, the result is None.
        """
        protocol = protocol or protocol_of(name)
        was_training = regressor.training
        regressor.eval()
        share_buffers(regressor)
        self.read_bodies(dataset, protocol)
        table, seen, batches = ErrorTable(), set(), self.batches(dataset)
        motion = Motion.of(dataset, protocol)
        try:
            bar = tqdm(batches, total=self.num_batches(dataset), desc=f'evaluate {name}',
                       disable=not progress)
            for step, batch in enumerate(bar, 1):
                if stop is not None and stop():
                    break
                observed = self.observe(regressor, batch, protocol, device, transform)
                observed.fresh = _fresh_rows(observed.batch, seen)
                for observer in observers:
                    observer(observed)
                kept = motion.columns(observed) if motion else {}
                table.add({**observed.errors, **kept}, _groups_of(observed.batch, protocol), observed.fresh,
                          _unique_rows(observed.batch))
                if log_every and step % log_every == 0:
                    _log_running_means(name, table.running())
        finally:
            batches.close()
            regressor.train(was_training)
        if stop is not None and any(gathered(bool(stop()))):
            return None
        errors, groups = table.joined(self.cfg.TEST.N_VIEWS or 1)
        if motion and errors:
            motion.errors(errors)
        return Evaluation(name, _measured(errors), groups if protocol.groups else [], protocol.groups)

    def num_batches(self, dataset):
        """Number of batches of this process."""
        return -(-len(share_of(self._num_samples(dataset))) // self.cfg.TEST.BATCH_SIZE)

    def batches(self, dataset):
        """Load this process's share of the dataset, or of its first TEST.MAX_SAMPLES samples, in batches."""
        test, share = self.cfg.TEST, share_of(self._num_samples(dataset))
        if len(share) < len(dataset):
            dataset = Subset(dataset, share)
        # A separate generator, so that validation does not change the random stream of a training run.
        return batches_of(DataLoader(
            dataset, test.BATCH_SIZE, shuffle=test.SHUFFLE and not test.RESULT_FILE,
            generator=torch.Generator().manual_seed(self.cfg.SEED),
            pin_memory=torch.cuda.is_available() and self.cfg.DEVICE != 'cpu', **worker_options(self.cfg, most=8)))

    def _num_samples(self, dataset):
        return min(self.cfg.TEST.MAX_SAMPLES or len(dataset), len(dataset))

    @torch.no_grad()
    def observe(self, regressor, batch, protocol, device, transform=None):
        """Estimate and compare one batch -> Observation. All rows count as fresh."""
        self.joints.to(device)
        images = batch['img'].to(device, non_blocking=True)
        images = images if transform is None else transform(images, batch)
        batch, _ = flatten_views(batch)
        out = checked_output(regressor, regressor(images, *extra_inputs(regressor, batch, device)))
        with in_full_precision(torch.device(device).type):
            truth = self._ground_truth(batch, protocol, device)
            h36m = [stage.points(self.joints) for stage in out.stages]
            compared = [_compared(points, self._smpl_joints(stage, protocol), protocol.joints)
                        for points, stage in zip(h36m, out.stages)]
            errors, last = self._errors(out.stages, compared, truth, protocol)
        fresh = torch.ones(len(batch['gender']), dtype=torch.bool)
        return Observation(batch, out, truth, h36m[-1], compared[-1], errors, last, fresh)

    def _errors(self, stages, compared, truth, protocol):
        """Return {metric: [B, stages]} on the CPU, and the joint errors [B,J] of the last stage."""
        columns = []
        for stage, points in zip(stages, compared):
            distances = joint_errors(_centred(points), truth.joints)
            aligned = joint_errors(*procrustes_align(_centred(points), truth.joints, truth.valid))
            column = {'mpjpe': masked_mean(distances, truth.placed), 'pa_mpjpe': masked_mean(aligned, truth.valid)}
            if 'pck' in protocol.metrics:
                valid, placed = truth.valid[:, :14], truth.placed[:, :14]
                column.update(pck=pck(distances[:, :14], placed), auc=auc(distances[:, :14], placed),
                              pa_pck=pck(aligned[:, :14], valid), pa_auc=auc(aligned[:, :14], valid))
            if self.cfg.TEST.EVAL_PVE:
                shift = points[:, -1:] - truth.root if protocol.joints.of_smpl else 0
                column['pve'] = torch.where(truth.has_body, pve(stage.vertices - shift, truth.vertices), torch.nan)
            columns.append(column)
        return {name: torch.stack([column[name] for column in columns], 1).float().cpu()
                for name in METRIC_TITLES if name in columns[0]}, distances

    def _smpl_joints(self, stage, protocol):
        return stage.points(self._mesh_joints.to(stage.betas.device)) if protocol.joints.of_mesh else stage.smpl_joints

    def _ground_truth(self, batch, protocol, device):
        has_body = batch['has_smpl'].bool()
        if protocol.truth == 'smplx':
            has_body = torch.ones_like(has_body)
            vertices = self._smplx(batch['sample_index'], device)
            smpl_joints = self._mesh_joints.to(device).matrix @ vertices[:, self._mesh_joints.vertex_index]
        else:
            vertices, smpl_joints = self._true_bodies(batch, has_body, protocol.gendered, device)
        has_body = has_body.to(device)
        compared = _compared(self.joints.matrix @ vertices[:, self.joints.vertex_index], smpl_joints, protocol.joints)
        from_body = _centred(compared)
        annotated, valid, rooted = _annotated_joints(batch['joints_3d'].to(device), protocol.joints)
        valid &= batch['has_joints_3d'].to(device).bool()[:, None]
        use_body = has_body & ~(valid.any(1) & rooted) if protocol.truth == 'joints' else has_body
        return Truth(torch.where(use_body[:, None, None], from_body, annotated), valid | use_body[:, None],
                     rooted | use_body, vertices, has_body, compared[:, -1:])

    def _true_bodies(self, batch, has_body, gendered, device):
        """Ground-truth meshes [B,V,3] and SMPL joints [B,24,3]. Zeros in rows without a body.

        gendered: use the body of each person's gender.
        """
        neutral = self.bodies['neutral']
        vertices = torch.zeros(len(has_body), neutral.num_vertices, 3, device=device)
        smpl_joints = torch.zeros(len(has_body), len(SMPL_JOINTS), 3, device=device)
        gender = batch['gender'] if gendered else torch.full_like(batch['gender'], -1)
        for code, name in ((-1, 'neutral'), (0, 'male'), (1, 'female')):
            rows = torch.nonzero(has_body & (gender == code)).flatten()
            if len(rows):
                betas, pose = batch['betas'][rows].to(device), batch['pose'][rows].to(device)
                body = self._body(name).to(device)(betas, pose=pose)
                vertices[rows.to(device)], smpl_joints[rows.to(device)] = body.vertices, body.smpl_joints
        return vertices, smpl_joints

    def _body(self, gender):
        """The body of a gender. Raises MissingFile, since errors of another body do not follow the protocol."""
        if gender not in self.bodies:
            try:
                self.bodies[gender] = BodyModel(self.cfg.PATHS.DATA_DIR, gender)
            except MissingFile as error:
                raise MissingFile(f'the protocol compares people with the body of their gender, and some are {gender}: '
                                  f'{error}') from None
        return self.bodies[gender]

    def read_bodies(self, dataset, protocol=None):
        """Read the bodies that a dataset needs. An absent one raises before the first batch.

        Raises MissingFile, BadFile, WrongBody.
        """
        people, protocol = getattr(dataset, 'annotations', None), protocol or protocol_of(dataset.name)
        neutral = self.bodies['neutral']
        if protocol.joints.of_mesh and self._mesh_joints is None:
            self._mesh_joints = neutral.vertex_set(neutral.joint_regressor)
        if protocol.truth == 'smplx':
            if self._smplx is None or self._smplx.annotations is not people:
                self._smplx = SmplxTruth(self.cfg, people, dataset.source_name, neutral.num_vertices)
        elif people is not None and protocol.gendered:
            for code, name in ((0, 'male'), (1, 'female')):
                if (people.has_smpl & (people.gender == code)).any():
                    self._body(name)


def _compared(h36m_joints, smpl_joints, joint_set):
    """Select the joints of a JointSet, then their root -> [B,J+1,3]. The root is the pelvis of the 17 H36M joints, or
    the midpoint of the hips of the 24 SMPL joints."""
    if joint_set.of_smpl:
        return torch.cat([smpl_joints, smpl_joints[:, _SMPL_HIPS].mean(1, keepdim=True)], 1)
    return torch.cat([h36m_joints[:, joint_set.from_h36m], h36m_joints[:, :1]], 1)


def _centred(compared):
    """Subtract the root: joints and root [B,J+1,3] -> joints [B,J,3]."""
    return compared[:, :-1] - compared[:, -1:]


def _annotated_joints(joints, joint_set):
    """Common joints [B,24,4] -> (joints of a JointSet [B,J,3], valid [B,J], which rows have a root [B]).

    Joints are relative to the pelvis, or to the midpoint of the hips if the pelvis is not annotated. Published files
    are centred at the pelvis already. Rows without a root are unchanged; only PA-MPJPE may use them, since it aligns.
    """
    pelvis, hips = joints[:, PELVIS], joints[:, HIPS, :3].mean(1)
    rooted = has_root(joints[..., 3])
    root = torch.where(pelvis[:, 3:] > 0, pelvis[:, :3], hips) * rooted[:, None]
    if joint_set.of_smpl:  # no dataset annotates these
        return joints.new_zeros(joints.shape[:2] + (3,)), joints.new_zeros(joints.shape[:2], dtype=torch.bool), rooted
    chosen = joints[:, joint_set.from_common]
    return chosen[..., :3] - root[:, None], chosen[..., 3] > 0, rooted


def _fresh_rows(batch, seen):
    """[B] bool: rows that no earlier batch had. A row that replaces an unreadable picture must not count twice."""
    rows = _unique_rows(batch)
    if rows is None:
        return torch.ones(len(batch['gender']), dtype=torch.bool)
    fresh = torch.tensor([row not in seen and row not in rows[:place] for place, row in enumerate(rows)])
    seen.update(rows)
    return fresh


def _groups_of(batch, protocol):
    """The group of each row of a flattened batch."""
    return [group_of(protocol, path) if protocol.groups else '' for path in batch['imgname']]


def _unique_rows(batch):
    """Row of each sample in the annotation file. None for windows over views, which repeat rows on purpose."""
    return None if 'camera_rotation' in batch else batch['sample_index'].tolist()


def _measured(errors):
    """The metrics that at least one sample has ground truth for."""
    return {name: values for name, values in errors.items()
            if name in POSE_METRICS[:2] or name in METRIC_TITLES and not values.isnan().all()}


def _log_running_means(name, errors):
    means = ', '.join(f'{METRIC_TITLES[metric]} {values[:, -1].nanmean():.1f}' for metric, values in
                      _measured(errors).items())
    get_logger().info(f'{name}: {means} after {len(next(iter(errors.values())))} samples')

"""What each benchmark measures: joints, ground truth, metrics, and the groups of its tables.

Joint sets and centring follow SPIN's and PyMAF's evaluation code. J_regressor_h36m computes the predicted joints from
the mesh, and the pelvis is subtracted. The ground truth is annotated joints or the joints of a body.
"""
from dataclasses import dataclass
from pathlib import PurePosixPath

from datasets.mpi_inf_3dhp import read_shot
from utils.keypoints import COMMON_JOINTS, H36M_TO_J14, H36M_TO_J17, J24_TO_J14, J24_TO_J17, SMPL_JOINTS

POSE_METRICS = ('mpjpe', 'pa_mpjpe', 'pve')
MOTION_UNITS = {'accel': 'm/s^2', 'jitter': '10 m/s^3'}
PCK_METRICS = ('pck', 'auc', 'pa_pck', 'pa_auc')
# COCO's keypoint scores, in the order of COCOeval.stats.
COCO_METRICS = ('AP', 'AP .5', 'AP .75', 'AP (M)', 'AP (L)', 'AR', 'AR .5', 'AR .75', 'AR (M)', 'AR (L)')
METRIC_TITLES = {
    'mpjpe': 'MPJPE', 'pa_mpjpe': 'PA-MPJPE', 'pve': 'PVE', 'pck': 'PCK@150', 'auc': 'AUC', 'pa_pck': 'PA-PCK@150',
    'pa_auc': 'PA-AUC', 'accel': 'acceleration error', 'jitter': 'jitter',
    'mask_accuracy': 'mask accuracy', 'mask_f1': 'mask F1', 'part_accuracy': 'part accuracy',
    'part_f1': 'part F1', **{name: name for name in COCO_METRICS}}
METRIC_UNITS = {name: 'mm' if name in POSE_METRICS else MOTION_UNITS.get(name, '%') for name in METRIC_TITLES}


@dataclass(frozen=True)
class JointSet:
    """The joints to compare: rows of the 17 H36M joints and of the 24 common joints, in the same order.

    of_smpl: compare SMPL's 24 joints instead, relative to the midpoint of the hips. of_mesh: compute them by SMPL's
    joint regressor from the posed mesh.
    """
    from_h36m: tuple = ()
    from_common: tuple = ()
    of_smpl: bool = False
    of_mesh: bool = False

    @property
    def names(self):
        return SMPL_JOINTS if self.of_smpl else tuple(COMMON_JOINTS[i] for i in self.from_common)


J14 = JointSet(tuple(H36M_TO_J14), tuple(J24_TO_J14))
J17 = JointSet(tuple(H36M_TO_J17), tuple(J24_TO_J17))
SMPL24 = JointSet(of_smpl=True)
SMPL24_OF_MESH = JointSet(of_smpl=True, of_mesh=True)
# SMPL joints that EMDB's jitter ignores: pelvis, ankles, feet, wrists, hands. They count as 0 in its mean over 24.
_EMDB_STILL = (0, 7, 8, 10, 11, 20, 21, 22, 23)


@dataclass(frozen=True)
class Protocol:
    """One benchmark.

    truth: 'body': joints of the ground-truth mesh, or the annotated 3D joints if a sample has no mesh; 'joints': the
    annotated 3D joints, or those of the mesh if a sample has no joints; 'smplx': joints of SMPL-X's mesh, converted to
    SMPL's vertices. gendered: the mesh has the person's gender, as 3DPW requires; otherwise it is neutral. groups:
    groups of the tables ('action', 'sequence' or ''), see `group_of`. segmentation: compare silhouettes and parts
    instead of joints. still_joints: joints whose jitter counts as 0.
    PCK and AUC use the first 14 joints. Acceleration error and jitter need rows that are frames of sequences.
    """
    joints: JointSet = J14
    truth: str = 'body'
    gendered: bool = True
    metrics: tuple = POSE_METRICS
    groups: str = ''
    segmentation: bool = False
    still_joints: tuple = ()


PROTOCOLS = {
    'h36m-p1': Protocol(truth='joints', gendered=False, groups='action'),
    'h36m-p2': Protocol(truth='joints', gendered=False, groups='action'),
    'h36m-p2-mosh': Protocol(truth='joints', gendered=False, groups='action'),
    '3dpw': Protocol(groups='sequence'),
    'mpi-inf-3dhp': Protocol(joints=J17, truth='joints', gendered=False, metrics=POSE_METRICS + PCK_METRICS,
                             groups='sequence'),
    'mpi-inf-3dhp-s8': Protocol(joints=J17, truth='joints', gendered=False, metrics=POSE_METRICS + PCK_METRICS,
                                groups='sequence'),
    '3doh50k': Protocol(truth='joints', gendered=False),
    'lsp': Protocol(segmentation=True),
    # evaluate_rich.py of WHAM's repository, hmr_trainer.py of BEDLAM's.
    'rich': Protocol(joints=SMPL24_OF_MESH, truth='smplx', groups='sequence'),
    # compute_positional_errors and compute_jitter of EMDB's repository.
    'emdb1': Protocol(joints=SMPL24, groups='sequence', still_joints=_EMDB_STILL),
    'emdb2': Protocol(joints=SMPL24, groups='sequence', still_joints=_EMDB_STILL),
}
DEFAULT = Protocol()


def protocol_of(name):
    """The Protocol of a dataset. The free datasets and a user's own follow that of 3DPW, without groups."""
    return PROTOCOLS.get(name, DEFAULT)


def group_of(protocol, imgname):
    """The group of a picture, read from its path, or ''.

    Human3.6M: 'S9_Walking_1.60457274_000001.jpg' is of action Walking. 3DPW: 'imageFiles/SEQUENCE/image_00000.jpg'.
    MPI-INF-3DHP: 'mpi_inf_3dhp_test_set/TS1/imageSequence/img_000001.jpg' is of sequence TS1, and
    'S8/Seq1/imageFrames/video_0/frame_000001.jpg' of S8/Seq1. EMDB: 'P0/SEQUENCE/images/00000.jpg' is of P0/SEQUENCE.
    RICH: 'test/SEQUENCE/cam_00/00150_00.jpeg' is of SEQUENCE.
    """
    path = PurePosixPath(imgname.replace('\\', '/'))
    if protocol.groups == 'action':
        words = path.name.split('.')[0].split('_')
        return words[1] if len(words) > 1 else ''
    if protocol.groups == 'sequence':
        shot = read_shot(imgname)
        if shot is not None:
            return f'S{shot.subject}/Seq{shot.sequence}'
        if path.parent.name == 'images':
            return '/'.join(path.parts[-4:-2])
        parents = path.parent.name, path.parent.parent.name
        return parents[1] if parents[0].startswith(('imageSequence', 'cam_')) else parents[0]
    return ''

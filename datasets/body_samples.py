"""Poses and shapes of people without pictures, the real samples of the discriminator."""
import numpy as np

from utils.errors import BadFile
from utils.safe_io import as_numbers, load_npz

_POOL = 8192


def read_body_samples(path):
    """Read (body_pose [N,69] axis-angle, betas [N,10]) float32 from an `.npz`.

    The keys are `body_pose` and `betas` [N,10], or AMASS's `poses` and `betas`. `body_pose` is [N,69], or [N,72] with
    the root first (4D-Humans' mocap file). `poses` is [N,72] with SMPL's 24 joints, or wider with SMPL-H's, of which
    the 21 body joints are used; its `betas` are [>=10], or have one row per pose. Raises MissingFile, BadFile.
    """
    raw = load_npz(path)
    pose = _body_pose(raw, path)
    if 'betas' not in raw:
        raise BadFile(f"{path}: no key 'betas'")
    betas = np.atleast_2d(raw['betas'])[:, :10]
    betas = as_numbers(np.broadcast_to(betas, (len(pose), betas.shape[1])) if len(betas) == 1 else betas,
                       f'{path}: betas', (len(pose), 10), np.float32)
    return pose, betas


def _body_pose(raw, path):
    if 'body_pose' in raw:
        pose = np.atleast_1d(raw['body_pose'])
        pose = pose.reshape(len(pose), -1)
        pose = pose[:, 3:] if pose.shape[1] == 72 else pose
        return as_numbers(pose, f'{path}: body_pose', (len(pose), 69), np.float32)
    if 'poses' not in raw:
        raise BadFile(f"{path}: neither 'body_pose' [N,69 or 72] nor 'poses' [N,72 or more]; use another file")
    poses = np.asarray(raw['poses'])
    if poses.ndim != 2 or not len(poses) or poses.shape[1] < 66:
        raise BadFile(f'{path}: poses has shape {list(poses.shape)}, but must be [N,72 or more]')
    body = poses[:, 3:66]
    hands = poses[:, 66:72] if poses.shape[1] == 72 else np.zeros((len(poses), 6), poses.dtype)
    return as_numbers(np.concatenate([body, hands], 1), f'{path}: poses', (len(poses), 69), np.float32)


def sampled_bodies(seed, count=_POOL):
    """Draw (body_pose [count,69], betas [count,10]) float32 with the project's pose sampler."""
    from datasets.synthetic.people import sample_betas
    from datasets.synthetic.poses import sample_poses  # imports packages of the renderer
    rng = np.random.default_rng([seed, 69])
    poses = sample_poses(rng, count)[:, 3:]
    return poses.astype(np.float32), np.stack([sample_betas(rng) for _ in range(count)]).astype(np.float32)

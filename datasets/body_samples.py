"""Poses and shapes of people without pictures: what a discriminator of bodies learns from."""
import numpy as np

from utils.errors import BadFile
from utils.safe_io import as_numbers, load_npz

_POOL = 8192


def read_body_samples(path):
    """(body_pose [N,69] axis-angle, betas [N,10]) float32 of an `.npz`.

    Two forms are read: `body_pose` [N,72] (the root first, as 4D-Humans' mocap file has it) or [N,69], and `betas`
    [N,10]; and AMASS's `poses` [N,72 or more] (SMPL's 24 joints, or SMPL-H's, of which the 21 body joints count) with
    one `betas` [>=10] or one a row. Raises MissingFile, BadFile.
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
        raise BadFile(f"{path}: neither 'body_pose' [N,69 or 72] nor 'poses' [N,72 or more]; no body samples")
    poses = np.asarray(raw['poses'])
    if poses.ndim != 2 or not len(poses) or poses.shape[1] < 66:
        raise BadFile(f'{path}: poses has shape {list(poses.shape)}, wanted [N,72 or more]')
    body = poses[:, 3:66]
    hands = poses[:, 66:72] if poses.shape[1] == 72 else np.zeros((len(poses), 6), poses.dtype)
    return as_numbers(np.concatenate([body, hands], 1), f'{path}: poses', (len(poses), 69), np.float32)


def sampled_bodies(seed, count=_POOL):
    """The same of `count` bodies that the project's own pose sampler draws from `seed`."""
    from datasets.synthetic.people import sample_betas
    from datasets.synthetic.poses import sample_poses  # brings in what only rendering needs
    rng = np.random.default_rng([seed, 69])
    poses = sample_poses(rng, count)[:, 3:]
    return poses.astype(np.float32), np.stack([sample_betas(rng) for _ in range(count)]).astype(np.float32)

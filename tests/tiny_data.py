"""A dataset of a few pictures, written in SPIN's format into an asset folder."""
import cv2
import numpy as np
import torch

from models.body import BodyModel
from utils.geometry import project


def write_tiny_dataset(assets, name, split, count=12, size=96, seed=0, with_body=None):
    """Noise pictures with a random body each and every label of the format. with_body [count]: rows with has_smpl."""
    rng = np.random.default_rng(seed)
    body = BodyModel(assets)
    pose = rng.normal(0, .2, (count, 72)).astype(np.float32)
    pose[:, :3] += [np.pi, 0, 0]
    betas = rng.normal(0, .5, (count, 10)).astype(np.float32)
    with torch.no_grad():
        posed = body(torch.from_numpy(betas), pose=torch.from_numpy(pose))
        flat = project(posed.joints, torch.tensor([[.8, 0, .2]]).expand(count, -1)).numpy()
    keypoints = np.concatenate([(flat + 1) * size / 2, np.ones((count, 49, 1))], -1)
    folder = assets / 'datasets' / name
    folder.mkdir(parents=True, exist_ok=True)
    names = [f'{split}_{i}.jpg' for i in range(count)]
    for file in names:
        cv2.imwrite(str(folder / file), rng.integers(0, 255, (size, size, 3), dtype=np.uint8))
    joints = np.concatenate([posed.joints[:, 25:].numpy(), np.ones((count, 24, 1))], -1)
    (assets / 'dataset_extras').mkdir(exist_ok=True)
    path = assets / 'dataset_extras' / f'{name}_{split}.npz'
    np.savez(path, imgname=names, center=np.full((count, 2), size / 2), scale=np.full(count, size / 200),
             part=keypoints[:, 25:], openpose=keypoints[:, :25], pose=pose, shape=betas, S=joints,
             has_smpl=np.ones(count) if with_body is None else np.asarray(with_body, float))
    return path

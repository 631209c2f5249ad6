"""Asset folders that share files, and a dataset of a few pictures in SPIN's format."""
import cv2
import numpy as np
import torch

from models.body import BodyModel
from utils.geometry import project
from utils.safe_io import load_pickle


def link_assets(assets, folder, leave_out=()):
    """Link the entries of an asset folder into `folder`, except those with these names."""
    for entry in assets.iterdir():
        if entry.name not in leave_out:
            (folder / entry.name).symlink_to(entry)


def write_gendered_assets(standin, folder, steps):
    """Link the stand-in files into `folder` and write its body by gender, moved along the first of betas.

    steps: {'NEUTRAL', 'MALE' or 'FEMALE': betas[0] of the gender's template}.
    """
    link_assets(standin, folder, leave_out=[entry.name for entry in standin.iterdir() if entry.is_dir()])
    body = load_pickle(standin / 'smpl/SMPL_NEUTRAL.pkl')
    body['J_regressor'] = body['J_regressor'].toarray()
    (folder / 'smpl').mkdir()
    for gender, step in steps.items():
        template = body['v_template'] + step * body['shapedirs'][..., 0]
        np.savez(folder / f'smpl/SMPL_{gender}.npz', **{**body, 'v_template': template})


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

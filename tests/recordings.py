"""Recordings of bodies that move smoothly, for tests of the demo's files."""
import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from utils.recording import PersonTrack, Recording

WIDTH, HEIGHT, FOCAL = 640, 480, 700.0


def smooth_poses(rng, count):
    """[count,72] axis-angle: upright before the camera, turning, limbs moving by about 20 degrees."""
    pose = gaussian_filter1d(rng.normal(size=(count + 60, 72)), 8, axis=0)[30:30 + count]
    pose *= 0.35 / max(pose.std(), 1e-6)
    # Half a turn about x, then a growing turn about the body's own axis.
    half = np.linspace(0, 0.6, count)
    pose[:, :3] = np.pi * np.stack([np.cos(half), np.zeros(count), np.sin(half)], axis=1)
    return pose.astype(np.float32)


def make_person(body, number, frames, rng):
    count = len(frames)
    pose = smooth_poses(rng, count)
    betas = (rng.normal(size=10) + 0.05 * rng.normal(size=(count, 10))).astype(np.float32)
    with torch.no_grad():
        joints = body(torch.from_numpy(betas), pose=torch.from_numpy(pose)).joints.numpy()
    place = np.stack([np.linspace(-0.2, 0.2, count) + 1.2 * (number - 1.5), np.zeros(count), np.full(count, 3.5)], 1)
    placed = joints + place[:, None]
    keypoints = FOCAL * placed[..., :2] / placed[..., 2:] + (WIDTH / 2, HEIGHT / 2)
    boxes = np.concatenate([keypoints.min(1), keypoints.max(1)], axis=1)
    as_float = (boxes, pose, betas, np.ones((count, 3)), place, joints, keypoints)
    return PersonTrack(number, np.asarray(frames), *(np.asarray(array, np.float32) for array in as_float))


def make_recording(body, frames=30, source='walk.mp4', times=None, seed=0):
    """Two people; the second is absent at both ends and for a while in the middle, so from one frame altogether."""
    rng = np.random.default_rng(seed)
    second = [i for i in range(2, frames - 2) if not frames // 2 <= i < frames // 2 + 4]
    people = [make_person(body, number, seen, rng) for number, seen in ((1, range(frames)), (2, second)) if len(seen)]
    times = np.arange(frames) / 30 if times is None else times
    return Recording(source, WIDTH, HEIGHT, times, FOCAL, str(body.file), body.digest, people)

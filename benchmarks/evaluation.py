"""Images per second of the evaluation loop over those of the network alone: python -m benchmarks.evaluation

Both run in turns on the same pictures in one process, so that other work on the machine affects both. The loop reads
pictures from disk, cuts crops, runs the network and computes every metric of every stage.
"""
import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from core.config import load_config
from core.devices import prepared
from core.evaluation.evaluator import Evaluator
from datasets.annotations import Annotations
from datasets.image_dataset import ImageDataset
from models import build_regressor


def write_set(folder, digest, count):
    """`count` people in pictures of 500 x 400 pixels, with a ground-truth body each -> annotation file."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = rng.integers(0, 255, (25, 20, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{number}.jpg'), cv2.resize(coarse, (400, 500), interpolation=cv2.INTER_CUBIC))
    pose = rng.normal(0, .2, (count, 72)).astype(np.float32)
    Annotations.blank([f'{number}.jpg' for number in range(count)], np.full((count, 2), [200., 250.]),
                      np.full(count, 2.2), pose=pose, betas=rng.normal(0, 1, (count, 10)).astype(np.float32),
                      has_smpl=np.ones(count, bool), gender=np.arange(count, dtype=np.int8) % 2,
                      body_digest=digest).save(folder / 'bench.npz')
    return folder / 'bench.npz'


def network_seconds(regressor, batches, device):
    """(seconds, CPU seconds of this process) of the forward passes alone, inputs on the device."""
    with torch.no_grad():
        return _timed(lambda: [regressor(images) and None for images in batches], device)


def loop_seconds(evaluator, regressor, dataset, device):
    """(seconds, CPU seconds of this process) of the whole loop; without loader processes."""
    return _timed(lambda: evaluator.evaluate(regressor, dataset, '3dpw', device, progress=False), device)


def _timed(work, device):
    _wait(device)
    start, cpu = time.perf_counter(), time.process_time()
    work()
    _wait(device)
    return np.array([time.perf_counter() - start, time.process_time() - cpu])


def _wait(device):
    if device.type == 'cuda':
        torch.cuda.synchronize()


def measure(cfg_file='pymaf.yaml', data_dir='data', samples=256, batch_size=32, workers=2, rounds=3, device='cpu'):
    """-> (config, seconds and processor seconds of the network alone [rounds,2], of the whole loop [rounds,2])"""
    device = prepared(torch.device(device))
    with tempfile.TemporaryDirectory() as name:
        cfg = load_config(cfg_file, [
            'PATHS.DATA_DIR', data_dir, 'TEST.BATCH_SIZE', batch_size, 'TRAIN.NUM_WORKERS', workers,
            'MODEL.BACKBONE.PRETRAINED', '', 'PATHS.IMAGE_DIRS', [f'bench={name}']])
        regressor = build_regressor(cfg).to(device).eval()
        file = write_set(Path(name), regressor.body.digest, samples)
        dataset, evaluator = ImageDataset(cfg, str(file), 'eval'), Evaluator(cfg, regressor.body)
        batches = [batch['img'].to(device) for batch in evaluator.batches(dataset)]
        network_seconds(regressor, batches[:2], device)
        loop_seconds(evaluator, regressor, dataset, device)
        taken = [(network_seconds(regressor, batches, device), loop_seconds(evaluator, regressor, dataset, device))
                 for _ in range(rounds)]
    return cfg, *(np.array(times) for times in zip(*taken))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--cfg_file', default='pymaf.yaml')
    parser.add_argument('--data_dir', default='data')
    parser.add_argument('--samples', type=int, default=256)
    parser.add_argument('--batch_size', type=int, default=32)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    args = parser.parse_args()
    cfg, alone, whole = measure(**vars(args))
    ratios, cpu_ratio = np.sort(alone[:, 0] / whole[:, 0]), np.median(alone[:, 1] / whole[:, 1])
    speeds = [args.samples / np.median(times[:, 0]) for times in (alone, whole)]
    print(f'{cfg.MODEL.REGRESSOR} ({cfg.MODEL.BACKBONE.NAME}): network {speeds[0]:.1f} images/s, evaluation loop '
          f'{speeds[1]:.1f} images/s, ratio {np.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f} in '
          f'{args.rounds} rounds), by CPU time of the main process {cpu_ratio:.2f}')


if __name__ == '__main__':
    main()

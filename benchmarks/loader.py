"""Time of a training sample over the time of decoding its JPEG alone, on one thread.

python -m benchmarks.loader [--images FOLDER] [--res 224] [--rounds 40]

Without `--images`, it makes pictures of COCO's size: smoothed noise whose JPEGs are as large as those of photographs.
"""
import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from torch.utils.data import default_collate

from core.config import default_config
from datasets.annotations import Annotations
from datasets.image_dataset import ImageDataset
from utils.errors import MissingFile, run_main

PEOPLE = 8


def make_pictures(folder, sizes=((640, 427), (1920, 1080)), seed=0):
    """Write a JPEG for each size (width, height): noise of several scales, about 0.45 bytes a pixel, as in COCO."""
    rng = np.random.default_rng(seed)
    for width, height in sizes:
        layers = [cv2.resize(rng.normal(0, sigma, (height // cell + 1, width // cell + 1, 3)).astype(np.float32),
                             (width, height), interpolation=cv2.INTER_CUBIC)
                  for cell, sigma in ((1, 12), (4, 20), (16, 28), (64, 40))]
        cv2.imwrite(str(Path(folder) / f'{width}x{height}.jpg'), np.clip(sum(layers) + 128, 0, 255).astype(np.uint8),
                    [cv2.IMWRITE_JPEG_QUALITY, 90])


def people_in(picture, side, seed=0):
    """Annotations of `PEOPLE` people, all labels present, boxes of `side` pixels around a picture's middle."""
    rng = np.random.default_rng(seed)
    height, width = cv2.imread(str(picture)).shape[:2]
    center = np.array([width, height]) / 2 + rng.uniform(-20, 20, (PEOPLE, 2))
    points = np.concatenate([rng.uniform(0, height, (PEOPLE, 49, 2)), np.ones((PEOPLE, 49, 1))], -1)
    return Annotations.blank(
        [picture.name] * PEOPLE, center, np.full(PEOPLE, side / 200), keypoints_2d=points.astype(np.float32),
        joints_3d=rng.normal(size=(PEOPLE, 24, 4)).astype(np.float32), has_joints_3d=np.ones(PEOPLE, bool),
        pose=rng.normal(0, 0.3, (PEOPLE, 72)).astype(np.float32), has_smpl=np.ones(PEOPLE, bool),
        smpl_keypoints_2d=points[:, :24].astype(np.float32), body_digest='benchmark')


def dataset_of(folder, picture, side, res, rotated_share):
    """An ImageDataset of `people_in` a picture, with a stand-in asset folder."""
    root = Path(folder)
    (root / 'MANIFEST.json').write_text('{"complete": true, "body_digest": "benchmark"}')
    (root / 'SMPL_NEUTRAL.npz').touch()
    file = root / f'{picture.stem}_{side}.npz'
    people_in(picture, side).save(file)
    cfg = default_config()
    cfg.PATHS.DATA_DIR, cfg.PATHS.IMAGE_DIRS = str(root), [f'{file.stem}={picture.parent}']
    cfg.DATA.IMG_RES, cfg.DATA.ROT_PROB = res, rotated_share
    return ImageDataset(cfg, str(file))


def milliseconds(calls, rounds):
    """Median milliseconds of several functions, in turns, so that other work on the machine affects all."""
    times = [[] for _ in calls]
    for round_index in range(rounds + 3):
        for call, kept in zip(calls, times):
            start = time.perf_counter()
            call(round_index)
            kept.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(kept[3:]) for kept in times]


def measure(images=None, res=224, rounds=40):
    """-> [dict]: picture, box, decode_ms, and a sample's time and ratio to decoding: plain, rotated, default."""
    cv2.setNumThreads(0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        if images is None:
            images = folder
            make_pictures(folder)
        pictures = sorted(p for p in Path(images).iterdir() if p.suffix.lower() in ('.jpg', '.jpeg'))
        if not pictures:
            raise MissingFile(f'{images}: no .jpg here')
        for picture in pictures[:6]:
            height = cv2.imread(str(picture)).shape[0]
            for side in (height // 2, height):
                rows.append(_measure_one(folder, picture, side, res, rounds))
    return rows


def _measure_one(folder, picture, side, res, rounds):
    def decode(_):
        return cv2.imread(str(picture), cv2.IMREAD_COLOR)
    calls = [decode]
    for share in (0.0, 1.0, 0.4):
        dataset = dataset_of(folder, picture, side, res, share)
        calls.append(lambda i, dataset=dataset: dataset[i, i % PEOPLE])
    samples = [dataset[0, i] for i in range(PEOPLE)]
    calls.append(lambda _: default_collate(samples))
    floor, plain, rotated, usual, collate = milliseconds(calls, rounds)
    return {'picture': picture.name, 'box': side, 'decode_ms': floor, 'plain_ms': plain, 'plain': plain / floor,
            'rotated_ms': rotated, 'rotated': rotated / floor, 'default_ms': usual, 'default': usual / floor,
            'collate_ms': collate / PEOPLE}


def main():
    parser = argparse.ArgumentParser(description='Time of a training sample over JPEG decoding alone.')
    parser.add_argument('--images', help='folder of JPEGs; default: made here')
    parser.add_argument('--res', type=int, default=224)
    parser.add_argument('--rounds', type=int, default=40)
    args = parser.parse_args()
    print('| picture | box px | decode ms | sample ms (ratio), unrotated | rotated | 40 % rotated | collate ms |')
    print('| --- | --- | --- | --- | --- | --- | --- |')
    for row in measure(args.images, args.res, args.rounds):
        cells = [f'{row[f"{kind}_ms"]:.2f} ({row[kind]:.2f})' for kind in ('plain', 'rotated', 'default')]
        print(f'| {row["picture"]} | {row["box"]} | {row["decode_ms"]:.2f} | {" | ".join(cells)} | '
              f'{row["collate_ms"]:.2f} |')


if __name__ == '__main__':
    run_main(main)

"""COCO keypoints of the estimated body, scored with pycocotools."""
import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pycocotools.cocoeval import COCOeval
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from core.batches import extra_inputs, mirrored
from core.devices import pick_device
from core.evaluation import report
from core.evaluation.pictures import PictureGrid
from core.evaluation.protocols import COCO_METRICS
from core.evaluation.run import load_regressor
from core.loading import batches_of, worker_options
from datasets.coco_keypoints import BOX_FACTOR, CocoKeypoints
from models import regressor_class
from utils.keypoints import COCO_JOINTS, J24_TO_COCO, NUM_OPENPOSE
from utils.pixels import from_continuous
from utils.safe_io import atomic_write

_FLIP = [COCO_JOINTS.index({'left': 'right', 'right': 'left'}.get(side, side) + name[len(side):])
         for name in COCO_JOINTS for side in [name.split('_')[0]]]


@dataclass
class CocoEvaluation:
    """stats: {'AP': value, 'AP .5': value, and so on} in [0, 1]. NaN: the dataset has no person of that size."""
    dataset: str
    stats: dict
    people: int

    def rows(self):
        return [report.Row('stage', 'keypoints', {name: report.Score(100 * value, np.nan, np.nan, self.people)
                                                  for name, value in self.stats.items()})]

    def table(self):
        return report.markdown(self)


@torch.no_grad()
def estimate_keypoints(regressor, dataset, cfg, device, progress=True, observers=()):
    """Estimate the COCO keypoints of every sample -> [N,17,2] float64, continuous pixels of the picture.

    TEST.FLIP averages them with the keypoints of the mirrored crop. observers: called with (batch, out).
    """
    rows = min(cfg.TEST.MAX_SAMPLES or len(dataset), len(dataset))
    loader = DataLoader(Subset(dataset, range(rows)), cfg.TEST.BATCH_SIZE, **worker_options(cfg, most=8))
    keypoints = np.zeros((rows, 17, 2))
    for batch in tqdm(batches_of(loader), total=len(loader), desc='evaluate coco', disable=not progress):
        out = _estimate(regressor, batch, device)
        points = _coco_points(out)
        if cfg.TEST.FLIP:
            flipped = _coco_points(_estimate(regressor, mirrored(batch), device))[:, _FLIP]
            points = (points + flipped * points.new_tensor([-1, 1])) / 2
        index = batch['sample_index'].numpy()
        keypoints[index] = crop_to_picture(points.cpu().numpy(), *dataset.crop_squares(index))
        for observer in observers:
            observer(batch, out)
    return keypoints


def _estimate(regressor, batch, device):
    return regressor(batch['img'].to(device, non_blocking=True), *extra_inputs(regressor, batch, device))


def _coco_points(out):
    return out.final.keypoints_2d[:, NUM_OPENPOSE:][:, J24_TO_COCO].double()


def crop_to_picture(points, center, scale):
    """Convert points [N,J,2] in [-1, 1] of a crop to pixels of the picture, without rounding."""
    return center[:, None] + points * (100 * scale)[:, None, None]


def as_results(dataset, keypoints):
    """Convert continuous keypoints [N,17,2] to COCO's results format, which counts pixels from 0.

    The score of a joint is 1. The score of a person is that of the box.
    """
    scored = np.concatenate([from_continuous(keypoints), np.ones((*keypoints.shape[:2], 1))], -1)
    flat = scored.reshape(len(keypoints), -1)
    boxes = zip(dataset.annotations.center, dataset.annotations.scale)
    return [{'image_id': int(dataset.image_ids[i]), 'category_id': 1, 'keypoints': flat[i].round(3).tolist(),
             'score': float(dataset.scores[i]), 'center': list(map(float, center)), 'scale': [float(scale)] * 2}
            for i, (center, scale) in zip(range(len(flat)), boxes)]


def score_results(coco, results, image_ids=None):
    """Compute COCO's ten keypoint scores of results (a list, or the path of a file) -> {name: value in [0, 1]}.

    image_ids: the pictures to score. By default all pictures of the annotation file.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        scorer = COCOeval(coco, coco.loadRes(results if isinstance(results, list) else str(results)), 'keypoints')
        if image_ids is not None:
            scorer.params.imgIds = sorted(set(map(int, image_ids)))
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    return {name: float(value) if value >= 0 else np.nan for name, value in zip(COCO_METRICS, scorer.stats)}


def _box_factor(cfg):
    """The margin of the boxes: the regressor's if its boxes are not square, else HRNet's."""
    regressor = regressor_class(cfg.MODEL.REGRESSOR)
    return regressor.box_margin if min(regressor.box_aspect, cfg.DATA.BOX_ASPECT) > 1 else BOX_FACTOR


def run_coco(cfg, checkpoint):
    """Evaluate a checkpoint on COCO and write the results file. Prints and returns the CocoEvaluation."""
    test = cfg.TEST
    subset = Path(test.COCO_ANNOTATIONS).stem.removeprefix('person_keypoints_') or test.COCO_SUBSET
    title = f'{Path(checkpoint).stem}_{subset}'
    path = Path(test.RESULT_FILE or Path(test.OUTPUT_DIR) / f'keypoints_{subset}_results_{Path(checkpoint).stem}.json')
    report.check_paths(test.REPORT, test.OVERWRITE)
    report.check_new([path], test.OVERWRITE)
    dataset = CocoKeypoints(cfg, _box_factor(cfg))
    device = pick_device(cfg)
    regressor = load_regressor(cfg, checkpoint, device)
    grid = PictureGrid(cfg, regressor.body.faces) if test.VIS_DEMO else None
    keypoints = estimate_keypoints(regressor, dataset, cfg, device, observers=[grid.add] if grid else [])
    results = as_results(dataset, keypoints)
    with atomic_write(path, 'w') as stream:
        json.dump(results, stream)
    partial = test.MAX_SAMPLES or test.VIS_IMNAME
    stats = score_results(dataset.coco, path, dataset.image_ids[:len(results)] if partial else None)
    evaluation = CocoEvaluation(f'coco {subset}', stats, len(results))
    print(f'\n{checkpoint}, {len(results)} people ({dataset.boxes})\n{report.console(evaluation)}\nresults: {path}')
    if grid:
        print(f'pictures: {grid.save(Path(test.OUTPUT_DIR) / f"{title}.png")}')
    for file in test.REPORT:
        report.write(evaluation, file)
        print(f'table: {file}')
    return evaluation

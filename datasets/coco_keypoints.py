"""People of COCO's keypoint validation sets, with boxes of the annotations, a detector or an annotation file."""
import contextlib
import io
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from datasets.annotations import Annotations
from datasets.catalog import ANNOTATION_FOLDERS, CATALOG, image_folder
from datasets.image_dataset import PersonDataset
from datasets.image_io import read_picture
from datasets.preprocess import square_box
from utils.assets import find_assets
from utils.errors import BadConfig, BadFile, MissingFile
from utils.keypoints import J24_TO_COCO, NUM_JOINTS, NUM_OPENPOSE
from utils.pixels import to_continuous
from utils.safe_io import as_numbers, load_json

BOX_FACTOR = 1.25  # side of the crop over the longer side of the box (HRNet's evaluation)
ANNOTATED = 'annotated'  # value of TEST.COCO_DETECTIONS for boxes of the annotations
_PUBLISHED = 'person_keypoints_val2014'  # PyMAF and DaNet publish rows and boxes for it
_PERSON = 1  # COCO's category


class CocoKeypoints(PersonDataset):
    """One sample per box. cfg.TEST names subset, annotation file, image folder and boxes.

    Attributes: coco: the ground truth, for COCOeval. image_ids [N] and scores [N] of the samples. annotations: their
    boxes and, with annotated boxes, their keypoints. boxes: text about the source of the boxes.

    TEST.COCO_DETECTIONS is the source: a file in COCO's results format (.json), an annotation file (.npz), or
    'annotated' for the boxes of the annotations (people with keypoints, no crowds). If it is empty and val2014 is
    evaluated, the source is coco_2014_val.npz of the published protocol if the asset folder has it; else 'annotated'.
    box_factor: side of the crop over the longer side of a detected or annotated box, widened to DATA.BOX_ASPECT.
    Raises MissingFile, BadFile.
    """

    def __init__(self, cfg, box_factor=BOX_FACTOR):
        super().__init__(cfg, 'coco', 'eval')
        test, self._box_factor = cfg.TEST, box_factor
        self.annotation_file = Path(test.COCO_ANNOTATIONS or default_annotations(cfg))
        self.coco = open_coco(self.annotation_file)
        self.images = Path(test.COCO_IMAGES) if test.COCO_IMAGES else _default_images(cfg)
        if not self.images.is_dir():
            raise MissingFile(f'{self.images}: no such image folder; give --images')
        self._names = {image['id']: image['file_name'] for image in self.coco.dataset['images']}
        source = test.COCO_DETECTIONS or str(_published_rows(cfg, self.annotation_file) or ANNOTATED)
        if source == ANNOTATED:
            rows, source = self._annotated_rows(), self.annotation_file
            self.boxes = f'annotated boxes of {source}, {box_factor} times the longer side'
        elif source.endswith('.npz'):
            rows, self.boxes = self._rows_of_file(source), f'rows and boxes of {source}'
        else:
            rows, self.boxes = self._detected_rows(source, test.MIN_SCORE), f'detected boxes of {source}'
        rows = [row for row in rows if test.VIS_IMNAME in self._names[row[0]]]
        if not rows:
            raise BadFile(f'{source}: no person to evaluate'
                          + (f' in pictures named {test.VIS_IMNAME!r}' if test.VIS_IMNAME else ''))
        ids, centers, scales, sizes, scores, keypoints = zip(*rows)
        self.image_ids, self.scores = np.array(ids), np.array(scores, np.float64)
        self.annotations = Annotations.blank([self._names[i] for i in ids], centers, scales,
                                             keypoints_2d=np.stack(keypoints), bbox_size=np.array(sizes, np.float64))
        self.say_unknown_shapes(self.annotations.has_box_shape(), source)

    def __len__(self):
        return len(self.annotations)

    def _read(self, epoch, index, box_factor):
        path = self.images / self.annotations.imgname[index]
        shrink = 1 if self.legacy else 200 * self.annotations.scale[index] / self.cfg.DATA.IMG_RES
        return read_picture(path, shrink), self.annotations.person(index), index, str(path)

    def _annotated_rows(self):
        """Rows (image id, center, scale, size, score, keypoints [49,3]) of the people with annotated keypoints."""
        rows = []
        for person in self.coco.loadAnns(self.coco.getAnnIds(catIds=[_PERSON], iscrowd=False)):
            box = self._clean_box(person)
            if box is None or not any(person['keypoints']):
                continue
            keypoints = np.zeros((NUM_JOINTS, 3), np.float32)
            known = np.array(person['keypoints'], np.float32).reshape(17, 3)
            known[:, 2] = known[:, 2] > 0
            keypoints[NUM_OPENPOSE + np.array(J24_TO_COCO)] = to_continuous(known)
            rows.append((person['image_id'], *square_box(*box, self._box_factor), 1.0, keypoints))
        return rows

    def _clean_box(self, person):
        """Box (x, y, width, height), clipped at the edges of the picture as in HRNet's evaluation. None if empty."""
        image = self.coco.imgs[person['image_id']]
        x, y, width, height = person['bbox']
        x, y = max(0, x), max(0, y)
        right = min(image['width'] - 1, x + max(0, width - 1))
        bottom = min(image['height'] - 1, y + max(0, height - 1))
        return (x, y, right - x, bottom - y) if person['area'] > 0 and right > x and bottom > y else None

    def _detected_rows(self, path, min_score):
        content, blank, rows = load_json(path), np.zeros((NUM_JOINTS, 3), np.float32), []
        try:
            for found in content:
                x, y, width, height = as_numbers(found['bbox'], f'{path}: bbox', (4,), np.float32).tolist()
                score = float(as_numbers(found['score'], f'{path}: score', ()))
                if found['category_id'] != _PERSON or score < min_score or min(width, height) <= 0:
                    continue
                if found['image_id'] not in self._names:
                    raise BadFile(f'{path}: image {found["image_id"]} is not in {self.annotation_file}')
                box = square_box(x, y, width, height, self._box_factor)
                rows.append((found['image_id'], *box, score, blank))
        except (KeyError, TypeError, ValueError):
            raise BadFile(f"{path}: not a detection file; use a list of entries with 'image_id', 'category_id', 'bbox' "
                          "and 'score'") from None
        return rows

    def _rows_of_file(self, path):
        annotations, rows = Annotations.load(path), []
        ids = {Path(name).name: number for number, name in self._names.items()}
        for row, name in enumerate(annotations.imgname):
            if Path(name).name not in ids:
                raise BadFile(f'{path}: {name} is not in {self.annotation_file}')
            person = annotations.person(row)
            size = (0, 0) if person.bbox_size is None else person.bbox_size
            rows.append((ids[Path(name).name], person.center, person.scale, size, 1.0, person.keypoints_2d))
        return rows


def open_coco(path):
    """Open an annotation file as pycocotools' COCO, without its output. Raises MissingFile, BadFile."""
    content = load_json(path)
    coco = COCO()
    try:
        coco.dataset = {**content, 'images': list(content['images']), 'annotations': list(content['annotations'])}
        _check_entries(coco.dataset, path)
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        if not all(person['image_id'] in coco.imgs for person in coco.dataset['annotations']):
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError, BadFile):
        raise BadFile(f'{path}: not a COCO keypoint file; use person_keypoints_*.json') from None
    return coco


def _check_entries(content, path):
    """Raise BadFile, KeyError, TypeError or ValueError if an image or a person is invalid."""
    for image in content['images']:
        size = as_numbers([image['width'], image['height']], path, (2,))
        if not isinstance(image['file_name'], str) or not image['file_name'] or size.min() < 1:
            raise ValueError
    for person in content['annotations']:
        as_numbers(person['keypoints'], path, (51,), np.float32)
        as_numbers([*person['bbox'], person['area'], person['iscrowd'], person['category_id']], path, (7,), np.float32)
        hash(person['id'])
    for category in content.get('categories', ()):
        hash(category['id'])


def _published_rows(cfg, annotation_file):
    """Path of coco_2014_val.npz if the asset folder has it and the annotation file is that of val2014, or None."""
    if annotation_file.stem != _PUBLISHED:
        return None
    root = find_assets(cfg.PATHS.DATA_DIR).root
    found = [root / folder / name for folder in ANNOTATION_FOLDERS for name in CATALOG['coco'].eval]
    return next((path for path in found if path.exists()), None)


def default_annotations(cfg):
    """Path of TEST.COCO_SUBSET's annotation file. Raises MissingFile."""
    path = _coco_folder(cfg) / f'annotations/person_keypoints_{cfg.TEST.COCO_SUBSET}.json'
    if not path.exists():
        raise MissingFile(f'{path}: no such annotation file; get COCO from https://cocodataset.org, or give '
                          '--annotations and --images')
    return path


def _default_images(cfg):
    folder = _coco_folder(cfg)
    found = [path for path in (folder / cfg.TEST.COCO_SUBSET, folder / 'images' / cfg.TEST.COCO_SUBSET)
             if path.is_dir()]
    return found[0] if found else folder / cfg.TEST.COCO_SUBSET


def _coco_folder(cfg):
    try:
        return image_folder(cfg, 'coco')
    except BadConfig:
        raise
    except MissingFile:
        return find_assets(cfg.PATHS.DATA_DIR).root / 'datasets/coco'

"""A rendered set's keypoints in COCO's format, for pycocotools."""
import numpy as np

from utils.keypoints import COCO_JOINTS, J24_TO_COCO
from utils.pixels import from_continuous
from utils.safe_io import load_npz, save_json

_SKELETON = [[16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10],
             [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7]]


def write_coco_keypoints(annotations, target):
    """Write a set's people as COCO person keypoints. annotations: its `.npz`; target: JSON."""
    arrays = load_npz(annotations)
    images = [{'id': number, 'file_name': str(name), 'width': int(width), 'height': int(height)}
              for number, (name, (width, height)) in enumerate(zip(arrays['imgname'], arrays['image_size']), 1)]
    save_json(target, {
        'info': {'description': 'people rendered from the free body', 'body_digest': str(arrays['body_digest'])},
        'licenses': [], 'images': images, 'annotations': [_person(arrays, row) for row in range(len(images))],
        'categories': [{'id': 1, 'name': 'person', 'supercategory': 'person', 'keypoints': list(COCO_JOINTS),
                        'skeleton': _SKELETON}]}, indent=None)


def _person(arrays, row):
    points = from_continuous(arrays['part'][row][J24_TO_COCO].astype(float))  # COCO counts pixels from 0
    points[:, 2] = arrays['visibility'][row][25:][J24_TO_COCO]
    points[points[:, 2] == 0] = 0
    return {'id': row + 1, 'image_id': row + 1, 'category_id': 1, 'iscrowd': 0, 'area': float(arrays['area'][row]),
            'bbox': [round(float(value), 2) for value in arrays['bbox'][row]],
            'keypoints': np.round(points, 2).ravel().tolist(), 'num_keypoints': int((points[:, 2] > 0).sum())}

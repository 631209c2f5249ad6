"""Converts DensePose-COCO to an annotation file with dense points and segments, by DaNet's rules.

python -m datasets.preprocess.dp_coco --images coco/train2014 --annotations densepose_coco_2014_train.json
    --out data/dataset_extras/dp_coco_2014_train.npz [--prefix train2014]
"""
import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.annotations import Annotations
from datasets.dense_points import dense_arrays
from datasets.preprocess import check_output, square_box
from utils.errors import BadFile, MissingFile, run_main
from utils.keypoints import COCO_JOINTS, J24_TO_COCO, NUM_COMMON, NUM_JOINTS, SMPL_JOINTS
from utils.logging import get_logger
from utils.pixels import to_continuous
from utils.safe_io import load_json

# SMPL's joints that COCO lacks: the midpoint of two previous joints, or a copy of one.
_MIDDLES = (('pelvis', 'left_hip', 'right_hip'), ('neck', 'left_shoulder', 'right_shoulder'), ('head', 'neck', 'nose'),
            ('spine2', 'pelvis', 'neck'), ('spine3', 'pelvis', 'neck'), ('spine1', 'pelvis', 'spine2'),
            ('left_collar', 'spine3', 'left_shoulder'), ('right_collar', 'spine3', 'right_shoulder'),
            ('left_foot', 'left_ankle', 'left_ankle'), ('right_foot', 'right_ankle', 'right_ankle'),
            ('left_hand', 'left_wrist', 'left_wrist'), ('right_hand', 'right_wrist', 'right_wrist'))
# Confidence of these approximate joints. They only define where to crop parts.
_CONFIDENCE = 0.5


def convert_dp_coco(images, annotations, out, prefix='', progress=True):
    """Write the people of a DensePose-COCO file who have dense points.

    images: folder of the pictures. prefix: prepended to image names, if the image folder is above `images`. People
    without dense points, with an empty box or an absent picture are left out and counted. Raises MissingFile, BadFile.
    """
    check_output(out)
    images = Path(images)
    if not images.is_dir():
        raise MissingFile(f'{images}: no such image folder')
    names, people = _read(annotations)
    rows, left_out = [], Counter()
    for person in tqdm(people, desc='dp_coco', unit=' people', disable=not progress):
        row, why = _row(person, names, images, annotations)
        if why:
            left_out[why] += 1
        else:
            rows.append(row)
    reasons = ', '.join(f'{count} {why}' for why, count in left_out.most_common())
    if not rows:
        raise BadFile(f'{annotations}: no person with dense points ({reasons or "it has no annotations"})')
    _save(rows, out, prefix)
    get_logger().info(f'{out}: {len(rows)} people' + (f'; left out: {reasons}' if reasons else ''))


def _read(path):
    """Read a file -> ({image id: file name}, [annotation dicts])."""
    content = load_json(path)
    try:
        return {image['id']: str(image['file_name']) for image in content['images']}, list(content['annotations'])
    except (KeyError, TypeError):
        raise BadFile(f"{path}: not a DensePose-COCO file; it needs 'images' with 'id' and 'file_name', and "
                      "'annotations'") from None


def _row(person, names, images, path):
    """((image name, keypoints [17,3], points, segments, box), None), or (None, reason to leave the person out)."""
    which = person.get('id', '?') if isinstance(person, dict) else '?'
    if not isinstance(person, dict) or person.get('image_id') not in names:
        raise BadFile(f"{path}: annotation {which!r} lacks a known 'image_id'")
    if 'dp_masks' not in person:
        return None, 'without dense points'
    try:
        keypoints = np.array(person.get('keypoints', [0] * 51), np.float32).reshape(17, 3)
        points, segments, box = dense_arrays(person)
    except (BadFile, ValueError, TypeError) as error:
        raise BadFile(f'{path}: annotation {which!r}: {error}') from None
    if not np.isfinite(box).all() or min(box[2:]) <= 0:
        return None, 'with an empty box'
    name = names[person['image_id']]
    if not (images / name).exists():
        return None, 'whose picture is absent'
    keypoints[:, 2] = (keypoints[:, 2] > 0) & np.isfinite(keypoints).all(1)
    keypoints[keypoints[:, 2] == 0] = 0
    return (name, to_continuous(keypoints), points, segments, box), None


def _save(rows, out, prefix):
    names, keypoints, points, segments, boxes = zip(*rows)
    all_joints = np.zeros((len(rows), NUM_JOINTS, 3), np.float32)
    all_joints[:, NUM_JOINTS - NUM_COMMON:][:, J24_TO_COCO] = np.stack(keypoints)
    centers, scales, sizes = zip(*(square_box(*box.astype(np.float64)) for box in boxes))
    Annotations.blank(
        [str(Path(prefix) / name) for name in names], centers, scales, bbox_size=np.array(sizes),
        keypoints_2d=all_joints, smpl_keypoints_2d=np.stack([smpl_joints_of(k) for k in keypoints]),
        extra={'dense_points': np.stack(points), 'dense_segments': np.stack(segments), 'dense_box': np.stack(boxes)},
    ).save(out)


def smpl_joints_of(keypoints):
    """Approximate SMPL's joints by COCO's keypoints [17,3] -> [24,3]. Confidence is 0.5, or 0 for unknown joints."""
    known = {name: point[:2] for name, point in zip(COCO_JOINTS, keypoints) if point[2] > 0}
    for joint, one, other in _MIDDLES:
        if one in known and other in known:
            known[joint] = (known[one] + known[other]) / 2
    out = np.zeros((len(SMPL_JOINTS), 3), np.float32)
    for number, joint in enumerate(SMPL_JOINTS):
        if joint in known:
            out[number] = *known[joint], _CONFIDENCE
    return out


def main():
    parser = argparse.ArgumentParser(description='DensePose-COCO to an annotation file with dense points.')
    parser.add_argument('--images', required=True, help='folder of the pictures')
    parser.add_argument('--annotations', required=True, help='densepose_coco_2014_*.json')
    parser.add_argument('--out', required=True, help='.npz to write')
    parser.add_argument('--prefix', default='', help="prepended to image names, such as 'train2014'")
    args = parser.parse_args()
    convert_dp_coco(args.images, args.annotations, args.out, args.prefix)


if __name__ == '__main__':
    run_main(main)

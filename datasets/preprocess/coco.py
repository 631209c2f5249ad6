"""Converts COCO's person keypoints to an annotation file, by SPIN's rules.

python -m datasets.preprocess.coco --images coco/train2014 --annotations person_keypoints_train2014.json
    --out data/dataset_extras/coco_2014_train.npz [--prefix train2014] [--openpose FOLDER] [--min_keypoints 12]
"""
import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.preprocess import Collector, check_output, square_box
from datasets.preprocess.openpose import detection_file, match_person, read_people
from utils.errors import BadFile, MissingFile, run_main
from utils.keypoints import J24_TO_COCO, NUM_COMMON
from utils.logging import get_logger
from utils.pixels import to_continuous
from utils.safe_io import load_json


def convert_coco(images, annotations, out, openpose=None, min_keypoints=12, prefix='', progress=True):
    """Write the people of a COCO keypoint file who have at least `min_keypoints` of the 12 limb joints annotated.

    images: folder of the pictures. openpose: folder of OpenPose's JSON files to add. prefix: prepended to image names,
    if the image folder is above `images`. People whose picture is absent, crowds and empty boxes are left out and
    counted. Raises MissingFile, BadFile.
    """
    check_output(out)
    images = Path(images)
    if not images.is_dir():
        raise MissingFile(f'{images}: no such image folder')
    names, people = _read_annotations(annotations)
    present, undetected = {}, 0
    rows = Collector()
    for person in tqdm(people, desc='coco', unit=' people', disable=not progress):
        name, keypoints, box = _checked(person, names, annotations)
        if name not in present:
            present[name] = (images / name).exists()
        why = _unusable(person, keypoints, box, min_keypoints, present[name])
        if why:
            rows.leave_out(why)
            continue
        common = np.zeros((NUM_COMMON, 3), np.float32)
        common[J24_TO_COCO] = keypoints
        detected = _detected(openpose, name, common) if openpose else None
        undetected += openpose is not None and detected is None
        rows.add(str(Path(prefix) / name), *square_box(*box), common, detected)
    rows.save(out, annotations)
    if undetected:
        get_logger().info(f'{openpose}: no OpenPose file for {undetected} of {len(rows)} people')


def _read_annotations(path):
    """Read a file -> ({image id: file name}, [annotation dicts])."""
    content = load_json(path)
    try:
        return {image['id']: str(image['file_name']) for image in content['images']}, list(content['annotations'])
    except (KeyError, TypeError):
        raise BadFile(f"{path}: not a COCO annotation file; it needs 'images' with 'id' and 'file_name', and "
                      "'annotations'") from None


def _checked(person, names, path):
    """(image name, continuous keypoints [17,3] with confidence 0 or 1, box [4]) of an annotation."""
    try:
        name = names[person['image_id']]
        keypoints = np.array(person['keypoints'], np.float32).reshape(17, 3)
        box = np.array(person['bbox'], np.float64).reshape(4)
    except (KeyError, TypeError, ValueError, OverflowError):
        which = person.get('id', '?') if isinstance(person, dict) else '?'
        raise BadFile(f"{path}: annotation {which!r} lacks a known 'image_id', 51 numbers as 'keypoints' or 4 as "
                      "'bbox'") from None
    keypoints[:, 2] = (keypoints[:, 2] > 0) & np.isfinite(keypoints).all(1)
    keypoints[keypoints[:, 2] == 0] = 0
    return name, to_continuous(keypoints), box


def _unusable(person, keypoints, box, min_keypoints, is_present):
    """Reason to leave a person out, or None. Joints 5 to 16 are the limbs."""
    if person.get('iscrowd'):
        return 'crowds'
    if not np.isfinite(box).all() or min(box[2:]) <= 0:
        return 'with an empty box'
    if (keypoints[5:, 2] > 0).sum() < min_keypoints:
        return f'with fewer than {min_keypoints} limb joints'
    return None if is_present else 'whose picture is absent'


def _detected(folder, name, common):
    """OpenPose joints [25,3] of the person, or None if the picture has no detection file."""
    file = detection_file(folder, name)
    return match_person(read_people(file), common, max_pixels=10.0) if file.exists() else None


def main():
    parser = argparse.ArgumentParser(description='COCO person keypoints to an annotation file.')
    parser.add_argument('--images', required=True, help='folder of the pictures')
    parser.add_argument('--annotations', required=True, help='person_keypoints_*.json')
    parser.add_argument('--out', required=True, help='.npz to write')
    parser.add_argument('--openpose', help="folder of OpenPose's *_keypoints.json to add")
    parser.add_argument('--min_keypoints', type=int, default=12, help='required annotated limb joints, of 12')
    parser.add_argument('--prefix', default='', help="prepended to image names, such as 'train2014'")
    args = parser.parse_args()
    convert_coco(args.images, args.annotations, args.out, args.openpose, args.min_keypoints, args.prefix)


if __name__ == '__main__':
    run_main(main)

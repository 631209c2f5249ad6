"""Converts EFT's pseudo ground truth of COCO, LSPET and MPII to annotation files.

python -m datasets.preprocess.eft --annotations COCO2014-Part-ver01.json
    --out data/dataset_extras/coco_2014_train_eft.npz
The JSON is that of EFT's release: 'data' is a list of people with imageName, bbox_center, bbox_scale, gt_keypoint_2d
[49,3], parm_pose [24,3,3], parm_shape [10]. Datasets: coco-part (coco_2014_train_eft.npz), coco-all
(coco-full_train_eft.npz), lspet (hr-lspet_train_eft.npz), mpii (mpii_train_eft.npz).
"""
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from datasets.preprocess import Collector, check_output, command
from utils.errors import BadConfig, BadFile, run_main
from utils.keypoints import NUM_JOINTS, NUM_OPENPOSE
from utils.pixels import COUNTED_FROM_0, COUNTED_FROM_1, to_continuous
from utils.safe_io import load_json

# Folder of the pictures in the image folder of each dataset, as in SPIN's files, by the start of a file's name.
PREFIXES = {'COCO2014-Val': 'val2014/', 'COCO2014': 'train2014/', 'MPII': 'images/', 'LSPet': ''}
# First pixel in the annotations of each dataset, which EFT uses unchanged (`utils.pixels`).
_FIRST_PIXELS = {'COCO2014-Val': COUNTED_FROM_0, 'COCO2014': COUNTED_FROM_0, 'MPII': COUNTED_FROM_1,
                 'LSPet': COUNTED_FROM_1}


def convert_eft(annotations, out, prefix=None, progress=True):
    """Write all people. prefix: prepended to image names; by default it follows from the name of the file.

    Raises MissingFile, BadFile, BadConfig.
    """
    check_output(out)
    content = load_json(annotations)
    people = content.get('data') if isinstance(content, dict) else None
    if not isinstance(people, list):
        raise BadFile(f"{annotations}: not an EFT file; it needs 'data', a list of people")
    dataset = _dataset(annotations)
    first_pixel = _FIRST_PIXELS.get(dataset, COUNTED_FROM_0)
    if prefix is None:
        prefix = _prefix(annotations, dataset)
    rows = Collector()
    for number, person in enumerate(tqdm(people, desc='eft', unit=' people', disable=not progress)):
        try:
            keypoints = np.asarray(person['gt_keypoint_2d'], np.float32).reshape(NUM_JOINTS, 3)
            pose = Rotation.from_matrix(np.asarray(person['parm_pose'], np.float64).reshape(24, 3, 3)).as_rotvec()
            betas = np.asarray(person['parm_shape'], np.float64).reshape(10)
            center = np.asarray(person['bbox_center'], np.float64).reshape(2)
            common = to_continuous(keypoints[NUM_OPENPOSE:], first_pixel)
            rows.add(prefix + str(person['imageName']), center, float(person['bbox_scale']), None,
                     common, keypoints[:NUM_OPENPOSE], pose=pose.ravel(), betas=betas)
        except (KeyError, TypeError, ValueError) as error:
            raise BadFile(f'{annotations}: person {number} is not in EFT\'s format ({type(error).__name__}: '
                          f'{" ".join(str(error).split())[:80]})') from None
    rows.save(out, annotations)


def _dataset(path):
    """The dataset of a file, from the file name without folders, or None. Folders may have other names."""
    name = Path(path).name.lower()
    return next((stem for stem in PREFIXES if name.startswith(stem.lower())), None)


def _prefix(path, dataset):
    if dataset is not None:
        return PREFIXES[dataset]
    raise BadConfig(f'{path}: unknown dataset, because the name does not start with one of {", ".join(PREFIXES)}; '
                    'give --prefix, the folder of its pictures')


def main():
    return command(convert_eft, "EFT's fits to an annotation file.",
                   {'annotations': 'such as COCO2014-Part-ver01.json', 'out': '.npz to write'},
                   {'prefix': (None, "prepended to image names, such as 'train2014/' (default: from the file name)")})


if __name__ == '__main__':
    run_main(main)

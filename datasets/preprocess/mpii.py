"""Converts MPII Human Pose to an annotation file.

python -m datasets.preprocess.mpii --annotations train.h5 --out data/dataset_extras/mpii_train.npz [--openpose FOLDER]
train.h5 is in SPIN's data archive (originally from pose-hg-train): center [N,2], imgname [N], part [N,16,2], scale [N].
"""
import numpy as np
from tqdm import tqdm

from datasets.preprocess import Collector, check_output, command
from datasets.preprocess.hdf5 import open_hdf5
from datasets.preprocess.joints import common_keypoints, openpose_joints
from utils.errors import BadFile, run_main
from utils.pixels import COUNTED_FROM_1

# Indices of MPII's 16 joints among the common ones.
_TO_COMMON = [0, 1, 2, 3, 4, 5, 14, 15, 12, 13, 6, 7, 8, 9, 10, 11]
_MAX_PIXELS = 30.0


def convert_mpii(annotations, out, openpose='', progress=True):
    """Write the people whose 16 joints are all annotated. Raises MissingFile, BadFile."""
    check_output(out)
    with open_hdf5(annotations) as file:
        try:
            columns = [np.asarray(file[key]) for key in ('imgname', 'center', 'scale', 'part')]
        except KeyError as error:
            raise BadFile(f'{annotations}: not MPII\'s train.h5 ({" ".join(str(error).split())[:100]})') from None
    if columns[3].shape != (len(columns[0]), 16, 2):
        raise BadFile(f"{annotations}: 'part' has shape {list(columns[3].shape)}, but must be "
                      f'[{len(columns[0])}, 16, 2]')
    rows = Collector()
    for name, center, scale, part in tqdm(zip(*columns), total=len(columns[0]), desc='mpii', unit=' people',
                                          disable=not progress):
        if (part > 0).sum() < part.size:
            rows.leave_out('without all 16 joints')
            continue
        name = name.decode() if isinstance(name, bytes) else str(name)
        common = common_keypoints(part, _TO_COMMON, COUNTED_FROM_1)
        rows.add(f'images/{name}', center, float(scale), None, common,
                 openpose_joints(openpose, name, common, _MAX_PIXELS))
    rows.save(out, annotations)


def main():
    return command(convert_mpii, 'MPII to an annotation file.',
                   {'annotations': 'train.h5', 'out': '.npz to write'},
                   {'openpose': ('', "folder of OpenPose's *_keypoints.json to add")})


if __name__ == '__main__':
    run_main(main)

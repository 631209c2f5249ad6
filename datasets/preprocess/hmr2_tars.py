"""Converts 4D-Humans' training data (HMR2.0, Goel et al., ICCV 2023) to shards of this project, without pickles.

python -m datasets.preprocess.hmr2_tars --root dataset_tars/coco-train-2014-pruned --out shards/coco-train-2014-pruned
python train.py --misc DATA.MIXTURE "['shards/coco-train-2014-pruned/shards.json:1']"

Layout, from 4D-Humans' loader (`hmr2/datasets/image_dataset.py`, `load_tars_as_webdataset`): ROOT/000000.tar and so
on, in WebDataset's form. A picture is `KEY.jpg` (or jpeg, png). `KEY.data.pyd` is the pickled list of its people, each
with keypoints_2d [44,3] (OpenPose's 25 and the first 19 common joints, pixels counted from 0), keypoints_3d [44,4],
center [2], scale [2] (width and height / 200), body_pose [72], betas [10], has_body_pose, has_betas and extra_info.
`KEY.detection.npz` has masks, which are ignored.

Each tar becomes one shard. An interrupted call continues after the last complete one. Pictures that 4D-Humans skips as
broken are left out. So are pictures with an EXIF rotation, because its loader does not rotate pictures.
"""
import io
import tarfile
from collections import Counter

import numpy as np
from PIL import Image
from tqdm import tqdm

from datasets.annotations import Annotations
from datasets.preprocess import command, existing
from datasets.shard_format import check_member
from datasets.shard_stream import PackedPicture, ShardStreamWriter
from utils.errors import BadConfig, BadFile, MissingFile, run_main
from utils.keypoints import NUM_COMMON, NUM_OPENPOSE
from utils.logging import get_logger
from utils.pixels import COUNTED_FROM_0, PIXEL_CENTER, to_continuous
from utils.safe_io import as_numbers, unpickle_arrays

_PICTURES, _LABELS = ('jpg', 'jpeg', 'png'), 'data.pyd'
_EXTRA = 19  # common joints in the files: all except the face
_EXIF_TURN = 0x0112
# Pictures of AI Challenger that 4D-Humans' loader skips.
_BROKEN = {'0a047f0124ae48f8eee15a9506ce1449ee1ba669', '1a703aa174450c02fbc9cfbf578a5435ef403689',
           '0394e6dc4df78042929b891dbc24f0fd7ffb6b6d', '5c032b9626e410441544c7669123ecc4ae077058',
           'ca018a7b4c5f53494006ebeeff9b4c0917a55f07', '4a77adb695bef75a5d34c04d589baf646fe2ba35',
           'a0689017b1065c664daef4ae2d14ea03d543217e', '39596a45cbd21bed4a5f9c2342505532f8ec5cbb',
           '3d33283b40610d87db660b62982f797d50a7366b'}


def convert_tars(root, out, name='', max_reprojection=0.0, progress=True):
    """Write the shards of the tars of a folder -> path of shards.json.

    name: name of the dataset, by default that of the folder. max_reprojection: leave out people whose fit has a larger
    reprojection loss (`extra_info`, `fitting_loss`); 0 keeps all. 4D-Humans trains with 31000. Raises MissingFile,
    BadFile, BadConfig.
    """
    if max_reprojection < 0:
        raise BadConfig(f'--max_reprojection is {max_reprojection}; use 0 or more')
    root = existing(root, 'folder of tars')
    tars = sorted(root.glob('*.tar'))
    if not tars:
        raise MissingFile(f'{root}: no .tar in this folder')
    writer = ShardStreamWriter(out, name or root.resolve().name, f'{max_reprojection}')
    left_out = Counter()
    for tar in tqdm(tars, unit=' tars', disable=not progress):
        writer.add(f'{tar.name} {tar.stat().st_size}', lambda tar=tar: _pictures_of(tar, max_reprojection, left_out))
    manifest = writer.finish(root)
    reasons = ', '.join(f'{count} {why}' for why, count in left_out.most_common() if count)
    get_logger().info(f'{manifest}: {writer.rows} people in {writer.pictures} pictures'
                      + (f'; left out of the tars of this call: {reasons}' if reasons else ''))
    return manifest


def _pictures_of(path, max_reprojection, left_out):
    """Yield the PackedPictures of a tar with their people."""
    for key, members in _samples(path):
        suffix = next((suffix for suffix in _PICTURES if suffix in members), None)
        if suffix is None or _LABELS not in members:
            left_out['pictures without labels'] += 1
        elif key.rpartition('/')[2] in _BROKEN or _is_turned(members[suffix]):
            left_out['pictures that are broken or turned'] += 1
        else:
            people = _people(members[_LABELS], f'{path}: {key}.{_LABELS}')
            fitting = [person for person in people if _is_good_fit(person, max_reprojection)]
            kept = [person for person in fitting if _has_box(person)]
            left_out['people with a bad fit'] += len(people) - len(fitting)
            left_out['people without a box'] += len(fitting) - len(kept)
            if kept:
                yield PackedPicture(f'{key}.{suffix}', members[suffix], _annotations(kept, f'{key}.{suffix}', path))


def _samples(path):
    """Yield (key, {extension: content}) of each sample: adjacent members with the same name up to the first dot after
    the last slash, as in WebDataset. Raises BadFile."""
    key, members = None, {}
    try:
        with tarfile.open(path, 'r:') as tar:
            for member in tar:
                if member.isdir():
                    continue
                check_member(member, path)
                folder, slash, base = member.name.rpartition('/')
                stem, _, extension = base.partition('.')
                if folder + slash + stem != key:
                    if members:
                        yield key, members
                    key, members = folder + slash + stem, {}
                if extension.lower() in (*_PICTURES, _LABELS):
                    members[extension.lower()] = tar.extractfile(member).read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadFile(f'{path}: not a readable tar file ({" ".join(str(error).split())[:150]})') from None
    if members:
        yield key, members


def _is_turned(content):
    try:
        return Image.open(io.BytesIO(content)).getexif().get(_EXIF_TURN, 1) != 1
    except Exception:  # decoders raise many types on broken pictures
        return True


def _people(content, where):
    """Read the dictionaries of a picture's people. Raises BadFile."""
    people = unpickle_arrays(io.BytesIO(content), where)
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise BadFile(f'{where}: not a list of people')
    return people


def _is_good_fit(person, most):
    """Whether the fit's reprojection loss is below `most` or unknown, as in 4D-Humans' filter_reproj_error."""
    info = person.get('extra_info') if most else None
    losses = info.get('fitting_loss') if isinstance(info, dict) else None
    losses = losses.item() if isinstance(losses, np.ndarray) and losses.ndim == 0 else losses
    loss = losses.get('reprojection_loss') if isinstance(losses, dict) else None
    return loss is None or float(loss) < most


def _has_box(person):
    numbers = np.ravel(person.get('scale', 0)), np.ravel(person.get('center', np.nan))
    return all(values.dtype.kind in 'iuf' and np.isfinite(values).all() for values in numbers) and numbers[0].min() > 0


def _annotations(people, imgname, path):
    """The people of a picture as Annotations. A body needs both pose and shape."""
    def array(key, *shape):
        if any(key not in person for person in people):
            raise BadFile(f'{path}: {imgname}: a person has no {key!r}')
        return as_numbers([person[key] for person in people], f'{path}: {imgname}: {key}', (len(people), *shape),
                          finite=False)
    count, joints = len(people), NUM_OPENPOSE + _EXTRA
    points, solid = array('keypoints_2d', joints, 3), array('keypoints_3d', joints, 4)
    common = np.zeros((count, NUM_COMMON, 4))
    common[:, :_EXTRA] = solid[:, NUM_OPENPOSE:]
    part = np.zeros((count, NUM_COMMON, 3))
    part[:, :_EXTRA] = points[:, NUM_OPENPOSE:]
    known = [np.ravel(person.get(key, 0))[:1].sum() > 0 for key in ('has_body_pose', 'has_betas') for person in people]
    return Annotations.from_spin({
        'imgname': np.array([imgname] * count), 'center': array('center', 2), 'scale': array('scale', 2),
        'openpose': to_continuous(points[:, :NUM_OPENPOSE], COUNTED_FROM_0), 'first_pixel': PIXEL_CENTER,
        'part': to_continuous(part, COUNTED_FROM_0), 'S': common, 'has_joints_3d': (common[..., 3] > 0).any(1),
        'pose': array('body_pose', 72), 'shape': array('betas', 10),
        'has_smpl': np.array(known).reshape(2, count).all(0)}, f'{path}: {imgname}')


def main():
    return command(convert_tars, "4D-Humans' training tars to shards.",
                   {'root': 'folder of one dataset with 000000.tar and so on', 'out': 'folder for the shards'},
                   {'name': ('', 'name of the dataset (default: name of the folder)'),
                    'max_reprojection': (0.0, 'leave out people whose fit has a larger loss; 4D-Humans: 31000')})


if __name__ == '__main__':
    run_main(main)

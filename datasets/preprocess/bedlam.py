"""Converts BEDLAM to one annotation file of all scenes, with upright pictures.

python -m datasets.preprocess.bedlam --root BEDLAM --out data/dataset_extras/bedlam_train.npz
Layout, from BEDLAM's `fetch_training_data.sh` and `train/core/config.py`: ROOT/training_labels/**/SCENE.npz and
ROOT/training_images/SCENE/png/seq_000000/seq_000000_0000.png. AGORA's files are ignored.

The pictures of some scenes (closeups) are stored sideways, and BEDLAM's loader rotates them clockwise. In these the
labels' camera is as wide as the picture is high. Upright copies (JPEG) are written to
ROOT/training_images/SCENE/upright.
"""
from pathlib import Path

import cv2
import numpy as np

from datasets.annotations import Annotations
from datasets.preprocess import check_output, command, existing
from datasets.preprocess.parts import Parts
from datasets.preprocess.pictures import ABSENT
from utils.errors import BadFile, MissingFile, run_main
from utils.keypoints import NUM_OPENPOSE
from utils.safe_io import atomic_write

_JPEG_QUALITY = 95


def convert_bedlam(root, out, progress=True):
    """Write all people of the scenes whose pictures exist. After an interruption finished scenes are kept.

    People whose picture is absent or unreadable are left out and counted. Raises MissingFile, BadFile.
    """
    check_output(out)
    labels = existing(Path(root) / 'training_labels', 'folder of labels')
    files = {path.stem: path for path in sorted(labels.rglob('*.npz'))
             if (Path(root) / 'training_images' / path.stem / 'png').is_dir()}
    if not files:
        raise MissingFile(f'{labels}: no SCENE.npz whose pictures are in {Path(root) / "training_images/SCENE/png"}')

    def convert(name, rows):
        _convert_scene(root, files[name], rows)
    Parts(out, root=root, scenes=sorted(files)).run(list(files), convert, labels, progress, ' scenes')


def _convert_scene(root, path, rows):
    people = Annotations.load(path)
    cameras = people.extra.get('cam_K')
    if cameras is None:
        raise BadFile(f"{path}: no key 'cam_int'; not a scene of BEDLAM")
    pictures = _Scene(root, path.stem)
    for row, name in enumerate(people.imgname):
        # The principal point is the centre of the upright picture.
        picture, why = pictures.upright(name, tuple(np.round(2 * cameras[row][:2, 2]).astype(int)))
        if picture is None:
            rows.leave_out(why)
            continue
        person = people.person(row)
        labels = {'pose': person.pose, 'betas': person.betas} if person.has_smpl else {}
        rows.add(picture, person.center, person.scale, None, person.keypoints_2d[NUM_OPENPOSE:],
                 person.keypoints_2d[:NUM_OPENPOSE], cam_K=cameras[row], **labels)


class _Scene:
    """The pictures of one scene."""

    def __init__(self, root, name):
        self._root, self._below = Path(root), f'training_images/{name}'
        self._found = {}

    def upright(self, name, wanted):
        """(path of the upright picture relative to the root, None), or (None, reason). wanted: its (width, height)."""
        if name not in self._found:
            self._found[name] = self._find(name, wanted)
        return self._found[name]

    def _find(self, name, wanted):
        picture, copy = f'{self._below}/png/{name}', f'{self._below}/upright/{Path(name).with_suffix(".jpg")}'
        if (self._root / copy).exists():
            return copy, None
        if not (self._root / picture).exists():
            return None, ABSENT
        if wanted[0] >= wanted[1]:
            return picture, None
        pixels = cv2.imread(str(self._root / picture), cv2.IMREAD_COLOR)
        if pixels is None:
            return None, 'whose picture cannot be read'
        if pixels.shape[1::-1] == wanted:
            return picture, None
        _, encoded = cv2.imencode('.jpg', cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
                                  [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        with atomic_write(self._root / copy) as stream:
            stream.write(encoded.tobytes())
        return copy, None


def main():
    return command(convert_bedlam, 'BEDLAM to an annotation file.',
                   {'root': 'folder with training_labels/ and training_images/', 'out': '.npz to write'})


if __name__ == '__main__':
    run_main(main)

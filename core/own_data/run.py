"""A user's pictures or video to annotations, fits and a contact sheet (docs/data.md, "Your own data")."""
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from core.demo.keypoints import pose_estimator
from core.devices import pick_device
from core.evaluation.pictures import save_picture
from core.own_data.pseudo_labels import Labeller, PseudoLabels
from core.own_data.sheet import contact_sheet
from core.own_data.sources import open_source
from datasets.annotations import Annotations
from datasets.catalog import IMAGE_FOLDER
from datasets.fits import fits_beside
from utils.errors import BadConfig, BadFile, ProjectError
from utils.safe_io import load_npz, save_npz


def label_own_data(cfg, pictures, out, fps=10.0, overwrite=False):
    """Write OUT with annotations, and beside it NAME_fits.npz, NAME_sheet.jpg and, of a video, the folder NAME_frames.

    What is done is kept in a folder beside them; a later call goes on from there. -> Annotations. Raises ProjectError.
    """
    out = Path(out)
    if out.suffix != '.npz':
        raise BadConfig(f'--out is {out}; it wants the name of an .npz file')
    if out.exists() and not overwrite:
        raise ProjectError(f'{out}: there already; use --overwrite to replace it')
    sheet = out.with_name(f'{out.stem}_sheet.jpg')
    source = open_source(pictures, out.with_name(f'{out.stem}_frames'), fps, sheet)
    estimator = pose_estimator(cfg, pick_device(cfg))
    labeller = Labeller(cfg, estimator)
    parts = _Parts(out.with_name(f'.{out.stem}.parts'), f'{labeller.body.digest}\n{estimator.name}\n{cfg.DEMO}')
    people, counts = _label(source, labeller, parts)
    print(_summary(people, counts))
    if not len(people):
        raise BadFile(f'{pictures}: nobody was found who can be labelled; nothing is written')
    valid = people.valid(cfg.SMPLIFY.MIN_JOINTS)
    out.unlink(missing_ok=True)  # the fits that follow are not of its rows
    save_npz(fits_beside(out), pose=people.ray_pose(), betas=people.betas, valid_fit=valid, error=people.error,
             seen=people.seen, translation=people.translation, body_digest=np.array(labeller.body.digest))
    save_picture(sheet, contact_sheet(people, valid, source.images, labeller.body))
    annotations = annotations_of(people, os.path.relpath(source.images.resolve(), out.parent.resolve()))
    annotations.save(out)
    parts.remove()
    print(f'{len(people)} people, {valid.sum()} of them with a valid fit: {out}, {fits_beside(out).name}; look at '
          f'{sheet.name}')
    return annotations


def annotations_of(people, folder):
    """Annotations of `PseudoLabels`: what was seen, without the fits, which are no ground truth.

    folder: of the pictures, relative to that of the annotation file.
    """
    return Annotations.blank(people.imgname, people.center, people.side / 200, keypoints_2d=people.keypoints,
                             extra={'focal': people.focal, 'track': people.track},
                             whole={IMAGE_FOLDER: np.array(Path(folder).as_posix())})


def _label(source, labeller, parts):
    """Look at all units that are not finished -> (PseudoLabels of all, Counter)."""
    found, counts = [], Counter()
    with tqdm(total=source.num_frames, desc='frames') as progress:
        for number, unit in enumerate(source.units()):
            finished = parts.get(number, unit.key)
            if finished is None:
                finished = labeller(unit, source, progress.update)
                parts.put(number, unit.key, *finished)
            found.append(finished[0])
            counts.update(finished[1])
    for reason, count in source.skipped.items():
        counts[f'skipped: {reason}'] += count
    return PseudoLabels.joined(found), counts


def _summary(people, counts):
    counts = Counter(counts)
    line = [f'{counts.pop("frames", 0)} frames, {len(people)} people', f'{counts.pop("empty", 0)} without a person']
    return '; '.join(line + [f'{count} {reason}' for reason, count in sorted(counts.items()) if count])


class _Parts:
    """Finished units on disk. key: what they must have been made with."""

    def __init__(self, folder, key):
        self._folder, self._key = Path(folder), key

    def get(self, number, key):
        """What `put` was given for this unit, or None where it was made from something else or never finished."""
        path = self._path(number)
        if not path.exists():
            return None
        try:
            stored = load_npz(path)
            if str(stored.pop('key')) != f'{self._key}\n{key}':
                return None
            return PseudoLabels.of_columns(stored), Counter(json.loads(str(stored['counts'])))
        except (BadFile, KeyError, ValueError):
            return None

    def put(self, number, key, people, counts):
        save_npz(self._path(number), key=np.array(f'{self._key}\n{key}'), counts=np.array(json.dumps(counts)),
                 **vars(people))

    def remove(self):
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, number):
        return self._folder / f'{number:06d}.npz'

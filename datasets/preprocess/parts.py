"""Runs long conversions by sequence. Finished sequences are saved, so that an interrupted run can continue."""
import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.annotations import Annotations
from datasets.preprocess import Collector, save_annotations
from utils.errors import BadFile
from utils.logging import get_logger

_LEFT_OUT = 'left_out'


class Parts:
    """The parts of an output file NAME, in the folder `.NAME.KEY.parts` next to it. KEY is a digest of the options.

    body_digest: digest of the labels' body, if it is not SMPL's.
    """

    def __init__(self, out, **options):
        key = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()[:8]
        self.out = Path(out)
        self.folder = self.out.parent / f'.{self.out.stem}.{key}.parts'
        self.body_digest = None

    def run(self, names, convert, source, progress=True, unit=' sequences'):
        """Convert each missing sequence with `convert(name, Collector)`, then write the output file -> Annotations.

        The output has the sequences in order, and the parts are removed. A sequence with broken files (BadFile) is
        logged, left out and counted. Raises other errors of `convert`. Raises BadFile without rows, that of the first
        broken sequence if there is one.
        """
        files, broken = [], []
        for name in tqdm(names, desc=self.out.stem, unit=unit, disable=not progress):
            file = self.folder / f'{name.replace("/", "_").replace(" ", "_")}.npz'
            try:
                if not file.exists():
                    self._convert(name, convert, file)
                files.append(file)
            except BadFile as error:
                get_logger().warning(f'{name} is left out: {error}')
                broken.append(error)
        parts, left_out = [Annotations.load(file) for file in files], Counter({'broken sequences': len(broken)})
        for part in parts:
            left_out.update(json.loads(str(part.whole.pop(_LEFT_OUT))))
        full = [part for part in parts if len(part)] or parts[:1]
        joined = Annotations.concatenate(full) if full else Collector().annotations()
        if broken and not len(joined):
            raise broken[0]
        joined.body_digest = self.body_digest
        save_annotations(joined, self.out, source, left_out)
        shutil.rmtree(self.folder, ignore_errors=True)
        return joined

    @staticmethod
    def _convert(name, convert, file):
        rows = Collector()
        convert(name, rows)
        annotations = rows.annotations()
        annotations.whole[_LEFT_OUT] = np.array(json.dumps(rows.left_out))
        annotations.save(file)

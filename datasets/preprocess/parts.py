"""Long conversions sequence by sequence: what is finished is kept beside the output, so that they can go on."""
import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.annotations import Annotations
from datasets.preprocess import Collector, save_annotations

_LEFT_OUT = 'left_out'


class Parts:
    """The parts of one output file, in the folder `.NAME.KEY.parts` beside it; KEY stands for the options."""

    def __init__(self, out, **options):
        key = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()[:8]
        self.out = Path(out)
        self.folder = self.out.parent / f'.{self.out.stem}.{key}.parts'

    def run(self, names, convert, source, progress=True, unit=' sequences'):
        """Convert each sequence that is not there yet by `convert(name, Collector)`, then join all, in order, into
        the output file and remove the parts. Raises what `convert` raises, and BadFile where no row is left."""
        files = [self.folder / f'{name.replace("/", "_").replace(" ", "_")}.npz' for name in names]
        for name, file in zip(tqdm(names, desc=self.out.stem, unit=unit, disable=not progress), files):
            if not file.exists():
                rows = Collector()
                convert(name, rows)
                annotations = rows.annotations()
                annotations.whole[_LEFT_OUT] = np.array(json.dumps(rows.left_out))
                annotations.save(file)
        parts, left_out = [Annotations.load(file) for file in files], Counter()
        for part in parts:
            left_out.update(json.loads(str(part.whole.pop(_LEFT_OUT))))
        full = [part for part in parts if len(part)] or parts[:1]
        joined = Annotations.concatenate(full) if full else Collector().annotations()
        save_annotations(joined, self.out, source, left_out)
        shutil.rmtree(self.folder, ignore_errors=True)

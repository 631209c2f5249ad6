"""People rendered while training: a source that gives pictures and labels, cut and augmented like files."""
import numpy as np

from datasets.annotations import Annotations
from datasets.image_dataset import PersonDataset
from datasets.image_io import Picture


class StreamDataset(PersonDataset):
    """Wraps a source with `samples([(epoch, index), ...]) -> [(image [H,W,3] uint8 RGB, row), ...]` and `__len__`.

    `row` is one person's labels under the keys of a SPIN `.npz`, without the leading N.
    """

    def __init__(self, cfg, source, name='free-stream', seed=None, dataset_index=0):
        super().__init__(cfg, name, 'train', seed, dataset_index)
        self.source = source

    def __len__(self):
        return len(self.source)

    def samples(self, keys, rngs):
        """`sample` for several (epoch, index), each with its own generator. The source gives all pictures at once."""
        return [self._pack(*self._person(key, *drawn), self.draw_augmentation(rng))
                for key, rng, drawn in zip(keys, rngs, self.source.samples(keys))]

    def _read(self, epoch, index, box_factor):
        return self._person((epoch, index), *self.source.samples([(epoch, index)])[0])

    def _person(self, key, image, row):
        epoch, index = key
        name = f'{self.name}/{epoch}/{index}'
        labels = {'imgname': name, **row}
        person = Annotations.from_spin({key: np.asarray(value)[None] for key, value in labels.items()
                                        if key != 'body_digest'}, name).person(0)
        return Picture(np.ascontiguousarray(image), *image.shape[:2], is_rgb=True), person, index, name

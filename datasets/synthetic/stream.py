"""People rendered on demand: training images without files."""
import numpy as np
import torch

from datasets.synthetic.people import Cast
from datasets.synthetic.photographs import PhotoFolder
from datasets.synthetic.realism import DEFAULT_REALISM, read_realism
from datasets.synthetic.render import draw_batch, label
from datasets.synthetic.scene import sample_scenes
from utils.assets import Assets, find_assets
from utils.errors import BadConfig, MissingFile

# Second word of every image's seed, after the user's. Different sets never share an image.
SPLITS = {'train': 0, 'val': 1, 'multiview_train': 2, 'multiview_val': 3, 'stream': 4, 'video': 5, 'studio_train': 6,
          'studio_val': 7, 'studio_multiview_train': 8, 'studio_multiview_val': 9}
DEFAULT_LENGTH = 4000
# Side of a picture over that of the network's input. Larger pictures would only be reduced.
_LARGER_THAN_CROP = 8 / 7
# Pictures that are drawn together. More are hardly faster on a CPU, and take memory.
AT_ONCE = 16


def render_people(rngs, cast, size, photos=None, studio=False, realism=frozenset(), device='cpu'):
    """Render pictures with longer side `size` -> [(image [H,W,3] uint8 RGB, row of labels (`render.label`))]. Their
    people are drawn together, AT_ONCE pictures at a time.

    rngs: one numpy Generator a picture; photos: PhotoFolder, or None; studio: easy pictures of the whole person, facing
    the camera, on a plain backdrop; realism: names of `realism.REALISM`; device: of torch, on which people are drawn.
    """
    rendered = []
    for first in range(0, len(rngs), AT_ONCE):
        some = rngs[first:first + AT_ONCE]
        scenes = sample_scenes(some, cast, size, studio, photos, realism)
        drawings = draw_batch(some, scenes, photos, studio, device)
        rendered += [(drawing.image, label(scene, drawing)) for scene, drawing in zip(scenes, drawings)]
    return rendered


def _usable_device(name):
    """DATA.STREAM.DEVICE. Raises BadConfig."""
    try:
        kind = torch.device(name).type
    except RuntimeError:
        kind = ''
    if kind not in ('cpu', 'cuda'):
        raise BadConfig(f"DATA.STREAM.DEVICE: {name!r} is no device that draws; use 'cpu' or 'cuda'")
    if kind == 'cuda' and not torch.cuda.is_available():
        raise BadConfig("DATA.STREAM.DEVICE is 'cuda', but torch finds no CUDA device; use 'cpu'")
    return name


class FreeStream:
    """A source of rendered people. `sample(epoch, index)` depends only on the seed, epoch and index.

    assets_root: a finished free asset folder; length: pictures per epoch; size: longer side in pixels; photos: folder
    of photographs (`photographs.PhotoFolder`), or ''; realism: names of `realism.REALISM`; device: of torch, on which
    people are drawn. Bodies are read on first use, so the stream can be sent to loader workers before. Raises
    MissingFile and ProjectError for an unusable folder of photographs, BadConfig for an unknown name.
    """

    def __init__(self, assets_root, length=DEFAULT_LENGTH, seed=0, size=256, photos='', realism=DEFAULT_REALISM,
                 device='cpu'):
        self.assets_root, self.length, self.seed, self.size, self.device = assets_root, length, seed, size, device
        self.realism = read_realism(realism, 'DATA.STREAM.REALISM')
        self.photos = PhotoFolder(photos) if photos else None
        self._cast = None

    @classmethod
    def from_config(cls, cfg):
        """The stream of a run, from DATA.STREAM. Raises MissingFile if the assets in use are not the free ones,
        BadConfig for a device that is not here."""
        assets = find_assets(cfg.PATHS.DATA_DIR)
        if not assets.is_free:
            raise MissingFile(f'{assets.root}: people are rendered from the free body alone; set PATHS.DATA_DIR to its '
                              'folder, such as data/free')
        stream = cfg.DATA.STREAM
        size = stream.SIZE or round(cfg.DATA.IMG_RES * _LARGER_THAN_CROP)
        return cls(assets.root, cfg.DATA.EPOCH_LENGTH or DEFAULT_LENGTH, cfg.SEED, size, stream.PHOTOS, stream.REALISM,
                   _usable_device(stream.DEVICE))

    def __len__(self):
        return self.length

    def __getstate__(self):
        return {**self.__dict__, '_cast': None}

    def sample(self, epoch, index):
        """Picture `index` of an epoch: image [H,W,3] uint8 RGB and a row of labels with the keys of SPIN's files."""
        return self.samples([(epoch, index)])[0]

    def samples(self, keys):
        """`sample` for several (epoch, index) -> [(image, row)]. Their people are drawn together, which is faster."""
        if self._cast is None:
            self._cast = Cast(Assets(self.assets_root, is_free=True))
        rngs = [np.random.default_rng([self.seed, SPLITS['stream'], *key]) for key in keys]
        return [(image, row | {'body_digest': self._cast.digest}) for image, row in
                render_people(rngs, self._cast, self.size, self.photos, realism=self.realism, device=self.device)]

"""The Python API: regressors as torch modules, and bodies in a picture, from any folder (docs/api.md)."""
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from core.config import CONFIG_FOLDER, default_yaml, load_config
from core.demo.camera import Focus
from core.demo.detect_and_track import picture_detector
from core.demo.options import Inputs
from core.demo.pictures import read_frame
from core.demo.run import build_estimator
from core.devices import pick_device
from core.evaluation.options import checkpoint_config
from core.evaluation.run import load_regressor as load_with_weights
from datasets.video import Frame
from models import build_regressor, regressor_class
from models.keypoints.fetch import fetch
from models.keypoints.files import has_weights
from utils.errors import BadConfig
from utils.logging import get_logger

_ROOT = CONFIG_FOLDER.parent


@dataclass(frozen=True)
class Bodies:
    """The N people in one picture. 3D is in the picture's camera: x right, y down, z forward, metres.

    vertices [N,V,3]; faces [F,3] int64; joints [N,49,3]; keypoints_2d [N,49,2], where the camera sees the joints, in
    pixels; camera [3,3]: the picture's intrinsics, in pixels; pose [N,72] axis-angle; betas [N,10]; translation [N,3],
    which is in vertices and joints already; boxes [N,4] left, top, right, bottom, in pixels. numpy arrays, float32.
    """
    vertices: np.ndarray
    faces: np.ndarray
    joints: np.ndarray
    keypoints_2d: np.ndarray
    camera: np.ndarray
    pose: np.ndarray
    betas: np.ndarray
    translation: np.ndarray
    boxes: np.ndarray

    def __len__(self):
        return len(self.vertices)


def load_regressor(name, checkpoint='', data_dir='', device='auto', config=()):
    """A regressor as a torch module in evaluation mode.

    name: as registered ('hmr', 'pymaf_net', ...). checkpoint: a file, `hf://OWNER/REPO/FILE` or `https://...`, of this
    project or published; '' for random weights. data_dir: folder of the body and its assets; '' for the project's.
    device: 'auto', 'cpu' or 'cuda'. config: [KEY, VALUE, ...] of the config. Raises ProjectError.
    """
    cls, overrides = regressor_class(name), _overrides(data_dir, device, config)
    if not checkpoint:
        cfg = load_config(default_yaml(name), ['MODEL.REGRESSOR', name, *overrides])
        get_logger().info(f'{name}: random weights, since no checkpoint is given')
        return build_regressor(cfg).to(pick_device(cfg)).eval()
    cfg = checkpoint_config(checkpoint, overrides)
    if regressor_class(cfg.MODEL.REGRESSOR) is not cls:
        raise BadConfig(f'{checkpoint}: a checkpoint of {cfg.MODEL.REGRESSOR}, not of {name}')
    return load_with_weights(cfg, checkpoint, pick_device(cfg))


class BodyEstimator:
    """Bodies in pictures: `BodyEstimator()('picture.jpg')` -> Bodies. It does what demo.py does with --img.

    Without a checkpoint the body is fitted to the keypoints that BlazePose finds; its files are fetched on first use.
    checkpoint, data_dir, device, config: as of `load_regressor`. Raises ProjectError.
    """

    def __init__(self, checkpoint='', data_dir='', device='auto', config=()):
        overrides = _overrides(data_dir, device, config)
        self._cfg = checkpoint_config(checkpoint, overrides) if checkpoint else load_config(None, overrides)
        if self._cfg.DEMO.FIT == 'auto' and self._cfg.DEMO.KEYPOINTS == 'blazepose':
            _fetch_blazepose()
        self._inputs = Inputs('img', (), str(checkpoint) or None)
        self._device = pick_device(self._cfg)
        self._estimator = build_estimator(self._cfg, self._inputs, self._device)
        self._detector = picture_detector(self._cfg, self._inputs, 0, self._device, self._estimator)
        self.faces = self._estimator.body.faces.cpu().numpy()

    def __call__(self, picture, focal_length=0.0):
        """Bodies of the people in a picture; none where nobody is found.

        picture: a path, a PIL image, or an RGB array [H,W,3] of uint8. focal_length: pixels; 0 takes that of the file's
        EXIF tags, else sqrt(w^2 + h^2). Raises MissingFile, BadFile, BadConfig.
        """
        frame, focus = _frame(picture), Focus(focal_length or self._cfg.DEMO.FOCAL_LENGTH)
        people = [(frame, person) for person in self._detector([frame])[0]]
        estimates = self._estimator(people, focus) if people else []
        return self._bodies([estimate for estimate in estimates if estimate is not None], frame, focus(frame))

    def _bodies(self, found, frame, focal_length):
        def column(name, *shape):
            return np.array([getattr(one, name) for one in found], np.float32).reshape(len(found), *shape)

        translation = column('translation', 3)
        height, width = frame.image.shape[:2]
        camera = np.array([[focal_length, 0, width / 2], [0, focal_length, height / 2], [0, 0, 1]], np.float32)
        return Bodies(column('vertices', self._estimator.body.num_vertices, 3) + translation[:, None], self.faces,
                      column('joints', 49, 3) + translation[:, None], column('keypoints_2d', 49, 2), camera,
                      column('pose', 72), column('betas', 10), translation, column('box', 4))


def _overrides(data_dir, device, config):
    # The scripts read data/ of the folder they run in; a caller may be anywhere.
    return ['PATHS.DATA_DIR', str(data_dir or _ROOT / 'data'), 'DEVICE', device, *config]


def _frame(picture):
    if isinstance(picture, (str, Path)):
        return read_frame(Path(picture), 0, 0.0)
    if isinstance(picture, Image.Image):
        picture = np.asarray(picture.convert('RGB'))
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise BadConfig(f'a picture is a path, a PIL image or an RGB array [H,W,3] of uint8; got {picture.dtype} '
                        f'{list(picture.shape)}')
    return Frame(0, 0.0, np.ascontiguousarray(picture))


def _fetch_blazepose():
    if not (has_weights('pose_detection.tflite') and has_weights('pose_landmark_full.tflite')):
        get_logger().info("fetching BlazePose's files")
        fetch()

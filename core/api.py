"""The Python API: regressors as torch modules, and bodies of people in a picture (docs/api.md)."""
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
from core.pretrained import check_estimates, demo_checkpoint
from datasets.video import Frame
from models import build_regressor, regressor_class
from models.keypoints.fetch import fetch
from models.keypoints.files import has_weights
from utils.errors import BadConfig
from utils.logging import get_logger

_ROOT = CONFIG_FOLDER.parent


@dataclass(frozen=True)
class Bodies:
    """The N people in one picture, as numpy arrays of float32. 3D is in the picture's camera, in metres: x right, y
    down, z forward.

    vertices [N,V,3]. faces [F,3], int64. joints [N,49,3]. keypoints_2d [N,49,2]: projected joints in pixels. camera
    [3,3]: intrinsics of the picture in pixels. pose [N,72]: axis-angle. betas [N,10]. translation [N,3]: already
    included in vertices and joints. boxes [N,4]: left, top, right, bottom in pixels.
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
    """Build a regressor as a torch module in evaluation mode.

    name: registered name, such as 'hmr' or 'pymaf_net'. checkpoint: a file, `hf://OWNER/REPO/FILE` or `https://...`,
    of this project or published; '' for random weights. data_dir: folder of the body and its assets; '' for the
    project's `data`. device: 'auto', 'cpu' or 'cuda'. config: [KEY, VALUE, ...] of the config. Raises ProjectError.
    """
    cls, overrides = regressor_class(name), _overrides(data_dir, device, config)
    if not checkpoint:
        cfg = load_config(default_yaml(name), ['MODEL.REGRESSOR', name, *overrides])
        get_logger().info(f'{name}: random weights, because no checkpoint is given')
        return build_regressor(cfg).to(pick_device(cfg)).eval()
    cfg = checkpoint_config(checkpoint, overrides)
    if regressor_class(cfg.MODEL.REGRESSOR) is not cls:
        raise BadConfig(f'{checkpoint}: a checkpoint of {cfg.MODEL.REGRESSOR}, not of {name}; change the name or '
                        'the checkpoint')
    return load_with_weights(cfg, checkpoint, pick_device(cfg))


class BodyEstimator:
    """Estimates the bodies in a picture, as demo.py does with --img: `BodyEstimator()('picture.jpg')` -> Bodies.

    checkpoint: '' takes demo.py's default, the free network of the repository; 'none' fits bodies to keypoints alone.
    checkpoint, data_dir, device, config: else as in `load_regressor`. BlazePose's files are downloaded at first use.
    Raises ProjectError.
    """

    def __init__(self, checkpoint='', data_dir='', device='auto', config=()):
        overrides = [*_overrides(data_dir, device, config), 'DEMO.RENDER', True]  # bodies have vertices
        given = str(checkpoint or '')
        checkpoint = demo_checkpoint(given, lambda: load_config(None, overrides), _ROOT)
        self._cfg = checkpoint_config(checkpoint, overrides) if checkpoint else load_config(None, overrides)
        check_estimates(self._cfg, checkpoint, given)
        if self._cfg.DEMO.KEYPOINTS == 'blazepose' and (self._cfg.DEMO.FIT == 'auto' or not self._cfg.DEMO.DETECTOR):
            _fetch_blazepose()
        self._inputs = Inputs('img', (), checkpoint)
        self._device = pick_device(self._cfg)
        self._estimator = build_estimator(self._cfg, self._inputs, self._device)
        self._detector = picture_detector(self._cfg, self._inputs, 0, self._device, self._estimator)
        self.faces = self._estimator.body.faces.cpu().numpy()

    def __call__(self, picture, focal_length=0.0):
        """Estimate the bodies in a picture. Bodies is empty if nobody is found.

        picture: a path, a PIL image, or an RGB array [H,W,3] of uint8. focal_length: in pixels; 0 reads it from EXIF
        tags, or uses sqrt(w^2 + h^2) without them. Raises MissingFile, BadFile, BadConfig.
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
    # The scripts read data/ of the current folder. A caller of the API may be in any folder.
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
        get_logger().info("downloading BlazePose's files")
        fetch()

"""RTMPose (Jiang et al., arXiv 2303.07399) and YOLOX (Ge et al., arXiv 2107.08430) from ONNX files, with onnxruntime.

RTMPose predicts two distributions per joint, over columns and over rows (SimCC: Li et al., arXiv 2107.03332). Supported
are mmpose's exports with 17, 26 or 133 joints, and YOLOX's with raw output [1,N,85] or with boxes after NMS [1,N,5].
"""
import cv2
import numpy as np

from models.keypoints.formats import BY_COUNT, FORMATS
from models.keypoints.matching import belongs, overlap
from models.keypoints.person import PersonKeypoints
from models.keypoints.tracked import TrackedByOverlap
from utils.errors import BadConfig, BadFile, MissingFile
from utils.optional_packages import import_package

_MARGIN = 1.25
_MEAN, _STD = np.array([123.675, 116.28, 103.53], np.float32), np.array([58.395, 57.12, 57.375], np.float32)
_STRIDES, _PAD, _MOST_OVERLAP = (8, 16, 32), 114, 0.45
_PERSON = 0


class RTMPose:
    """Interface: docs/keypoints.md. It has no 3D joints.

    pose, detector: paths of the ONNX files; without a detector, boxes must be given. min_score: of a detected person.
    min_keypoints: smallest mean confidence of a person's joints. device: 'cpu' or 'cuda' (needs onnxruntime-gpu).
    Raises MissingFile, BadFile, BadConfig.
    """
    name = 'RTMPose'

    def __init__(self, device='cpu', pose=None, detector=None, min_score=0.5, min_keypoints=0.2):
        if pose is None:
            raise BadConfig('pose estimator rtmpose needs ONNX files: pose=FILE of RTMPose, detector=FILE of YOLOX')
        self._pose = _session(pose, device)
        self._size = _image_size(self._pose, pose)
        self._detector = YOLOX(detector, device, min_score) if detector else None
        self._path, self._min_keypoints = pose, min_keypoints

    def __call__(self, image, boxes=None):
        """image [H,W,3] uint8 RGB; boxes [N,4] or None -> list of PersonKeypoints; with boxes, one or None per box."""
        if boxes is not None:
            return [self._in_box(image, box, 1.0) for box in np.asarray(boxes, np.float64).reshape(-1, 4)]
        if self._detector is None:
            raise BadConfig('pose estimator rtmpose needs boxes of people, or detector=FILE of YOLOX')
        found = [self._in_box(image, box, score) for box, score in self._detector(image)]
        return [person for person in found if person is not None]

    def video(self):
        """A tracker for the frames of one video."""
        return TrackedByOverlap(self)

    def _in_box(self, image, box, score):
        """PersonKeypoints of the person of a box [4], or None."""
        if not np.isfinite(box).all() or (box[2:] - box[:2] < 1).any():
            return None
        matrix = crop_matrix(box, self._size)
        crop = cv2.warpAffine(image, _between_pixel_centres(matrix), self._size,
                              flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        values = ((crop - _MEAN) / _STD).transpose(2, 0, 1)[None].astype(np.float32)
        points, confidence = decode_simcc(*self._run(values), self._size)
        points = points @ matrix[:, :2].T + matrix[:, 2]
        if confidence.mean() < self._min_keypoints or not belongs(points, confidence, box, image.shape[1::-1]):
            return None
        form = BY_COUNT.get(len(points))
        if form is None:
            raise BadFile(f'{self._path}: {len(points)} joints, expected {", ".join(map(str, BY_COUNT))}')
        return PersonKeypoints(box, score * float(confidence.mean()), FORMATS[form].to_j49(points, confidence))

    def _run(self, values):
        outputs = self._pose.run(None, {self._pose.get_inputs()[0].name: values})
        if len(outputs) < 2 or any(output.ndim != 3 for output in outputs[:2]):
            raise BadFile(f'{self._path}: not RTMPose, which has two outputs [1,joints,bins]')
        return outputs[0][0], outputs[1][0]


class YOLOX:
    """Detects people in a picture [H,W,3] uint8 RGB with an ONNX file -> [(box [4] in continuous pixels, score)]."""

    def __init__(self, path, device='cpu', min_score=0.5):
        self._session, self._path, self._min_score = _session(path, device), path, min_score
        self._size = _image_size(self._session, path)

    def __call__(self, image):
        width, height = self._size
        zoom = min(width / image.shape[1], height / image.shape[0])
        inside = max(int(image.shape[1] * zoom), 1), max(int(image.shape[0] * zoom), 1)
        padded = np.full((height, width, 3), _PAD, np.uint8)
        # YOLOX is trained on BGR in 0 to 255.
        padded[:inside[1], :inside[0]] = cv2.resize(image, inside, interpolation=cv2.INTER_LINEAR)[..., ::-1]
        values = padded.transpose(2, 0, 1)[None].astype(np.float32)
        outputs = self._session.run(None, {self._session.get_inputs()[0].name: values})
        boxes, scores = self._people(outputs)
        boxes = boxes / np.tile([inside[0] / image.shape[1], inside[1] / image.shape[0]], 2)
        return _suppressed(boxes, scores)

    def _people(self, outputs):
        """Boxes [N,4] in the network's pixels and scores [N] of the people."""
        rows = outputs[0][0] if outputs[0].ndim == 3 else outputs[0]
        if rows.shape[-1] == 5:
            is_person = outputs[1].reshape(-1) == _PERSON if len(outputs) > 1 else np.ones(len(rows), bool)
            boxes, scores = rows[:, :4], rows[:, 4] * is_person
        elif rows.shape[-1] > 5:
            boxes, scores = decode_yolox(rows, self._size), rows[:, 4] * rows[:, 5 + _PERSON]
        else:
            raise BadFile(f'{self._path}: not YOLOX, whose output is [1,N,5] or [1,N,5 + classes]')
        keep = scores >= self._min_score
        return boxes[keep].astype(np.float64), scores[keep].astype(np.float64)


def decode_yolox(rows, size):
    """YOLOX's raw rows [N,5 + classes] for an input of size (width, height) -> boxes [N,4]. The centre is an offset
    from the cell's corner and the sides are logarithms, both in strides."""
    grids, strides = [], []
    for stride in _STRIDES:
        x, y = np.meshgrid(np.arange(size[0] // stride), np.arange(size[1] // stride))
        grids.append(np.stack([x, y], -1).reshape(-1, 2))
        strides.append(np.full((len(grids[-1]), 1), stride))
    grid, stride = np.concatenate(grids), np.concatenate(strides)
    center, sides = (rows[:, :2] + grid) * stride, np.exp(rows[:, 2:4]) * stride
    return np.concatenate([center - sides / 2, center + sides / 2], 1)


def decode_simcc(columns, rows, size):
    """SimCC's distributions [J,bins] over columns and rows of an input of size (width, height) -> points [J,2] in
    continuous pixels of the input, confidence [J] in [0, 1].

    Bin i of n is at i / n of the side, from the first pixel's centre. The confidence is the smaller of the two maxima.
    """
    points = np.stack([columns.argmax(1) * size[0] / columns.shape[1], rows.argmax(1) * size[1] / rows.shape[1]], 1)
    confidence = np.minimum(columns.max(1), rows.max(1)).clip(0, 1)
    return points + 0.5, confidence


def crop_matrix(box, size):
    """[2,3]: from pixels of the network's input of size (width, height) to the picture's, both continuous. The crop is
    the box, enlarged 1.25 times and widened to the input's aspect ratio."""
    box = np.asarray(box, np.float64)
    sides = (box[2:] - box[:2]) * _MARGIN
    step = max(sides[0] / size[0], sides[1] / size[1])
    first = (box[:2] + box[2:]) / 2 - step * np.array(size) / 2
    return np.array([[step, 0, first[0]], [0, step, first[1]]])


def _between_pixel_centres(matrix):
    """The same map for OpenCV, whose pixel coordinates start at the first pixel's centre."""
    moved = matrix.copy()
    moved[:, 2] = matrix @ [0.5, 0.5, 1] - 0.5
    return moved


def _suppressed(boxes, scores):
    kept = []
    for i in np.argsort(-scores):
        if all(overlap(boxes[i], box) <= _MOST_OVERLAP for box, _ in kept):
            kept.append((boxes[i], float(scores[i])))
    return kept


def _session(path, device):
    onnxruntime = import_package('onnxruntime', 'rtmpose', 'onnx')
    providers = ['CUDAExecutionProvider'] * (str(device) != 'cpu') + ['CPUExecutionProvider']
    available = [name for name in providers if name in onnxruntime.get_available_providers()]
    try:
        with open(path, 'rb') as stream:
            return onnxruntime.InferenceSession(stream.read(), providers=available)
    except OSError as error:
        raise MissingFile(f'{path}: {error.strerror or error}; expected an ONNX file') from None
    except Exception as error:  # onnxruntime's own error classes
        raise BadFile(f'{path}: not a readable ONNX file ({" ".join(str(error).split())[:80]})') from None


def _image_size(session, path):
    """(width, height) of the network's only input."""
    shape = session.get_inputs()[0].shape
    if len(shape) != 4 or not all(isinstance(side, int) for side in shape[2:]):
        raise BadFile(f'{path}: its input is {shape}, expected [1,3,height,width]')
    return shape[3], shape[2]

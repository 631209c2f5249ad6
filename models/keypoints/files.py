"""Weight files of the estimators: their folder, and the digests of BlazePose's."""
from pathlib import Path

from utils.errors import BadFile, MissingFile
from utils.safe_io import sha256_of

# In the repository, independent of PATHS.DATA_DIR: the weights do not depend on a body.
FOLDER = Path(__file__).resolve().parents[2] / 'data/keypoints'
DIGESTS = {
    'pose_detection.tflite': '9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c',
    'pose_landmark_full.tflite': 'e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f',
    'pose_landmark_heavy.tflite': '59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe'}
HOW_TO_FETCH = 'run `python -m models.keypoints.fetch`'


def weights_file(name, folder=None):
    """Path of a file of BlazePose. folder: None: FOLDER. Raises MissingFile, and BadFile where the file differs from
    the published one."""
    path = Path(folder or FOLDER) / name
    if not path.is_file():
        raise MissingFile(f'{path}: no such file; {HOW_TO_FETCH}')
    if sha256_of(path) != DIGESTS[name]:
        raise BadFile(f'{path}: its SHA-256 is not that of the published file; remove it and {HOW_TO_FETCH}')
    return path


def has_weights(name, folder=None):
    """Whether a file of BlazePose exists. Its digest is checked only when it is read."""
    return (Path(folder or FOLDER) / name).is_file()

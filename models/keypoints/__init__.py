"""Estimators of 2D keypoints with a common interface (docs/keypoints.md)."""
from models.keypoints.person import PersonKeypoints
from models.keypoints.readers import read_keypoints
from utils.errors import BadConfig

__all__ = ['ESTIMATORS', 'PersonKeypoints', 'build_pose_estimator', 'read_keypoints']


def _blazepose(device, **options):
    from models.keypoints.blazepose import BlazePose
    return BlazePose(**options)


def _keypointrcnn(**options):
    from models.keypoints.keypointrcnn import KeypointRCNN
    return KeypointRCNN(**options)


def _rtmpose(**options):
    from models.keypoints.rtmpose import RTMPose
    return RTMPose(**options)


# Imported on first use, because each needs another package.
ESTIMATORS = {'blazepose': _blazepose, 'keypointrcnn': _keypointrcnn, 'rtmpose': _rtmpose}


def build_pose_estimator(name, device='cpu', **options):
    """An estimator by name: blazepose, keypointrcnn or rtmpose.

    device: where it runs; BlazePose always runs on the CPU. options: arguments of the estimator's class. Raises
    BadConfig for unknown names and options, and MissingFile and BadFile for its files.
    """
    if name not in ESTIMATORS:
        raise BadConfig(f'unknown pose estimator {name!r}; use {", ".join(ESTIMATORS)}')
    try:
        return ESTIMATORS[name](device=device, **options)
    except TypeError as error:
        if 'argument' not in str(error):
            raise
        raise BadConfig(f'pose estimator {name}: {str(error).split("() ")[-1]}') from None

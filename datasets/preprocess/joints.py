"""Joint orders of datasets and rotations of bodies to the camera, for converters."""
import cv2
import numpy as np

from datasets.preprocess.openpose import detection_file, match_person, read_people
from utils.keypoints import NUM_COMMON
from utils.pixels import to_continuous

# Common joints of H36M's 17. The joints of MPI-INF-3DHP are converted to the same order.
H36M17_TO_COMMON = [14, 3, 4, 5, 2, 1, 0, 16, 12, 17, 18, 9, 10, 11, 8, 7, 6]
LSP14_TO_COMMON = list(range(14))


def common_joints(points, order):
    """Convert joints [J,D] to the 24 common ones, with confidence 1 -> [24,D+1]. order: indices [J]."""
    points = np.asarray(points, np.float64)
    common = np.zeros((NUM_COMMON, points.shape[1] + 1), np.float32)
    common[order, :-1] = points
    common[order, -1] = 1
    return common


def common_keypoints(points, order, first_pixel):
    """Convert keypoints [J,2] to the 24 common ones in continuous pixels, with confidence 1 -> [24,3]."""
    return common_joints(to_continuous(np.asarray(points, np.float64), first_pixel), order)


def rotated_root(pose, rotation):
    """Rotate the global orientation of an axis-angle pose [72] by a rotation [3,3], such as world to camera."""
    pose = np.array(pose, np.float64).reshape(72)
    turned = np.asarray(rotation, np.float64) @ cv2.Rodrigues(pose[:3])[0]
    pose[:3] = cv2.Rodrigues(turned)[0][:, 0]
    return pose


def openpose_joints(folder, imgname, common, max_pixels=0.0):
    """OpenPose joints [25,3] of the annotated person from FOLDER/<picture>_keypoints.json. None without folder or
    file."""
    if not folder:
        return None
    file = detection_file(folder, imgname)
    return match_person(read_people(file), common, max_pixels) if file.exists() else None

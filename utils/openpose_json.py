"""People in OpenPose's JSON, with the joints of the model that wrote it."""
import numpy as np

from utils.errors import BadFile


def people_of(content, path, counts):
    """The bodies in a file's content -> [P,J,3]: x, y, confidence, in OpenPose's pixels. Rows that are not finite
    become zero.

    counts: allowed numbers of joints J; the first is used for a file without bodies. OpenPose writes an empty list for
    a person of whom it saw only a face or a hand. Raises BadFile.
    """
    try:
        people = [person['pose_keypoints_2d'] for person in content['people'] if person['pose_keypoints_2d'] != []]
        joints = next((count for count in counts if people and len(people[0]) == 3 * count), counts[0])
        points = np.array(people, np.float32).reshape(len(people), joints, 3)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BadFile(f"{path}: not OpenPose's JSON with {' or '.join(map(str, counts))} joints a person ('people', "
                      "'pose_keypoints_2d')") from None
    points[~np.isfinite(points).all(-1)] = 0
    return points

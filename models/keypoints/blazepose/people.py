"""PersonKeypoints of BlazePose's landmarks."""
import numpy as np

from models.keypoints.blazepose.joints import EYES, MOUTH, to_j49
from models.keypoints.matching import SEEN, extent, grown, within_reach
from models.keypoints.person import PersonKeypoints

# How far outside of the picture, as a share of the box's longer side, a joint's confidence has faded to nothing.
_FADE = 0.1
# What a joint that is hidden is worth, beside one that is seen: it is a guess, and mostly a good one.
_HIDDEN = 0.5
# Added on each side of what is seen of a person, as a share of the longer side: hands and clothes.
_MARGIN = 0.06
# The top of the head is so many times as far above the eyes as these are above the mouth.
_CROWN = 2.5


def person_of(landmarks, box, size, score=None):
    """PersonKeypoints of the person of a box [4] in a picture of size [width, height]; score: None for the landmarks'.

    Joints out of reach of the box are not seen; those outside of the picture are a guess that is worth the less the
    further out they are.
    """
    points = landmarks.points
    outside = np.maximum(-points, points - size).max(1).clip(0) / max(box[2:] - box[:2])
    confidence = landmarks.confidence + _HIDDEN * (landmarks.presence - landmarks.confidence)
    confidence *= within_reach(points, box) * (1 - outside / _FADE).clip(0)
    return PersonKeypoints(box, landmarks.score if score is None else score, to_j49(points, confidence),
                           to_j49(landmarks.world, confidence))


def found_person(landmarks, size, score=None):
    """PersonKeypoints with the box about what is seen in the picture of size [width, height], or None where less than
    two landmarks are."""
    rectangle = extent(landmarks.points, landmarks.confidence, size)
    if rectangle is None or max(rectangle[2:] - rectangle[:2]) < 1:
        return None
    face = [*EYES, *MOUTH]
    if (landmarks.confidence[face] >= SEEN).all():
        eyes, mouth = landmarks.points[EYES].mean(0), landmarks.points[MOUTH].mean(0)
        crown = eyes + _CROWN * (eyes - mouth)
        rectangle = np.concatenate([np.minimum(rectangle[:2], crown), np.maximum(rectangle[2:], crown)])
    return person_of(landmarks, np.clip(grown(rectangle, _MARGIN), 0, np.tile(size, 2)), size, score)

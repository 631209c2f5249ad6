"""PersonKeypoints of BlazePose's landmarks."""
import numpy as np

from models.keypoints.blazepose.joints import EYES, MOUTH, to_j49
from models.keypoints.matching import SEEN, extent, grown, within_reach
from models.keypoints.person import PersonKeypoints

# Distance outside of the picture, over the box's longer side, at which a joint's confidence reaches zero.
_FADE = 0.1
# Confidence of a hidden joint relative to a visible one: its position is a guess, but mostly a good one.
_HIDDEN = 0.5
# Margin on each side of the visible landmarks, over the longer side, for hands and clothes.
_MARGIN = 0.06
# Distance from the eyes to the top of the head over the distance from the mouth to the eyes.
_CROWN = 2.5


def person_of(landmarks, box, size, score=None):
    """PersonKeypoints of the person in a box [4], in a picture of size [width, height]. score: None: the landmarks'.

    Joints out of reach of the box have no confidence. Outside of the picture the confidence falls with the distance.
    """
    points = landmarks.points
    outside = np.maximum(-points, points - size).max(1).clip(0) / max(box[2:] - box[:2])
    confidence = landmarks.confidence + _HIDDEN * (landmarks.presence - landmarks.confidence)
    confidence *= within_reach(points, box) * (1 - outside / _FADE).clip(0)
    return PersonKeypoints(box, landmarks.score if score is None else score, to_j49(points, confidence),
                           to_j49(landmarks.world, confidence))


def found_person(landmarks, size, score=None):
    """PersonKeypoints with a box around the visible landmarks in the picture of size [width, height], or None with
    fewer than two of them."""
    rectangle = extent(landmarks.points, landmarks.confidence, size)
    if rectangle is None or max(rectangle[2:] - rectangle[:2]) < 1:
        return None
    face = [*EYES, *MOUTH]
    if (landmarks.confidence[face] >= SEEN).all():
        eyes, mouth = landmarks.points[EYES].mean(0), landmarks.points[MOUTH].mean(0)
        crown = eyes + _CROWN * (eyes - mouth)
        rectangle = np.concatenate([np.minimum(rectangle[:2], crown), np.maximum(rectangle[2:], crown)])
    return person_of(landmarks, np.clip(grown(rectangle, _MARGIN), 0, np.tile(size, 2)), size, score)

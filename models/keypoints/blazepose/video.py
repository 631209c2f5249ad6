"""BlazePose on the frames of a video: each person is tracked from frame to frame."""
from dataclasses import dataclass

import numpy as np

from models.keypoints.blazepose.detector import tiles_of
from models.keypoints.blazepose.landmarks import Landmarks
from models.keypoints.blazepose.people import found_person
from models.keypoints.blazepose.region import Region
from models.keypoints.matching import same_person

# While people are tracked, one tile is searched for new people once in this number of frames.
_SEARCH_EVERY = 5
# Frames for which a lost person is remembered, and the largest number of lost people.
_REMEMBERED, _MOST_LOST = 30, 50
# Number of lost people who are searched for where they were last seen, and the margin of that region.
_MOST_AWAITED, _AWAITED_MARGIN = 2, 1.5
# A person found within this share of a lost person's region, and within this ratio of sizes, is the lost person.
_NEAR, _SIZE_RATIO = 0.5, 1.6


@dataclass(frozen=True)
class Track:
    """A person's number, the landmarks of the last frame in which the person was seen, and that frame's number."""
    number: int
    landmarks: Landmarks
    frame: int

    def is_same(self, landmarks):
        mine = self.landmarks
        return same_person(mine.points, landmarks.points, np.minimum(mine.confidence, landmarks.confidence))

    def may_be(self, landmarks):
        """Whether landmarks of a later frame can belong to this person."""
        mine, other = self.landmarks.following, landmarks.following
        ratio = max(mine.side, other.side) / min(mine.side, other.side)
        return np.hypot(*(mine.center - other.center)) <= _NEAR * mine.side and ratio <= _SIZE_RATIO


class BlazePoseVideo:
    """Called with the frames [H,W,3] uint8 RGB of one video in order -> list of PersonKeypoints with `track`.

    The result depends on this and earlier frames only, and memory is bounded. person_detector: a VerifiedDetector;
    network: the LandmarkNetwork that tracks, with one pass per person and frame in the region that the last frame
    predicts. The whole picture is searched in the first frame and whenever a person is lost; then, for a while, the
    place where that person was. In addition one tile is searched every few frames, or in every frame while nobody
    is tracked.
    """

    def __init__(self, person_detector, network):
        self._person_detector, self._network = person_detector, network
        self._tracks, self._lost, self._next, self._frame, self._turn = [], [], 0, -1, 0

    def __call__(self, image):
        self._frame += 1
        size = np.array(image.shape[1::-1])
        followed = self._followed(image, size)
        gone = {track.number for track in self._tracks} - {track.number for track in followed}
        self._lost = ([track for track in self._tracks if track.number in gone]
                      + [track for track in self._lost if self._frame - track.frame <= _REMEMBERED])[:_MOST_LOST]
        self._tracks = followed
        for candidate in self._person_detector(image, self._tiles(size, bool(gone))):
            self._add(candidate.landmarks, size)
        people = [(track, found_person(track.landmarks, size)) for track in self._tracks]
        return [person.with_track(track.number) for track, person in people]

    def _followed(self, image, size):
        """Tracks that continue in this frame. Of two with the same person, the older is kept."""
        followed = []
        for track in self._tracks:
            landmarks = self._network(image, track.landmarks.following)
            if (landmarks.can_be_followed() and found_person(landmarks, size) is not None
                    and not any(other.is_same(landmarks) for other in followed)):
                followed.append(Track(track.number, landmarks, self._frame))
        return followed

    def _tiles(self, size, someone_is_lost):
        """The tiles to search in this frame."""
        tiles = tiles_of(*size)
        if self._frame == 0 or someone_is_lost:
            return tiles
        lost = [track.landmarks.following for track in self._lost[:_MOST_AWAITED]]
        awaited = [Region(region.center, _AWAITED_MARGIN * region.side) for region in lost]
        if self._tracks and self._frame % _SEARCH_EVERY:
            return awaited
        self._turn += 1
        return awaited + [tiles[0]] * (not self._tracks) + [tiles[self._turn % len(tiles)]]

    def _add(self, landmarks, size):
        """Track a person who was found, unless already tracked."""
        if any(track.is_same(landmarks) for track in self._tracks) or found_person(landmarks, size) is None:
            return
        known = next((track for track in self._lost if track.may_be(landmarks)), None)
        if known is None:
            number, self._next = self._next, self._next + 1
        else:
            number = known.number
            self._lost.remove(known)
        self._tracks.append(Track(number, landmarks, self._frame))

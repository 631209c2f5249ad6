"""A video of a person who walks in a circle in front of a fixed camera, with the ground truth of every frame."""
import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from scipy.ndimage import gaussian_filter1d

from datasets.synthetic.activities import walking_angles
from datasets.synthetic.anatomy import ANGLE_HIGH, ANGLE_LOW, JOINT, angles_to_rotmat, rotation_about, rotmat_to_pose
from datasets.synthetic.backgrounds import room
from datasets.synthetic.lighting import sample_lighting
from datasets.synthetic.multiview import turn_root
from datasets.synthetic.people import dress, place, repose
from datasets.synthetic.poses import WORLD_TO_CAMERA
from datasets.synthetic.render import compose
from datasets.synthetic.scene import Camera, Scene, frame_points
from utils.safe_io import atomic_write, save_json, save_npz

_STRIDES_PER_SECOND = 0.95
_TURNS = 2.0
_FEET = [JOINT[name] for name in ('left_ankle', 'right_ankle', 'left_foot', 'right_foot')]


def write_walking(video, truth, cast, seed=0, seconds=10, fps=25, width=640, height=480):
    """Render the walk to `video` (MP4, H.264), the person's boxes beside it (`detections_file`) and, last, its ground
    truth to `truth` (.npz).

    truth: pose [T,72] with the root in the camera frame, betas [10], translation [T,3], camera K [3,3],
    joints_2d [T,49,2] pixels, joints_3d [T,49,3] and smpl_joints_3d [T,24,3] metres in the camera frame, fps, gender,
    seed, body_digest.
    """
    rng = np.random.default_rng([seed, 5])
    count = int(seconds * fps)
    people, view, camera, lighting = _stage(rng, cast, count, fps, width, height)
    horizon = Scene(people[0], camera, view, lighting).horizon
    background = np.clip(room(rng, max(width, height), horizon)[:height, :width], 0, 1)
    frames, film_seed = [], int(rng.integers(1 << 31))
    for person in people:
        # Every frame uses the same random numbers, so the shadow does not flicker.
        drawing = compose(np.random.default_rng(film_seed), Scene(person, camera, view, lighting), background,
                          faults=False, things=False)
        frames.append(drawing.image)
    with atomic_write(video) as stream:
        stream.write(encode_h264(frames, fps))
    save_json(detections_file(video), [
        {'image_id': number, 'category_id': 1, 'bbox': _box(person, camera), 'score': 1.0, 'track_id': 0}
        for number, person in enumerate(people)])
    joints = np.stack([person.joints for person in people])
    save_npz(truth, pose=np.stack([p.pose for p in people]).astype(np.float32),
             betas=people[0].betas.astype(np.float32),
             translation=np.stack([p.translation for p in people]).astype(np.float32), K=camera.matrix,
             joints_2d=np.stack([camera.project(j)[:, :2] for j in joints]).astype(np.float32),
             joints_3d=joints.astype(np.float32), fps=np.float64(fps), gender=np.array(people[0].gender),
             smpl_joints_3d=np.stack([p.smpl_joints for p in people]).astype(np.float32),
             body_digest=np.array(cast.digest), seed=np.int64(seed))


def detections_file(video):
    """Path of a video's boxes: COCO's results format, one person in every frame (docs/demo.md, --detections)."""
    return Path(video).with_name(f'{Path(video).stem}_detections.json')


def _box(person, camera):
    """[left, top, width, height] in pixels of the visible part of the person's surface."""
    points = camera.project(person.vertices)[:, :2]
    low, high = (np.clip(edge, 0, [camera.width, camera.height]) for edge in (points.min(0), points.max(0)))
    return [round(float(value), 3) for value in (*low, *(high - low))]


def _stage(rng, cast, count, fps, width, height):
    """(walker in every frame, camera's view [3,3], camera, light)."""
    rotmat = _walk_rotations(count, fps)
    model = dress(rng, cast, *cast.draw(rng), rotmat_to_pose(rotmat[:1])[0])
    offsets = model.look.offsets(model.body, cast.normals[model.gender])
    in_world = [repose(model.body, model.gender, model.betas, pose, model.look, offsets)
                for pose in rotmat_to_pose(rotmat)]
    path = _path(np.stack([p.posed.smpl_joints[_FEET] for p in in_world]),
                 np.array([p.posed.vertices[:, 1].min() for p in in_world]), fps)
    view = WORLD_TO_CAMERA @ rotation_about(0, np.deg2rad(7.0))
    camera = Camera(1.1 * height, (width / 2, height / 2), width, height)
    corners = np.concatenate([(p.posed.vertices[::50] + at) @ view.T for p, at in zip(in_world[::5], path[::5])])
    shift = frame_points(corners, camera, .92)
    people = []
    for person, at in zip(in_world, path):
        seen = repose(model.body, model.gender, model.betas, turn_root(person.pose, view), model.look, offsets)
        pelvis = seen.posed.smpl_joints[0]
        people.append(place(seen, view @ (pelvis + at) + shift - pelvis))
    return people, view, camera, sample_lighting(rng)


def _walk_rotations(count, fps):
    """Rotations [T, 24, 3, 3] of a walk along a circle."""
    time = np.arange(count) / fps
    angles = walking_angles((time * _STRIDES_PER_SECOND) % 1)
    rotmat = angles_to_rotmat(np.clip(angles, ANGLE_LOW, ANGLE_HIGH))
    rotmat[:, 0] = rotation_about(1, 2 * np.pi * _TURNS * time / time[-1]) @ rotmat[:, 0]
    return rotmat


def _path(feet, lowest, fps):
    """Displacement [T,3] of the walker that keeps the standing foot in place.

    feet: [T,4,3] metres, ankles and toes with the pelvis fixed; lowest: [T] height of the lowest vertex.
    """
    steps = np.zeros((len(feet), 3))
    for frame in range(1, len(feet)):
        standing = feet[frame - 1:frame + 1, :, 1].sum(0).argmin()
        steps[frame] = feet[frame - 1, standing] - feet[frame, standing]
    path = np.cumsum(gaussian_filter1d(steps, .04 * fps, axis=0), axis=0)
    path[:, 1] = -gaussian_filter1d(lowest, .04 * fps)
    path[:, [0, 2]] -= path[:, [0, 2]].mean(0)
    return path


def encode_h264(frames, fps):
    """Encode frames [H,W,3] uint8 RGB as the bytes of an MP4 file."""
    buffer = io.BytesIO()
    with av.open(buffer, 'w', format='mp4') as container:
        stream = container.add_stream('libx264', rate=Fraction(fps), options={'crf': '18', 'threads': '1'})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = 'yuv420p'
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format='rgb24')))
        container.mux(stream.encode())
    return buffer.getvalue()

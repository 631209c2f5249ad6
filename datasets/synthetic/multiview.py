"""One person, rendered from several calibrated cameras at once."""
import numpy as np
from scipy.spatial.transform import Rotation

from datasets.synthetic.activities import PLAIN
from datasets.synthetic.anatomy import rotation_about, rotmat_to_pose
from datasets.synthetic.more_activities import MORE
from datasets.synthetic.people import dress, place, repose
from datasets.synthetic.poses import WORLD_TO_CAMERA, sample_body_rotations
from datasets.synthetic.render import draw, label
from datasets.synthetic.scene import Scene, frame_points, sample_camera, sample_surroundings

NUM_VIEWS = 4


def render_views(rng, cast, size, photos=None, studio=False, realism=frozenset()):
    """Render one person from NUM_VIEWS sides -> [(image, row)]; the rows have cam_K, cam_R [3,3] and cam_t [3].

    cam_R and cam_t map the world (metres, y up, pelvis near the origin) to each camera's frame. Each row's pose has its
    root in that camera's frame. studio: a plain backdrop with nothing in front; realism: names of `realism.REALISM`.
    Only those that apply to one person in complete views have an effect.
    """
    realism &= {'shadows', 'garments', 'poses'}
    gender, betas = cast.draw(rng, wide='poses' in realism)
    table = MORE if 'poses' in realism else PLAIN
    rotmat = sample_body_rotations(rng, 1, cast.bodies[gender].girth(betas), table)
    model = dress(rng, cast, gender, betas, rotmat_to_pose(rotmat)[0], photos, realism)
    offsets = model.look.offsets(model.body, cast.normals[model.gender])
    (lighting, surroundings), around = sample_surroundings(rng, photos), rng.uniform(0, 2 * np.pi)
    views = []
    for number in range(NUM_VIEWS):
        azimuth = around + 2 * np.pi * number / NUM_VIEWS + rng.normal(0, np.deg2rad(12))
        pitch, roll = np.deg2rad(rng.uniform(0, 28)), np.deg2rad(rng.normal(0, 2))
        view = WORLD_TO_CAMERA @ rotation_about(2, roll) @ rotation_about(0, pitch) @ rotation_about(1, azimuth)
        seen = repose(model.body, model.gender, model.betas, turn_root(model.pose, view), model.look, offsets)
        camera = sample_camera(rng, size)
        translation = frame_points(seen.posed.vertices[::7], camera, rng.uniform(.6, .92), rng.normal(0, .03, 2))
        scene = Scene(place(seen, translation), camera, view, lighting, surroundings, realism=realism)
        drawing = draw(rng, scene, photos, studio)
        # SMPL rotates the root about the pelvis, a camera rotates the world about its origin.
        pelvis = seen.posed.smpl_joints[0]
        row = label(scene, drawing) | {'view': number, 'cam_K': camera.matrix, 'cam_R': view,
                                       'cam_t': translation + pelvis - view @ pelvis}
        views.append((drawing.image, row))
    return views


def turn_root(pose, rotation):
    """The pose [72] with its root rotated by a rotation [3,3], such as into another camera's frame."""
    turned = np.array(pose, float)
    turned[:3] = (Rotation.from_matrix(rotation) * Rotation.from_rotvec(pose[:3])).as_rotvec()
    return turned

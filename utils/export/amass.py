"""Motion in the format of AMASS's `.npz` (Mahmood et al., ICCV 2019), which Blender's SMPL add-ons open."""
import numpy as np
from scipy.spatial.transform import Rotation

from utils.export.motion import even_motion
from utils.export.tracks import mean_betas, rest_body
from utils.safe_io import save_npz

# From the camera frame (x right, y down, z forward) to AMASS's (x right, y forward, z up).
CAMERA_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
# SMPL's joints without the two hands, then jaw, eyes and fingers in SMPL-X's order. The latter are zero, so the first
# 52 joints are SMPL-H's too: both add-ons of Blender find the joints that they need.
_BODY_JOINTS, _SMPLX_JOINTS = 22, 55
_NUM_BETAS, _NUM_DMPLS = 16, 8
# Readers truncate the rate to an integer (29.97 to 29). A rate this close to an integer is written as that integer.
_NEARLY_WHOLE = 0.002


def save_amass(path, recording, person, body):
    """Write one person's motion: trans [N,3], poses [N,165], betas [16], dmpls [N,8], gender, mocap_framerate.

    Missing frames are interpolated and uneven times resampled, because the format has a single rate.
    """
    betas = mean_betas(person)
    _, rest = rest_body(body, betas)
    step, place, rotations = even_motion(recording, person, rest[0])
    turned = rotations[:, :_BODY_JOINTS].copy()
    turned[:, 0] = CAMERA_TO_Z_UP @ turned[:, 0]
    poses = np.zeros((len(turned), 3 * _SMPLX_JOINTS))
    poses[:, :3 * _BODY_JOINTS] = Rotation.from_matrix(turned.reshape(-1, 3, 3)).as_rotvec().reshape(len(turned), -1)
    # The root rotates about the pelvis, which the change of frame moves too.
    trans = place @ CAMERA_TO_Z_UP.T - rest[0]
    save_npz(path, trans=trans, poses=poses, betas=np.pad(betas.astype(np.float64), (0, _NUM_BETAS - len(betas))),
             dmpls=np.zeros((len(turned), _NUM_DMPLS)), gender=np.array('neutral'), mocap_framerate=_rate(1 / step),
             body_file=np.array(str(recording.body_file)), body_digest=np.array(recording.body_digest))


def _rate(rate):
    """Frames per second, rounded if nearly an integer."""
    whole = round(rate)
    return np.float64(whole if abs(rate - whole) <= _NEARLY_WHOLE * rate else rate)

"""The 21 vertices that are appended to SMPL's joints: face, feet and fingertips (`utils.keypoints.VERTEX_JOINTS`)."""
from utils.errors import MissingFile
from utils.keypoints import VERTEX_JOINTS
from utils.safe_io import load_json

_NEEDS_SMPLX = ("SMPL's landmark vertices come from the smplx package, which is not installed (its licence allows "
                "non-commercial research alone): run `pip install smplx`; the free body (data/free) needs none")


def landmark_vertices(assets, is_free):
    """[21] vertex indices in the order of VERTEX_JOINTS: the free body's from its folder, SMPL's from smplx.

    assets: utils.assets.Assets. Raises MissingFile if smplx is needed and not installed.
    """
    if is_free:
        ids = load_json(assets.file('vertex_ids.json'))
    else:
        try:
            from smplx.vertex_ids import vertex_ids  # on use: non-commercial licence; the free body needs none
        except ImportError:
            raise MissingFile(_NEEDS_SMPLX) from None
        ids = vertex_ids['smplh']
    return [ids[name] for name in VERTEX_JOINTS]

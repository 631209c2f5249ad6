"""The 21 vertices that follow SMPL's joints: face, feet and fingertips (`utils.keypoints.VERTEX_JOINTS`)."""
from utils.keypoints import VERTEX_JOINTS
from utils.optional_packages import import_package
from utils.safe_io import load_json


def landmark_vertices(assets, is_free):
    """[21] vertex indices in the order of VERTEX_JOINTS: the free body's from its folder, SMPL's from smplx.

    assets: utils.assets.Assets. Raises MissingPackage where smplx is needed and not installed.
    """
    if is_free:
        ids = load_json(assets.file('vertex_ids.json'))
    else:
        # On use: smplx's licence is non-commercial, and the free body needs none of it.
        smplx = import_package('smplx.vertex_ids', "SMPL's landmark vertices (the free body, data/free, has its own)",
                               'smpl')
        ids = smplx.vertex_ids['smplh']
    return [ids[name] for name in VERTEX_JOINTS]

"""DensePose parts of each SMPL joint, and the joint's neighbours in the kinematic tree."""
from functools import lru_cache

import torch

from utils.keypoints import SMPL_JOINTS, SMPL_PARENTS

# DensePose's 24 parts come in pairs (back and front, or inner and outer side of a limb). A crop around a joint predicts
# six parts. Where fewer matter, parts are repeated to fill the row; a part's first channel is the one in use.
_REGIONS = {
    'torso': (7, 8, 9, 10, 1, 2), 'head': (1, 2, 23, 24, 23, 24),
    'left_leg': (1, 2, 8, 10, 12, 14), 'right_leg': (1, 2, 7, 9, 11, 13),
    'left_foot': (8, 10, 12, 14, 5, 5), 'right_foot': (7, 9, 11, 13, 6, 6),
    'left_arm': (1, 2, 15, 17, 19, 21), 'right_arm': (1, 2, 16, 18, 20, 22),
    'left_hand': (15, 17, 19, 21, 4, 4), 'right_hand': (16, 18, 20, 22, 3, 3)}
_REGION_OF = {'pelvis': 'torso', 'spine1': 'torso', 'spine2': 'torso', 'spine3': 'torso', 'neck': 'head',
              'head': 'head', 'hip': 'leg', 'knee': 'leg', 'ankle': 'foot', 'foot': 'foot', 'collar': 'arm',
              'shoulder': 'arm', 'elbow': 'arm', 'wrist': 'hand', 'hand': 'hand'}
# Parts that cover a joint. If none of them is visible at the joint, the joint is hidden. Left parts first, then right.
_COVER = {
    'pelvis': (1, 2), 'spine1': (1, 2), 'spine2': (1, 2), 'spine3': (1, 2), 'neck': (1, 2, 23, 24), 'head': (23, 24),
    'hip': ((8, 10), (7, 9)), 'knee': ((8, 10, 12, 14), (7, 9, 11, 13)), 'ankle': ((12, 14, 5), (11, 13, 6)),
    'foot': ((12, 14, 5), (11, 13, 6)), 'collar': ((15, 17), (16, 18)), 'shoulder': ((15, 17), (16, 18)),
    'elbow': ((15, 17, 19, 21), (16, 18, 20, 22)), 'wrist': ((19, 21, 4), (20, 22, 3)),
    'hand': ((19, 21, 4), (20, 22, 3))}
NUM_JOINTS = len(SMPL_JOINTS)
CROP_CHANNELS = 7  # background and the six parts of a crop


def _split(joint):
    """'left_knee' -> ('left', 'knee'); 'neck' -> ('', 'neck')"""
    side, _, name = joint.rpartition('_')
    return side, name


def _crop_parts(joint):
    side, name = _split(joint)
    region = _REGION_OF[name]
    return _REGIONS[f'{side}_{region}' if side else region]


def _cover_parts(joint):
    side, name = _split(joint)
    return _COVER[name] if not side else _COVER[name][side == 'right']


CROP_PARTS = tuple(_crop_parts(joint) for joint in SMPL_JOINTS)
COVER_PARTS = tuple(_cover_parts(joint) for joint in SMPL_JOINTS)
CHILDREN = tuple(tuple(c for c, parent in enumerate(SMPL_PARENTS) if parent == j) for j in range(NUM_JOINTS))
# The joint besides the parent that a crop reaches to: the child (along the spine, if there are several), or the joint
# itself if it has none.
REACH = tuple({0: 3}.get(j, CHILDREN[j][0] if CHILDREN[j] else j) for j in range(NUM_JOINTS))


def crop_to_body_parts():
    """[24,7] int64: DensePose part of each channel of a joint's crop; 0 is background."""
    return torch.tensor([(0, *parts) for parts in CROP_PARTS])


@lru_cache
def body_to_crop_parts(device='cpu'):
    """[24,25] int64: channel of each DensePose part in a joint's crop; 0 where the crop does not predict the part."""
    table = torch.zeros(NUM_JOINTS, 25, dtype=torch.long)
    for joint, parts in enumerate(CROP_PARTS):
        for channel, part in reversed(list(enumerate(parts, 1))):
            table[joint, part] = channel
    return table.to(device)


def cover_mask():
    """[24,25] bool: the parts that cover each joint."""
    mask = torch.zeros(NUM_JOINTS, 25, dtype=torch.bool)
    for joint, parts in enumerate(COVER_PARTS):
        mask[joint, list(parts)] = True
    return mask

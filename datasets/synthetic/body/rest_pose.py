"""From Anny's rest pose to SMPL's T pose: arms along x, palms down, fingers nearly straight, legs slightly apart."""
import numpy as np

# Degrees. The collar bone takes part in raising the arm, like a real shoulder blade.
_COLLAR_SHARE = 0.15
_LEG_SPREAD = 3.0
# Shares of the forearm's roll of its two bones. The wrist has all of it.
_ROLL_SHARES = {'lowerarm01': 0.35, 'lowerarm02': 0.75}
# Fingers 2 to 5: angle to the hand's axis in the palm's plane, towards the thumb.
_FINGER_FAN = {2: 4.0, 3: 0.0, 4: -4.0, 5: -9.0}
_FINGER_DROOP = (4.0, 9.0, 14.0)
_THUMB_FAN, _THUMB_DROOP = 40.0, 18.0


def t_pose_transforms(heads, bones, parents):
    """Rotation [B,J,3,3] and shift [B,J,3] of each bone from the rest pose with heads [B,J,3] to the T pose."""
    turns = _t_pose_turns(heads, {bone: i for i, bone in enumerate(bones)}, len(bones), parents)
    posed = heads.copy()
    for i, parent in enumerate(parents):
        if parent >= 0:
            posed[:, i] = posed[:, parent] + _apply(turns[:, parent], heads[:, i] - heads[:, parent])
    return turns, posed - _apply(turns, heads)


def _t_pose_turns(heads, index, count, parents):
    """World rotation [B,J,3,3] of every bone. Bones that are not named here rotate with their parent."""
    named = {}
    for side, sign in (('L', 1.0), ('R', -1.0)):
        named.update(_arm_turns(lambda bone, s=side: heads[:, index[f'{bone}.{s}']], sign, side))
        named.update(_leg_turns(lambda bone, s=side: heads[:, index[f'{bone}.{s}']], sign, side))
    turns = np.tile(np.eye(3), (len(heads), count, 1, 1))
    names = {i: bone for bone, i in index.items()}
    for i, parent in enumerate(parents):
        if names[i] in named:
            turns[:, i] = named[names[i]]
        elif parent >= 0:
            turns[:, i] = turns[:, parent]
    return turns


def _arm_turns(head, sign, side):
    out = np.array([sign, 0.0, 0.0])
    upper = _shortest_arc(head('lowerarm01') - head('upperarm01'), out)
    turns = {f'clavicle.{side}': _scale(upper, _COLLAR_SHARE), f'shoulder01.{side}': _scale(upper, _COLLAR_SHARE),
             f'upperarm01.{side}': upper, f'upperarm02.{side}': upper}
    lower = _shortest_arc(_apply(upper, head('wrist') - head('lowerarm01')), out) @ upper
    knuckles = (head('finger2-1') + head('finger5-1')) / 2
    hand = _shortest_arc(_apply(lower, knuckles - head('wrist')), out) @ lower
    across = _apply(hand, head('finger2-1') - head('finger5-1'))
    roll = np.arctan2(across[:, 1], across[:, 2])
    for bone, share in _ROLL_SHARES.items():
        turns[f'{bone}.{side}'] = _about_x(share * roll) @ lower
    hand = _about_x(roll) @ hand
    turns[f'wrist.{side}'] = hand
    thumb = _apply(hand, head('finger1-3') - head('finger1-1'))
    turns[f'finger1-1.{side}'] = _shortest_arc(thumb, _direction(sign, _THUMB_FAN, -_THUMB_DROOP)) @ hand
    for finger, fan in _FINGER_FAN.items():
        turns[f'metacarpal{finger - 1}.{side}'] = hand
        joints = [head(f'finger{finger}-{k}') for k in (1, 2, 3)]
        for k, droop in enumerate(_FINGER_DROOP):
            # The last bone has no tail here. It takes the direction of the previous bone.
            start, end = (joints[k], joints[k + 1]) if k < 2 else (joints[1], joints[2])
            target = _direction(sign, fan, -droop)
            turns[f'finger{finger}-{k + 1}.{side}'] = _shortest_arc(_apply(hand, end - start), target) @ hand
    return turns


def _leg_turns(head, sign, side):
    spread = np.radians(_LEG_SPREAD)
    down = np.array([sign * np.sin(spread), -np.cos(spread), 0.0])
    upper = _shortest_arc(head('lowerleg01') - head('upperleg01'), down)
    lower = _shortest_arc(_apply(upper, head('foot') - head('lowerleg01')), down) @ upper
    foot = np.broadcast_to(np.eye(3), upper.shape)
    return {f'upperleg01.{side}': upper, f'upperleg02.{side}': upper, f'lowerleg01.{side}': lower,
            f'lowerleg02.{side}': lower, f'foot.{side}': foot}


def _direction(sign, fan, lift):
    """Unit vector outward along x, `fan` degrees towards +z and `lift` degrees towards +y."""
    fan, lift = np.radians(fan), np.radians(lift)
    return np.array([sign * np.cos(fan) * np.cos(lift), np.sin(lift), np.sin(fan) * np.cos(lift)])


def _apply(matrices, vectors):
    return np.einsum('...ab,...b->...a', matrices, vectors)


def _shortest_arc(vectors, target):
    """Shortest-arc rotations [B,3,3] from vectors [B,3] to the direction of target [3]."""
    a = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    axis, cosine = np.cross(a, target), (a @ target)[:, None, None]
    skew = _skew(axis)
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def _scale(rotations, share):
    """Rotations about the same axes by a share of the angle (for angles below a half turn)."""
    axis = np.stack([rotations[:, 2, 1] - rotations[:, 1, 2], rotations[:, 0, 2] - rotations[:, 2, 0],
                     rotations[:, 1, 0] - rotations[:, 0, 1]], -1)
    angle = np.arccos(np.clip((np.trace(rotations, axis1=1, axis2=2) - 1) / 2, -1, 1)) * share
    skew = _skew(axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-12))
    return np.eye(3) + np.sin(angle)[:, None, None] * skew + (1 - np.cos(angle))[:, None, None] * (skew @ skew)


def _about_x(angles):
    cosine, sine, zero, one = np.cos(angles), np.sin(angles), np.zeros_like(angles), np.ones_like(angles)
    return np.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], -1).reshape(-1, 3, 3)


def _skew(v):
    zero = np.zeros_like(v[..., 0])
    return np.stack([zero, -v[..., 2], v[..., 1], v[..., 2], zero, -v[..., 0], -v[..., 1], v[..., 0], zero],
                    -1).reshape(*v.shape[:-1], 3, 3)

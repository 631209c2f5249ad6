"""Tables of human activities: joint angles of legs, arms and trunk for each activity, and the curves of gait.

A row gives the mean and standard deviation of an angle, and optionally its span along a factor in [0, 1] that all
angles of the row share (the depth of a squat, the reach of an arm), so that limbs move together. All angles are in
degrees. The tables are written by hand after photographs and the ranges of motion in `anatomy.py`. The gait curves
follow the shape and amplitude of the sagittal angles in Winter, "Biomechanics and Motor Control of Human Movement"
(1990).
"""
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from datasets.synthetic.anatomy import ANGLE_INDEX, ANGLE_NAMES

# name: (weight, gait speed, arms: name of a forced row or None, angles). A name without a side applies to both sides.
# Rows with 'left_' names are asymmetric activities; half of the samples are mirrored.
LEGS = {
    'stand': (.26, 0, None, {
        'hip_flexion': (2, 5), 'hip_abduction': (5, 5), 'hip_external': (8, 8), 'knee_flexion': (4, 5),
        'spine_flexion': (2, 6), 'lean': (0, 2), 'tilt': (0, 2)}),
    'weight_on_one_leg': (.08, 0, None, {
        'left_hip_flexion': (8, 8, 14), 'left_hip_abduction': (10, 5), 'left_hip_external': (15, 12),
        'left_knee_flexion': (12, 8, 25), 'right_hip_abduction': (-3, 4), 'right_hip_external': (6, 8),
        'right_knee_flexion': (2, 3), 'right_hip_flexion': (0, 4), 'tilt': (0, 3), 'spine_bend': (3, 4)}),
    'walk': (.17, 1, None, {'hip_abduction': (2, 3), 'hip_external': (5, 6), 'lean': (3, 3), 'spine_flexion': (3, 4)}),
    'run': (.06, 2, 'bent', {'hip_abduction': (2, 3), 'hip_external': (4, 6), 'lean': (10, 4), 'spine_flexion': (5, 5)
                             }),
    'wide': (.06, 0, None, {
        'hip_flexion': (6, 8, 20), 'hip_abduction': (20, 6, 15), 'hip_external': (15, 10), 'knee_flexion': (8, 6, 30),
        'spine_flexion': (6, 9), 'spine_bend': (0, 12), 'spine_twist': (0, 12), 'ankle_eversion': (-6, 5)}),
    'lunge': (.07, 0, None, {
        'left_hip_flexion': (35, 8, 50), 'left_knee_flexion': (30, 10, 60), 'left_hip_abduction': (4, 6),
        'right_hip_flexion': (-8, 6, -8), 'right_knee_flexion': (15, 10, 35), 'right_ankle_dorsiflexion': (-5, 10),
        'right_toe_extension': (15, 8, 15), 'spine_flexion': (5, 9), 'spine_twist': (0, 12), 'lean': (6, 6)}),
    'step_up': (.04, 0, None, {
        'left_hip_flexion': (40, 10, 40), 'left_knee_flexion': (50, 12, 40), 'left_hip_abduction': (5, 7),
        'right_hip_flexion': (2, 5), 'right_knee_flexion': (6, 6), 'lean': (4, 5)}),
    'kick': (.03, 0, None, {
        'left_hip_flexion': (25, 15, 65), 'left_knee_flexion': (40, 15, -30), 'left_hip_abduction': (8, 8),
        'left_ankle_dorsiflexion': (-20, 15), 'right_knee_flexion': (12, 8), 'right_hip_flexion': (0, 6),
        'lean': (-8, 6), 'spine_flexion': (10, 10), 'spine_twist': (0, 15)}),
    'bend': (.05, 0, None, {
        'hip_flexion': (25, 8, 55), 'knee_flexion': (6, 8, 20), 'hip_abduction': (6, 5), 'hip_external': (7, 7),
        'spine_flexion': (18, 8, 35), 'lean': (22, 6, 50), 'head_flexion': (-5, 15)}),
    'squat': (.05, 0, None, {
        'hip_flexion': (45, 8, 65), 'knee_flexion': (60, 8, 75), 'ankle_dorsiflexion': (15, 5, 10),
        'hip_abduction': (14, 6, 6), 'hip_external': (14, 8), 'lean': (22, 6, 14), 'spine_flexion': (15, 8, 12)}),
    'sit': (.09, 0, None, {
        'hip_flexion': (84, 9), 'knee_flexion': (84, 16), 'hip_abduction': (8, 8, 8), 'hip_external': (4, 9),
        'spine_flexion': (14, 12), 'lean': (-4, 7), 'ankle_dorsiflexion': (0, 10)}),
    'sit_on_floor': (.015, 0, None, {
        'hip_flexion': (80, 10, 20), 'knee_flexion': (15, 12, 90), 'hip_abduction': (12, 8), 'hip_external': (12, 10),
        'spine_flexion': (22, 10), 'lean': (-12, 8), 'ankle_dorsiflexion': (-12, 12)}),
    'kneel': (.02, 0, None, {
        'hip_flexion': (8, 8, 60), 'knee_flexion': (92, 8, 42), 'hip_abduction': (6, 5), 'ankle_dorsiflexion': (-32, 9),
        'lean': (3, 5, 3), 'spine_flexion': (7, 9)}),
    'kneel_on_one': (.02, 0, None, {
        'left_hip_flexion': (85, 9), 'left_knee_flexion': (90, 10), 'left_hip_abduction': (8, 7),
        'right_hip_flexion': (0, 7), 'right_knee_flexion': (90, 9), 'right_ankle_dorsiflexion': (-15, 14),
        'lean': (4, 6), 'spine_flexion': (8, 9)}),
    'jump': (.03, 0, None, {
        'hip_flexion': (15, 14, 45), 'knee_flexion': (25, 16, 60), 'hip_abduction': (8, 8, 14),
        'ankle_dorsiflexion': (-25, 12), 'lean': (2, 8), 'tilt': (0, 6), 'spine_flexion': (2, 12)}),
    'crawl': (.01, 0, 'reach', {
        'hip_flexion': (85, 10), 'knee_flexion': (90, 10), 'hip_abduction': (5, 5), 'ankle_dorsiflexion': (-35, 9),
        'lean': (82, 6), 'spine_flexion': (0, 10), 'head_flexion': (-28, 12)}),
    'lie': (.025, 0, None, {
        'hip_flexion': (8, 12, 35), 'knee_flexion': (10, 12, 55), 'hip_abduction': (9, 8), 'hip_external': (14, 12),
        'lean': (-90, 5), 'tilt': (0, 6), 'spine_flexion': (2, 6)}),
    'lie_prone': (.01, 0, None, {
        'hip_flexion': (-2, 6), 'knee_flexion': (8, 10, 30), 'hip_abduction': (10, 7), 'hip_external': (12, 12),
        'ankle_dorsiflexion': (-38, 8), 'lean': (90, 5), 'spine_flexion': (-8, 6), 'head_twist': (0, 40)}),
    'handstand': (.01, 0, 'overhead', {
        'hip_flexion': (0, 14), 'hip_abduction': (8, 8, 16), 'knee_flexion': (6, 8, 25), 'lean': (180, 9),
        'ankle_dorsiflexion': (-32, 10), 'spine_flexion': (-8, 8), 'head_flexion': (-20, 10)}),
}

# name: (weight, angles of one arm).
ARMS = {
    'hang': (.30, {
        'shoulder_elevation': (15, 5), 'shoulder_plane': (8, 28), 'shoulder_internal': (3, 12),
        'elbow_flexion': (14, 10), 'forearm_pronation': (10, 18)}),
    'bent': (.13, {
        'shoulder_elevation': (18, 8, 12), 'shoulder_plane': (25, 32), 'shoulder_internal': (15, 15),
        'elbow_flexion': (70, 16, 35), 'forearm_pronation': (5, 25)}),
    'hip': (.06, {
        'shoulder_elevation': (42, 5), 'shoulder_plane': (-22, 8), 'shoulder_internal': (46, 8),
        'elbow_flexion': (98, 8), 'forearm_pronation': (45, 15), 'wrist_flexion': (-15, 12)}),
    'belly': (.06, {
        'shoulder_elevation': (24, 7), 'shoulder_plane': (38, 14), 'shoulder_internal': (42, 10),
        'elbow_flexion': (88, 14), 'forearm_pronation': (10, 18)}),
    'reach': (.09, {
        'shoulder_elevation': (62, 12, 36), 'shoulder_plane': (82, 16), 'shoulder_internal': (5, 18),
        'elbow_flexion': (22, 16), 'forearm_pronation': (20, 28), 'collar_protraction': (6, 5)}),
    'side': (.07, {
        'shoulder_elevation': (72, 13, 22), 'shoulder_plane': (12, 16), 'shoulder_internal': (0, 18),
        'elbow_flexion': (16, 14), 'forearm_pronation': (8, 24)}),
    'overhead': (.06, {
        'shoulder_elevation': (148, 13, 14), 'shoulder_plane': (62, 20), 'shoulder_internal': (-8, 15),
        'elbow_flexion': (16, 12), 'collar_elevation': (16, 5)}),
    'wave': (.05, {
        'shoulder_elevation': (82, 12, 20), 'shoulder_plane': (28, 16), 'shoulder_internal': (-66, 14),
        'elbow_flexion': (72, 18, 30), 'forearm_pronation': (12, 25)}),
    'head': (.04, {
        'shoulder_elevation': (62, 10, 22), 'shoulder_plane': (58, 14), 'shoulder_internal': (-22, 14),
        'elbow_flexion': (132, 7), 'forearm_pronation': (0, 22)}),
    'back': (.02, {
        'shoulder_elevation': (34, 7), 'shoulder_plane': (-52, 8), 'shoulder_internal': (56, 8),
        'elbow_flexion': (58, 14), 'forearm_pronation': (30, 20)}),
    'free': (.12, {
        'shoulder_elevation': (10, 10, 130), 'shoulder_plane': (40, 42), 'shoulder_internal': (-5, 32),
        'elbow_flexion': (55, 42), 'forearm_pronation': (0, 32), 'wrist_flexion': (0, 25)}),
}

# (mean, standard deviation) of angles that a row does not name.
_BASE = {
    'spine_flexion': (3, 6), 'spine_bend': (0, 5), 'spine_twist': (0, 7), 'head_flexion': (2, 11),
    'head_bend': (0, 7), 'head_twist': (0, 20), 'lean': (0, 2.5), 'tilt': (0, 2),
    'hip_flexion': (2, 5), 'hip_abduction': (4, 4), 'hip_external': (6, 7), 'knee_flexion': (5, 5),
    'ankle_dorsiflexion': (0, 6), 'ankle_eversion': (0, 4), 'toe_extension': (2, 4),
    'collar_protraction': (0, 3.5), 'collar_elevation': (0, 3), 'shoulder_plane': (0, 5), 'shoulder_elevation': (10, 4),
    'shoulder_internal': (0, 6), 'elbow_flexion': (10, 5), 'forearm_pronation': (10, 10), 'wrist_deviation': (0, 7),
    'wrist_flexion': (0, 12), 'finger_flexion': (14, 9)}
# Share of the variance that left and right have in common.
_SYMMETRY = 0.55


def _columns(name):
    return [ANGLE_INDEX[n] for n in (name, f'left_{name}', f'right_{name}') if n in ANGLE_INDEX]


def _table(rows, base):
    """Means, standard deviations and spans [3, rows, A]. NaN where neither row nor base names an angle."""
    table = np.full((3, len(rows), len(ANGLE_NAMES)), np.nan)
    for number, row in enumerate(rows):
        for name, values in (base | row).items():
            for column in _columns(name):
                table[:, number, column] = (*values, 0)[:3]
    return table


@dataclass(frozen=True)
class Activities:
    """A table of activities of legs and trunk, and one of each arm's activities, in the form of LEGS and ARMS."""
    legs: dict
    arms: dict

    @cached_property
    def leg_table(self):
        """Means, standard deviations and spans [3, legs, A]."""
        return _table([row[3] for row in self.legs.values()], _BASE)

    @cached_property
    def arm_table(self):
        """Means, standard deviations and spans [3, arms, A]. NaN where a row does not name an angle."""
        return _table([row[1] for row in self.arms.values()], {})

    @cached_property
    def weights(self):
        """Probabilities of the rows of legs and of the rows of arms."""
        return tuple(np.array([row[0] for row in rows.values()]) / sum(row[0] for row in rows.values())
                     for rows in (self.legs, self.arms))

    @cached_property
    def forced_arms(self):
        """For each row of legs the row of arms that it requires, or -1."""
        names = list(self.arms)
        return np.array([names.index(row[2]) if row[2] else -1 for row in self.legs.values()])

    @cached_property
    def speeds(self):
        """Gait speed of each row of legs."""
        return np.array([row[1] for row in self.legs.values()])


PLAIN = Activities(LEGS, ARMS)
_SIDES = {side: np.array([n.startswith(side) for n in ANGLE_NAMES]) for side in ('left', 'right')}
# Column of the same angle on the other side. The trunk's sideways angles change sign.
_MIRROR = np.array([ANGLE_INDEX[n.replace('left_', '@').replace('right_', 'left_').replace('@', 'right_')]
                    for n in ANGLE_NAMES])
_MIRROR_SIGN = np.where([n in ('spine_bend', 'spine_twist', 'head_bend', 'head_twist', 'tilt') for n in ANGLE_NAMES],
                        -1.0, 1.0)


def gait_angles(phase, speed):
    """Angles [N, A] that gait adds. phase: [N] in [0, 1), left heel strike at 0; speed: [N], 1 walks, 2 runs.

    Sagittal hip, knee and ankle angles as their first harmonics over the stride, after the curves in Winter (1990).
    The arms swing against the legs.
    """
    angles = np.zeros((len(phase), len(ANGLE_NAMES)))
    run = np.clip(speed - 1, 0, 1)
    for side, offset in (('left', 0.0), ('right', 0.5)):
        t = 2 * np.pi * (phase + offset)
        hip = 9 + 5 * run + (20 + 14 * run) * np.cos(t + 0.25) - (3 + 2 * run) * np.cos(2 * t)
        knee = 21 + 22 * run - (5 + 12 * run) * np.cos(t) - (19 + 18 * run) * np.sin(t) \
            - (12 + 2 * run) * np.cos(2 * t) + (13 + 4 * run) * np.sin(2 * t)
        ankle = 1 - (5 + 3 * run) * np.cos(t) + (4 + 4 * run) * np.sin(t) - (7 + 4 * run) * np.sin(2 * t)
        swing = -np.cos(t + 0.25)
        for name, value in (('hip_flexion', hip), ('knee_flexion', np.maximum(knee, 2)), ('ankle_dorsiflexion', ankle),
                            ('elbow_flexion', (6 + 8 * run) * (1 + swing)),
                            ('toe_extension', 14 * np.maximum(0, np.cos(t - 3.6)))):
            angles[:, ANGLE_INDEX[f'{side}_{name}']] = value
    twist = np.cos(2 * np.pi * phase + 0.25)
    angles[:, ANGLE_INDEX['spine_twist']] = (6 + 6 * run) * twist
    return angles * np.minimum(speed, 1)[:, None]


def swing_arms(angles, phase, speed):
    """Add the arm swing of gait to hanging arms, in place: shoulders turn about the sideways axis by up to 24 degrees.

    In plane and elevation this is a reach forwards (plane near 90) and a pull backwards (plane near -60).
    """
    for side, offset in (('left', 0.0), ('right', 0.5)):
        swing = -np.cos(2 * np.pi * (phase + offset) + 0.25) * speed
        plane, elevation = (ANGLE_INDEX[f'{side}_shoulder_{n}'] for n in ('plane', 'elevation'))
        outward, forward = np.deg2rad(np.maximum(angles[:, elevation], 8)), np.deg2rad(14 * swing + 4)
        side_part, front_part = np.sin(outward), np.tan(forward)
        angles[:, plane] = np.rad2deg(np.arctan2(front_part, side_part))
        angles[:, elevation] = np.rad2deg(np.arcsin(np.clip(np.hypot(front_part, side_part), 0, 0.95)))


def walking_angles(phase):
    """Angles [N, A] of plain walking, without randomness, at phases [N] of the stride."""
    mean = PLAIN.leg_table[0, list(LEGS).index('walk')]
    arms = PLAIN.arm_table[0, list(ARMS).index('hang')]
    angles = np.where(np.isfinite(arms), arms, mean) + gait_angles(phase, np.ones(len(phase)))
    swing_arms(angles, phase, np.ones(len(phase)))
    return angles


def sample_angles(rng, count, table=PLAIN, activity=None):
    """Sample anatomical angles [count, A] in degrees over all activities, not yet clipped to the ranges of motion.

    table: Activities; activity: name of a row of legs for everybody, or None.
    """
    leg_weights, arm_weights = table.weights
    legs = rng.choice(len(leg_weights), size=count, p=leg_weights)
    if activity is not None:
        legs[:] = list(table.legs).index(activity)
    arms = np.repeat(rng.choice(len(arm_weights), size=(count, 1), p=arm_weights), 2, axis=1)
    other = rng.choice(len(arm_weights), size=count, p=arm_weights)
    arms[:, 1] = np.where(rng.random(count) < 0.5, other, arms[:, 1])
    forced = table.forced_arms[legs, None]
    arms = np.where(forced >= 0, forced, arms)

    common = rng.standard_normal((count, len(ANGLE_NAMES)))
    own = rng.standard_normal((count, len(ANGLE_NAMES)))
    common[:, _SIDES['right']] = common[:, _SIDES['left']]
    noise = np.sqrt(_SYMMETRY) * common + np.sqrt(1 - _SYMMETRY) * own

    phase, factors = rng.random(count), rng.random((count, 3))
    speed = table.speeds[legs] * rng.uniform(0.75, 1.1, count)
    mean, deviation, span = table.leg_table[:, legs]
    angles = mean + span * factors[:, :1] + deviation * noise
    if speed.any():
        angles += gait_angles(phase, speed)
    for place, side in enumerate(('left', 'right')):
        mean, deviation, span = table.arm_table[:, arms[:, place]]
        drawn = mean + span * factors[:, place + 1:place + 2] + deviation * noise
        angles = np.where(_SIDES[side] & np.isfinite(drawn), drawn, angles)

    swinging = (speed > 0) & (arms == 0).all(1)
    if swinging.any():
        part = angles[swinging]
        swing_arms(part, phase[swinging], np.minimum(speed[swinging], 1.5))
        angles[swinging] = part
    mirrored = rng.random(count) < 0.5
    return np.where(mirrored[:, None], angles[:, _MIRROR] * _MIRROR_SIGN, angles)

"""More activities, as in photographs: many ways of sitting, phones, sports, dance and embraces.

Rows have the form of those in `activities.py` and are written by hand after photographs. The plain rows stay in the
table with smaller weights. The pose prior and the mean pose are made from `activities.PLAIN`.
"""
from datasets.synthetic.activities import ARMS, LEGS, Activities

_PLAIN_SHARE = 0.62

_LEGS = {
    'sit_at_table': (.05, 0, 'table', {
        'hip_flexion': (86, 8), 'knee_flexion': (85, 14), 'hip_abduction': (8, 7), 'hip_external': (3, 9),
        'spine_flexion': (16, 10, 14), 'lean': (4, 6, 12), 'head_flexion': (12, 12)}),
    'sit_crossed': (.03, 0, None, {
        'left_hip_flexion': (84, 6), 'left_hip_external': (38, 5), 'left_hip_abduction': (14, 6),
        'left_knee_flexion': (88, 8), 'right_hip_flexion': (80, 6), 'right_knee_flexion': (84, 9),
        'spine_flexion': (10, 9), 'lean': (-8, 7)}),
    'sit_wide': (.03, 0, 'knees', {
        'hip_flexion': (82, 8), 'hip_abduction': (24, 7), 'hip_external': (14, 8), 'knee_flexion': (88, 12),
        'spine_flexion': (22, 10, 12), 'lean': (6, 7, 16)}),
    'sit_back': (.03, 0, None, {
        'hip_flexion': (70, 9), 'hip_abduction': (9, 6), 'knee_flexion': (58, 18), 'spine_flexion': (24, 9),
        'lean': (-22, 8), 'head_flexion': (10, 10)}),
    'wheelchair': (.02, 0, 'rims', {
        'hip_flexion': (88, 5), 'hip_abduction': (6, 5), 'knee_flexion': (78, 9), 'spine_flexion': (12, 8, 10),
        'lean': (2, 5, 10)}),
    'cross_legged': (.02, 0, 'knees', {
        'hip_flexion': (92, 8), 'hip_abduction': (34, 6), 'hip_external': (40, 4), 'knee_flexion': (118, 10),
        'spine_flexion': (18, 10), 'lean': (-4, 6)}),
    'phone_stand': (.04, 0, 'texting', {
        'hip_flexion': (2, 5), 'hip_abduction': (4, 4), 'knee_flexion': (5, 5), 'spine_flexion': (8, 6),
        'head_flexion': (22, 9)}),
    'embrace': (.01, 0, 'embrace', {
        'hip_flexion': (3, 5), 'hip_abduction': (4, 4), 'knee_flexion': (5, 5), 'lean': (5, 3),
        'head_bend': (0, 14), 'spine_flexion': (5, 5)}),
    'ready': (.04, 0, 'guard', {
        'hip_flexion': (30, 12, 30), 'knee_flexion': (40, 12, 30), 'hip_abduction': (14, 6, 8), 'lean': (16, 7, 14),
        'spine_flexion': (12, 8), 'ankle_dorsiflexion': (10, 6)}),
    'swing': (.04, 0, 'racket', {
        'left_hip_flexion': (20, 12, 30), 'left_knee_flexion': (25, 12, 25), 'right_hip_flexion': (2, 12),
        'right_knee_flexion': (22, 14), 'hip_abduction': (12, 8), 'spine_twist': (0, 26), 'spine_bend': (0, 12),
        'spine_flexion': (8, 12), 'lean': (6, 9), 'head_twist': (0, 30)}),
    'throw': (.02, 0, 'free', {
        'left_hip_flexion': (40, 14, 45), 'left_knee_flexion': (45, 18, 30), 'right_hip_flexion': (-6, 9),
        'right_knee_flexion': (18, 10), 'spine_twist': (0, 26), 'spine_flexion': (-4, 16), 'lean': (-2, 12),
        'tilt': (0, 9)}),
    'slide': (.02, 0, None, {
        'left_hip_flexion': (55, 14), 'left_hip_abduction': (18, 9), 'left_knee_flexion': (72, 18),
        'right_hip_abduction': (36, 7), 'right_knee_flexion': (8, 8), 'lean': (14, 10), 'spine_bend': (0, 14),
        'spine_flexion': (12, 10)}),
    'ride': (.02, 0, 'handlebar', {
        'left_hip_flexion': (55, 8, 40), 'left_knee_flexion': (45, 10, 55), 'right_hip_flexion': (95, 8, -40),
        'right_knee_flexion': (100, 10, -55), 'hip_abduction': (5, 4), 'lean': (26, 8, 26), 'spine_flexion': (16, 8),
        'head_flexion': (-22, 10)}),
    'board': (.03, 0, 'balance', {
        'hip_flexion': (32, 12, 30), 'knee_flexion': (42, 14, 40), 'hip_abduction': (24, 8), 'hip_external': (12, 8),
        'lean': (10, 9, 14), 'tilt': (0, 12), 'spine_twist': (0, 18), 'head_twist': (0, 40)}),
    'dance': (.05, 0, 'free', {
        'left_hip_flexion': (20, 25, 35), 'left_knee_flexion': (30, 26, 40), 'left_hip_abduction': (14, 14),
        'left_hip_external': (14, 16), 'right_hip_flexion': (6, 12), 'right_knee_flexion': (14, 14),
        'right_hip_abduction': (8, 9), 'spine_twist': (0, 18), 'spine_bend': (0, 16), 'spine_flexion': (0, 14),
        'tilt': (0, 9), 'lean': (0, 9), 'head_twist': (0, 30), 'head_bend': (0, 14)}),
    'arabesque': (.01, 0, 'balance', {
        'left_hip_flexion': (-16, 4), 'left_knee_flexion': (12, 10), 'right_hip_flexion': (45, 14, 30),
        'right_knee_flexion': (6, 6), 'lean': (45, 12, 30), 'spine_flexion': (-16, 6), 'head_flexion': (-24, 10)}),
    'split_jump': (.01, 0, 'free', {
        'left_hip_flexion': (70, 20), 'left_knee_flexion': (20, 20), 'right_hip_flexion': (-16, 5),
        'right_knee_flexion': (40, 26), 'hip_abduction': (16, 12), 'lean': (4, 9)}),
    'stretch': (.02, 0, 'reach', {
        'left_hip_flexion': (78, 12, 30), 'left_knee_flexion': (8, 8), 'right_hip_flexion': (10, 9),
        'lean': (38, 12, 30), 'spine_flexion': (26, 10, 16), 'head_flexion': (0, 14)}),
    'push_up': (.01, 0, 'push', {
        'hip_flexion': (2, 6), 'knee_flexion': (3, 4), 'ankle_dorsiflexion': (14, 5), 'toe_extension': (36, 6),
        'lean': (74, 6), 'spine_flexion': (0, 6), 'head_flexion': (-16, 12)}),
}

_ARMS = {
    'ear': (.05, {
        'shoulder_elevation': (48, 12, 14), 'shoulder_plane': (60, 14), 'shoulder_internal': (-26, 12),
        'elbow_flexion': (137, 6), 'forearm_pronation': (10, 18)}),
    'texting': (.05, {
        'shoulder_elevation': (20, 7, 10), 'shoulder_plane': (58, 14), 'shoulder_internal': (34, 9),
        'elbow_flexion': (108, 12), 'forearm_pronation': (-30, 16)}),
    'photo': (.03, {
        'shoulder_elevation': (66, 10, 12), 'shoulder_plane': (78, 9), 'shoulder_internal': (24, 10),
        'elbow_flexion': (82, 14), 'forearm_pronation': (20, 18)}),
    'folded': (.05, {
        'shoulder_elevation': (30, 6), 'shoulder_plane': (58, 9), 'shoulder_internal': (56, 7),
        'elbow_flexion': (104, 8), 'forearm_pronation': (20, 14)}),
    'pocket': (.06, {
        'shoulder_elevation': (20, 5), 'shoulder_plane': (-12, 12), 'shoulder_internal': (24, 9),
        'elbow_flexion': (38, 10), 'forearm_pronation': (20, 14)}),
    'table': (.02, {
        'shoulder_elevation': (38, 8, 14), 'shoulder_plane': (72, 10), 'shoulder_internal': (30, 12),
        'elbow_flexion': (72, 16), 'forearm_pronation': (40, 16)}),
    'knees': (.02, {
        'shoulder_elevation': (36, 8, 10), 'shoulder_plane': (66, 14), 'shoulder_internal': (16, 12),
        'elbow_flexion': (36, 14), 'forearm_pronation': (40, 16)}),
    'rims': (.005, {
        'shoulder_elevation': (26, 7, 10), 'shoulder_plane': (6, 26), 'shoulder_internal': (14, 9),
        'elbow_flexion': (44, 16), 'forearm_pronation': (0, 14), 'finger_flexion': (34, 8)}),
    'embrace': (.005, {
        'shoulder_elevation': (62, 12, 30), 'shoulder_plane': (72, 10), 'shoulder_internal': (44, 10),
        'elbow_flexion': (58, 14), 'forearm_pronation': (20, 16)}),
    'guard': (.03, {
        'shoulder_elevation': (34, 10, 14), 'shoulder_plane': (62, 14), 'shoulder_internal': (6, 16),
        'elbow_flexion': (92, 18), 'forearm_pronation': (10, 22)}),
    'racket': (.03, {
        'shoulder_elevation': (60, 22, 70), 'shoulder_plane': (40, 40), 'shoulder_internal': (-14, 32),
        'elbow_flexion': (40, 26), 'forearm_pronation': (10, 30), 'finger_flexion': (36, 6)}),
    'handlebar': (.01, {
        'shoulder_elevation': (72, 8, 12), 'shoulder_plane': (82, 9), 'shoulder_internal': (10, 10),
        'elbow_flexion': (24, 12), 'forearm_pronation': (45, 12), 'finger_flexion': (34, 6)}),
    'balance': (.03, {
        'shoulder_elevation': (72, 18, 26), 'shoulder_plane': (14, 26), 'shoulder_internal': (0, 18),
        'elbow_flexion': (24, 18), 'forearm_pronation': (10, 24)}),
    'push': (.005, {
        'shoulder_elevation': (68, 8, 10), 'shoulder_plane': (62, 12), 'shoulder_internal': (-4, 10),
        'elbow_flexion': (20, 14, 50), 'forearm_pronation': (35, 12), 'wrist_flexion': (-56, 6)}),
}


def _shared(plain, more):
    scaled = {name: (row[0] * _PLAIN_SHARE, *row[1:]) for name, row in plain.items()}
    return scaled | more


MORE = Activities(_shared(LEGS, _LEGS), _shared(ARMS, _ARMS))

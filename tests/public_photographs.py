"""Photographs in the public domain that come with libraries. They do not show the person's legs.

astronaut: Eileen Collins, NASA; in scikit-image. grace_hopper: Rear Admiral Grace Hopper, US Navy; in matplotlib.
"""
from pathlib import Path

import matplotlib
import numpy as np
import skimage

PHOTOGRAPHS = {'astronaut': Path(skimage.__file__).parent / 'data' / 'astronaut.png',
               'grace_hopper': Path(matplotlib.get_data_path()) / 'sample_data' / 'grace_hopper.jpg'}
# Joints read off the pictures by eye, in pixels, to about a twentieth of the picture's height. Both people face the
# camera, so their left is on the picture's right.
SEEN = {'astronaut': {'nose': (222, 125), 'left_eye': (246, 103), 'right_eye': (203, 99), 'right_shoulder': (125, 215),
                      'left_shoulder': (322, 220)},
        'grace_hopper': {'nose': (270, 245), 'left_eye': (303, 205), 'right_eye': (230, 205),
                         'right_shoulder': (105, 395), 'left_shoulder': (435, 400)}}


def known(name):
    """(names, pixels [J,2]) of the visible joints."""
    names = tuple(SEEN[name])
    return names, np.array([SEEN[name][joint] for joint in names], float)

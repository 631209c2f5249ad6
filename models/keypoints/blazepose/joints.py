"""Indices of some of BlazePose's 33 landmarks, and the map from all of them to the 49 joints."""
import numpy as np

from models.keypoints.formats import BLAZEPOSE33

# The 12 limb joints.
LIMBS = np.array([BLAZEPOSE33.place(f'{side}_{name}') for side in ('left', 'right')
                  for name in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')])
EYES = [BLAZEPOSE33.place('left_eye'), BLAZEPOSE33.place('right_eye')]
MOUTH = [BLAZEPOSE33.place('mouth_left'), BLAZEPOSE33.place('mouth_right')]
to_j49 = BLAZEPOSE33.to_j49

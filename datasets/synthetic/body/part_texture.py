"""Six body parts in the format of SPIN's evaluation: a colour of each face, and the part of each colour."""
import numpy as np

# DensePose's parts 1 to 24 -> 1 head, 2 torso, 3 left arm, 4 right arm, 5 left leg, 6 right leg; 0 is background.
SIX_PARTS = np.array([0, 2, 2, 4, 3, 5, 6, 6, 5, 6, 5, 6, 5, 6, 5, 3, 4, 3, 4, 3, 4, 3, 4, 1, 1])
# Far apart and inside of their cells of 1/100, so that rounding cannot change a part.
_COLORS = np.array([[0.005, 0.005, 0.005], [0.755, 0.255, 0.255], [0.255, 0.755, 0.255], [0.255, 0.255, 0.755],
                    [0.755, 0.755, 0.255], [0.755, 0.255, 0.755], [0.255, 0.755, 0.755]])
_CELLS = 100


def part_texture(chart_part):
    """vertex_texture [1,F,2,2,2,3] float32 of the faces' DensePose parts [F]: one colour per face."""
    colors = _COLORS[SIX_PARTS[chart_part]]
    return np.broadcast_to(colors[None, :, None, None, None], (1, len(colors), 2, 2, 2, 3)).astype(np.float32)


def color_parts():
    """cube_parts [100,100,100] uint8: the part whose colour is nearest to each cell."""
    axis = (np.arange(_CELLS) + 0.5) / _CELLS
    cells = np.stack(np.meshgrid(axis, axis, axis, indexing='ij'), -1)
    distance = np.stack([((cells - color) ** 2).sum(-1) for color in _COLORS])
    return distance.argmin(0).astype(np.uint8)

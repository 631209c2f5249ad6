"""A contact sheet of labelled people: keypoints, the fitted body over the picture, and its side view."""
import cv2
import numpy as np
import torch

from datasets.augmentation import crop_transform, warp_crop
from datasets.image_io import read_picture
from utils.rendering import draw_keypoints, render_overlay, render_side_view

# People on a sheet, people in a row, and pixels of a picture and of its caption.
MOST, _COLUMNS, _SIZE, _CAPTION = 24, 3, 208, 22
_GOOD, _BAD = (70, 160, 90), (190, 70, 60)


def contact_sheet(people, valid, images, body):
    """Draw at most MOST people, taken at equal steps -> RGB picture [H,W,3] uint8.

    people: PseudoLabels. valid [N]. images: folder of their pictures. body: BodyModel on the CPU.
    """
    rows = np.unique(np.linspace(0, len(people) - 1, min(MOST, len(people))).round().astype(int))
    chosen = people.select(rows)
    with torch.no_grad():
        vertices = body(torch.from_numpy(chosen.betas), pose=torch.from_numpy(chosen.pose)).vertices
    cells = [_cell(chosen, i, bool(valid[row]), images, vertices[i], body.faces) for i, row in enumerate(rows)]
    columns = min(_COLUMNS, len(cells))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    return np.vstack([np.hstack(cells[i:i + columns]) for i in range(0, len(cells), columns)])


def _cell(people, i, is_valid, images, vertices, faces):
    center, zoom = people.center[i], _SIZE / people.side[i]
    matrix = crop_transform(center, people.side[i] / 200, _SIZE)
    picture = read_picture(images / people.imgname[i])
    crop = np.ascontiguousarray(warp_crop(picture.pixels, matrix, _SIZE)[..., ::-1])
    middle = matrix @ [*people.size[i] / 2, 1]
    keypoints = people.keypoints[i].copy()
    keypoints[:, :2] = keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    camera = {'focal_length': people.focal[i] * zoom, 'camera_center': torch.from_numpy(middle).float()}
    place = people.translation[i:i + 1]
    panels = [draw_keypoints(crop, keypoints),
              render_overlay(crop, vertices[None], faces, translations=place, **camera),
              render_side_view(vertices[None], faces, height=_SIZE, width=_SIZE, translations=place, **camera)]
    caption = np.empty((_CAPTION, 3 * _SIZE, 3), np.uint8)
    caption[:] = _GOOD if is_valid else _BAD
    text = f'{people.imgname[i][-34:]}  {people.seen[i]} joints, {100 * people.error[i]:.1f} % off'
    cv2.putText(caption, text.encode('ascii', 'replace').decode(), (6, _CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45,
                (255, 255, 255), 1, cv2.LINE_AA)
    return np.pad(np.vstack([caption, np.hstack(panels)]), ((0, 6), (0, 6), (0, 0)), constant_values=255)

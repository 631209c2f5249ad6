"""Measures the renderer of training images, and limbs that intersect the body: `python -m benchmarks.synthetic`.

Several processes render images after a warm-up, without writing them. The target is 60 a second at 256 px on 2 CPU
cores without realism. `buried_share` defines which limbs intersect the body.
"""
import argparse
import multiprocessing
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from datasets.synthetic.anatomy import JOINT, rotmat_to_pose
from datasets.synthetic.free_body import FreeBody
from datasets.synthetic.people import sample_betas
from datasets.synthetic.poses import sample_body_rotations, sample_poses
from datasets.synthetic.realism import REALISM
from datasets.synthetic.stream import FreeStream
from utils.assets import find_assets
from utils.errors import run_main
from utils.threads import use_one_thread

# Metres by which a vertex is moved out of its own limb before the test whether it is inside the body.
_OUTWARDS = 0.003
# Pictures that are drawn together, as in a loader's worker.
_BATCH = 16
# Points whose solid angles are summed at a time.
_CHUNK = 64


def render_for(root, size, seconds, photos, realism, share, barrier, counts):
    """The work of a process: warm up, wait for the others, render for `seconds`. Writes its count to counts[share]."""
    use_one_thread()
    stream = FreeStream(root, seed=share, size=size, photos=photos, realism=realism)
    stream.samples([(0, index) for index in range(5)])
    barrier.wait()
    end, done = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        stream.samples([(1, index) for index in range(done, done + _BATCH)])
        done += _BATCH
    counts[share] = done


def images_per_second(root, size=256, processes=2, photos='', realism=tuple(REALISM), seconds=15):
    """Rate at which `processes` together render."""
    context = multiprocessing.get_context('spawn')
    barrier, counts = context.Barrier(processes), context.Array('i', processes)
    workers = [context.Process(target=render_for, args=(root, size, seconds, photos, realism, share, barrier, counts))
               for share in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / seconds


def contact_sheet(root, file, photos='', side=8, pixels=128):
    """Write a PNG of side x side pictures, rendered at twice the `pixels` that their longer side has on the sheet.

    photos: folder of photographs, or ''.
    """
    stream = FreeStream(root, seed=0, size=2 * pixels, photos=photos)
    pictures = []
    for index in range(side * side):
        small = cv2.resize(stream.sample(0, index)[0], None, fx=.5, fy=.5, interpolation=cv2.INTER_AREA)
        pictures.append(np.zeros((pixels, pixels, 3), np.uint8))
        pictures[-1][:small.shape[0], :small.shape[1]] = small
    rows = [np.hstack(pictures[first:first + side]) for first in range(0, side * side, side)]
    file.parent.mkdir(parents=True, exist_ok=True)
    # Six bits a channel: noise in the lowest two would take a third of the file.
    cv2.imwrite(str(file), (np.vstack(rows)[..., ::-1] & 0xFC) | 2, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def poses_per_second(count=4000):
    """Rate of drawing poses in one batch."""
    start = time.perf_counter()
    sample_poses(np.random.default_rng(0), count)
    return count / (time.perf_counter() - start)


def sample_person(rng, body):
    """A pose [72] and betas [10] as the generator draws them."""
    betas = sample_betas(rng)
    return rotmat_to_pose(sample_body_rotations(rng, 1, body.girth(betas)))[0], betas


def winding_numbers(points, corners):
    """Winding number [P] of a closed mesh, given as corners [F,3,3], about points [P,3] (Jacobson et al., 2013)."""
    numbers = []
    for part in points.split(_CHUNK):
        a, b, c = (corners[None, :, i] - part[:, None] for i in range(3))
        la, lb, lc = (v.norm(dim=-1) for v in (a, b, c))
        volume = (a * torch.linalg.cross(b, c)).sum(-1)
        below = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
        numbers.append(torch.atan2(volume, below).sum(-1) / (2 * np.pi))
    return torch.cat(numbers)


def buried_share(body, pose, betas):
    """Share of the vertices of hands, forearms, shins and feet that are inside another part of the body.

    Vertices near elbow and knee are left out, because the skin folds there in any pose.
    """
    vertices = body.pose(betas, pose).vertices
    points = (vertices + _OUTWARDS * body.normals(vertices))[distal_vertices(body)]
    corners = torch.from_numpy(vertices[body.faces])
    return float((winding_numbers(torch.from_numpy(points), corners) > .5).float().mean())


def distal_vertices(body):
    """Every sixth vertex of the limbs' outer parts, without fingers and toes, which touch each other in any pose."""
    template, joints = body.template, body.joint_template
    side = np.abs(template[:, 0])
    arm = side > abs(joints[JOINT['left_elbow'], 0]) + .08
    finger = side > abs(joints[JOINT['left_wrist'], 0]) + .07
    leg = template[:, 1] < joints[JOINT['left_knee'], 1] - .12
    toe = template[:, 2] > joints[JOINT['left_foot'], 2] - .02
    return np.flatnonzero((arm & ~finger) | (leg & ~toe))[::6]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', type=Path, default=Path('data'), help='folder that holds the free assets')
    parser.add_argument('--processes', type=int, default=2)
    parser.add_argument('--people', type=int, default=200, help='people whose limbs are examined')
    parser.add_argument('--photos', default='', help='folder of photographs (docs/synthetic_data.md)')
    parser.add_argument('--sheet', type=Path, help='write a PNG of 64 pictures here and stop')
    arguments = parser.parse_args()
    assets = find_assets(arguments.data)
    if arguments.sheet:
        contact_sheet(assets.root, arguments.sheet, arguments.photos)
        return 0
    print(f'poses drawn in a batch        {poses_per_second():8.0f} a second, one core')
    for realism in ((), tuple(REALISM)):
        for size in (160, 256):
            rate = images_per_second(assets.root, size, arguments.processes, arguments.photos, realism)
            print(f'images of {size} px, {"all realism" if realism else "plain":11} {rate:8.1f} a second, '
                  f'{arguments.processes} processes')
    body, rng = FreeBody(assets), np.random.default_rng(0)
    shares = np.array([buried_share(body, *sample_person(rng, body)) for _ in range(arguments.people)])
    print(f'people with limbs in the body {(shares > .05).mean():8.1%} (over 5 % of the outer limbs\' skin; '
          f'over 10 %: {(shares > .1).mean():.1%})')
    return 0


if __name__ == '__main__':
    run_main(main)

"""Compares SMPLify with the published loop: time, residual and error on people with known pose.

python -m benchmarks.smplify [--data FOLDER] [--batch 16 64] [--iterations 50] [--threads 2] [--repeats 3]

The baseline is the published loop: Adam on smplx's whole mesh, autograd through it, the same number of iterations in
each stage. All methods get the same problems: poses drawn from the pose prior, a start with a random rotation of each
joint, keypoints with noise of some pixels. `--data` names an asset folder, licensed or free. Without it, stand-in
arrays in SMPL's format are made, as large as SMPL's.
"""
import argparse
import statistics
import tempfile
import time

import torch
from smplx.lbs import lbs

from core.config import load_config
from models.body import read_body_file
from models.smplify import build_smplify, objective
from models.smplify.levenberg_marquardt import _damped_step
from models.smplify.stages import BodyStage, FitState
from tests.reference.standin import write_assets
from utils.errors import run_main
from utils.geometry import axis_angle_to_rotmat, similarity_align
from utils.keypoints import BODY54_TO_J49, VERTEX_JOINTS

CENTER = 112.0


class PublishedLoop:
    """SPIN's SMPLify on smplx's `lbs`: every iteration poses the whole mesh and differentiates through it."""

    def __init__(self, smplify, iterations):
        body = smplify.body
        arrays = read_body_file(body.file)
        self.prior, self.iterations, self.weights = smplify.pose_prior, iterations, smplify.weights
        self.arrays = [torch.from_numpy(arrays[key]).float() for key in ('v_template', 'shapedirs')]
        self.arrays[1] = self.arrays[1][..., :10]
        self.posedirs = torch.from_numpy(arrays['posedirs']).float().reshape(-1, 207).T.contiguous()
        self.regressor = torch.from_numpy(arrays['J_regressor']).float()
        self.skinning = torch.from_numpy(arrays['weights']).float()
        self.parents = torch.tensor(body.parents)
        ids = body._vertex_ids()
        self.vertex_ids = torch.tensor([ids[name] for name in VERTEX_JOINTS])
        self.extra = torch.from_numpy(body.regressor_file('J_regressor_extra.npy', 9)).float()
        self.joint_map = torch.from_numpy(BODY54_TO_J49)

    def joints(self, orient, body_pose, betas):
        """The 49 joints [B,1,49,3], computed from the mesh."""
        template, shapedirs = self.arrays
        vertices, joints = lbs(betas, torch.cat([orient, body_pose], 1), template, shapedirs, self.posedirs,
                               self.regressor, self.parents, self.skinning)
        joints = torch.cat([joints, vertices[:, self.vertex_ids],
                            torch.einsum('bik,ji->bjk', vertices, self.extra)], 1)
        return joints[:, None, self.joint_map]

    def __call__(self, pose, betas, cam_t, center, keypoints):
        """-> (pose, betas, camera translation)"""
        seen = objective.observe(keypoints[:, None], center[:, None], cam_t[:, None], None, 5000.0, True)
        orient, body_pose = pose[:, :3].clone().requires_grad_(), pose[:, 3:].clone()
        betas, translation = betas.clone(), cam_t[:, None].clone().requires_grad_()
        self._descend([orient, translation], lambda: objective.camera_loss(
            self.joints(orient, body_pose, betas), translation, seen, self.weights))
        translation.requires_grad_(False)
        body_pose.requires_grad_()
        betas.requires_grad_()
        self._descend([body_pose, betas, orient], lambda: objective.body_loss(
            self.joints(orient, body_pose, betas), translation, body_pose, betas, seen, self.prior, self.weights))
        return torch.cat([orient, body_pose], 1).detach(), betas.detach(), translation[:, 0]

    def _descend(self, parameters, loss):
        optimizer = torch.optim.Adam(parameters, lr=1e-2)
        for _ in range(self.iterations):
            optimizer.zero_grad()
            loss().sum().backward()
            optimizer.step()


def draw_problems(smplify, count, seed=0, pose_noise=0.2, pixel_noise=2.0, missing=0.25):
    """(arguments of SMPLify, true joints [B,49,3]) of people in poses of the prior, with noisy keypoints."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)
    prior = smplify.pose_prior
    chosen = torch.randint(len(prior.means), (count,), generator=generator)
    spread = torch.linalg.cholesky(torch.linalg.inv(prior.precisions.double())).float()[chosen]
    truth = prior.means[chosen] + (spread @ normal(count, 69, 1)).squeeze(-1)
    orient = torch.tensor([torch.pi, 0, 0]) + 0.3 * normal(count, 3)
    betas = normal(count, 10)
    translation = torch.cat([0.1 * normal(count, 2), 50 + 5 * normal(count, 1)], 1)
    joints = smplify.body(betas, pose=torch.cat([orient, truth], 1)).joints
    points = joints + translation[:, None]
    pixels = 5000 * points[..., :2] / points[..., 2:] + CENTER
    pixels = pixels + pixel_noise * normal(count, 49, 2)
    confidence = torch.rand(count, 49, 1, generator=generator)
    confidence = torch.where(confidence < missing, 0.0, 0.5 + 0.5 * confidence)
    start = torch.cat([orient, truth], 1) + pose_noise * normal(count, 72)
    given = (start, torch.zeros(count, 10), translation + torch.tensor([0.05, 0.05, 1.0]) * normal(count, 3),
             torch.full((count, 2), CENTER), torch.cat([pixels, confidence], -1))
    return given, joints


def measure(methods, smplify, given, joints, repeats):
    """Rows (name, seconds, processor seconds, mean reprojection, PA-MPJPE in mm).

    The methods run in turns. Times are medians. Processor time is that of all threads; it is comparable on a busy
    machine.
    """
    times = {name: [] for name in methods}
    results = {}
    for _ in range(repeats):
        for name, method in methods.items():
            before = time.perf_counter(), time.process_time()
            results[name] = method(*given)
            times[name].append((time.perf_counter() - before[0], time.process_time() - before[1]))
    rows = []
    for name, (pose, betas, translation) in results.items():
        residual = smplify.fitting_loss(pose, betas, translation, *given[3:]).mean()
        body = smplify.body(betas, pose=pose).joints
        error = (similarity_align(body, joints) - joints).norm(dim=-1).mean()
        wall, processor = (statistics.median(column) for column in zip(*times[name]))
        rows.append((name, wall, processor, float(residual), 1000 * float(error)))
    return rows


def breakdown(smplify, given, repeats=10):
    """{part: processor milliseconds} of one step of the body stage on all rows."""
    pose, betas, cam_t, center, keypoints = given
    seen = objective.observe(keypoints[:, None], center[:, None], cam_t[:, None], None, 5000.0, False)
    state = FitState(pose[:, 3:], betas, axis_angle_to_rotmat(pose[:, None, :3]), cam_t[:, None])
    sparse = smplify.sparse_body
    stage = BodyStage(sparse, seen, smplify.weights, smplify.pose_prior, state.body_pose, smplify.stay)
    at = stage.evaluate(state)
    gradient, hessian = stage.linearize(at)
    damping = torch.full_like(at.cost, 1e-2)
    parts = {'pose the sparse body': lambda: sparse.pose(state.body_pose, betas),
             'rest of the loss': lambda: stage.evaluate(state), 'Jacobian': lambda: stage._jacobian(at),
             'rest of the normal equations': lambda: stage.linearize(at),
             'Cholesky and solve': lambda: _damped_step(gradient, hessian, damping)}
    times = {}
    for name, part in parts.items():
        part()
        before = time.process_time()
        for _ in range(repeats):
            part()
        times[name] = (time.process_time() - before) / repeats * 1000
    times['rest of the loss'] -= times['pose the sparse body']
    times['rest of the normal equations'] -= times['Jacobian']
    return times


def fit_with(smplify):
    """An SMPLify as a method of `measure`; its time includes the vertices, computed once at the end."""
    def method(*given):
        result = smplify(*given)
        _ = result.vertices
        return result.pose, result.betas, result.camera_translation
    return method


def compare(options, data):
    """Print the tables for an asset folder."""
    fits = {method: build_smplify(load_config(None, [
        'PATHS.DATA_DIR', data, 'SMPLIFY.METHOD', method, 'SMPLIFY.NUM_ITERS', options.iterations]))
        for method in ('adam', 'lm')}
    smplify = fits['lm']
    methods = {'published loop, whole mesh': PublishedLoop(smplify, options.iterations),
               'adam, sparse': fit_with(fits['adam']), 'lm': fit_with(smplify)}
    print(f'{options.threads} threads, {options.iterations} + {options.iterations} iterations, '
          f'{smplify.body.num_vertices} vertices\n')
    print('| batch | method | seconds | faster by | processor seconds | less by | reprojection, px^2 | PA-MPJPE, mm |')
    print('| --- | --- | --- | --- | --- | --- | --- | --- |')
    steps = []
    for batch in options.batch:
        given, joints = draw_problems(smplify, batch)
        rows = measure(methods, smplify, given, joints, options.repeats)
        for name, wall, processor, residual, error in rows:
            print(f'| {batch} | {name} | {wall:.3f} | {rows[0][1] / wall:.0f} | {processor:.3f} | '
                  f'{rows[0][2] / processor:.0f} | {residual:.2f} | {error:.1f} |')
        parts = ', '.join(f'{name} {value:.1f}' for name, value in breakdown(smplify, given).items())
        steps.append(f'batch {batch}, one step of the body stage, processor ms: {parts}')
    print('', *steps, sep='\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', help='asset folder; default: stand-in arrays as large as SMPL')
    parser.add_argument('--batch', type=int, nargs='+', default=[16, 64])
    parser.add_argument('--iterations', type=int, default=50, help='of each stage')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--repeats', type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.data is not None:
        compare(options, options.data)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        write_assets(folder)
        compare(options, folder)
    return 0


if __name__ == '__main__':
    run_main(main)

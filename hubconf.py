"""Entries for torch.hub (docs/api.md): one for each regressor, `body_estimator`, and the free checkpoint's.

    torch.hub.load(REPOSITORY, 'body_estimator')                          # OWNER/REPO, or a folder with source='local'
    torch.hub.load(REPOSITORY, 'hmr2', checkpoint='epoch=35-step=1000000.ckpt')
"""
import contextlib as _contextlib
import functools as _functools
import sys as _sys
from pathlib import Path as _Path

dependencies = ['accelerate', 'av', 'cv2', 'filelock', 'huggingface_hub', 'norfair', 'numpy', 'PIL', 'pycocotools',
                'roma', 'safetensors', 'scipy', 'skimage', 'threadpoolctl', 'timm', 'torch', 'torchvision', 'tqdm',
                'trimesh', 'warp', 'yacs', 'yaml']
_ROOT = str(_Path(__file__).resolve().parent)


@_contextlib.contextmanager
def _without_our_folder():
    """torch.hub puts this folder first into sys.path, where our `datasets` hides that of Hugging Face."""
    before = list(_sys.path)
    _sys.path[:] = [entry for entry in before if not entry or str(_Path(entry).resolve()) != _ROOT]
    try:
        yield
    finally:
        _sys.path[:] = before


def _package():
    """human_mesh_recovery of this folder, under whose name the project's packages lie."""
    import importlib.util
    package = _sys.modules.get('human_mesh_recovery')
    if package is None:
        spec = importlib.util.spec_from_file_location('human_mesh_recovery', f'{_ROOT}/human_mesh_recovery/__init__.py')
        package = _sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        with _without_our_folder():
            try:
                spec.loader.exec_module(package)
            except BaseException:
                del _sys.modules[spec.name]
                raise
    return package


def _regressor(name, checkpoint='', **options):
    """The regressor of this name as a torch module, in evaluation mode. checkpoint: a file, `hf://OWNER/REPO/FILE` or
    `https://...`; '' for random weights. options: of `core.api.load_regressor`."""
    with _without_our_folder():
        return _package().load_regressor(name, checkpoint, **options)


def body_estimator(checkpoint='', **options):
    """An object that turns a picture into bodies, as demo.py does (`core.api.BodyEstimator`). checkpoint: as of a
    regressor; '' takes demo.py's default, the free network; 'none' fits the body to keypoints alone."""
    with _without_our_folder():
        return _package().BodyEstimator(checkpoint, **options)


def free_pymaf(**options):
    """PyMAF on the free body with the weights of the repository. Raises MissingFile where they are not in it."""
    with _without_our_folder():
        return _package().load_regressor('pymaf_net', _package().repository_checkpoint('free_pymaf'), **options)


for _name in _package().regressor_names():
    globals()[_name] = _functools.update_wrapper(_functools.partial(_regressor, _name), _regressor)

"""The demo: from pictures or a video, with a regressor or earlier results, to result files."""
from core.demo.estimate import Estimator
from core.demo.file_estimator import open_file_estimator
from core.demo.fitting import FittingEstimator
from core.demo.keypoints import open_estimator
from core.devices import pick_device
from core.evaluation.run import load_regressor
from utils.logging import get_logger


def run_demo(cfg, inputs):
    """Run the demo -> the Recordings. Raises ProjectError."""
    device = pick_device(cfg)
    video = inputs.kind in ('vid_file', 'webcam') or (inputs.kind == 'image_folder' and not cfg.DEMO.IMAGE_BASED)
    if video:
        from core.demo.video import run_video as run
    else:
        from core.demo.images import run_pictures as run
    return run(cfg, inputs, build_estimator(cfg, inputs, device, video), device)


def build_estimator(cfg, inputs, device, video=False):
    """A network, a fit to keypoints that may start at the network's estimates, or a FileEstimator of ground truth or
    earlier results."""
    if inputs.has_bodies:
        return open_file_estimator(cfg, inputs)
    keypoints = open_estimator(cfg, device, needed=not inputs.checkpoint)  # first: a wrong flag is then an error sooner
    network = Estimator(cfg, load_regressor(cfg, inputs.checkpoint, device), device) if inputs.checkpoint else None
    _say_what_is_used(cfg, inputs, keypoints)
    return FittingEstimator(cfg, network, keypoints, video) if keypoints else network


def _say_what_is_used(cfg, inputs, keypoints):
    log = get_logger().info
    bodies = f'bodies are estimated by {inputs.checkpoint}' if inputs.checkpoint else 'no network'
    log(f'{bodies}; {f"fitted to the keypoints of {keypoints.name}" if keypoints else "no fit to keypoints"}')
    if inputs.checkpoint and all(name.startswith('free') for name in _datasets(cfg)):
        log(f'{inputs.checkpoint} has seen rendered people only' + ('' if keypoints else
                                                                    '; its estimates on photographs are rough'))


def _datasets(cfg):
    """Names of the datasets that a network was trained on."""
    return [entry.split(':')[0] for entry in cfg.DATA.MIXTURE]

"""What demo.py does: pictures or a video, a regressor or earlier results, files to look at."""
from core.demo.estimate import Estimator
from core.demo.playback import open_playback
from core.devices import pick_device
from core.evaluation.run import load_regressor


def run_demo(cfg, inputs):
    """Run the demo -> the Recordings. Raises ProjectError."""
    device = pick_device(cfg)
    if inputs.kind in ('vid_file', 'webcam') or (inputs.kind == 'image_folder' and not cfg.DEMO.IMAGE_BASED):
        from core.demo.video import run_video as run
    else:
        from core.demo.images import run_pictures as run
    return run(cfg, inputs, build_estimator(cfg, inputs, device), device)


def build_estimator(cfg, inputs, device):
    """A network that looks at people, or a Playback of ground truth or of an earlier run's results."""
    if inputs.checkpoint is None:
        return open_playback(cfg, inputs)
    return Estimator(cfg, load_regressor(cfg, inputs.checkpoint, device), device)

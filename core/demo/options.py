"""Command-line flags of demo.py: those of SPIN's, PyMAF's and DaNet's demos and this project's own.

`Inputs` holds what the demo runs on. The other flags are aliases of config keys (DEMO.*).
"""
from dataclasses import dataclass, replace
from pathlib import Path

from core.config import load_config
from core.config.flags import BACKEND_FLAGS, Parser, add_flags, add_plugin_flag, flag, load_plugins, overrides_of
from core.demo.input_checks import check_inputs
from core.evaluation.options import checkpoint_config
from core.pretrained import NO_NETWORK, check_estimates, demo_checkpoint
from utils.errors import BadConfig
from utils.logging import get_logger, log_once

SETTINGS = (
    flag('regressor', 'MODEL.REGRESSOR', 'network, if the checkpoint does not name it'),
    flag('output_folder', 'DEMO.OUTPUT_FOLDER', 'folder of results'),
    flag('out_dir', 'DEMO.OUTPUT_FOLDER', 'another name of --output_folder'),
    flag('fit', 'DEMO.FIT', 'auto: fit bodies to keypoints if an estimator is available; none: the network alone, '
         'for the same people'),
    flag('keypoints', 'DEMO.KEYPOINTS', 'what finds people and their keypoints: blazepose, keypointrcnn, rtmpose'),
    flag('keypoint_model', 'DEMO.KEYPOINT_MODEL', 'blazepose: heavy or full; rtmpose: its ONNX file'),
    flag('keypoint_detector', 'DEMO.KEYPOINT_DETECTOR', "rtmpose: YOLOX's ONNX file"),
    flag('keypoint_format', 'DEMO.KEYPOINT_FORMAT', 'format of --keypoint_file; default: by its number of joints'),
    flag('tracking_method', 'DEMO.TRACKING_METHOD', 'bbox: boxes of the detector; pose: of OpenPose\'s joints'),
    flag('detector', 'DEMO.DETECTOR', 'what finds people instead of --keypoints: full_frame (one person fills the '
         'picture), fasterrcnn, maskrcnn, keypointrcnn, or a torchvision detector'),
    flag('detector_size', 'DEMO.DETECTOR_SIZE', 'shorter side of a frame in the detector, in pixels'),
    flag('detection_threshold', 'DEMO.MIN_SCORE', 'lowest score of a detected person'),
    flag('max_gap', 'DEMO.MAX_GAP', 'frames after which an unseen person loses the number'),
    flag('model_batch_size', 'DEMO.MODEL_BATCH_SIZE', 'people in a batch of the network'),
    flag('tracker_batch_size', 'DEMO.TRACKER_BATCH_SIZE', 'frames in a batch of the detector'),
    flag('focal_length', 'DEMO.FOCAL_LENGTH', 'focal length of the full picture in pixels'),
    flag('fps', 'DEMO.FPS', 'frames per second of --image_folder'),
    flag('image_based', 'DEMO.IMAGE_BASED', 'pictures of --image_folder are independent, not a video', True),
    flag('smooth', 'DEMO.SMOOTH', 'one-euro filter over time', True),
    flag('renderer', 'DEMO.RENDERER', 'own (no OpenGL) or pyrender'),
    flag('no_render', 'DEMO.RENDER', 'results only, no overlay', False),
    flag('render_ratio', 'DEMO.RENDER_RATIO', 'size of the overlay over that of the picture'),
    flag('with_raw', 'DEMO.WITH_RAW', 'the input beside the overlay', True),
    flag('empty_bg', 'DEMO.EMPTY_BG', 'the bodies on black beside the overlay', True),
    flag('sideview', 'DEMO.SIDEVIEW', 'the bodies from the side beside the overlay', True),
    flag('display', 'DEMO.DISPLAY', 'show the overlays in a window', True),
    flag('viewer', 'DEMO.VIEWER', 'write one HTML file that shows the bodies in 3D', True),
    *BACKEND_FLAGS,
)
# Flags that add a result format.
EXPORTS = ('csv', 'obj', 'ply', 'glb', 'bvh', 'amass')
_WHAT = {'amass': "AMASS's .npz"}
# Detectors of PyMAF's demo that this project does not have, and their replacements.
_OTHER_DETECTORS = {'yolo': 'fasterrcnn', 'yolov3': 'fasterrcnn', 'yolov8': 'fasterrcnn'}
_SOURCES = ('img', 'img_file', 'img_dir', 'image_folder', 'vid_file', 'webcam')


@dataclass(frozen=True)
class Inputs:
    """Inputs of a run of the demo. There is exactly one source; `kind` is the name of its flag, `paths` its values.

    bbox, openpose: a file for each picture of --img; for a video or folder, one OpenPose folder. detections: boxes in
    COCO's results format. truth: annotations (--use_gt --anno_file). results: of an earlier run, to draw again.
    keypoint_file: keypoints of another program.
    """
    kind: str
    paths: tuple
    checkpoint: str | None
    outfile: str | None = None
    bbox: tuple = ()
    openpose: tuple = ()
    detections: str | None = None
    truth: str | None = None
    results: str | None = None
    viewer_port: int | None = None
    keypoint_file: str | None = None

    @property
    def has_bodies(self):
        """Whether bodies come from a file instead of estimates."""
        return self.results is not None or (self.truth is not None and Path(self.truth).suffix == '.npz')


def build_parser():
    """The parser of demo.py."""
    parser = Parser(prog='demo.py', argument_default=None, allow_abbrev=False, description=(
        'Bodies in pictures and videos. One of --img, --img_file, --img_dir, --image_folder, --vid_file, --webcam.'))
    source = parser.add_argument_group('what to look at')
    source.add_argument('--img', nargs='+', action='extend', metavar='FILE',
                        help='pictures; with a multi_spin checkpoint, synchronized views of one body')
    source.add_argument('--img_file', metavar='FILE', help='a picture; results have PyMAF\'s names')
    source.add_argument('--img_dir', metavar='FOLDER', help='pictures; makes DaNet\'s montage of each')
    source.add_argument('--image_folder', metavar='FOLDER', help='frames of a video, or pictures with --image_based')
    source.add_argument('--vid_file', metavar='FILE', help='a video, or a web address (needs yt-dlp)')
    source.add_argument('--webcam', metavar='N', type=int, help='camera number N, shown live')
    where = parser.add_argument_group('where the people are')
    where.add_argument('--bbox', nargs='+', action='extend', metavar='FILE',
                       help='{"bbox": [left, top, width, height]} of a picture')
    where.add_argument('--openpose', nargs='+', action='extend', metavar='FILE',
                       help="OpenPose's JSON of a picture, or its folder of a video")
    where.add_argument('--detections', metavar='FILE', help="boxes in COCO's results format (docs/demo.md)")
    where.add_argument('--keypoint_file', metavar='FILE',
                       help='keypoints that another program found (docs/keypoints.md)')
    where.add_argument('--use_gt', action='store_true', help='take the annotations of --anno_file')
    where.add_argument('--anno_file', metavar='FILE',
                       help='tracked boxes (.json), or bodies (.npz) in place of estimates')
    where.add_argument('--recon_result_file', metavar='FILE', help="an earlier run's .npz or .json: draw it again")
    parser.add_argument('--checkpoint', help='weights: a file, hf://OWNER/REPO/FILE or https://...; without it, '
                        f'those of the repository (pretrained/); {NO_NETWORK}: no network')
    parser.add_argument('--cfg_file', '--cfg', help='YAML file instead of the checkpoint\'s own config')
    add_plugin_flag(parser)
    parser.add_argument('--outfile', help='prefix of the result files of --img')
    parser.add_argument('--viewer_port', type=int, metavar='PORT', help='show the bodies in a browser, on this port')
    parser.add_argument('--use_opendr', action='store_true', help='no effect; front and side views need no opendr')
    parser.add_argument('--staf_dir', help='no effect; poses are read from --openpose')
    parser.add_argument('--pre_load_imgs', action='store_true', help='no effect; frames are streamed')
    parser.add_argument('--yolo_img_size', help='no effect; see --detector_size')
    for name in EXPORTS:
        parser.add_argument(f'--save_{name}', action='store_true', help=f'also write {_WHAT.get(name, f".{name}")}')
    add_flags(parser, SETTINGS)
    parser.add_argument('--misc', nargs='*', default=[], metavar='KEY VALUE', help='any config keys with values')
    return parser


def parse_options(argv=None):
    """Command line of demo.py -> (config, Inputs). Raises BadConfig, MissingFile, BadFile."""
    given = vars(build_parser().parse_args(argv))
    load_plugins(given)
    inputs = _inputs(given)
    check_inputs(inputs)
    overrides = [*_settings(given), *given['misc']]

    def read_config():
        return load_config(given['cfg_file'], overrides)

    checkpoint = None if inputs.has_bodies else demo_checkpoint(given['checkpoint'], read_config)
    cfg = checkpoint_config(checkpoint, overrides, given['cfg_file']) if checkpoint else read_config()
    if not inputs.has_bodies:
        check_estimates(cfg, checkpoint, given['checkpoint'])
    if cfg.DEMO.TRACKING_METHOD not in ('bbox', 'pose'):
        raise BadConfig(f'--tracking_method is {cfg.DEMO.TRACKING_METHOD!r}; use bbox or pose')
    if cfg.DEMO.TRACKING_METHOD == 'pose' and not given['openpose']:
        raise BadConfig("--tracking_method pose needs OpenPose's folder of the video: --openpose FOLDER")
    _say_what_is_not_needed(given)
    return cfg, replace(inputs, checkpoint=checkpoint)


def _inputs(given):
    """The Inputs of a command line, without the checkpoint."""
    kind, paths = _source(given)
    return Inputs(kind, paths, None, given['outfile'], tuple(given['bbox'] or ()), tuple(given['openpose'] or ()),
                  given['detections'], _truth(given), given['recon_result_file'], given['viewer_port'],
                  given['keypoint_file'])


def _source(given):
    chosen = [name for name in _SOURCES if given[name] is not None]
    if len(chosen) != 1:
        what = f'--{" and --".join(chosen)} exclude each other' if chosen else 'nothing to look at'
        raise BadConfig(f'{what}: give one of {", ".join(f"--{name}" for name in _SOURCES)}')
    value = given[chosen[0]]
    paths = tuple(value) if isinstance(value, list) else (value,)
    for name in ('bbox', 'openpose'):
        if chosen[0] == 'img' and len(given[name] or ()) not in (0, len(paths)):
            raise BadConfig(f'{len(paths)} pictures, but {len(given[name])} files of --{name}; give one for each')
    if given['fps'] is not None and chosen[0] != 'image_folder':
        raise BadConfig('--fps applies to --image_folder only; videos and cameras have their own rate')
    return chosen[0], paths


def _truth(given):
    if given['use_gt'] != bool(given['anno_file']):
        raise BadConfig('--use_gt and --anno_file FILE go together')
    return given['anno_file'] if given['use_gt'] else None


def _settings(given):
    """Config overrides of the flags."""
    given = dict(given)
    if given['detector'] in _OTHER_DETECTORS:
        other = _OTHER_DETECTORS[given['detector']]
        get_logger().info(f'--detector {given["detector"]} is not part of this project; {other} takes its place')
        given['detector'] = other
    formats = ['npz', 'json', *(name for name in EXPORTS if given[f'save_{name}'])]
    return [*overrides_of(given, SETTINGS), 'DEMO.FORMATS', formats]


def _say_what_is_not_needed(given):
    if given['use_opendr']:
        log_once('--use_opendr: opendr is not used; this project draws front and side views itself, without OpenGL')
    if given['staf_dir']:
        log_once('--staf_dir: STAF is not used; give --tracking_method pose and --openpose FOLDER')
    if given['pre_load_imgs']:
        log_once('--pre_load_imgs: frames are streamed; nothing is loaded ahead')
    if given['yolo_img_size']:
        log_once('--yolo_img_size: YOLO is not used; --detector_size sets the size of a frame in the detector')

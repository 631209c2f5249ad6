"""Command-line flags of eval.py and eval_coco.py. They include those of SPIN's, PyMAF's and DaNet's scripts.

The config in the checkpoint rebuilds the network as it was trained. A published checkpoint gets the config of its
regressor and the crop of its source. Flags and `--misc` override keys.
"""
from pathlib import Path

from core.config import default_yaml, load_config, load_stored_config
from core.config.flags import BACKEND_FLAGS, Parser, add_flags, add_plugin_flag, flag, load_plugins, overrides_of
from core.config.free_recipe import free_coco, free_people
from core.config.published_flags import hrnet_of_file
from core.pretrained import default_checkpoint, no_checkpoint
from models.weights import checkpoint_regressor, published_config
from utils.errors import BadConfig

COMMON_FLAGS = (
    flag('regressor', 'MODEL.REGRESSOR', 'regressor, if the checkpoint does not name it (see --plugin)'),
    flag('batch_size', 'TEST.BATCH_SIZE', 'samples a batch'),
    flag('num_workers', 'TRAIN.NUM_WORKERS', 'worker processes of the loader'),
    flag('max_samples', 'TEST.MAX_SAMPLES', 'evaluate only this many samples, from the first'),
    flag('log_freq', 'TEST.LOG_FREQ', 'batches between two log lines with the running means'),
    flag('shuffle', 'TEST.SHUFFLE', 'evaluate the samples in random order', True),
    flag('vis_demo', 'TEST.VIS_DEMO', 'write a grid of pictures with the estimated bodies', True),
    flag('ratio', 'TEST.VIS_RATIO', 'size of the grid\'s pictures, relative to the network\'s input'),
    flag('vis_imname', 'TEST.VIS_IMNAME', 'evaluate only pictures whose names contain this text'),
    flag('output_dir', 'TEST.OUTPUT_DIR', 'folder of pictures and of COCO results'),
    flag('overwrite', 'TEST.OVERWRITE', 'replace result files that exist', True),
    flag('legacy_crop', 'DATA.LEGACY_CROP_EVAL', 'use the published crop (default for most published weights)', True),
    flag('affine_crop', 'DATA.LEGACY_CROP_EVAL', 'use this project\'s crop (default for its own weights)', False),
    *BACKEND_FLAGS,
)
POSE_FLAGS = COMMON_FLAGS + (
    flag('dataset', 'DATA.EVAL_DATASET', 'h36m-p1, h36m-p2, h36m-p2-mosh, 3dpw, mpi-inf-3dhp, mpi-inf-3dhp-s8 (several '
         'views), 3doh50k, emdb1, emdb2, rich, lsp, free, your own dataset, or an .npz'),
    flag('result_file', 'TEST.RESULT_FILE', '.npz for joints, pose, betas, cameras and image names (also --result)'),
    flag('eval_pve', 'TEST.EVAL_PVE', 'compute per-vertex errors (default)', True),
    flag('occlude', 'TEST.OCCLUDE', 'face: paint the face black; grid: slide a patch and write the error map'),
)
COCO_FLAGS = COMMON_FLAGS + (
    flag('subset', 'TEST.COCO_SUBSET', 'val2014 or val2017'),
    flag('annotations', 'TEST.COCO_ANNOTATIONS', 'person_keypoints_*.json'),
    flag('images', 'TEST.COCO_IMAGES', 'folder of the pictures'),
    flag('detections', 'TEST.COCO_DETECTIONS', 'detected boxes in COCO\'s results format'),
    flag('flip', 'TEST.FLIP', 'average with the estimate of the mirrored picture', True),
    flag('result_file', 'TEST.RESULT_FILE', 'COCO results .json to write (default: in --output_dir)'),
)


def build_parser(prog, flags):
    """Parser of an evaluation script. The result has no entry for a flag that is not given."""
    parser = Parser(prog=prog, argument_default=None, description=(
        'Evaluate a checkpoint. Each flag is an alias of a config key (core/config/defaults.py).'))
    parser.add_argument('--checkpoint', help='weights of this project, SPIN, PyMAF and others: a file, '
                        'hf://OWNER/REPO/FILE or https://... (default: those in pretrained/)')
    parser.add_argument('--cfg_file', '--danet_cfg_file', help='YAML file that replaces the checkpoint\'s config')
    parser.add_argument('--hrnet_cfg_file', help='published HRNet YAML; its width selects the backbone')
    add_plugin_flag(parser)
    parser.add_argument('--report', nargs='+', action='extend', metavar='FILE', help='tables as .md, .csv or .json')
    add_flags(parser, flags)
    parser.add_argument('--misc', nargs='*', default=[], metavar='KEY VALUE', help='any config keys with values')
    return parser


def parse_pose_options(argv=None):
    """Parse the command line of eval.py -> (config, checkpoint path). Raises BadConfig, MissingFile, BadFile."""
    parser = build_parser('eval.py', POSE_FLAGS)
    parser.add_argument('--result', dest='result_file', help='another name of --result_file')
    parser.add_argument('--n_views', nargs='+', type=int, metavar='N', help='views per person for a multi-view '
                        'network; several numbers print a comparison [TEST.N_VIEWS, TEST.VIEW_COUNTS]')
    return _parse(parser, POSE_FLAGS, argv, free_people)


def parse_coco_options(argv=None):
    """Parse the command line of eval_coco.py -> (config, checkpoint path). Raises BadConfig, MissingFile, BadFile."""
    parser = build_parser('eval_coco.py', COCO_FLAGS)
    parser.add_argument('--dataset', choices=['coco'], default='coco', help='accepted for compatibility')
    return _parse(parser, COCO_FLAGS, argv, free_coco)


def _parse(parser, flags, argv, free_data):
    given = vars(parser.parse_args(argv))
    load_plugins(given)
    overrides = [*given['misc'], *overrides_of(given, flags)]
    if given['hrnet_cfg_file']:
        overrides += ['MODEL.BACKBONE.NAME', hrnet_of_file(given['hrnet_cfg_file'])]
    if given.get('n_views'):
        if min(given['n_views']) < 1:
            raise BadConfig(f'--n_views is {min(given["n_views"])}; it must be at least 1')
        overrides += ['TEST.N_VIEWS', given['n_views'][-1], 'TEST.VIEW_COUNTS', given['n_views']]
    if given['report']:
        overrides += ['TEST.REPORT', given['report']]
    checkpoint = given['checkpoint'] or default_checkpoint(load_config(given['cfg_file'], overrides).PATHS.DATA_DIR)
    if checkpoint is None:
        raise no_checkpoint()
    cfg = checkpoint_config(checkpoint, overrides, given['cfg_file'])
    free = [] if given['cfg_file'] else free_data(cfg, overrides)
    return (checkpoint_config(checkpoint, [*overrides, *free]) if free else cfg), checkpoint


def checkpoint_config(checkpoint, overrides=(), cfg_file=None):
    """The config to evaluate a checkpoint with.

    It is `cfg_file` if given, else the config in the checkpoint, else (published weights) the config of the regressor.
    overrides: [KEY, VALUE, ...] that replace its values.
    """
    regressor, stored = checkpoint_regressor(checkpoint, keep=True)
    if stored is None:
        published = published_config(checkpoint, keep=True)
    else:
        own = load_stored_config(stored, f'{Path(checkpoint)}: config')
        published = {'DATA.LEGACY_CROP_EVAL': False, 'MODEL.CAMERA': own.MODEL.CAMERA}
    # Keys that depend on the weights. They hold with any config of the network.
    made_for = [part for key in published if key == 'MODEL.CAMERA' or key.startswith('DATA.')
                for part in (key, published[key])]
    if cfg_file:
        return load_config(cfg_file, [*made_for, *overrides])
    if stored is not None:
        return load_stored_config(stored, f'{Path(checkpoint)}: config', [*made_for, *overrides])
    chosen = dict(zip(overrides[::2], overrides[1::2])).get('MODEL.REGRESSOR', regressor)
    variant = [part for pair in published.items() for part in pair]
    return load_config(default_yaml(chosen), ['MODEL.REGRESSOR', chosen, *variant, *overrides])

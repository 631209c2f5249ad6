"""Command-line flags of the training script. Each is an alias of a config key.

The flags are those of the training scripts of SPIN, PyMAF and DaNet. Flags override `--misc`, which overrides the YAML
file, which overrides the defaults in core/config/defaults.py.
"""
import argparse
import sys
import time
from functools import partial
from pathlib import Path

from core.config import default_yaml, load_config, load_run_config, load_stored_config
from core.config.flags import Parser, add_flags, add_plain, add_plugin_flag, load_plugins, overrides_of
from core.config.flags import flag as _flag
from core.config.free_recipe import own_pictures_yaml, with_free_recipe
from core.config.keys import unquoted
from core.config.published_flags import PLAIN_FLAGS, network_overrides, without_dataset
from core.training.checkpoint import check_resumable, is_resumable
from models import DEFAULT_REGRESSOR
from models.weights import checkpoint_regressor
from utils.errors import BadConfig, BadFile
from utils.logging import get_logger
from utils.safe_io import load_json

FLAGS = (
    _flag('name', 'NAME', 'experiment; its logs go to LOG_DIR/NAME'),
    _flag('regressor', 'MODEL.REGRESSOR', 'network (see --plugin)'),
    _flag('log_dir', 'LOG_DIR', 'folder of all experiments'),
    _flag('resume', 'TRAIN.RESUME', 'continue from the newest checkpoint of the experiment', True),
    _flag('resume_if_exists', 'TRAIN.RESUME_IF_EXISTS', 'the same, or a new run where the experiment has no checkpoint '
          '(for jobs that restart)', True),
    _flag('checkpoint', 'TRAIN.CHECKPOINT', 'checkpoint to resume from'),
    _flag('pretrained_checkpoint', 'TRAIN.PRETRAINED_CHECKPOINT', 'weights to start from: a file or an address'),
    _flag('overwrite', 'TRAIN.OVERWRITE', 'start a new run in a folder that holds one', True),
    _flag('num_epochs', 'TRAIN.NUM_EPOCHS', 'epochs'),
    _flag('time_to_run', 'TRAIN.TIME_TO_RUN', 'seconds after which to save and stop'),
    _flag('lr', 'SOLVER.BASE_LR', 'learning rate'),
    _flag('batch_size', 'TRAIN.BATCH_SIZE', 'samples in a step'),
    _flag('num_workers', 'TRAIN.NUM_WORKERS', 'loader processes'),
    _flag('pin_memory', 'TRAIN.PIN_MEMORY', 'page-locked batches', True),
    _flag('no_pin_memory', 'TRAIN.PIN_MEMORY', 'ordinary batches', False),
    _flag('shuffle_train', 'TRAIN.SHUFFLE', 'shuffle training samples', True),
    _flag('no_shuffle_train', 'TRAIN.SHUFFLE', 'keep the order of training samples', False),
    _flag('summary_steps', 'TRAIN.SUMMARY_STEPS', 'steps between logged scalars'),
    _flag('vis_interval', 'TRAIN.VIS_INTERVAL', 'steps between logged pictures'),
    _flag('checkpoint_steps', 'TRAIN.CHECKPOINT_STEPS', 'steps between checkpoints'),
    _flag('test_steps', 'TRAIN.TEST_STEPS', 'steps between validations within an epoch'),
    _flag('pretr_step', 'TRAIN.PRETR_STEP', 'steps of the first stage of a two-stage training (DaNet)'),
    _flag('img_res', 'DATA.IMG_RES', 'side of the network\'s input in pixels'),
    _flag('rot_factor', 'DATA.ROT_FACTOR', 'standard deviation of the random rotation in degrees'),
    _flag('noise_factor', 'DATA.NOISE_FACTOR', 'range of the random channel gains'),
    _flag('scale_factor', 'DATA.SCALE_FACTOR', 'standard deviation of the random box scale'),
    _flag('ignore_3d', 'DATA.IGNORE_3D', 'train without the 3D annotations', True),
    _flag('single_dataset', 'DATA.SINGLE_DATASET', 'train on one dataset', True),
    _flag('single_dataname', 'DATA.SINGLE_NAME', 'the dataset of --single_dataset'),
    _flag('eval_dataset', 'DATA.EVAL_DATASET', 'dataset of the validation'),
    _flag('eval_pve', 'TEST.EVAL_PVE', 'report per-vertex errors', True),
    _flag('openpose_train_weight', 'LOSS.OPENPOSE_TRAIN_WEIGHT', 'weight of OpenPose keypoints'),
    _flag('gt_train_weight', 'LOSS.GT_TRAIN_WEIGHT', 'weight of annotated keypoints'),
    _flag('shape_loss_weight', 'LOSS.VERT_W', 'weight of the per-vertex loss'),
    _flag('keypoint_loss_weight', ('LOSS.KP_2D_W', 'LOSS.KP_3D_W'), 'weight of 2D and 3D keypoint losses'),
    _flag('pose_loss_weight', 'LOSS.POSE_W', 'weight of the pose loss'),
    _flag('beta_loss_weight', 'LOSS.SHAPE_W', 'weight of the betas loss'),
    _flag('run_smplify', 'SMPLIFY.RUN', 'fit SMPL to the keypoints of each training sample', True),
    _flag('smplify_threshold', 'SMPLIFY.THRESHOLD', 'largest residual of a fit that supervises'),
    _flag('num_smplify_iters', 'SMPLIFY.NUM_ITERS', 'iterations of each stage of a fit'),
    _flag('use_final_fit', 'SMPLIFY.USE_FINAL_FIT', 'start from data/final_fits', True),
)
# Flags for torch's launcher (core/training/launch.py): (name, takes an argument, default).
LAUNCH_FLAGS = (('distributed', False, False), ('multiprocessing_distributed', False, False),
                ('dist_backend', True, 'nccl'), ('dist_url', True, 'tcp://127.0.0.1:10356'),
                ('world_size', True, '1'), ('rank', True, '0'), ('local_rank', True, '0'))


def build_parser(prog='train.py'):
    """The parser of the training script. Flags that are not given stay out of the result."""
    parser = Parser(prog=prog, argument_default=argparse.SUPPRESS, description=(
        'Train a regressor of the human body mesh. Each flag is an alias of a config key (core/config/defaults.py).'))
    parser.add_argument('--cfg_file', help='YAML file; default: NAME.yaml of the regressor, beside its file or in '
                        'configs/')
    parser.add_argument('--from_json', help='flags from a JSON file, such as SPIN\'s logs/NAME/config.json')
    add_plugin_flag(parser)
    parser.add_argument('--timestamp', action='store_true', help='append the time to NAME')
    add_flags(parser, FLAGS)
    for name, has_value, _ in LAUNCH_FLAGS:
        add_plain(parser, name, has_value, 'start torch\'s launcher, as in the published scripts')
    for name, has_value, text in PLAIN_FLAGS:
        add_plain(parser, name, has_value, text)
    parser.add_argument('--misc', nargs='*', metavar='KEY VALUE', help='any config keys with their values')
    return parser


def parse_training_options(argv=None):
    """Parse a command line into (frozen config, launch options {name: value}).

    Raises BadConfig, MissingFile, BadFile.
    """
    given = vars(build_parser().parse_args(argv))
    load_plugins(given)
    if 'from_json' in given:
        given = {**_flags_from_json(given['from_json']), **given}
    overrides = [*given.get('misc', ()), *network_overrides(given), *overrides_of(given, FLAGS)]
    build = _config_builder(given, overrides)
    cfg = build(overrides)
    if given.get('no_3dhp'):
        cfg = build([*overrides, 'DATA.MIXTURE', without_dataset(cfg.DATA.MIXTURE, 'mpi-inf-3dhp')])
    launch = {name: given.get(name, default) for name, _, default in LAUNCH_FLAGS}
    cfg = _with_name(cfg, given)
    if cfg.TRAIN.RESUME and not cfg.TRAIN.CHECKPOINT:
        check_resumable(cfg.LOG_DIR, cfg.NAME)  # here too, before a launcher starts processes that would fail alike
    return cfg, launch


def _flags_from_json(path):
    """The flags in a stored options file. Entries that are not flags (derived paths) are ignored."""
    stored = load_json(path)
    if not isinstance(stored, dict):
        raise BadConfig(f'{path}: not a file of options (expected a mapping of flags)')
    given = {}
    for flag in FLAGS:
        value = stored.get(flag.name)
        # A stored False, such as `pin_memory: false`, means the negative flag, `--no_pin_memory`.
        if isinstance(value, bool) and flag.value is not None and value != flag.value:
            negative = f'no_{flag.name}'
            if any(other.name == negative for other in FLAGS):
                given[negative] = True
        elif value is not None and value != float('inf'):
            given[flag.name] = value if flag.value is not None else str(value)
    try:
        load_config(None, overrides_of(given, FLAGS))
    except BadConfig as error:
        raise BadConfig(f'{path}: {error}') from None
    return given


def _config_builder(given, overrides):
    """A function overrides -> config. It builds on the named YAML file, on the config of the run or checkpoint to
    resume, or on the regressor's YAML file."""
    if 'cfg_file' in given or 'danet_cfg_file' in given:
        return partial(load_config, given.get('cfg_file') or given['danet_cfg_file'])
    pairs = dict(zip(overrides[::2], map(unquoted, overrides[1::2])))
    resumed = pairs.get('TRAIN.CHECKPOINT')
    if resumed:
        _, text = checkpoint_regressor(resumed)
        if text is None:
            raise BadFile(f'{resumed}: not a checkpoint of a run; use --pretrained_checkpoint to start from its '
                          'weights')
        return partial(_of_rollback, resumed, text)
    if given.get('resume') or given.get('resume_if_exists'):
        name = pairs.get('NAME') or pairs.get('MODEL.REGRESSOR') or DEFAULT_REGRESSOR
        log_dir = Path(pairs.get('LOG_DIR', 'logs'))
        if given.get('resume'):
            check_resumable(log_dir, name)
        stored = log_dir / name / 'config.yaml'
        if stored.exists() and is_resumable(log_dir, name):
            return lambda overrides: load_run_config(stored, ['TRAIN.CHECKPOINT', '', *overrides])
    start, fits = pairs.get('TRAIN.PRETRAINED_CHECKPOINT'), str(pairs.get('SMPLIFY.RUN')).lower() == 'true'
    if fits and 'DATA.MIXTURE' in pairs and not (start or pairs.get('MODEL.REGRESSOR')):
        own = own_pictures_yaml(pairs.get('PATHS.DATA_DIR') or load_config().PATHS.DATA_DIR)
        if own:
            get_logger().info(f'SMPLify in the loop on the free body: fine-tuning the free network ({own.name})')
            return partial(load_config, own)
    regressor = pairs.get('MODEL.REGRESSOR') or (checkpoint_regressor(start)[0] if start else DEFAULT_REGRESSOR)
    path = default_yaml(regressor, fits=fits)
    if path is None:
        get_logger().info(f'{regressor}: no {regressor}.yaml beside its file or in configs/; the defaults are used')
    return partial(_of_recipe, path, regressor)


def _of_recipe(path, regressor, overrides):
    overrides = ['MODEL.REGRESSOR', regressor, *overrides]
    return with_free_recipe(load_config(path, overrides), path, overrides)


def _of_rollback(checkpoint, text, overrides):
    """The config of a checkpoint to resume, for a run in the checkpoint's own folder or in the one that --name names.

    The folders in the stored config are ignored. Raises BadConfig where neither says which run it is."""
    folder = Path(checkpoint).resolve().parent
    named = dict(zip(overrides[::2], overrides[1::2])).get('NAME')
    if folder.name == 'checkpoints':
        place = ['LOG_DIR', str(folder.parent.parent), 'NAME', folder.parent.name]
    elif named:
        place = []
    else:
        raise BadConfig(f'{checkpoint}: is not in the folder of a run; give the run that continues with --name')
    return load_stored_config(text, f'{checkpoint}: config', [*place, *overrides])


def _with_name(cfg, given):
    name = cfg.NAME or cfg.MODEL.REGRESSOR
    if Path(name).is_absolute() or '..' in Path(name).parts:
        raise BadConfig(f'NAME is {name!r}; it must be a folder below LOG_DIR')
    if given.get('timestamp'):
        name += time.strftime('_%Y%m%d_%H%M%S')
    if name == cfg.NAME:
        return cfg
    cfg = cfg.clone()
    cfg.defrost()
    cfg.NAME = name
    cfg.freeze()
    return cfg


def command_line():
    """The command as the user typed it, for the logs."""
    return ' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])

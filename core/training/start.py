"""What a run starts from: the checkpoint that it resumes, initial weights, or nothing because it is finished."""
from core.training.checkpoint import check_resumable
from core.weights import load_checkpoint
from models.backbones.pretrained import PUBLISHED_WEIGHTS, load_pretrained_backbone
from utils.logging import get_logger
from utils.torch_io import load_torch


def find_resumed(cfg, store):
    """(path, content) of the checkpoint to resume from, or None for a new run.

    Raises MissingFile for TRAIN.RESUME without a run, and BadFile where none of the run's checkpoints can be read.
    """
    options = cfg.TRAIN
    if options.CHECKPOINT:
        return options.CHECKPOINT, load_torch(options.CHECKPOINT)
    if options.RESUME:
        check_resumable(cfg.LOG_DIR, cfg.NAME)
    elif not options.RESUME_IF_EXISTS:
        return None
    found = store.newest()
    if found is None:
        get_logger().info(f'{store.folder}: no checkpoint; starting a new run')
    return found


def names_weights(cfg, regressor):
    """Whether the user names a file of initial weights. It is read before the data; others may be downloaded after."""
    backbone = cfg.MODEL.BACKBONE.PRETRAINED if hasattr(regressor, 'backbone') else ''
    return bool(cfg.TRAIN.PRETRAINED_CHECKPOINT or backbone not in ('', *PUBLISHED_WEIGHTS))


def load_initial_weights(cfg, regressor):
    """Load the weights of TRAIN.PRETRAINED_CHECKPOINT, else those of MODEL.BACKBONE.PRETRAINED."""
    if cfg.TRAIN.PRETRAINED_CHECKPOINT:
        load_checkpoint(cfg, regressor, cfg.TRAIN.PRETRAINED_CHECKPOINT)
    elif hasattr(regressor, 'backbone'):
        load_pretrained_backbone(regressor.backbone, cfg.MODEL.BACKBONE.PRETRAINED, regressor.assets.root)


def finished_by(options, progress):
    """What a resumed run has reached already, and how to train on; '' for a run that goes on. options: cfg.TRAIN."""
    if not progress.global_step:
        return ''
    if options.MAX_STEPS and progress.global_step >= options.MAX_STEPS:
        return (f'step {progress.global_step} of TRAIN.MAX_STEPS {options.MAX_STEPS}; --misc TRAIN.MAX_STEPS N trains '
                'to step N, 0 to the last epoch')
    if progress.epoch >= options.NUM_EPOCHS:
        return f'epoch {progress.epoch} of TRAIN.NUM_EPOCHS {options.NUM_EPOCHS}; --num_epochs N trains on'
    return ''

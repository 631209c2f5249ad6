"""Builds the datasets of a config."""
from datasets.catalog import has_validation_split
from datasets.image_dataset import ImageDataset
from datasets.mixed import MixedDataset
from datasets.multiview import ViewGroupDataset
from datasets.registered import DATASETS, RegisteredDataset
from utils.errors import MissingFile
from utils.logging import get_logger


def build_train_dataset(cfg):
    """Build the mixture DATA.MIXTURE, or DATA.SINGLE_NAME alone if DATA.SINGLE_DATASET is set -> MixedDataset.

    Raises MissingFile, BadFile, BadConfig, WrongBody.
    """
    groups = [((cfg.DATA.SINGLE_NAME,), 1.0)] if cfg.DATA.SINGLE_DATASET else None
    return MixedDataset(cfg, groups=groups)


def build_eval_dataset(cfg, name=None):
    """Open the evaluation split of `name`, by default DATA.EVAL_DATASET -> ImageDataset, ViewGroupDataset if
    TEST.N_VIEWS is set, or RegisteredDataset."""
    return _open(cfg, name or cfg.DATA.EVAL_DATASET, 'eval')


def build_validation_dataset(cfg):
    """Open the dataset for validation during training -> (dataset or None, whether it selects best.pt).

    It is the validation split of DATA.EVAL_DATASET. If the dataset has only a test split, its errors are reported, and
    they select best.pt only with TRAIN.SELECT_ON_TEST. None if the dataset is absent or ''.
    """
    name, log = cfg.DATA.EVAL_DATASET, get_logger()
    if not name:
        return None, False
    has_split = name in DATASETS or has_validation_split(cfg, name)
    try:
        dataset = _open(cfg, name, 'val' if has_split else 'eval')
    except MissingFile as error:
        log.warning(f'no validation: {error}; best.pt is not selected (DATA.EVAL_DATASET)')
        return None, False
    if has_split:
        return dataset, True
    if not cfg.TRAIN.SELECT_ON_TEST:
        log.info(f'{name} is a test set: its errors are reported, but do not select best.pt '
                 '(TRAIN.SELECT_ON_TEST)')
    return dataset, cfg.TRAIN.SELECT_ON_TEST


def _open(cfg, name, split):
    if name in DATASETS:
        return RegisteredDataset(cfg, name, split)
    if cfg.TEST.N_VIEWS:
        return ViewGroupDataset(cfg, name, split, cfg.TEST.N_VIEWS)
    return ImageDataset(cfg, name, split)

"""The datasets that a config asks for."""
from datasets.catalog import has_validation_split
from datasets.image_dataset import ImageDataset
from datasets.mixed import MixedDataset
from datasets.multiview import ViewGroupDataset
from datasets.registered import DATASETS, RegisteredDataset
from utils.errors import MissingFile
from utils.logging import get_logger


def build_train_dataset(cfg):
    """The mixture DATA.MIXTURE, or DATA.SINGLE_NAME alone where DATA.SINGLE_DATASET is set -> MixedDataset.

    Raises MissingFile, BadFile, BadConfig, WrongBody.
    """
    groups = [((cfg.DATA.SINGLE_NAME,), 1.0)] if cfg.DATA.SINGLE_DATASET else None
    return MixedDataset(cfg, groups=groups)


def build_eval_dataset(cfg, name=None):
    """The evaluation split of `name`, by default DATA.EVAL_DATASET -> ImageDataset, or ViewGroupDataset where
    TEST.N_VIEWS asks for groups."""
    return _open(cfg, name or cfg.DATA.EVAL_DATASET, 'eval')


def build_validation_dataset(cfg):
    """What training validates on -> (dataset or None, whether best.pt is chosen by it).

    The validation split of DATA.EVAL_DATASET. Where the data set has a test split alone, its errors are reported, and
    best.pt is chosen by them only with TRAIN.SELECT_ON_TEST. Without the data set, or with '', nothing is validated.
    """
    name, log = cfg.DATA.EVAL_DATASET, get_logger()
    if not name:
        return None, False
    has_split = name in DATASETS or has_validation_split(cfg, name)
    try:
        dataset = _open(cfg, name, 'val' if has_split else 'eval')
    except MissingFile as error:
        log.warning(f'no validation: {error}; best.pt is not chosen (DATA.EVAL_DATASET)')
        return None, False
    if has_split:
        return dataset, True
    if not cfg.TRAIN.SELECT_ON_TEST:
        log.info(f'{name} is a test set: its errors are reported, and best.pt is not chosen by them '
                 '(TRAIN.SELECT_ON_TEST)')
    return dataset, cfg.TRAIN.SELECT_ON_TEST


def _open(cfg, name, split):
    if name in DATASETS:
        return RegisteredDataset(cfg, name, split)
    if cfg.TEST.N_VIEWS:
        return ViewGroupDataset(cfg, name, split, cfg.TEST.N_VIEWS)
    return ImageDataset(cfg, name, split)

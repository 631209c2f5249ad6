"""The datasets that a config asks for."""
from datasets.image_dataset import ImageDataset
from datasets.mixed import MixedDataset
from datasets.multiview import ViewGroupDataset


def build_train_dataset(cfg):
    """The mixture DATA.MIXTURE, or DATA.SINGLE_NAME alone where DATA.SINGLE_DATASET is set -> MixedDataset.

    Raises MissingFile, BadFile, BadConfig, WrongBody.
    """
    groups = [((cfg.DATA.SINGLE_NAME,), 1.0)] if cfg.DATA.SINGLE_DATASET else None
    return MixedDataset(cfg, groups=groups)


def build_eval_dataset(cfg, name=None):
    """The evaluation split of `name`, by default DATA.EVAL_DATASET -> ImageDataset, or ViewGroupDataset where
    TEST.N_VIEWS asks for groups."""
    name = name or cfg.DATA.EVAL_DATASET
    if cfg.TEST.N_VIEWS:
        return ViewGroupDataset(cfg, name, 'eval', cfg.TEST.N_VIEWS)
    return ImageDataset(cfg, name, 'eval')

"""Selects the inputs of a network from a batch, and checks its output."""
import torch

from models.output import RegressorOutput, Stage
from utils.errors import BadConfig

# Shapes, without the batch axis, of the entries that describe a person's box.
_BOX_SHAPES = {'center': (2,), 'scale': (), 'orig_shape': (2,), 'bbox_info': (3,), 'focal_length': ()}

_STAGE_SIZES = {'betas': 10, 'camera': 3}


def flatten_views(batch):
    """Merge the view axis of a multi-view batch into rows, views fastest -> (batch, n_views)."""
    if batch['img'].dim() == 4:
        return batch, 1
    return {key: _flat(value) for key, value in batch.items()}, batch['img'].shape[1]


def _flat(values):
    """A batch entry without its view axis. Names are one list per view, each over the batch."""
    if hasattr(values, 'flatten'):
        return values.flatten(0, 1)
    return [name for views in zip(*values) for name in views]


def extra_inputs(regressor, batch, device):
    """The batch entries that `regressor` takes after the images (`Regressor.inputs`), on a device.

    Raises BadConfig if the batch lacks one.
    """
    names = getattr(regressor, 'inputs', ())
    missing = [name for name in names if name not in batch]
    if missing:
        raise BadConfig(f'{type(regressor).__name__} takes {", ".join(missing)}, which the batch lacks; use inputs '
                        f'among {", ".join(sorted(batch))}')
    return [batch[name].to(device, non_blocking=True) for name in names]


def checked_output(regressor, out):
    """`out`, what the regressor returned. Raises BadConfig where it is no RegressorOutput of whole stages."""
    name, wanted = f'{type(regressor).__name__}.forward', 'it must return RegressorOutput (models/output.py)'
    if not isinstance(out, RegressorOutput):
        raise BadConfig(f'{name} returned {type(out).__name__}; {wanted}')
    if not out.stages or not all(isinstance(stage, Stage) for stage in out.stages):
        raise BadConfig(f'{name} returned RegressorOutput with stages that are no list of Stage; {wanted}')
    for key, size in _STAGE_SIZES.items():
        shape = list(getattr(out.final, key).shape)
        if shape[1:] != [size]:
            raise BadConfig(f'{name} returned {key} of shape {shape} in the last stage; it must be [B,{size}]')
    return out


def mirrored(batch):
    """The batch with the network's inputs as those of the mirrored pictures. Labels are not mirrored."""
    width = batch['orig_shape'][:, 1]
    center = torch.stack([width - batch['center'][:, 0], batch['center'][:, 1]], 1)
    signs = batch['bbox_info'].new_tensor([-1, 1, 1])
    return {**batch, 'img': batch['img'].flip(-1), 'center': center, 'bbox_info': batch['bbox_info'] * signs}


def example_inputs(regressor, cfg, batch_size):
    """Random images, then the regressor's other inputs, in the shapes of the config.

    Raises BadConfig for an input of unknown shape.
    """
    views = (cfg.TEST.N_VIEWS or cfg.DATA.N_VIEWS,) if cfg.TEST.N_VIEWS or cfg.DATA.N_VIEWS else ()
    unknown = set(regressor.inputs) - set(_BOX_SHAPES)
    if unknown:
        raise BadConfig(f'{type(regressor).__name__} takes {", ".join(sorted(unknown))}, whose shape is not known here')
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, *views, 3, cfg.DATA.IMG_RES, cfg.DATA.IMG_RES, generator=generator)
    rows = batch_size * (views[0] if views else 1)
    return [images, *(torch.rand(rows, *_BOX_SHAPES[name], generator=generator) for name in regressor.inputs)]

"""Parts of a training run besides the regressor: devices and precision, optimizer, IUV renderer."""
import os

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import GradientAccumulationPlugin
from torch import nn

from core.batches import checked_output
from core.devices import computes_in_bf16, prepared
from core.training.sharding import shard_on_cpu, sharding_plugin
from models import regressor_class
from utils.errors import BadConfig
from utils.iuv import IUVRenderer
from utils.logging import get_logger, log_once

_OPTIMIZERS = {'adam': torch.optim.Adam, 'adamw': torch.optim.AdamW}


def build_accelerator(cfg):
    """accelerate's Accelerator for a config and the launch's own (configs/accelerate/).

    Raises BadConfig for a device or precision that is not available, or for a launch that is not supported.
    """
    precision = _precision(cfg)
    # Buffers need no broadcast: the body's are constant, and of batch statistics the evaluator and the checkpoints use
    # the first process's.
    unused = regressor_class(cfg.MODEL.REGRESSOR).has_unused_parameters(cfg)
    options = DistributedDataParallelKwargs(find_unused_parameters=unused, broadcast_buffers=False)
    on_cuda = cfg.DEVICE != 'cpu' and torch.cuda.is_available()
    if cfg.DEVICE == 'cuda' and not on_cuda:
        raise BadConfig('DEVICE is cuda, but torch finds no CUDA device; use DEVICE cpu or auto')
    if precision == 'fp16' and not on_cuda:
        raise BadConfig('TRAIN.MIXED_PRECISION is fp16, which needs a CUDA device; use bf16, no or auto')
    if not on_cuda and cfg.DEVICE == 'auto' and torch.backends.mps.is_available():
        get_logger().info("Apple's GPU (MPS) lacks operations that training needs; computing on the CPU")
    plugin = sharding_plugin(cfg, precision, on_cuda)
    # Sharded gradients are summed over the processes after every batch: whole sums would take a network's memory.
    accumulation = GradientAccumulationPlugin(num_steps=cfg.SOLVER.ACCUMULATE, sync_each_batch=plugin is not None)
    accelerator = Accelerator(cpu=not on_cuda, mixed_precision=precision, kwargs_handlers=[options],
                              fsdp_plugin=plugin, gradient_accumulation_plugin=accumulation)
    if plugin is not None and not on_cuda:
        shard_on_cpu(accelerator, plugin)
    prepared(accelerator.device)
    return accelerator


def _precision(cfg):
    """'no', 'bf16' or 'fp16': that of accelerate's config if it names one, else TRAIN.MIXED_PRECISION."""
    launched, wanted = os.environ.get('ACCELERATE_MIXED_PRECISION', 'no'), cfg.TRAIN.MIXED_PRECISION
    if launched != 'no':
        if launched not in ('bf16', 'fp16'):
            raise BadConfig(f"accelerate's config has mixed_precision {launched}; use no, bf16 or fp16")
        if launched != wanted:
            log_once(f"mixed precision is {launched}, as accelerate's config says, not TRAIN.MIXED_PRECISION {wanted}")
        return launched
    if wanted == 'auto':
        return 'bf16' if computes_in_bf16(cfg.DEVICE) else 'no'
    return wanted


def batch_size_of_each(cfg, processes):
    """Samples of one process in a step: its share of TRAIN.BATCH_SIZE, or all of it with TRAIN.BATCH_PER_PROCESS.

    Raises BadConfig if the batch cannot be divided equally among the processes.
    """
    if cfg.TRAIN.BATCH_PER_PROCESS:
        return cfg.TRAIN.BATCH_SIZE
    size, rest = divmod(cfg.TRAIN.BATCH_SIZE, processes)
    if rest:
        raise BadConfig(f'TRAIN.BATCH_SIZE is {cfg.TRAIN.BATCH_SIZE}, which {processes} processes cannot divide '
                        'equally; use a multiple')
    return size


def build_optimizer(cfg, regressor):
    """(optimizer, base rate of each parameter group) of the parameters that the regressor trains. The others are set to
    need no gradient, because their gradients would never be cleared."""
    solver = cfg.SOLVER
    groups = regressor.param_groups(cfg)
    trained = {id(parameter) for group in groups for parameter in group['params']}
    left_out = [name for name, parameter in regressor.named_parameters()
                if parameter.requires_grad and id(parameter) not in trained]
    if left_out:
        get_logger().info(f'not trained: {len(left_out)} parameters in no group of param_groups, {left_out[0]} first')
    for parameter in regressor.parameters():
        parameter.requires_grad_(parameter.requires_grad and id(parameter) in trained)
    optimizer = _OPTIMIZERS[solver.NAME](groups, lr=solver.BASE_LR, weight_decay=solver.WEIGHT_DECAY, fused=True)
    return optimizer, [group['lr'] for group in optimizer.param_groups]


def build_iuv_renderer(cfg, assets, device):
    """Renderer of dense targets, for architectures with IUV losses and for the panels. None without charts; if IUV is
    supervised, the first step then raises an error."""
    if not assets.has('UV_data/UV_Processed.mat'):
        get_logger().info(f'{assets.root}/UV_data/UV_Processed.mat: no such file; pictures have no IUV images')
        return None
    return IUVRenderer(assets.file('UV_data/UV_Processed.mat'), size=cfg.IUV.SIZE, shading=cfg.IUV.SHADING,
                       backend=cfg.IUV.BACKEND).to(device)


class Forward(nn.Module):
    """The module that accelerate wraps. The regressor itself is unchanged, and validates in float32."""

    def __init__(self, regressor):
        super().__init__()
        self.regressor = regressor

    def forward(self, *inputs):
        return checked_output(self.regressor, self.regressor(*inputs))

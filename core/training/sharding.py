"""Fully sharded training (FSDP), where accelerate's config asks for it (configs/accelerate/fsdp.yaml).

Parameters, gradients and optimizer states are spread over the processes. A layer's weights are gathered while it
computes. Nothing else of a run changes: losses, steps and checkpoint files are those of any other launch.
"""
import os

import torch
from accelerate import DistributedType, FullyShardedDataParallelPlugin

from utils.distributed import share_parameters
from utils.errors import BadConfig
from utils.logging import get_logger

_OTHER_LAUNCHES = {'ACCELERATE_USE_DEEPSPEED': 'DEEPSPEED', 'ACCELERATE_USE_MEGATRON_LM': 'MEGATRON_LM'}


def sharding_plugin(cfg, precision, on_cuda):
    """accelerate's plugin if the launch asks for FSDP, else None. precision: 'no', 'bf16' or 'fp16'.

    Raises BadConfig for options of accelerate or of this config that sharded training does not support.
    """
    for variable, name in _OTHER_LAUNCHES.items():
        if _is_set(variable):
            raise BadConfig(f"accelerate's config has distributed_type {name}; use MULTI_GPU or FSDP "
                            '(configs/accelerate/)')
    if not _is_set('ACCELERATE_USE_FSDP'):
        return None
    version = os.environ.get('FSDP_VERSION', '1')
    if version != '2':
        raise BadConfig(f"accelerate's config has fsdp_version {version}; only fsdp_version 2 is supported")
    try:
        plugin = FullyShardedDataParallelPlugin()
    except (ValueError, KeyError) as error:
        raise BadConfig(f"accelerate's config: {_one_line(error)}") from None
    _check(plugin, cfg, precision, on_cuda)
    from torch.distributed.fsdp import MixedPrecisionPolicy  # a second's import, which other launches do without
    plugin.cpu_ram_efficient_loading = False  # every process has the weights already
    # Parameters are gathered in float32 and autocast rounds them, as without FSDP. A dtype here makes accelerate's
    # policy round what passes between the layers too.
    plugin.mixed_precision_policy = MixedPrecisionPolicy(cast_forward_inputs=False)
    return plugin


def _check(plugin, cfg, precision, on_cuda):
    problems = (
        (_is_set('FSDP_OFFLOAD_PARAMS'),
         'has fsdp_offload_params true, which is not supported; set it to false'),
        (plugin.activation_checkpointing,
         'has fsdp_activation_checkpointing true, which draws other random numbers when it computes a layer again; '
         "set it to false and use the regressor's own CHECKPOINT_BLOCKS"),
        (precision == 'fp16', 'asks for FSDP, which does not go with fp16; set its mixed_precision to bf16'),
        (cfg.TRAIN.COMPILE, 'asks for FSDP, which does not go with TRAIN.COMPILE; set one of them off'),
        (_is_set('ACCELERATE_USE_PARALLELISM_CONFIG'),
         'has a parallelism_config, which is not supported; leave it out'),
        (os.environ.get('ACCELERATE_DYNAMO_BACKEND', 'NO').upper() != 'NO',
         'has a dynamo_backend, which does not go with FSDP; set it to no'),
        (not on_cuda and torch.cuda.is_available(),
         "asks for FSDP, which takes the GPUs that torch sees; with DEVICE cpu set CUDA_VISIBLE_DEVICES=''"))
    for holds, problem in problems:
        if holds:
            raise BadConfig(f"accelerate's config {problem}")


def shard_on_cpu(accelerator, plugin):
    """Make accelerate shard on the CPU too. By itself accelerate 1.15 knows FSDP on GPUs alone, and on the CPU it
    quietly takes DistributedDataParallel. torch's FSDP computes on both."""
    accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = plugin


def is_sharded(accelerator):
    """Whether the launch asked for FSDP."""
    return accelerator.distributed_type == DistributedType.FSDP


def prepare(accelerator, network, optimizer):
    """(network, optimizer) wrapped by accelerate. Raises BadConfig where FSDP cannot shard the network."""
    if not is_sharded(accelerator):
        return accelerator.prepare(network, optimizer)
    _check_layers(accelerator.state.fsdp_plugin, network)
    share_parameters(network)  # DistributedDataParallel does this by itself
    if accelerator.is_main_process:
        get_logger().info(f'FSDP: weights are spread over {accelerator.num_processes} processes')
    try:
        return accelerator.prepare(network, optimizer)
    except (ValueError, NotImplementedError) as error:
        raise BadConfig(f"accelerate's config: FSDP cannot shard this network: {_one_line(error)}") from None


def _check_layers(plugin, network):
    there = {type(module).__name__ for module in network.modules()}
    for name in plugin.transformer_cls_names_to_wrap or ():
        if name not in there:
            raise BadConfig(f"accelerate's config: fsdp_transformer_layer_cls_to_wrap names {name}, and this network "
                            'has no such layer; name classes of its layers, or set fsdp_auto_wrap_policy to NO_WRAP')


def _is_set(variable):
    return os.environ.get(variable, 'false').lower() == 'true'


def _one_line(error):
    return ' '.join(str(error).split())[:200]

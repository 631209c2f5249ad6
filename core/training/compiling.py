"""Runs parts of a network by torch.compile, and those that Inductor cannot compile without it."""
import torch
from torch import nn
from torch._dynamo import config as dynamo_config
from torch._dynamo import lookup_backend
from torch._functorch import config as functorch_config

from utils.logging import log_once

# Inductor compiles the backward pass when it is first called, which is too late to replace it. This option of torch
# compiles it together with the forward pass. In versions without the option a failure of the backward pass raises.
_TOGETHER = 'force_non_lazy_backward_lowering'
_SIZES_A_PART = 8  # batch sizes in training and evaluation


def compile_parts(regressor):
    """Compile the parts of a network that contain convolutions. A part that Inductor fails on runs without it.

    Sizes are static. torch detects changing sizes by code, and all parts share the code of `nn.Module.__call__`. With
    its default it therefore compiles the second part for dynamic channels, heights and widths, and Inductor of torch
    2.14 fails on the counts of batch normalization ("Cannot convert expression to float"). A part has few sizes: the
    batches of training, those of validation and the last one of validation.
    """
    parts = convolutional_parts(regressor)
    # Recompilations are counted by code too. Beyond the limit torch compiles nothing more.
    dynamo_config.recompile_limit = max(dynamo_config.recompile_limit, _SIZES_A_PART * len(parts))
    for part in parts:
        part._compiled_call_impl = torch.compile(_caller(part), backend=inductor_or_torch, dynamic=False)


def _caller(part):
    """A function of this file that calls a part. torch before 2.12 compiles no code of its own that it meets first,
    such as nn.Sequential's, and `nn.Module.compile` then does nothing."""
    def call(*args, **kwargs):
        return part._call_impl(*args, **kwargs)
    return call


def convolutional_parts(regressor):
    """The children of a network, or of its ModuleLists, that contain convolutions."""
    parts = [part for child in regressor.children()
             for part in (child if isinstance(child, nn.ModuleList) else [child])]
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return [part for part in parts if any(isinstance(module, kinds) for module in part.modules())]


def inductor_or_torch(graph, inputs):
    """Backend of torch.compile: Inductor. If Inductor raises, the graph runs uncompiled and one log line says so."""
    try:
        if not hasattr(functorch_config, _TOGETHER):
            return lookup_backend('inductor')(graph, inputs)
        with functorch_config.patch(**{_TOGETHER: True}):
            return lookup_backend('inductor')(graph, inputs)
    except Exception as error:  # a fault of the compiler can raise any error
        cause = _innermost(error)
        told = ' '.join(f'{type(cause).__name__}: {cause}'.split('\n')[0].split())
        log_once(f'TRAIN.COMPILE: Inductor of torch {torch.__version__} failed ({told}); that part runs without '
                 'it')
        return graph.forward


def _innermost(error):
    """The first error, which Inductor wrapped in others."""
    inner = getattr(error, 'inner_exception', None) or error.__cause__
    return _innermost(inner) if isinstance(inner, Exception) else error

"""Parts of a network by torch.compile, whatever Inductor can and cannot do."""
import torch
from torch import nn
from torch._dynamo import config as dynamo_config
from torch._dynamo import lookup_backend
from torch._functorch import config as functorch_config

from utils.logging import log_once

# Inductor compiles a backward pass when it is first called, where nothing can take its place any more. This has it
# compiled together with the forward pass; torch versions before the option's leave the error where it was.
_TOGETHER = 'force_non_lazy_backward_lowering'
_SIZES_A_PART = 8  # training or evaluation, and a batch each


def compile_parts(regressor):
    """Run the parts of a network that hold convolutions by torch.compile; a part that Inductor fails on runs in torch.

    All parts share the code of `nn.Module.__call__`, by which torch tells whether sizes change. Left to itself it
    compiles the second part, which meets other sizes than the first, for open channels, heights and widths; Inductor
    of torch 2.14 ends there ("Cannot convert expression to float"), on the counts of batch normalization. So sizes are
    fixed. A part has few: the batches of a training, those of its validation and the last of them.
    """
    parts = convolutional_parts(regressor)
    # Counted by code too. Beyond the limit nothing is compiled any more.
    dynamo_config.recompile_limit = max(dynamo_config.recompile_limit, _SIZES_A_PART * len(parts))
    for part in parts:
        part.compile(backend=inductor_or_torch, dynamic=False)


def convolutional_parts(regressor):
    """The largest submodules that hold convolutions, which torch.compile joins with what lies between them."""
    parts = [part for child in regressor.children()
             for part in (child if isinstance(child, nn.ModuleList) else [child])]
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    return [part for part in parts if any(isinstance(module, kinds) for module in part.modules())]


def inductor_or_torch(graph, inputs):
    """A backend of torch.compile: Inductor, or torch itself, with one line in the log, where Inductor raises."""
    try:
        if not hasattr(functorch_config, _TOGETHER):
            return lookup_backend('inductor')(graph, inputs)
        with functorch_config.patch(**{_TOGETHER: True}):
            return lookup_backend('inductor')(graph, inputs)
    except Exception as error:  # a compiler's own faults come as any kind of error
        cause = _innermost(error)
        told = ' '.join(f'{type(cause).__name__}: {cause}'.split('\n')[0].split())
        log_once(f'TRAIN.COMPILE: Inductor of torch {torch.__version__} failed ({told}); what it failed on runs '
                 'without it')
        return graph.forward


def _innermost(error):
    """The error that Inductor wrapped into others."""
    inner = getattr(error, 'inner_exception', None) or error.__cause__
    return _innermost(inner) if isinstance(inner, Exception) else error

"""Networks whose parameters are spread over the processes: torch's DTensor, as FSDP leaves them."""
import copy

import torch
import torch.distributed as dist


def whole(value, device=None, keep=True):
    """Nested dicts and lists with each sharded tensor gathered. All processes must call it.

    Tensors are gathered one after the other. device: where each then goes, by default where it is. With keep False,
    this process takes part and gets None in their places.
    """
    if isinstance(value, dict):
        return {name: whole(entry, device, keep) for name, entry in value.items()}
    if isinstance(value, list):
        return [whole(entry, device, keep) for entry in value]
    if not _is_sharded(value):
        return value
    gathered = value.detach().full_tensor()
    if not keep:
        return None
    return gathered if device is None else gathered.to(device)


def placed_like(values, references):
    """{name: tensor} with each tensor sharded, and laid out in memory, as the one of that name in `references`.

    torch's fused Adam goes through weights, gradients and moments in the order of memory: all need one layout. All
    processes must call it; for sharded tensors the values of process 0 are taken. Scalars, such as an optimizer's
    counts, stay as they are.
    """
    return type(values)((name, _placed(value, references.get(name))) for name, value in values.items())


def hollow_copy(module):
    """A copy of a module whose parameters have shapes only (device `meta`). Buffers are shared with the module."""
    memo = {id(parameter): torch.nn.Parameter(parameter.detach().to('meta'), parameter.requires_grad)
            for parameter in module.parameters()}
    memo.update((id(buffer), buffer) for buffer in module.buffers())
    return copy.deepcopy(module, memo)


def filled(hollow, state):
    """A copy of a hollow module that holds the tensors of a state dict themselves."""
    module = hollow_copy(hollow)
    module.load_state_dict(state, assign=True)
    return module


def _is_sharded(value):
    if not (dist.is_available() and dist.is_initialized() and torch.is_tensor(value)):
        return False
    from torch.distributed.tensor import DTensor
    return isinstance(value, DTensor)


def _placed(value, reference):
    if not torch.is_tensor(value) or value.dim() == 0 or reference is None:
        return value
    if _is_sharded(reference):
        from torch.distributed.tensor import distribute_tensor
        return distribute_tensor(value.to(reference.device).contiguous(), reference.device_mesh, reference.placements)
    if value.shape != reference.shape or value.stride() == reference.stride():
        return value
    return torch.empty_like(reference, dtype=value.dtype, device=value.device, requires_grad=False).copy_(value)

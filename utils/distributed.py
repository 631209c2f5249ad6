"""Operations over several processes: sums, lists of results, equal buffers and batch statistics.

With a single process, everything here is the identity.
"""
import torch
import torch.distributed as dist
from torch import nn


def world_size():
    """Number of processes; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank():
    """This process's rank."""
    return dist.get_rank() if world_size() > 1 else 0


def total(value):
    """Sum of a tensor over the processes, without gradient. All processes must call it."""
    value = value.detach()
    if world_size() > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


def shared_count(mask):
    """Number of set entries of a mask, as a divisor of sums: over all processes, at least 1, divided by their number.

    Gradients are averaged over the processes. If each process divides its sum by this number, that average is the mean
    over the rows of all processes, however they are distributed. All processes must call it.
    """
    return total(mask.sum()).clamp_min(1) / world_size()


def gathered(value):
    """[value of process 0, of process 1, ...] of picklable values. All processes must call it."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


@torch.no_grad()
def share_buffers(module):
    """Copy the first process's saved buffers to all (each process has its own batch statistics)."""
    if world_size() > 1:
        saved = module.state_dict(keep_vars=True)
        for name, buffer in module.named_buffers():
            if name in saved:
                dist.broadcast(buffer, src=0)


@torch.no_grad()
def share_parameters(module):
    """Copy the first process's parameters to all. Returns the module."""
    if world_size() > 1:
        for parameter in module.parameters():
            dist.broadcast(parameter, src=0)
    return module


class _Sum(torch.autograd.Function):
    """Sum over the processes. The gradient of each summand is the sum of the gradients of all processes."""

    @staticmethod
    def forward(ctx, value):
        return total(value)

    @staticmethod
    def backward(ctx, gradient):
        return total(gradient)


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalization [B,C,...] over the joint batch of all processes, on any device.

    torch's SyncBatchNorm does this on GPUs only. All processes must have the same number of rows.
    """

    def _check_input_dim(self, values):
        """Accept any number of axes after the channels."""

    def forward(self, values):
        if not self.training or world_size() == 1:
            return super().forward(values)
        axes, along = (0, *range(2, values.dim())), (-1, *(1,) * (values.dim() - 2))
        wide = values.to(torch.promote_types(values.dtype, torch.float32))
        mean = _Sum.apply(wide.mean(axes)) / world_size()
        centred = wide - mean.view(along)
        variance = _Sum.apply(centred.square().mean(axes)) / world_size()
        self._follow(mean.detach(), variance.detach(), world_size() * values.numel() // values.shape[1])
        normalized = centred * torch.rsqrt(variance + self.eps).view(along)
        if self.affine:
            normalized = normalized * self.weight.view(along) + self.bias.view(along)
        return normalized.to(values.dtype)

    def _follow(self, mean, variance, count):
        """Update the running statistics with the unbiased variance, as torch does."""
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


def with_shared_statistics(module, device):
    """The module with batch normalization over all processes: torch's on a GPU, SharedBatchNorm elsewhere."""
    if torch.device(device).type == 'cuda':
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for child in module.modules():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
            child.__class__ = SharedBatchNorm  # parameters, buffers and their names are kept
    return module

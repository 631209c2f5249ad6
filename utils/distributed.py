"""Several processes that work as one: totals, lists of results, equal buffers and batch statistics.

Everything here is the identity in a process that works alone.
"""
import torch
import torch.distributed as dist
from torch import nn


def world_size():
    """How many processes work together: 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank():
    """This process's number among them."""
    return dist.get_rank() if world_size() > 1 else 0


def total(value):
    """Sum of a tensor over the processes, without gradient. All must call it."""
    value = value.detach()
    if world_size() > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


def shared_count(mask):
    """How many of a mask's entries are set, for dividing sums: over all processes, at least 1, shared out equally.

    Gradients are averaged over the processes. With each one's sum divided by this, that average is the mean over
    everybody's rows, however unequally these are spread. All must call it.
    """
    return total(mask.sum()).clamp_min(1) / world_size()


def gathered(value):
    """[value of process 0, of process 1, ...] of picklable values. All must call it."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


@torch.no_grad()
def share_buffers(module):
    """Give every process the first one's saved buffers (batch statistics, which each process keeps of its own)."""
    if world_size() > 1:
        saved = module.state_dict(keep_vars=True)
        for name, buffer in module.named_buffers():
            if name in saved:
                dist.broadcast(buffer, src=0)


@torch.no_grad()
def share_parameters(module):
    """Give every process the first one's parameters -> the module."""
    if world_size() > 1:
        for parameter in module.parameters():
            dist.broadcast(parameter, src=0)
    return module


class _Sum(torch.autograd.Function):
    """Sum over the processes; each one's share of the gradient is the sum of all their gradients."""

    @staticmethod
    def forward(ctx, value):
        return total(value)

    @staticmethod
    def backward(ctx, gradient):
        return total(gradient)


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalization [B,C,...] over the joined batch of all processes, on any device.

    torch's SyncBatchNorm does the same on GPUs alone. Every process must have the same number of rows.
    """

    def _check_input_dim(self, values):
        """Any number of axes after the channels."""

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
        """Running statistics take the unbiased variance, as torch's do."""
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)


def with_shared_statistics(module, device):
    """The module with batch normalization over all processes: torch's own on a GPU, the one above elsewhere."""
    if torch.device(device).type == 'cuda':
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for child in module.modules():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
            child.__class__ = SharedBatchNorm  # parameters, buffers and their names stay
    return module

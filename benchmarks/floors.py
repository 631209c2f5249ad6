"""The floor of a network's time: its convolutions alone. And timing in turns.

Functions that are compared run in turns in one process, so that other work on the machine affects all of them. Times on
a CPU are processor seconds. Times on a GPU are seconds until it has done its work.
"""
import copy
import statistics
import time

import torch
from torch import nn

_KINDS = (nn.Conv2d, nn.ConvTranspose2d)


class ConvolutionsAlone(nn.Module):
    """The convolutions (also transposed ones) of a network, each on a tensor of the size of its input.

    `forward()` runs all of them. `train_step` also runs the backward pass of each.
    """

    def __init__(self, network, *inputs):
        super().__init__()
        layers, self.inputs = [], []

        def remember(layer, given, out):
            layers.append(layer)
            self.inputs.append(torch.randn_like(given[0]))

        hooks = [layer.register_forward_hook(remember) for layer in network.modules() if isinstance(layer, _KINDS)]
        was_training = network.training
        with torch.no_grad():
            network.eval()(*inputs)
        network.train(was_training)
        for hook in hooks:
            hook.remove()
        self.layers = nn.ModuleList(copy.deepcopy(layers))  # without the hooks

    def forward(self):
        # Outputs are not kept: that would add the time of allocating memory.
        for layer, value in zip(self.layers, self.inputs):
            layer(value)

    def train_step(self, optimizer):
        """Forward, backward (of weights, and of all inputs but the first) and an optimizer step."""
        for number, (layer, value) in enumerate(zip(self.layers, self.inputs)):
            value.requires_grad_(number > 0)
            value.grad = None
            out = layer(value)
            out.backward(torch.ones_like(out))
            value.grad = None
        optimizer.step()
        optimizer.zero_grad()


def in_turns(calls, rounds=3, warm_up=1, device='cpu'):
    """Call {name: function} in turns -> {name: median seconds}. On a CPU: processor seconds of all threads."""
    clock = time.process_time if device == 'cpu' else _after_cuda
    times = {name: [] for name in calls}
    for number in range(rounds + warm_up):
        for name, call in calls.items():
            start = clock()
            call()
            taken = clock() - start
            if number >= warm_up:
                times[name].append(taken)
    return {name: statistics.median(values) for name, values in times.items()}


def _after_cuda():
    torch.cuda.synchronize()
    return time.perf_counter()


def adam(parameters):
    """The optimizer of the trainer."""
    return torch.optim.Adam(parameters, fused=True)

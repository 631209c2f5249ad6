"""The floor of a network's time: its convolutions alone, or its matrix products. And timing in turns.

Functions that are compared run in turns in one process, so that other work on the machine affects all of them. Times on
a CPU are processor seconds. Times on a GPU are seconds until it has done its work.
"""
import copy
import statistics
import time
from contextlib import ExitStack
from unittest import mock

import torch
import torch.nn.functional as F
from torch import nn

_KINDS = (nn.Conv2d, nn.ConvTranspose2d)
_PRODUCTS = (nn.Linear, nn.Conv2d)


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


class ProductsAlone:
    """The matrix products of a transformer, for which convolutions are no floor: its linear layers, convolutions and
    attentions, each on tensors of the sizes of its inputs.

    `forward()` runs all of them. `train_step()` runs the forward and backward pass of each, and an AdamW step of all
    parameters.
    """

    def __init__(self, network, *inputs):
        self.layers, self.attentions, self.optimizer = [], [], None
        attend = F.scaled_dot_product_attention

        def note_layer(layer, given, _):
            self.layers.append((layer, torch.randn_like(given[0])))

        def note_attention(*given):
            self.attentions.append([torch.randn_like(value) for value in given])
            return attend(*given)

        with ExitStack() as stack:
            for layer in network.modules():
                if isinstance(layer, _PRODUCTS):
                    stack.callback(layer.register_forward_hook(note_layer).remove)
            stack.enter_context(mock.patch.object(F, 'scaled_dot_product_attention', note_attention))
            stack.enter_context(torch.no_grad())
            network(*inputs)
        copies = {layer: copy.deepcopy(layer) for layer, _ in self.layers}
        for layer in copies.values():
            layer._forward_hooks.clear()
        self.layers = [(copies[layer], value) for layer, value in self.layers]
        self._shapes = [(parameter.shape, parameter.device) for parameter in network.parameters()]

    def forward(self):
        for layer, value in self.layers:
            layer(value)
        for given in self.attentions:
            F.scaled_dot_product_attention(*given)

    def train_step(self):
        if self.optimizer is None:
            self.optimizer = self._build_optimizer()
        for number, (layer, value) in enumerate(self.layers):
            value.requires_grad_(number > 0)
            value.grad = None
            out = layer(value)
            out.backward(torch.ones_like(out))
            layer.zero_grad()
        for given in self.attentions:
            given = [value.detach().requires_grad_() for value in given]
            out = F.scaled_dot_product_attention(*given)
            out.backward(torch.ones_like(out))
        self.optimizer.step()

    def _build_optimizer(self):
        parameters = [nn.Parameter(torch.randn(shape, device=device)) for shape, device in self._shapes]
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        return torch.optim.AdamW(parameters, fused=True)


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

"""A small network with its gradients by hand, in numpy: what the rules of optimizers are written again upon."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

Arrays = list[np.ndarray]


def data() -> tuple[np.ndarray, np.ndarray]:
    """Forty states of three numbers, and what the network is to make of them."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(40, 3))
    return x, np.stack([np.sin(x[:, 0]) * x[:, 1], x[:, 2] ** 2 / 2], 1)


def gradients(weights: Arrays) -> Arrays:
    """Of mean((W_L tanh(… tanh(W_1 x)) − y)²), by back-propagation."""
    x, y = data()
    activations = [x]
    for weight in weights[:-1]:
        activations.append(np.tanh(activations[-1] @ weight.T))
    delta = 2 * (activations[-1] @ weights[-1].T - y) / y.size
    found: Arrays = []
    for weight, activation in zip(reversed(weights), reversed(activations), strict=True):
        found.insert(0, delta.T @ activation)
        delta = (delta @ weight) * (1 - activation**2)
    return found


def backward(module: nn.Module) -> None:
    """The same gradients, by torch, left with the module."""
    x, y = (torch.from_numpy(array) for array in data())
    module.zero_grad()
    (module(x) - y).square().mean().backward()


def arrays(module: nn.Module) -> Arrays:
    """Copies of the parameters."""
    return [parameter.detach().numpy().copy() for parameter in module.parameters()]


def gap_after(steps: int, module: nn.Module, optimizer: torch.optim.Optimizer, rule: Callable[[Arrays, Arrays], None]):
    """The largest difference of a weight after so many steps of the optimizer, and of the rule in numpy."""
    expected = arrays(module)
    for _ in range(steps):
        rule(expected, gradients(expected))
        backward(module)
        optimizer.step()
    return max(abs(one - other).max() for one, other in zip(arrays(module), expected, strict=True))

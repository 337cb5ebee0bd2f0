"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from ctrlnet.errors import UsageError, nearest
from ctrlnet.layers.affine import Draw

_ACTIVATIONS: dict[
    str, tuple[type[nn.Module], float]
] = {  # with the gain that keeps the signal's size, as torch has it
    "tanh": (nn.Tanh, 5 / 3),
    "relu": (nn.ReLU, math.sqrt(2)),
}


def mlp(
    widths: Sequence[int],
    activation: str = "tanh",
    *,
    bias: bool = True,
    seed: int | None = None,
    dtype: torch.dtype = torch.float64,
) -> nn.Sequential:
    """The network  x ↦ W_k σ(… σ(W_1 x + b_1) …) + b_k  with no activation after the last layer.

    Args:
        widths: sizes from input to output, at least two, such as (2, 32, 32, 1).
        activation: σ, "tanh" or "relu".
        bias: False leaves out every b.
        seed: makes the initial weights reproducible without touching torch's global generator; None uses that one.
        dtype: of the parameters.

    Weights are Glorot uniform with the activation's gain, biases uniform in ±1/√(fan in).

    Raises:
        UsageError: fewer than two widths, a width below one, an unknown activation.

    Source: Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010.
    """
    if len(widths) < 2 or min(widths) < 1:
        raise UsageError(f"widths is {tuple(widths)}; give at least an input and an output size, each 1 or more.")
    if activation not in _ACTIVATIONS:
        hint = nearest(activation, _ACTIVATIONS)
        raise UsageError(f"No activation is named {activation!r}. {hint} Allowed: {', '.join(_ACTIVATIONS)}.")
    draw = Draw(seed, dtype)
    function, gain = _ACTIVATIONS[activation]
    modules: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        modules += [_linear(fan_in, fan_out, bias, gain, draw), function()]
    return nn.Sequential(*modules[:-1])


def _linear(fan_in: int, fan_out: int, bias: bool, gain: float, draw: Draw) -> nn.Linear:
    # by way of "meta": nn.Linear's own initialisation would advance the global generator
    layer = nn.Linear(fan_in, fan_out, bias, device="meta", dtype=draw.dtype)
    layer.weight = nn.Parameter(draw.matrix(fan_out, fan_in, gain))
    if bias:
        layer.bias = nn.Parameter(draw.bias(fan_out, fan_in))
    return layer

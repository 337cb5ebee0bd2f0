"""AdamW for the few tensors for which a rule of another kind says nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ctrlnet_plugins.optimizers.part import Part

_FIRST, _SECOND, _EPSILON, _DECAY = 0.9, 0.999, 1e-8, 0.01  # the defaults of torch


def adam_state(weight: Tensor) -> dict[str, Any]:
    """The means m, v and the count of steps, all on the device of the weight."""
    zeros = {name: torch.zeros_like(weight) for name in ("mean", "square")}
    return {"count": torch.zeros((), dtype=torch.float32, device=weight.device), **zeros}


def adamw(part: Part, states: list[dict[str, Any]]) -> None:
    """w ← (1 − lr·λ)w − lr·m̂ / (√v̂ + ε),  lr = the group's `lr` times its `bias_lr`.

    m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ), with the defaults of torch: β = (0.9, 0.999), ε = 1e-8, λ = 0.01.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019, Algorithm 2.
    """
    rate = float(part.group["lr"]) * float(part.group["bias_lr"])
    for weight, gradient, state in zip(part.weights, part.gradients, states, strict=True):
        downhill = -part.sign * gradient
        mean = state["mean"].lerp_(downhill, 1 - _FIRST)
        square = state["square"].mul_(_SECOND).addcmul_(downhill, downhill, value=1 - _SECOND)
        count = state["count"].add_(1).double()
        root = (square / (1 - _SECOND**count)).sqrt().add_(_EPSILON)
        weight.mul_(1 - rate * _DECAY).addcdiv_(mean / (1 - _FIRST**count), root, value=-rate)

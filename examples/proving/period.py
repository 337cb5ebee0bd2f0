"""How slowly may the controller run? The longest period of a held control for which a region is still proved stable.

python examples/proving/period.py
"""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet import Box, ClosedLoop, ExponentialStability, System, longest_period


def drift(x: Tensor) -> Tensor:
    """A pendulum about its upper equilibrium, in units in which its length and gravity are 1."""
    return torch.stack([x[..., 1], torch.sin(x[..., 0]) - 0.1 * x[..., 1]], -1)


def torque(x: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(x[..., :1]), torch.ones_like(x[..., :1])], -2)


def policy(x: Tensor) -> Tensor:
    """A saturated PD controller, (..., 2) to (..., 1)."""
    return 3 * torch.tanh(-2 * x[..., :1] - x[..., 1:])


def V(x: Tensor) -> Tensor:
    angle, speed = x.unbind(-1)
    return 2 * angle**2 + angle * speed + speed**2


plant = System(drift, torque, state=[("angle", "rad"), ("speed", "1")], control=[("torque", "1")])
box = Box([-1, -1.5], [1, 1.5])
period, verdict = longest_period(
    ExponentialStability(V, rate=0.2), ClosedLoop(plant, policy), box, level=0.5, longest=0.4, tolerance=0.1
)
print(f"Proved up to a period of {period:.3g}.")
print(verdict)

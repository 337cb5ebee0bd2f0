"""Small plants that several tests share. A pendulum without constants: θ'' = sin θ - ω + u."""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet import Box, Quantity, System

ANGLE = [Quantity("theta", "rad"), Quantity("omega", "rad/s")]
TORQUE = [Quantity("u", "N m")]


def drift(x: Tensor) -> Tensor:
    theta, omega = x.unbind(-1)
    return torch.stack([omega, torch.sin(theta) - omega], -1)


def gain(x: Tensor) -> Tensor:
    one = torch.ones_like(x[..., 0])
    return torch.stack([torch.zeros_like(one), one], -1).unsqueeze(-1)


def pendulum(limit: float = 2.0) -> System:
    return System(drift, gain, state=ANGLE, control=TORQUE, limits=Box([-limit], [limit]))

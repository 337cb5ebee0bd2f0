"""The largest level set of V from which a pendulum is proved to come to rest; its certificate and its picture.

python examples/proving/level.py
"""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet import Box, ExponentialStability, certify, check, draw_proof


def field(x: Tensor) -> Tensor:
    """x' = F(x): angle from the lower equilibrium [rad] and angular velocity [rad/s]."""
    angle, speed = x.unbind(-1)
    return torch.stack([speed, -torch.sin(angle) - speed], -1)


def V(x: Tensor) -> Tensor:
    """Energy with a cross term, so that it decreases everywhere near rest."""
    angle, speed = x.unbind(-1)
    return 2 * (1 - torch.cos(angle)) + 0.5 * angle**2 + angle * speed + speed**2


verdict = certify(ExponentialStability(V, rate=0.2), field, Box([-2.5, -2.5], [2.5, 2.5]))
print(verdict)
if verdict.status == "certified":
    print(check(verdict.save("level.cert")))
draw_proof(verdict, path="level.png")

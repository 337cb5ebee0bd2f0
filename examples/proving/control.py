"""Before there is a controller: can the limits of the control keep the plant safe at all? A cart and a wall.

python examples/proving/control.py
"""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet import BarrierInvariance, Box, System, certify, draw_proof


def drift(x: Tensor) -> Tensor:
    """Distance to the wall [m] and speed away from it [m/s], with a little friction."""
    return torch.stack([x[..., 1], -0.1 * x[..., 1]], -1)


def force(x: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(x[..., :1]), torch.ones_like(x[..., :1])], -2)


def safe(x: Tensor) -> Tensor:
    """A tilted ellipse about 1.2 m from the wall: the nearer the wall, the slower towards it."""
    distance, speed = x[..., 0] - 1.2, x[..., 1]
    return 1 - distance**2 - 0.8 * distance * speed - 0.8 * speed**2


def plant(limit: float) -> System:
    names = {"state": [("distance", "m"), ("speed", "m/s")], "control": [("force per mass", "m/s²")]}
    return System(drift, force, limits=Box([-limit], [limit]), **names)


for limit in (0.5, 1.0):
    verdict = certify(BarrierInvariance(safe, rate=1), plant(limit), Box([0, -1.5], [2.5, 1.5]))
    print(f"With up to {limit} m/s²: {verdict}\n")
draw_proof(verdict, path="control.png")

"""A cart between two walls, pushed by any gust within limits: it keeps away from the walls, and ends near the middle.

python examples/proving/gust.py
"""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet import BarrierInvariance, Box, Disturbed, UltimateBound, certify, draw_proof


def field(x: Tensor, d: Tensor) -> Tensor:
    """Position [m] and velocity [m/s] under a PD controller, a friction that is not linear, and the gust d [m/s²]."""
    position, velocity = x.unbind(-1)
    return torch.stack([velocity, -2 * position - 3 * velocity - torch.tanh(velocity) + d[..., 0]], -1)


def V(x: Tensor) -> Tensor:
    position, velocity = x.unbind(-1)
    return 3 * position**2 + 2 * position * velocity + velocity**2


def away_from_the_walls(x: Tensor) -> Tensor:
    """A level set of V that touches the walls at |position| = 1."""
    return 2 - V(x)


gusts = Disturbed(field, Box([-0.3], [0.3]))
box = Box([-1.2, -2], [1.2, 2])
verdict = certify((BarrierInvariance(away_from_the_walls, rate=1), UltimateBound(V, inner=0.2, outer=2)), gusts, box)
print(verdict)
draw_proof(verdict, path="gust.png")

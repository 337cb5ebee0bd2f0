"""The pendulum q'' = -sin q in every form that a method can need; states (q, p)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import ctrlnet

START = (1.2, 0.3)


class PendulumEnergy:
    """H = p²/2 - cos q."""

    def __call__(self, x: Tensor) -> Tensor:
        return x[..., 1].square() / 2 - x[..., 0].cos()

    def gradient(self, x: Tensor) -> Tensor:
        """(sin q, p), (..., 2)."""
        return torch.stack([x[..., 0].sin(), x[..., 1]], -1)

    def mean_gradient(self, x: Tensor, end: Tensor) -> Tensor:
        """(cos q - cos r)/(r - q) = sin((q + r)/2) sin(d)/d, d = (r - q)/2, and the mean of the momenta, (..., 2)."""
        middle, d = (x + end) / 2, (end[..., 0] - x[..., 0]) / 2
        return torch.stack([middle[..., 0].sin() * torch.sinc(d / torch.pi), middle[..., 1]], -1)


ENERGY = PendulumEnergy()


def pendulum(needs: str) -> Any:
    """The field for methods with these needs."""
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    shift = torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    forms: dict[str, Any] = {
        "Field": lambda x: torch.stack([x[..., 1], -x[..., 0].sin()], -1),
        "Separable": ctrlnet.Separable(lambda p: p, lambda q: -q.sin()),
        "Split": ctrlnet.Split(shift, lambda x: torch.stack([torch.zeros_like(x[..., 0]), -x[..., 0].sin()], -1)),
        "Energy": ctrlnet.Energy(ENERGY, turn),
    }
    return forms[needs]


def integrator(name: str) -> Any:
    """The installed method, as an object."""
    found = ctrlnet.load("integrators", name)
    return found() if isinstance(found, type) else found


def start() -> Tensor:
    """(1.2, 0.3), (2,)."""
    return torch.tensor(START, dtype=torch.float64)

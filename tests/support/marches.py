"""Steps of integrators one by one, and what they do on the pendulum and on the test equation x' = a x."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from ctrlnet_plugins.integrators import Dopri5
from torch import Tensor

X0 = torch.tensor([1.2, 0.3], dtype=torch.float64)


def pendulum(t: Any, x: Tensor) -> Tensor:
    """q'' = -sin q."""
    return torch.stack([x[..., 1], -torch.sin(x[..., 0])], -1)


def march(method: Any, field: Callable[..., Tensor], x: Tensor, h: float, steps: int, t: float = 0.0) -> Tensor:
    """The states after equal steps."""
    return trip(method, field, x, h, steps, t)[0]


def trip(method: Any, field: Callable[..., Tensor], x: Tensor, h: float, steps: int, t: float = 0.0) -> Any:
    """The states and the carry after equal steps."""
    carry = method.init(field, t, x)
    for index in range(steps):
        x, _, carry = method.step(field, t + index * h, x, h, carry)
    return x, carry


@cache
def swung() -> Tensor:
    """The pendulum at t = 2 from `X0`."""
    return march(Dopri5, pendulum, X0, 1 / 800, 1600)


def error(method: Any, h: float) -> float:
    """Of the pendulum at t = 2, in steps of h."""
    return float((march(method, pendulum, X0, h, round(2 / h)) - swung()).norm())


def slopes(method: Any, steps: list[float]) -> list[float]:
    """Observed orders between step sizes that halve."""
    return [math.log2(coarse / fine) for coarse, fine in pairwise(error(method, h) for h in steps)]


def propagation(method: Any, a: complex) -> Tensor:
    """The matrix that a step of size 1 applies to (x, carry) on x' = a x, in real coordinates of x."""
    matrix = torch.tensor([[a.real, -a.imag], [a.imag, a.real]], dtype=torch.float64)

    def field(t: Any, x: Tensor) -> Tensor:
        return x @ matrix.T

    zero = torch.zeros(2, dtype=torch.float64)
    _, carry = trip(method, field, zero, 1.0, 3)  # its full length, whatever the start
    size = 2 + 2 * len(carry or ())
    basis = torch.eye(size, dtype=torch.float64).split(2, 1)
    step = method.step(field, 0.0, basis[0], 1.0, tuple(basis[1:]) or None)
    return torch.cat([step.x, *(step.carry or ())], 1).T


def radius(method: Any, a: complex) -> float:
    """Growth a step on x' = a x in steps of 1: the spectral radius of its propagation matrix."""
    return float(torch.linalg.eigvals(propagation(method, a)).abs().max())


def limit(method: Any, direction: complex, tolerance: float = 1e-9) -> float:
    """How far from 0 in that direction of the complex plane x' = a x does not grow; 0 if it does at once."""
    grid = torch.logspace(-4, 1, 300).tolist()
    first = next(i for i, s in enumerate(grid) if radius(method, s * direction) > 1 + tolerance)
    if first < 2:
        return 0.0
    low, high = grid[first - 1], grid[first]
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if radius(method, middle * direction) <= 1 + tolerance else (low, middle)
    return low

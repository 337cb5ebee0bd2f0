"""The pendulum as a separable field, as a split and as an energy; and what conserving methods are measured by."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ctrlnet import Energy, Separable, Split

ROTATION = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
KEPT = torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)  # q' = p


class Swing:
    """H = p²/2 - cos q, with its mean gradient: sin of the middle times sinc of half the difference."""

    def __call__(self, x: Tensor) -> Tensor:
        return x[..., 1] ** 2 / 2 - torch.cos(x[..., 0])

    def gradient(self, x: Tensor) -> Tensor:
        return torch.stack([torch.sin(x[..., 0]), x[..., 1]], -1)

    def mean_gradient(self, x: Tensor, end: Tensor) -> Tensor:
        middle, half = (x + end) / 2, (end - x) / 2
        return torch.stack([torch.sin(middle[..., 0]) * torch.sinc(half[..., 0] / math.pi), middle[..., 1]], -1)


def identity(p: Tensor) -> Tensor:
    return p


def gravity(q: Tensor) -> Tensor:
    return -torch.sin(q)


def kick(x: Tensor) -> Tensor:
    return torch.stack([torch.zeros_like(x[..., 0]), gravity(x[..., 0])], -1)


energy = Swing()
separable = Separable(identity, gravity)
split = Split(KEPT, kick)
swing = Energy(energy, ROTATION)


def largest_error(quantity: Callable[[Tensor], Tensor], method: Any, field: Any, x: Tensor, h: float, n: int) -> float:
    """Of a conserved quantity, over n steps of h."""
    start, carry, worst = quantity(x), method.init(field, 0.0, x), 0.0
    for index in range(n):
        x, _, carry = method.step(field, index * h, x, h, carry)
        worst = max(worst, float((quantity(x) - start).abs().max()))
    return worst


def undone(method: Any, field: Any, x: Tensor, carry: Any, h: float, steps: int) -> Tensor:
    """The state before as many steps that began at t = 0, by `back`."""
    for index in reversed(range(steps)):
        x, _, carry = method.back(field, index * h, x, h, carry)
    return x


def defect(method: Any, field: Any, x: Tensor, h: float) -> float:
    """Largest entry of MᵀJM - J, M the derivative of one step at x (n,), J the symplectic form of (q, p)."""
    half, zero = torch.eye(x.shape[-1] // 2, dtype=x.dtype), torch.zeros(2 * (x.shape[-1] // 2,), dtype=x.dtype)
    form = torch.cat([torch.cat([zero, half], 1), torch.cat([-half, zero], 1)])
    step = torch.autograd.functional.jacobian(lambda y: method.step(field, 0.0, y, h, method.init(field, 0.0, y)).x, x)
    return float((step.T @ form @ step - form).abs().max())

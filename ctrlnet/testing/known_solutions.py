"""Equations with known solutions on which the kit of integrators tries methods, in every form a method can need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from ctrlnet.systems import Energy, Separable, Split, halves, timed
from ctrlnet.systems.fields import Time


class Known(NamedTuple):
    """An equation and its solution.

    Attributes:
        given: what a method gets as its field.
        field: what `solve` gets.
        exact: the solution at t [s], (n,), float64.
    """

    given: Any
    field: Any
    exact: Callable[[float], Tensor]


def known(needs: str) -> Known:
    """The equation for methods with these `needs`. Each depends on time, but for an Energy, which cannot."""
    if needs == "Field":
        return Known(growth, timed(growth), grown)
    structured = _STRUCTURED[needs]()
    return Known(structured, structured, _swung)


def growth(t: Time, x: Tensor) -> Tensor:
    """Growth x cos t, logistic growth y (1 - y), and a rotation (q, -p): states (..., 4)."""
    x, y, p, q = x.split(1, -1)
    return torch.cat([x * torch.as_tensor(t, dtype=x.dtype).cos(), y * (1 - y), q, -p], -1)


def grown(t: float) -> Tensor:
    """The solution of `growth` that starts at (1, 1/4, 1, 0), (4,)."""
    time = torch.tensor(t, dtype=torch.float64)
    return torch.stack([time.sin().exp(), 1 / (1 + 3 * (-time).exp()), time.cos(), -time.sin()])


@final
class Quartic:
    """The energy  H(q, p) = |p|²/2 + q·Kq/2 + s q₂⁴/2.

    Args:
        K: stiffness, symmetric (n/2, n/2).
        s: factor of the quartic part.
    """

    def __init__(self, K: list[list[float]], s: float) -> None:
        self.K, self.s = torch.tensor(K, dtype=torch.float64), s

    def __call__(self, x: Tensor) -> Tensor:
        q, p = halves(x)
        return p.square().sum(-1) / 2 + (q @ self.K.to(q) * q).sum(-1) / 2 + self.s * q[..., 1] ** 4 / 2

    def gradient(self, x: Tensor) -> Tensor:
        """∇H(x), (..., n)."""
        return self.mean_gradient(x, x)

    def mean_gradient(self, x: Tensor, end: Tensor) -> Tensor:
        """∫₀¹ ∇H((1-s) x + s end) ds, (..., n)."""
        (q, p), (r, v) = halves(x), halves(end)
        cubic = self.s / 2 * (q**3 + q**2 * r + q * r**2 + r**3)
        second = torch.zeros_like(q)
        second[..., 1] = 1
        return torch.cat([(q + r) / 2 @ self.K.to(q) + second * cubic, (p + v) / 2], -1)


# q₁ = cos t, q₂ = 1/(3-t) with q₂'' = 2 q₂³, q₃ = cos t by time alone
_SWINGING = Quartic([[1.0, 0, 0], [0, 0, 0], [0, 0, 1.0]], -1.0)


def _swung(t: float) -> Tensor:
    time = torch.tensor(t, dtype=torch.float64)
    rest = 1 / (3 - time)
    return torch.stack([time.cos(), rest, time.cos(), -time.sin(), rest**2, -time.sin()])


def _separable() -> Separable:
    def velocity(t: Time, p: Tensor) -> Tensor:
        return torch.cat([p[..., :2], -torch.as_tensor(t).sin().expand_as(p[..., 2:])], -1)

    def force(t: Time, q: Tensor) -> Tensor:
        return torch.cat([-q[..., :1], 2 * q[..., 1:2] ** 3, -torch.as_tensor(t).cos().expand_as(q[..., 2:])], -1)

    return Separable(timed(velocity), timed(force))


def _split() -> Split:
    linear = torch.zeros(6, 6, dtype=torch.float64)
    linear[0, 3] = linear[1, 4] = 1
    linear[5, 5] = -1

    def second(t: Time, x: Tensor) -> Tensor:
        zero, time = torch.zeros_like(x[..., :2]), torch.as_tensor(t, dtype=x.dtype).expand_as(x[..., :1])
        forces = [-x[..., :1], 2 * x[..., 1:2] ** 3, x[..., 5:] - time.cos()]
        return torch.cat([zero, -time.sin(), *forces], -1)

    return Split(linear, timed(second))


def _energy() -> Energy:
    return Energy(_SWINGING, canonical(6))


_STRUCTURED: dict[str, Callable[[], Any]] = {"Separable": _separable, "Split": _split, "Energy": _energy}


def canonical(n: int) -> Tensor:
    """The matrix J = [[0, I], [-I, 0]], (n, n), float64."""
    one = torch.eye(n // 2, dtype=torch.float64)
    zero = torch.zeros_like(one)
    return torch.cat([torch.cat([zero, one], 1), torch.cat([-one, zero], 1)])


BOUND = Quartic([[1.0, 0.25], [0.25, 0.5]], 1.0)
"""A bounded, coupled, nonlinear oscillator of four coordinates."""


def oscillator(needs: str) -> Any:
    """The Hamiltonian field of `BOUND`, as methods with these `needs` are given it."""
    energy = Energy(BOUND, canonical(4))
    if needs == "Field":
        return energy.rate
    if needs == "Energy":
        return energy
    if needs == "Separable":
        return Separable(lambda p: p, _force)
    linear = torch.zeros(4, 4, dtype=torch.float64)
    linear[0, 2] = linear[1, 3] = 1
    return Split(linear, lambda x: torch.cat([torch.zeros_like(x[..., :2]), _force(x[..., :2])], -1))


def _force(q: Tensor) -> Tensor:
    """-∂H/∂q of `BOUND`."""
    return -halves(BOUND.gradient(torch.cat([q, torch.zeros_like(q)], -1)))[0]

"""Derivatives along a field."""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet.errors import ShapeError
from ctrlnet.systems import check_field, checked_velocity
from ctrlnet.types import Field, Margin, State, Value


def lie_derivative(V: Margin, F: Field, x: State) -> Value:
    """V̇(x) = ∇V(x)·F(x), the rate of change of V along x' = F(x), in units of V per second.

    By the gradient of V, exact to rounding and differentiable in the parameters of V and F.

    Args:
        V: maps (..., n) to (...).
        F: maps (..., n) to (..., n).
        x: states, (..., n).

    Raises:
        ShapeError: V or F gives another shape, F another dtype than x.
        UsageError: F is no function of x alone, such as a System without a policy.
    """
    return value_and_rate(V, F, x)[1]


def value_and_rate(V: Margin, F: Field, x: Tensor) -> tuple[Tensor, Tensor]:
    """V(x) and ∇V(x)·F(x) from one evaluation each of V and F; both (...)."""
    check_field(F)
    velocity = checked_velocity(F(x), x)
    value, pullback = torch.func.vjp(V, x)[:2]
    if value.shape != x.shape[:-1]:
        raise ShapeError(f"V maps {tuple(x.shape)} to {tuple(value.shape)}; it must give {tuple(x.shape[:-1])}.")
    (gradient,) = pullback(torch.ones_like(value))
    return value, (gradient * velocity).sum(-1)

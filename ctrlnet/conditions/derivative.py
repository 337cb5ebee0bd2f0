"""Derivatives along a field."""

from __future__ import annotations

import torch
from torch import Tensor

from ctrlnet.conditions.motion import field_of
from ctrlnet.errors import ShapeError
from ctrlnet.systems import AnySystem
from ctrlnet.types import Margin, State, Value


def lie_derivative(V: Margin, F: AnySystem, x: State) -> Value:
    """V̇(x) = ∇V(x)·F(x), the rate of change of V along x' = F(x), in units of V per second.

    By the gradient of V, exact to rounding and differentiable in the parameters of V and F.

    Args:
        V: maps (..., n) to (...).
        F: maps (..., n) to (..., n); of a `Disturbed` field, at one disturbance drawn for each state.
        x: states, (..., n).

    Raises:
        ShapeError: V or F gives another shape, F another dtype than x.
        UsageError: F is no function of x alone, such as a System without a policy.
    """
    return value_and_rate(V, F, x)[1]


def value_and_rate(V: Margin, F: AnySystem, x: Tensor, name: str = "V") -> tuple[Tensor, Tensor]:
    """V(x) and ∇V(x)·F(x) from one evaluation each of V and F; both (...). `name` is what V is called in errors."""
    velocity = field_of(F, "lie_derivative")(x)
    value, pullback = torch.func.vjp(V, x)[:2]
    check_value(value, x, name)
    (gradient,) = pullback(torch.ones_like(value))
    return value, (gradient * velocity).sum(-1)


def check_value(value: Tensor, x: Tensor, name: str = "V") -> None:
    """Refuse a value of a scalar function at x (..., n) that is not of shape (...).

    Raises:
        ShapeError: naming the function.
    """
    if value.shape != x.shape[:-1]:
        raise ShapeError(f"{name} maps {tuple(x.shape)} to {tuple(value.shape)}; it must give {tuple(x.shape[:-1])}.")

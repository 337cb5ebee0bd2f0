"""Activations σ with their energies γ, γ' = σ, and the mean of σ over an interval, accurate for near and far ends.

The mean (γ(end) - γ(w)) / (end - w) cancels where the ends are close, overflows where they are large, and is 0/0 where
they are equal. The formulas here do neither, and autograd goes through them at equal ends too, twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ctrlnet.errors import UsageError, nearest

_LEAK = 0.01  # slope of leaky_relu below zero, torch's default
_SERIES = 0.03  # below it the series, whose next term is less than 1e-17; above it f(x) / x, whose derivatives are good


class Activation(NamedTuple):
    """σ with 0 <= σ' <= 1, elementwise.

    Attributes:
        energy: γ, convex, with γ' = σ.
        slope: σ.
        mean: ∫₀¹ σ((1-s) w + s end) ds, a function of w and end.
    """

    energy: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    mean: Callable[[Tensor, Tensor], Tensor]


def activation_named(name: str) -> Activation:
    """The activation of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in ACTIVATIONS:
        hint = nearest(name, ACTIVATIONS)
        raise UsageError(f"No activation is named {name!r}. {hint} Allowed: {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]


def _log_cosh(w: Tensor) -> Tensor:
    return _softplus(2 * w) - w - math.log(2)


def _softplus(w: Tensor) -> Tensor:
    # torch's own threshold of 20 is an error of 2e-9
    return nn.functional.softplus(w, threshold=50)


def _tanh_mean(w: Tensor, end: Tensor) -> Tensor:
    """γ(end) - γ(w) = 2 artanh z  with  z = tanh(middle) tanh(half the difference)."""
    m, d = (w + end) / 2, (end - w) / 2
    z = torch.tanh(m) * torch.tanh(d)
    near = z.abs() < 0.5
    close = torch.tanh(m) * _over(torch.tanh, d, _TANH) * _over(torch.atanh, torch.where(near, z, 0), _ARTANH)
    rise = _size(end) - _size(w) + _tail(2 * end) - _tail(2 * w)
    return torch.where(near, close, rise / torch.where(near, 1, end - w))


def _sigmoid_mean(w: Tensor, end: Tensor) -> Tensor:
    """γ(end) - γ(w) = 2 artanh z  with  z = s sinh d / (1 + s (cosh d - 1)),  s = σ(middle), d half the difference."""
    s, d = torch.sigmoid((w + end) / 2), (end - w) / 2
    near = d.abs() < 1
    d = torch.where(near, d, 0)
    below = 1 + 2 * s * torch.sinh(d / 2).square()
    z = s * torch.sinh(d) / below
    close = s / below * _over(torch.sinh, d, _SINH) * _over(torch.atanh, z, _ARTANH)
    rise = (_size(end) + end) / 2 - (_size(w) + w) / 2 + _tail(end) - _tail(w)
    return torch.where(near, close, rise / torch.where(near, 1, end - w))


def _piecewise_mean(w: Tensor, end: Tensor, below: float) -> Tensor:
    """γ is w²/2 above zero and below·w²/2 under it; between ends of one sign σ is linear."""
    alike, middle = (w >= 0) == (end >= 0), (w + end) / 2
    rise = _half_square(end, below) - _half_square(w, below)
    return torch.where(alike, _bent(middle, w, below), rise / torch.where(alike, 1, end - w))


def _half_square(w: Tensor, below: float) -> Tensor:
    return w * _bent(w, w, below) / 2


def _bent(value: Tensor, side: Tensor, below: float) -> Tensor:
    return torch.where(side >= 0, value, below * value)


def _size(w: Tensor) -> Tensor:
    # |w|, but with the derivative 1 at 0: then _size(w) + _tail(2 w) has all derivatives of log(2 cosh w) there
    return torch.where(w < 0, -w, w)


def _tail(w: Tensor) -> Tensor:
    """log(1 + e^-|w|)."""
    return torch.log1p(torch.exp(-_size(w)))


def _over(f: Callable[[Tensor], Tensor], x: Tensor, series: Sequence[float]) -> Tensor:
    """f(x)/x of an odd f; where x is small by its series in x²."""
    small = x.abs() < _SERIES
    square, total = torch.where(small, x, 0).square(), torch.zeros_like(x)
    for coefficient in reversed(series):
        total = total * square + coefficient
    away = torch.where(small, 1, x)
    return torch.where(small, total, f(away) / away)


_TANH = (1, -1 / 3, 2 / 15, -17 / 315, 62 / 2835)
_ARTANH = tuple(1 / (2 * k + 1) for k in range(6))
_SINH = tuple(1 / math.factorial(2 * k + 1) for k in range(5))

ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(_log_cosh, torch.tanh, _tanh_mean),
    "sigmoid": Activation(_softplus, torch.sigmoid, _sigmoid_mean),
    "relu": Activation(lambda w: _half_square(w, 0.0), torch.relu, lambda w, end: _piecewise_mean(w, end, 0.0)),
    "leaky_relu": Activation(
        lambda w: _half_square(w, _LEAK),
        lambda w: nn.functional.leaky_relu(w, _LEAK),
        lambda w, end: _piecewise_mean(w, end, _LEAK),
    ),
}
"""By name."""

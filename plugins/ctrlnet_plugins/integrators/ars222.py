"""The method ARS(2,2,2) for x' = L x + g(x): order 2, two evaluations of g, one factorization a step.

(I - h γ L) u = x + h γ g(x),
(I - h γ L) x⁺ = x + h (δ g(x) + (1-δ) g(u)) + h (1-γ) L u,   γ = 1 - 1/√2,  δ = 1 - 1/(2γ).

L is treated implicitly (L-stable), g explicitly. Installed under the name "imex".

Source: Ascher, Ruuth and Spiteri, Implicit-explicit Runge-Kutta methods for time-dependent partial differential
equations, 1997, section 2.6.
"""

from __future__ import annotations

import math
from typing import ClassVar, final

from torch import Tensor

from ctrlnet import Split, Step
from ctrlnet_plugins.integrators.shifted import Shifted

_GAMMA = 1 - 1 / math.sqrt(2)
_DELTA = 1 - 1 / (2 * _GAMMA)


@final
class ARS222:
    """Two stages, on a Split whose first part is the matrix L."""

    ctrlnet_contract: ClassVar[int] = 1
    order: int = 2
    needs: str = "Split"

    def init(self, field: Split, t: float | Tensor, x: Tensor) -> None:
        return None

    def step(self, field: Split, t: float | Tensor, x: Tensor, h: float | Tensor, carry: None) -> Step:
        """From x (..., n) at t to t + h."""
        linear = field.linear(x)
        shifted = Shifted(linear, h * _GAMMA)
        before = field.second(t, x)
        u = shifted.solve(x + h * _GAMMA * before)
        inside = field.second(t + _GAMMA * h, u)
        explicit = _DELTA * before + (1 - _DELTA) * inside
        return Step(shifted.solve(x + h * (explicit + (1 - _GAMMA) * (u @ linear.T))))

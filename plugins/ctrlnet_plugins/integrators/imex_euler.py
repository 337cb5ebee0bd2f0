"""Implicit-explicit Euler for x' = L x + g(x): order 1, one evaluation of g and one linear solve a step.

x⁺ = (I - h L)⁻¹ (x + h g(x)). The stiff linear part is treated implicitly (L-stable), the rest explicitly; with L = 0
it is Euler's method.

Source: Ascher, Ruuth and Spiteri, Implicit-explicit Runge-Kutta methods for time-dependent partial differential
equations, 1997.
"""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor

from ctrlnet import Split, Step
from ctrlnet_plugins.integrators.shifted import Shifted


@final
class IMEXEuler:
    """x⁺ = (I - h L)⁻¹ (x + h g(t, x)), on a Split whose first part is the matrix L."""

    ctrlnet_contract: ClassVar[int] = 1
    order: int = 1
    needs: str = "Split"

    def init(self, field: Split, t: float | Tensor, x: Tensor) -> None:
        return None

    def step(self, field: Split, t: float | Tensor, x: Tensor, h: float | Tensor, carry: None) -> Step:
        """From x (..., n) at t to t + h."""
        return Step(Shifted(field.linear(x), h).solve(x + h * field.second(t, x)))

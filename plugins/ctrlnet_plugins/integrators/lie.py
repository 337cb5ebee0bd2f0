"""Lie's splitting of x' = a(x) + b(x): order 1. One step along a, then one along b.

Source: Hairer, Lubich and Wanner, Geometric Numerical Integration, 2nd ed., section II.5.
"""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor

from ctrlnet import Integrator, Split, Step
from ctrlnet_plugins.integrators.composed import advanced, both, inner
from ctrlnet_plugins.integrators.euler import Euler


@final
class Lie:
    """x⁺ = Φ_second(Φ_first(x)).

    Symplectic where both methods are, for parts that are both Hamiltonian.

    Args:
        first, second: one-step methods for the two parts, by name or as objects.
    """

    ctrlnet_contract: ClassVar[int] = 1
    order: int = 1
    needs: str = "Split"

    def __init__(self, first: str | Integrator | type = Euler, second: str | Integrator | type = Euler) -> None:
        self.methods = (inner(first), inner(second))
        self.symplectic = both(self.methods, "symplectic")

    def init(self, field: Split, t: float | Tensor, x: Tensor) -> None:
        return None

    def step(self, field: Split, t: float | Tensor, x: Tensor, h: float | Tensor, carry: None) -> Step:
        """From x (..., n) at t to t + h."""
        x = advanced(self.methods[0], field.first, t, x, h)
        return Step(advanced(self.methods[1], field.second, t, x, h))

"""Strang's splitting of x' = a(x) + b(x): half a step along a, one along b, half a step along a.

Order 2 where the parts are advanced by methods of order 2 or more, order 1 with Euler steps: the Macaron block of
transformers, x + FFN/2, + attention, + FFN/2, is the latter. With midpoint steps the same block has order 2.

Source: Strang, On the construction and comparison of difference schemes, 1968; Lu et al., Understanding and improving
transformer from a multi-particle dynamic system point of view, 2019 (Macaron).
"""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor

from ctrlnet import Integrator, Split, Step
from ctrlnet_plugins.integrators.composed import advanced, both, inner
from ctrlnet_plugins.integrators.midpoint import Midpoint


@final
class Strang:
    """x⁺ = Φ_first^{h/2}(Φ_second^h(Φ_first^{h/2}(x))).

    Its order is 2, or that of the methods where it is lower. Symmetric where both methods are; symplectic where both
    are, for parts that are both Hamiltonian.

    Args:
        first, second: one-step methods for the two parts, by name or as objects.
    """

    ctrlnet_contract: ClassVar[int] = 1
    needs: str = "Split"

    def __init__(self, first: str | Integrator | type = Midpoint, second: str | Integrator | type = Midpoint) -> None:
        self.methods = (inner(first), inner(second))
        self.order = min(2, *(method.order for method in self.methods))
        self.symmetric, self.symplectic = both(self.methods, "symmetric"), both(self.methods, "symplectic")

    def init(self, field: Split, t: float | Tensor, x: Tensor) -> None:
        return None

    def step(self, field: Split, t: float | Tensor, x: Tensor, h: float | Tensor, carry: None) -> Step:
        """From x (..., n) at t to t + h."""
        half = h / 2
        x = advanced(self.methods[0], field.first, t, x, half)
        x = advanced(self.methods[1], field.second, t, x, h)
        return Step(advanced(self.methods[0], field.first, t + half, x, half))

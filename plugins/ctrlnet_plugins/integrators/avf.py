"""The average vector field method for x' = S ∇H(x): order 2, A-stable.

x⁺ = x + h S ∫₀¹ ∇H((1-s) x + s x⁺) ds, the mean gradient in closed form where the energy has one, as that of a network
has. The mean gradient times x⁺ - x is H(x⁺) - H(x), so that H is conserved to rounding where S is antisymmetric, and
decreases for every h where S is negative semidefinite: with S = -I by |x⁺ - x|²/h. Symmetric, not symplectic.

Source: Quispel and McLaren, A new class of energy-preserving numerical integration methods, 2008; McLachlan, Quispel
and Robidoux, Geometric integration using discrete gradients, 1999.
"""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor

from ctrlnet import Energy, Step
from ctrlnet_plugins.integrators.implicit import increment


@final
class AVF:
    """x⁺ = x + d,  d = h S mean_gradient(x, x + d). A row in which no d is found becomes NaN."""

    ctrlnet_contract: ClassVar[int] = 1
    order: int = 2
    needs: str = "Energy"
    symmetric: ClassVar[bool] = True
    conserves_energy: ClassVar[bool] = True

    def init(self, field: Energy, t: float | Tensor, x: Tensor) -> None:
        return None

    def step(self, field: Energy, t: float | Tensor, x: Tensor, h: float | Tensor, carry: None) -> Step:
        """From x (..., n) at t to t + h."""
        return Step(x + increment(lambda d: h * field.applied(field.potential.mean_gradient(x, x + d)), x))

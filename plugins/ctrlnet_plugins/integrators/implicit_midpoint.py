"""The implicit midpoint rule, x⁺ = x + h f(t + h/2, (x + x⁺)/2): order 2, A-stable.

Symplectic and symmetric; it keeps every quadratic invariant, and two solutions of a contracting field never move apart,
whatever h (B-stability).

Source: Hairer, Lubich and Wanner, Geometric Numerical Integration, 2nd ed., sections I.1.2, IV.2 and VI.4; Hairer and
Wanner, Solving Ordinary Differential Equations II, 2nd ed., section IV.12.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, final

from torch import Tensor

from ctrlnet import Step
from ctrlnet_plugins.integrators.implicit import increment


@final
class ImplicitMidpoint:
    """x⁺ = x + d,  d = h f(t + h/2, x + d/2). A row in which no d is found becomes NaN."""

    ctrlnet_contract: ClassVar[int] = 1
    order: int = 2
    needs: str = "Field"
    symplectic: ClassVar[bool] = True
    symmetric: ClassVar[bool] = True

    def init(self, field: Callable[..., Tensor], t: float | Tensor, x: Tensor) -> None:
        return None

    def step(self, field: Callable[..., Tensor], t: float | Tensor, x: Tensor, h: float | Tensor, carry: None) -> Step:
        """From x (..., n) at t to t + h."""
        return Step(x + increment(lambda d: h * field(t + h / 2, x + d / 2), x))

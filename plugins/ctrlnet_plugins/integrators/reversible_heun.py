"""The reversible method of Heun."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, final

from torch import Tensor

from ctrlnet import Step


@final
class ReversibleHeun:
    """Heun's method with an exact inverse:  order 2, one evaluation a step.

        y⁺ = 2x - y + h v,   v⁺ = f(t + h, y⁺),   x⁺ = x + h/2 (v + v⁺),

    the carry (y, v) beginning with y = x, v = f(t, x). The inverse is the same step with -h, so that gradients need
    no memory. On x' = a x it is stable only for imaginary h a up to 1: where the field contracts, the small
    difference of x and y grows.

    Source: Kidger, Foster, Li and Lyons, Efficient and accurate gradients for neural SDEs, 2021.
    """

    ctrlnet_contract: ClassVar[int] = 1
    order = 2
    needs = "Field"
    symmetric = True

    def init(self, field: Callable[..., Tensor], t: float | Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """y and v, (..., n) each."""
        return x, field(t, x)

    def step(
        self,
        field: Callable[..., Tensor],
        t: float | Tensor,
        x: Tensor,
        h: float | Tensor,
        carry: tuple[Tensor, Tensor],
    ) -> Step:
        """From x (..., n) at t to t + h."""
        y, v = carry
        y = 2 * x - y + h * v
        ahead = field(t + h, y)
        return Step(x + h / 2 * (v + ahead), None, (y, ahead))

    def back(
        self,
        field: Callable[..., Tensor],
        t: float | Tensor,
        x: Tensor,
        h: float | Tensor,
        carry: tuple[Tensor, Tensor],
    ) -> Step:
        """From x (..., n) at t + h and the carry after the step to those before it, at t."""
        return self.step(field, t + h, x, -h, carry)

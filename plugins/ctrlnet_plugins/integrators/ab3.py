"""The three-step method of Adams and Bashforth."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, final

from torch import Tensor

from ctrlnet import Step


@final
class AB3:
    """The three-step method  x⁺ = x + h/12 (23 fₙ - 16 fₙ₋₁ + 5 fₙ₋₂):  order 3, one evaluation a step.

    It begins with two steps of Heun's method. On x' = a x it is stable for -6/11 <= h a <= 0 and for imaginary h a up
    to 0.7236: the cheapest explicit multistep method for oscillations, such as those of antisymmetric layers. The
    carry is the earlier slopes, latest first.

    Source: Bashforth and Adams, An attempt to test the theories of capillary action, 1883; for networks: Ruthotto and
    Haber, Deep neural networks motivated by partial differential equations, 2020.
    """

    ctrlnet_contract: ClassVar[int] = 1
    order = 3
    needs = "Field"
    multistep = True

    def init(self, field: Callable[..., Tensor], t: float | Tensor, x: Tensor) -> None:
        """No earlier slopes."""
        return None

    def step(
        self,
        field: Callable[..., Tensor],
        t: float | Tensor,
        x: Tensor,
        h: float | Tensor,
        carry: tuple[Tensor, ...] | None,
    ) -> Step:
        """From x (..., n) at t to t + h."""
        earlier = carry or ()
        slope = field(t, x)
        if len(earlier) < 2:
            x = x + h / 2 * (slope + field(t + h, x + h * slope))
        else:
            x = x + h * (23 / 12 * slope - 4 / 3 * earlier[0] + 5 / 12 * earlier[1])
        return Step(x, None, (slope, *earlier[:1]))

"""The two-step method of Adams and Bashforth."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, final

from torch import Tensor

from ctrlnet import Step


@final
class AB2:
    """The two-step method  x⁺ = x + h/2 (3 fₙ - fₙ₋₁):  order 2, one evaluation a step.

    It begins with a step of Heun's method. On x' = a x it is stable for -1 <= h a <= 0, and nowhere on the imaginary
    axis: oscillations grow. The carry is the earlier slope.

    Source: Bashforth and Adams, An attempt to test the theories of capillary action, 1883; Hairer, Norsett and Wanner,
    Solving Ordinary Differential Equations I, 2nd ed., section III.1.
    """

    ctrlnet_contract: ClassVar[int] = 1
    order = 2
    needs = "Field"
    multistep = True

    def init(self, field: Callable[..., Tensor], t: float | Tensor, x: Tensor) -> None:
        """No earlier slope."""
        return None

    def step(
        self,
        field: Callable[..., Tensor],
        t: float | Tensor,
        x: Tensor,
        h: float | Tensor,
        carry: tuple[Tensor] | None,
    ) -> Step:
        """From x (..., n) at t to t + h."""
        slope = field(t, x)
        if carry is None:
            return Step(x + h / 2 * (slope + field(t + h, x + h * slope)), None, (slope,))
        return Step(x + h * (1.5 * slope - 0.5 * carry[0]), None, (slope,))

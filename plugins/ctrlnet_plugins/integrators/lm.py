"""The linear two-step method of LM-ResNet."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, final

from torch import Tensor

from ctrlnet import Step, UsageError


@final
class LM:
    """The two-step method  x⁺ = (1-k) x + k x₋ + (1+k) h f(t, x),  x₋ the state before x:  one evaluation a step.

    Order 1, at k = 1 (the leapfrog) order 2; k = 0 is Euler's method. It is computed as

        v⁺ = (1+k) f(t, x) - k v,   x⁺ = x + h v⁺,   v = (x - x₋)/h,

    which begins with v = f(t, x), Euler's step, and is inverted by v = ((1+k) f(t, x) - v⁺)/k with x = x⁺ - h v⁺;
    rounding then grows by 1/|k| a step. On x' = a x it is stable for -2(1-k)/(1+k) <= h a <= 0, at k = 1 for imaginary
    h a up to 1. The carry is v.

    Args:
        k: in (-1, 1], where the method is zero-stable: a number, or a tensor without dimensions to be trained.

    Raises:
        UsageError: k is none of these.

    Source: Lu, Zhong, Li and Dong, Beyond finite layer neural networks: bridging deep architectures and numerical
    differential equations, 2018, whose form without the factor (1+k) of h is made consistent here.
    """

    ctrlnet_contract: ClassVar[int] = 1
    needs = "Field"
    multistep = True

    def __init__(self, k: float | Tensor = 0.5) -> None:
        self.k = k
        self._require_stable()
        self.order = 2 if self._number() == 1 else 1

    @property
    def backward_growth(self) -> float:
        """Factor 1/|k| by which `back` amplifies rounding in a step."""
        k = abs(self._number())
        return 1 / k if k else math.inf

    def init(self, field: Callable[..., Tensor], t: float | Tensor, x: Tensor) -> tuple[Tensor]:
        """v = f(t, x), (..., n).

        Raises:
            UsageError: training has moved k out of (-1, 1].
        """
        self._require_stable()
        return (field(t, x),)

    def step(
        self,
        field: Callable[..., Tensor],
        t: float | Tensor,
        x: Tensor,
        h: float | Tensor,
        carry: tuple[Tensor],
    ) -> Step:
        """From x (..., n) at t to t + h."""
        v = (1 + self.k) * field(t, x) - self.k * carry[0]
        return Step(x + h * v, None, (v,))

    def back(
        self,
        field: Callable[..., Tensor],
        t: float | Tensor,
        x: Tensor,
        h: float | Tensor,
        carry: tuple[Tensor],
    ) -> Step:
        """From x (..., n) at t + h and the carry after the step to those before it, at t; k must not be 0."""
        before = x - h * carry[0]
        return Step(before, None, (((1 + self.k) * field(t, before) - carry[0]) / self.k,))

    def _number(self) -> float:
        return float(self.k.detach() if isinstance(self.k, Tensor) else self.k)

    def _require_stable(self) -> None:
        single = isinstance(self.k, (float, int)) or (isinstance(self.k, Tensor) and self.k.ndim == 0)
        if not (single and -1 < self._number() <= 1):
            raise UsageError(f"LM has k = {self.k!r}; give a number above -1, up to 1, or a tensor () that holds one.")

    def __repr__(self) -> str:
        return f"LM(k={self._number():g})"

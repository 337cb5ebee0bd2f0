"""Gauss's method of two stages: order 4, A-stable.

Symplectic and symmetric; it keeps every quadratic invariant and never moves two solutions of a contracting field apart.

Source: Hairer, Lubich and Wanner, Geometric Numerical Integration, 2nd ed., Table II.1.1; Hairer and Wanner, Solving
Ordinary Differential Equations II, 2nd ed., sections IV.5 and IV.12.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, final

import torch
from torch import Tensor

from ctrlnet import Step
from ctrlnet_plugins.integrators.implicit import increment

_R = math.sqrt(3) / 6
_C = (1 / 2 - _R, 1 / 2 + _R)
_A = ((1 / 4, 1 / 4 - _R), (1 / 4 + _R, 1 / 4))


@final
class Gauss4:
    """x⁺ = x + (d₁ + d₂)/2,  dᵢ = h f(t + cᵢ h, x + Σ aᵢⱼ dⱼ). A row in which no d is found becomes NaN."""

    ctrlnet_contract: ClassVar[int] = 1
    order: int = 4
    needs: str = "Field"
    symplectic: ClassVar[bool] = True
    symmetric: ClassVar[bool] = True

    def init(self, field: Callable[..., Tensor], t: float | Tensor, x: Tensor) -> None:
        return None

    def step(self, field: Callable[..., Tensor], t: float | Tensor, x: Tensor, h: float | Tensor, carry: None) -> Step:
        """From x (..., n) at t to t + h."""

        def stages(d: Tensor) -> Tensor:
            first, second = d.chunk(2, -1)
            inner = [x + a * first + b * second for a, b in _A]
            return torch.cat([h * field(t + c * h, y) for c, y in zip(_C, inner, strict=True)], -1)

        first, second = increment(stages, x, 2).chunk(2, -1)
        return Step(x + (first + second) / 2)
